use std::{fmt, net::IpAddr, str::FromStr};

/// Where a node listens or connects: `scheme://address`.
///
/// The scheme, in any letter case, chooses the transport; what the address means is the transport's
/// own matter.
///
/// ```
/// use daffi_transport::Endpoint;
/// let endpoint: Endpoint = "tcp://127.0.0.1:5001".parse()?;
/// assert_eq!((endpoint.scheme(), endpoint.address()), ("tcp", "127.0.0.1:5001"));
/// assert_eq!("TCP://Calc.local:5001".parse::<Endpoint>()?.as_str(), "tcp://Calc.local:5001");
/// assert!("127.0.0.1:5001".parse::<Endpoint>().unwrap_err().to_string().contains("tcp://"));
/// # Ok::<(), daffi_transport::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    text: String,
    colon: usize,
}

impl Endpoint {
    /// An endpoint of its two parts.
    ///
    /// # Errors
    /// [`EndpointError`] when the scheme is not a word or the address is empty.
    pub fn new(scheme: &str, address: &str) -> Result<Self, EndpointError> {
        format!("{scheme}://{address}").parse()
    }

    /// What stands before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.text[..self.colon]
    }

    /// What stands behind `://`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.text[self.colon + 3..]
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address as a host and a port; `[::1]:5001` gives `::1`.
    ///
    /// # Errors
    /// [`EndpointError`] when there is no port, or it is not a number up to 65 535.
    pub fn host_port(&self) -> Result<(&str, u16), EndpointError> {
        let bad = |rule| EndpointError { text: self.text.clone(), rule };
        let address = self.address();
        if address.starts_with('/') {
            return Err(bad("a host and a port are expected; the path of a socket belongs behind unix://"));
        }
        if address.contains('/') {
            return Err(bad("nothing follows the port, not even a /"));
        }
        if address.contains('@') {
            return Err(bad("it has no user and no password: a host and a port are all of it"));
        }
        let (host, port) = address.rsplit_once(':').ok_or_else(|| bad("a port must follow the host"))?;
        let port = port.parse().map_err(|_| bad("the port must be a number from 0 to 65535"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(|| bad("'[' without ']'"))?,
            None if host.contains(':') => return Err(bad("an IPv6 address is written in brackets: [::1]:5001")),
            None => host,
        };
        if host.is_empty() {
            Err(bad("the host is empty; 127.0.0.1 is this machine, and 0.0.0.0 listens on all its addresses"))
        } else {
            Ok((host, port))
        }
    }

    /// Whether others than this machine reach a node that listens here: its host is neither a
    /// loopback address nor `localhost`. Unix sockets, and sockets that are handed over before they
    /// are taken, have none.
    #[must_use]
    pub fn is_reached_from_elsewhere(&self) -> bool {
        let Ok((host, _)) = self.host_port() else { return false };
        match host.parse::<IpAddr>() {
            Ok(address) => !address.to_canonical().is_loopback(),
            Err(_) => !host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bad = |rule| Err(EndpointError { text: text.to_owned(), rule });
        let Some(colon) = text.find("://") else {
            return bad("it needs a scheme, as in tcp://127.0.0.1:5001 or unix:///run/calc.sock");
        };
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if colon == 0 || !text[..colon].chars().all(word) {
            return bad("the scheme before :// must be a word");
        }
        if text.len() == colon + 3 {
            return bad("the address behind :// is empty");
        }
        let mut text = text.to_owned();
        text[..colon].make_ascii_lowercase();
        Ok(Self { text, colon })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint {text:?} cannot be used: {rule}")]
pub struct EndpointError {
    /// The text.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl EndpointError {
    /// An address that a transport can't use.
    #[must_use]
    pub fn new(endpoint: &Endpoint, rule: &'static str) -> Self {
        Self { text: endpoint.text.clone(), rule }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_with_a_port_is_told_by_what_is_wrong_with_it() {
        for (text, rule) in [
            ("tcp://127.0.0.1:5001/", "nothing follows the port"),
            ("tcp://127.0.0.1:5001/calc", "nothing follows the port"),
            ("tcp://user:secret@calc:5001", "no user and no password"),
            ("tcp://::1:5001", "IPv6 address is written in brackets"),
            ("tcp://[::1:5001", "'[' without ']'"),
            ("tcp://calc", "a port must follow the host"),
            ("tcp://calc:many", "the port must be a number"),
            ("tcp://:5001", "the host is empty"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            let error = endpoint.host_port().unwrap_err().to_string();
            assert!(error.contains(rule), "{text}: {error}");
        }
        let scoped: Endpoint = "tcp://[fe80::1%eth0]:5001".parse().unwrap();
        assert_eq!(scoped.host_port(), Ok(("fe80::1%eth0", 5001)));
    }

    #[test]
    fn endpoints_that_others_reach() {
        for (endpoint, is) in [
            ("tcp://127.0.0.1:1", false),
            ("tcp://[::1]:1", false),
            ("tcp://[::ffff:127.0.0.1]:1", false),
            ("tls://localhost:1", false),
            ("unix:///run/a.sock", false),
            ("mem://a", false),
            ("tcp://0.0.0.0:1", true),
            ("tls://[::]:1", true),
            ("tcp://192.0.2.1:1", true),
            ("tcp://router.example:1", true),
        ] {
            assert_eq!(endpoint.parse::<Endpoint>().unwrap().is_reached_from_elsewhere(), is, "{endpoint}");
        }
    }
}
