//! Which pages may connect.

use std::{fmt, net::IpAddr, str::FromStr};

/// The origin of a web page: scheme, host and port.
///
/// Origins are compared as browsers do: the host in any letter case, a port that is left out is the
/// scheme's own.
///
/// ```
/// use daffi_transport_ws::Origin;
/// let origin: Origin = "https://App.example".parse()?;
/// assert_eq!(origin, "https://app.example:443".parse()?);
/// assert_ne!(origin, "http://app.example".parse()?);
/// assert!("app.example".parse::<Origin>().unwrap_err().to_string().contains("https://app.example:8443"));
/// # Ok::<(), daffi_transport_ws::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(OriginKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginKind {
    /// `null`: a page from a file, or in a sandbox.
    Null,
    Site {
        scheme: String,
        host: OriginHost,
        /// `None`: left out, and the scheme has none of its own.
        port: Option<u16>,
    },
}

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an origin: write it as in https://app.example:8443, without a path, or null for pages from files"
)]
pub struct OriginError {
    /// The text.
    pub text: String,
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Ok(Self(OriginKind::Null));
        }
        let site = || {
            let (scheme, authority) = text.split_once("://")?;
            let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            let scheme = Some(scheme).filter(|scheme| !scheme.is_empty() && scheme.bytes().all(word))?;
            let (host, port) = OriginHost::with_port(authority)?;
            let scheme = scheme.to_ascii_lowercase();
            let port = port.or(match scheme.as_str() {
                "http" | "ws" => Some(80),
                "https" | "wss" => Some(443),
                _ => None,
            });
            Some(Self(OriginKind::Site { scheme, host, port }))
        };
        site().ok_or_else(|| OriginError { text: text.to_owned() })
    }
}

impl Origin {
    /// Whether a page of this origin may connect without being listed: a page from loopback over
    /// loopback, a page from the host that it asks for from elsewhere. `local` is the address on
    /// which the connection arrived, `asked` the `Host` of the request.
    ///
    /// A request's own word about a name is not enough: a stranger's page can have its name resolve
    /// to any address. Over TLS the browser has verified the name.
    pub(crate) fn is_at_home(&self, local: Option<IpAddr>, over_tls: bool, asked: &str) -> bool {
        let OriginKind::Site { host, .. } = &self.0 else { return false };
        if local.is_none_or(|local| local.to_canonical().is_loopback()) {
            return host.is_loopback();
        }
        let is_certain = over_tls || matches!(host, OriginHost::Address(_));
        is_certain && OriginHost::with_port(asked).is_some_and(|(asked, _)| asked == *host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            OriginKind::Null => f.write_str("null"),
            OriginKind::Site { scheme, host, port: Some(port) } => write!(f, "{scheme}://{host}:{port}"),
            OriginKind::Site { scheme, host, port: None } => write!(f, "{scheme}://{host}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginHost {
    Address(IpAddr),
    Name(String),
}

impl OriginHost {
    /// A host as it stands before a port or alone; without the brackets of an IPv6 address.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = |byte: u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        (!text.is_empty() && text.bytes().all(name)).then(|| Self::Name(text.to_lowercase()))
    }

    /// `host`, `host:port`, `[v6]` or `[v6]:port`.
    fn with_port(text: &str) -> Option<(Self, Option<u16>)> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                let host = Self::parse(host).filter(|host| matches!(host, Self::Address(_)))?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (Self::parse(host)?, Some(port)),
                None => (Self::parse(text)?, None),
            },
        };
        match port {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => Some((host, None)),
        }
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            // Browsers resolve these names to loopback themselves.
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl fmt::Display for OriginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn origins_are_equal_when_scheme_host_and_port_are() {
        for (one, other) in [
            ("http://a.example", "HTTP://A.Example:80"),
            ("https://a.example:443", "https://a.example"),
            ("http://[::1]:5", "http://[0:0::1]:5"),
            ("http://127.0.0.1:5", "http://[::ffff:127.0.0.1]:5"),
            ("chrome-extension://abc", "chrome-extension://ABC"),
            ("null", "null"),
        ] {
            assert_eq!(origin(one), origin(other));
            assert_eq!(origin(&origin(one).to_string()), origin(one));
        }
        for (one, other) in [
            ("http://a.example", "https://a.example"),
            ("http://a.example", "http://b.a.example"),
            ("http://a.example", "http://a.example:8080"),
            ("http://a.example", "http://a.example.evil"),
            ("null", "http://null"),
        ] {
            assert_ne!(origin(one), origin(other));
        }
    }

    #[test]
    fn other_texts_are_no_origins() {
        for text in [
            "",
            "*",
            "a.example",
            "://a",
            "http://",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "http://a:x",
            "http://a:",
            "http://a:65536",
            "http://[::1",
            "http://[a]",
            "http://[::1]5",
            "http://::1",
            "http://a b",
            "NULL",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError { text: text.to_owned() }));
        }
    }

    #[test]
    fn at_home_is_loopback_on_loopback_and_the_same_host_elsewhere() {
        let is_home = |page: &str, local: &str, over_tls, asked: &str| {
            let local = (!local.is_empty()).then(|| local.parse().unwrap());
            origin(page).is_at_home(local, over_tls, asked)
        };
        let at_home = |page: &str, local: &str, asked: &str| is_home(page, local, false, asked);
        for page in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1", "http://app.localhost"] {
            for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""] {
                assert!(at_home(page, local, "any"), "{page} over {local}");
            }
        }
        assert!(is_home("http://Node.lan", "10.0.0.7", true, "node.LAN:5"));
        assert!(!at_home("http://evil.example:5", "10.0.0.7", "evil.example:5"), "a rebound name");
        assert!(at_home("https://10.0.0.7:8443", "10.0.0.7", "10.0.0.7:5"));

        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1", ""] {
            assert!(!at_home("http://evil.example", local, "evil.example:5"), "a rebound name");
        }
        assert!(!at_home("http://localhost", "10.0.0.7", "node.lan:5"));
        assert!(!at_home("http://node.lan.evil", "10.0.0.7", "node.lan:5"));
        assert!(!at_home("null", "127.0.0.1", "127.0.0.1:5"));
    }
}
