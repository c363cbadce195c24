//! The request of an upgrade, and what is wrong with others
//! ([protocol, 9](daffi_wire::protocol#9)).

use httparse::{EMPTY_HEADER, Header, Request, Status};
use tungstenite::handshake::derive_accept_key;

/// The largest head of a request or an answer, in bytes, as in 3.0.1.
pub const MAX_HEAD_BYTES: usize = 8 * 1024;

/// The most headers of a request or an answer.
pub(crate) const MAX_HEADERS: usize = 100;

/// What a browser, or whoever else asks for a WebSocket, tells of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UpgradeRequest {
    /// The value of `Sec-WebSocket-Accept` in the answer.
    pub(crate) accept: String,
    pub(crate) host: String,
    pub(crate) origins: Vec<String>,
}

/// An answer that refuses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UpgradeRefusal {
    pub(crate) status: &'static str,
    pub(crate) headers: &'static [&'static str],
    pub(crate) reason: String,
}

fn bad(reason: impl Into<String>) -> UpgradeRefusal {
    UpgradeRefusal { status: "400 Bad Request", headers: &[], reason: reason.into() }
}

/// The request at the front of what was received, and its length; `None` while it is incomplete.
pub(crate) fn parse(received: &mut [u8]) -> Result<Option<(usize, UpgradeRequest)>, UpgradeRefusal> {
    // 3.0.1 takes the method in any letter case.
    if let Some(method) = received.first_chunk_mut::<3>() {
        method.make_ascii_uppercase();
    }
    let too_large = || UpgradeRefusal {
        status: "431 Request Header Fields Too Large",
        headers: &[],
        reason: format!("the request has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers"),
    };
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(received) {
        Ok(Status::Complete(size)) if size <= MAX_HEAD_BYTES => {
            let checked = check(&request)?;
            if has_bare_line_feed(&received[..size]) {
                return Err(bad("a line of the request ends without a carriage return"));
            }
            Ok(Some((size, checked)))
        }
        Ok(Status::Partial) if received.len() <= MAX_HEAD_BYTES => Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Err(too_large()),
        Err(error) => Err(bad(format!("this is no HTTP request: {error}"))),
    }
}

/// httparse takes lines that end in a line feed alone; 3.0.1 does not, and what is between us and
/// the peer may not.
fn has_bare_line_feed(head: &[u8]) -> bool {
    head.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r'))
}

/// The value of a header that must be there exactly once, and not be empty.
fn only<'a>(headers: &'a [Header<'a>], name: &'static str) -> Result<&'a [u8], UpgradeRefusal> {
    let mut found = values(headers, name);
    match (found.next(), found.next()) {
        (Some(value), None) if !value.is_empty() => Ok(value),
        (Some(_), None) => Err(bad(format!("the header {name} is empty"))),
        (Some(_), Some(_)) => Err(bad(format!("the header {name} is there more than once"))),
        (None, _) => Err(bad(format!("the header {name} is missing"))),
    }
}

fn check(request: &Request<'_, '_>) -> Result<UpgradeRequest, UpgradeRefusal> {
    if request.method != Some("GET") {
        return Err(bad("this port takes WebSockets, which begin with GET"));
    }
    if request.version != Some(1) {
        return Err(bad("a WebSocket needs HTTP/1.1"));
    }
    if !has_word(request.headers, "upgrade", "websocket") {
        return Err(UpgradeRefusal {
            status: "426 Upgrade Required",
            headers: &["Upgrade: websocket"],
            reason: "this port speaks daffi, not HTTP: connect with a WebSocket or a daffi client".to_owned(),
        });
    }
    if !has_word(request.headers, "connection", "upgrade") {
        return Err(bad("the header Connection must contain \"upgrade\""));
    }
    if !values(request.headers, "sec-websocket-version").any(|version| version == b"13") {
        return Err(UpgradeRefusal {
            status: "426 Upgrade Required",
            headers: &["Upgrade: websocket", "Sec-WebSocket-Version: 13"],
            reason: "the header Sec-WebSocket-Version must be 13".to_owned(),
        });
    }
    let has_body = values(request.headers, "content-length").any(|length| length != b"0")
        || values(request.headers, "transfer-encoding").next().is_some();
    if has_body {
        return Err(bad("a request for a WebSocket has no body"));
    }
    let host = only(request.headers, "Host")?;
    only(request.headers, "Sec-WebSocket-Version")?;
    let key = only(request.headers, "Sec-WebSocket-Key")?;
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Ok(UpgradeRequest {
        accept: derive_accept_key(key),
        host: text(host),
        origins: values(request.headers, "origin").map(text).collect(),
    })
}

/// All values of a header, blanks around them removed.
pub(crate) fn values<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}

/// Whether a header's comma-separated list has a word, in any letter case.
pub(crate) fn has_word(headers: &[Header<'_>], name: &str, word: &str) -> bool {
    values(headers, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /any?thing HTTP/1.1\r\nHost: node:5\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn parse_text(text: &str) -> Result<Option<(usize, UpgradeRequest)>, UpgradeRefusal> {
        parse(&mut text.as_bytes().to_vec())
    }

    #[test]
    fn the_usual_request_is_taken_whole_and_no_sooner() {
        let whole = parse_text(&format!("{GOOD}more")).unwrap().unwrap();
        // The example of RFC 6455, section 1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        assert_eq!(whole, (GOOD.len(), UpgradeRequest { accept, host: "node:5".into(), origins: Vec::new() }));
        for end in 3..GOOD.len() {
            assert_eq!(parse_text(&GOOD[..end]), Ok(None));
        }
    }

    #[test]
    fn what_3_0_1_takes_is_taken() {
        let loud = GOOD.to_uppercase().replace("/ANY?THING", "/[x]{y}");
        let quiet = GOOD.to_lowercase().replace("http/1.1", "HTTP/1.1");
        let short_key = GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "any text");
        let extras = GOOD.replace(
            "Host: node:5",
            "Host: node:5\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: x\r\nContent-Length: 0",
        );
        for request in [loud, quiet, short_key, extras] {
            assert!(matches!(parse_text(&request), Ok(Some((size, _))) if size == request.len()), "{request}");
        }
    }

    #[test]
    fn others_are_told_what_is_wrong() {
        for (from, to, status, reason) in [
            ("HTTP/1.1", "HTTP/1.0", "400", "HTTP/1.1"),
            ("HTTP/1.1", "SPDY", "400", "no HTTP request"),
            ("GET", "GETX", "400", "begin with GET"),
            ("Upgrade: websocket", "X: y", "426", "not HTTP"),
            ("keep-alive, Upgrade", "keep-alive", "400", "Connection"),
            ("13", "8", "426", "must be 13"),
            ("Sec-WebSocket-Key", "X", "400", "Key is missing"),
            ("dGhlIHNhbXBsZSBub25jZQ==", " ", "400", "Key is empty"),
            ("Sec-WebSocket-Key", "Sec-WebSocket-Key: x\r\nSec-WebSocket-Key", "400", "Key is there more than once"),
            (
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key",
                "400",
                "Version is there more than once",
            ),
            ("Host: node:5\r\n", "", "400", "Host is missing"),
            ("Host: node:5", "Host:", "400", "Host is empty"),
            ("Host: node:5", "Host: node:5\r\nhost: evil:5", "400", "Host is there more than once"),
            ("Host: node:5", "Host: node:5\r\nContent-Length: 5", "400", "no body"),
            ("Host: node:5", "Host: node:5\r\nTransfer-Encoding: chunked", "400", "no body"),
            ("Host: node:5\r\n", "Host: node:5\n", "400", "carriage return"),
        ] {
            let refusal = parse_text(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(refusal.status.starts_with(status) && refusal.reason.contains(reason), "{to}: {refusal:?}");
        }
        for filler in [format!("X: {}\r\n", "y".repeat(MAX_HEAD_BYTES)), "X: y\r\n".repeat(MAX_HEADERS)] {
            let refusal = parse_text(&GOOD.replacen("Host", &format!("{filler}Host"), 1)).unwrap_err();
            assert!(refusal.status.starts_with("431"), "{refusal:?}");
        }
        let endless = format!("GET /{}", "x".repeat(MAX_HEAD_BYTES));
        assert!(parse_text(&endless).unwrap_err().status.starts_with("431"));
    }
}
