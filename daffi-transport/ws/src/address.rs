//! `ws://host:port/path`, taken apart.

use daffi_transport::{Endpoint, EndpointError};

/// What a WebSocket endpoint says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) is_tls: bool,
    /// `host` or `host:port`, as the request's `Host` has it.
    pub(crate) authority: &'a str,
    /// Path and query, with the slash.
    pub(crate) path: &'a str,
    port: Option<u16>,
}

impl<'a> Address<'a> {
    pub(crate) fn of(endpoint: &'a Endpoint) -> Result<Self, EndpointError> {
        let bad = |rule| EndpointError::new(endpoint, rule);
        let (is_tls, default) = match endpoint.scheme() {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err(bad("the WebSocket transport takes ws://host:port/path and wss://host:port/path")),
        };
        let text = endpoint.address();
        let (authority, path) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) || !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("blanks and non-ASCII characters must be percent-encoded, host names be written in ASCII"));
        }
        if path.contains('#') {
            return Err(bad("a WebSocket has no fragment '#'"));
        }
        if path.starts_with('?') {
            return Err(bad("a path must stand before the query: ws://host:port/?query"));
        }
        if authority.contains('@') {
            return Err(bad("a user name has no meaning here"));
        }
        let has_port = authority.rfind(':') > authority.rfind(']');
        let port = (!has_port).then_some(default);
        Ok(Self { is_tls, authority, path: if path.is_empty() { "/" } else { path }, port })
    }

    /// Where the stream below goes, in the scheme of its transport.
    pub(crate) fn below(&self) -> Result<Endpoint, EndpointError> {
        let scheme = if self.is_tls { "tls" } else { "tcp" };
        match self.port {
            Some(port) => Endpoint::new(scheme, &format!("{}:{port}", self.authority)),
            None => Endpoint::new(scheme, self.authority),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_may_be_left_out_but_the_host() {
        for (text, below, authority, path) in [
            ("ws://a:5", "tcp://a:5", "a:5", "/"),
            ("ws://a", "tcp://a:80", "a", "/"),
            ("wss://a/x?y=z", "tls://a:443", "a", "/x?y=z"),
            ("wss://[::1]:5/", "tls://[::1]:5", "[::1]:5", "/"),
            ("ws://[::1]/daffi", "tcp://[::1]:80", "[::1]", "/daffi"),
        ] {
            let endpoint = text.parse().unwrap();
            let address = Address::of(&endpoint).unwrap();
            assert_eq!(address.below().unwrap().as_str(), below);
            assert_eq!((address.authority, address.path), (authority, path));
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for (text, rule) in [
            ("tcp://a:5", "takes ws://"),
            ("ws://a:5/x\r\nEvil: y", "percent-encoded"),
            ("ws://a b:5", "percent-encoded"),
            ("ws://a:5/#x", "fragment"),
            ("ws://a:5?x", "before the query"),
            ("ws://me@a:5", "user name"),
        ] {
            let error = Address::of(&text.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(rule), "{error}");
        }
        let nameless = "ws:///x".parse().unwrap();
        assert!(Address::of(&nameless).and_then(|address| address.below()?.host_port().map(|_| ())).is_err());
    }
}
