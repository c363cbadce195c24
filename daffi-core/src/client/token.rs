//! Where a client shows its token.

use daffi_transport::PeerInfo;

use crate::error::Disconnected;

/// Why a token was not sent where somebody may listen.
pub(super) const NOT_HERE: Disconnected = Disconnected::TokenWithheld(
    "tokens go over TLS to a server whose certificate was verified, over Unix sockets, and to this host only",
);

/// Whether nobody on the way reads what is sent there, and it goes to whom it is meant for.
pub(super) fn may_pass(server: &PeerInfo) -> bool {
    server.is_local() || matches!(server.scheme, "tls" | "wss") && server.certificate.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_where_nobody_listens() {
        for (scheme, address, is_verified, passes) in [
            ("tcp", "127.0.0.1:5000", false, true),
            ("ws", "[::1]:5000", false, true),
            ("unix", "/run/daffi.sock", false, true),
            ("mem", "a", false, true),
            ("tcp", "192.0.2.1:5000", false, false),
            ("ws", "192.0.2.1:5000", false, false),
            ("tls", "192.0.2.1:5000", false, false),
            ("wss", "192.0.2.1:5000", false, false),
            ("tls", "192.0.2.1:5000", true, true),
            ("wss", "192.0.2.1:5000", true, true),
            ("quic", "192.0.2.1:5000", true, false),
        ] {
            let mut server = PeerInfo::new(scheme, address);
            server.certificate = is_verified.then(|| b"verified".to_vec());
            assert_eq!(may_pass(&server), passes, "{server}, verified: {is_verified}");
        }
    }
}
