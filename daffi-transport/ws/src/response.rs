//! The answer to an upgrade: ours as text, the server's checked.

use daffi_wire::{Foreign, Shown};
use httparse::{EMPTY_HEADER, Response, Status};

use crate::request::{MAX_HEAD_BYTES, MAX_HEADERS, has_word, values};

/// The header with which a server says, by the value `yes`, that it answers pings.
///
/// daffi 3.0.1 does not send it, and stops reading a connection on which it was pinged
/// ([protocol, 9](daffi_wire::protocol#9)).
pub const PING_HEADER: &str = "Daffi-Ping";

/// Bytes of a refusing answer's body that go into the error.
const MAX_REASON_BYTES: usize = 200;

/// Why a server did not become the other end of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The server's first bytes are TLS.
    #[error("the server speaks TLS on this port: use wss:// in place of ws://")]
    Tls,
    /// The server's first bytes are not HTTP.
    #[error(
        "the server does not answer in HTTP, so it takes no WebSockets there: use tcp:// in place of ws://, and tls:// in place of wss://"
    )]
    NotHttp,
    /// The server closed before its answer was whole.
    #[error(
        "the server closed the connection before it had answered the request for a WebSocket: where it takes none, use tcp:// in place of ws://, and tls:// in place of wss://"
    )]
    Closed,
    /// The server answered with another status than 101.
    #[error("the server refused the WebSocket with status {status}{}{}", if reason.is_empty() { "" } else { ": " }, Shown::new(reason))]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of the answer's body.
        reason: String,
    },
    /// The server's answer breaks a rule of the upgrade.
    #[error("the server's answer to the request for a WebSocket breaks a rule: {0}")]
    Invalid(&'static str),
    /// The head of the answer is too large.
    #[error("the server's answer has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers")]
    TooLarge,
}

/// A server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) size: usize,
    pub(crate) answers_pings: bool,
}

/// The answer that accepts.
pub(crate) fn accepting(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{PING_HEADER}: yes\r\n\r\n"
    )
}

/// The answer at the front of what was received; `None` while it is incomplete. `ended`: no more
/// will come.
pub(crate) fn parse(received: &[u8], accept: &str, ended: bool) -> Result<Option<Accepted>, UpgradeError> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let size = match response.parse(received) {
        Ok(Status::Complete(size)) if size <= MAX_HEAD_BYTES => size,
        Ok(Status::Partial) if ended => return Err(UpgradeError::Closed),
        Ok(Status::Partial) if received.len() <= MAX_HEAD_BYTES => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::TooLarge),
        Err(_) if Foreign::recognise(received) == Some(Foreign::Tls) => return Err(UpgradeError::Tls),
        Err(_) => return Err(UpgradeError::NotHttp),
    };
    let headers = &*response.headers;
    let status = response.code.unwrap_or_default();
    if status != 101 {
        let body = &received[size..];
        let announced = values(headers, "content-length").next().and_then(|length| std::str::from_utf8(length).ok());
        // 3.0.1 announces no body, and leaves the connection open.
        let wanted: usize = announced.and_then(|length| length.parse().ok()).unwrap_or(0);
        if body.len() < wanted.min(MAX_REASON_BYTES) && !ended {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_REASON_BYTES)]);
        let reason = text.lines().next().unwrap_or_default().trim().chars().filter(|c| !c.is_control()).collect();
        return Err(UpgradeError::Refused { status, reason });
    }
    if !has_word(headers, "upgrade", "websocket") {
        return Err(UpgradeError::Invalid("the header Upgrade must be websocket"));
    }
    if !has_word(headers, "connection", "upgrade") {
        return Err(UpgradeError::Invalid("the header Connection must be upgrade"));
    }
    if values(headers, "sec-websocket-accept").next() != Some(accept.as_bytes()) {
        return Err(UpgradeError::Invalid("the header Sec-WebSocket-Accept does not fit the key"));
    }
    if values(headers, "sec-websocket-extensions").chain(values(headers, "sec-websocket-protocol")).next().is_some() {
        return Err(UpgradeError::Invalid("it agrees to an extension or a protocol that was not asked for"));
    }
    Ok(Some(Accepted { size, answers_pings: has_word(headers, PING_HEADER, "yes") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_answer_is_understood_whole_and_no_sooner() {
        let answer = accepting("key");
        assert_eq!(
            parse(format!("{answer}more").as_bytes(), "key", false),
            Ok(Some(Accepted { size: answer.len(), answers_pings: true }))
        );
        for end in 0..answer.len() {
            assert_eq!(parse(&answer.as_bytes()[..end], "key", false), Ok(None));
            assert_eq!(parse(&answer.as_bytes()[..end], "key", true), Err(UpgradeError::Closed));
        }
    }

    #[test]
    fn the_answer_of_3_0_1_is_understood_and_not_pinged() {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                      Sec-Websocket-Accept: key\r\n\r\n";
        assert_eq!(
            parse(answer.as_bytes(), "key", false),
            Ok(Some(Accepted { size: answer.len(), answers_pings: false }))
        );
    }

    #[test]
    fn other_answers_are_errors() {
        let good = accepting("key");
        let refused = |status, reason: &str| UpgradeError::Refused { status, reason: reason.to_owned() };
        for (answer, error) in [
            ("\x1f\x1f\x1f".to_owned(), UpgradeError::NotHttp),
            ("\x15\x03\x03\x00\x02\x02\x32".to_owned(), UpgradeError::Tls),
            (format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_HEAD_BYTES)), UpgradeError::TooLarge),
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno way".to_owned(), refused(403, "no way")),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), refused(404, "")),
            (
                good.replace("key", "lock"),
                UpgradeError::Invalid("the header Sec-WebSocket-Accept does not fit the key"),
            ),
            (good.replace(": websocket", ": h2c"), UpgradeError::Invalid("the header Upgrade must be websocket")),
        ] {
            assert_eq!(parse(answer.as_bytes(), "key", false), Err(error));
        }
        let open = b"HTTP/1.1 400 Invalid\r\nerror: unknown\r\n\r\n";
        assert_eq!(parse(open, "key", false), Err(refused(400, "")), "3.0.1 leaves the connection open");
        let slow = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nno";
        assert_eq!(parse(slow, "key", false), Ok(None));
        assert_eq!(parse(slow, "key", true), Err(refused(400, "no")));
    }
}
