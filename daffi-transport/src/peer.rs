//! What is known of the other end of a link.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use daffi_wire::Shown;

use crate::Endpoint;

/// What is known of the other end.
///
/// Only the transport fills it in: nothing of it is what the peer merely says of itself, but for
/// the path that it may have bound its own Unix socket to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The scheme of the transport.
    pub scheme: &'static str,
    /// The peer's address, as the transport writes it.
    pub address: String,
    /// The certificate that the peer showed and that was verified, in DER.
    pub certificate: Option<Vec<u8>>,
    /// The names that stand in that certificate.
    pub certificate_names: CertificateNames,
    /// The user of the process at the other end of a Unix socket, as the system says.
    pub uid: Option<u32>,
    /// The endpoint that accepted the connection; `None` at the end that made it.
    pub listener: Option<Endpoint>,
}

/// The names in a certificate that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateNames {
    /// URIs of its subject alternative names, such as `spiffe://example/worker`.
    pub uris: Vec<String>,
    /// DNS names of its subject alternative names.
    pub dns: Vec<String>,
    /// The common name of its subject. Authorities check it less than the others, so nothing takes
    /// it for an identity unless it is told to.
    pub common_name: Option<String>,
}

impl PeerInfo {
    /// A peer of this transport at this address.
    pub fn new(scheme: &'static str, address: impl Into<String>) -> Self {
        Self {
            scheme,
            address: address.into(),
            certificate: None,
            certificate_names: CertificateNames::default(),
            uid: None,
            listener: None,
        }
    }

    /// The peer's IP address, if it has one. An IPv4 address that a socket of IPv6 took is told as
    /// what it is.
    ///
    /// ```
    /// use daffi_transport::PeerInfo;
    /// let peer = PeerInfo::new("tcp", "[::ffff:192.0.2.7]:4000");
    /// assert_eq!(peer.ip().map(|ip| ip.to_string()).as_deref(), Some("192.0.2.7"));
    /// assert_eq!(PeerInfo::new("unix", "/run/a.sock").ip(), None);
    /// ```
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        if self.scheme == "unix" {
            // There the peer chooses its address.
            return None;
        }
        self.address.parse::<SocketAddr>().ok().map(|address| address.ip().to_canonical())
    }

    /// Whether the peer is on this host: over memory, a Unix socket, or from a loopback address.
    ///
    /// A proxy on this host that lets others in looks the same.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.scheme, "unix" | "mem") || self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On a Unix socket the peer chooses it.
        write!(f, "{}://{}", self.scheme, Shown::new(&self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_this_host() {
        for (scheme, address, local) in [
            ("tcp", "127.0.0.1:1", true),
            ("tcp", "[::1]:1", true),
            ("tcp", "[::ffff:127.0.0.1]:1", true),
            ("tls", "127.8.0.1:1", true),
            ("ws", "192.0.2.1:1", false),
            ("tcp", "0.0.0.0:1", false),
            ("unix", "pid=3,uid=1000", true),
            ("unix", "192.0.2.1:1", true),
            ("mem", "a", true),
            ("quic", "somewhere", false),
        ] {
            assert_eq!(PeerInfo::new(scheme, address).is_local(), local, "{scheme} {address}");
        }
    }
}
