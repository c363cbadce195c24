//! The options of every socket, and how addresses are written.

use std::{io, net::SocketAddr, time::Duration};

use daffi_transport::AllRefused;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Connections that the system holds for a listener that does not accept, as in 3.0.1.
pub const BACKLOG: u32 = 512;

/// Silence after which the system asks whether the peer is still there, as in 3.0.1.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// Time between two such questions, as in 3.0.1.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Unanswered questions that end a connection, as in 3.0.1.
pub const KEEPALIVE_PROBES: u32 = 3;

/// Sets what both sides want.
pub(crate) fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// An IPv4 peer of an IPv6 socket as what it is: `127.0.0.1`, not `::ffff:127.0.0.1`.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, address.port()),
        // It is kept whole, because a link-local address is nothing without its scope.
        _ => address,
    }
}

/// One error for all the addresses that were tried; with several, it names each.
pub(crate) fn join_failures(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    match (failures.pop(), failures.is_empty()) {
        (Some((_, only)), true) => only,
        (Some((address, last)), false) => {
            let kind = last.kind();
            failures.push((address, last));
            // Of several one that may work later is enough.
            let kinds = failures.iter().rev().map(|(_, error)| error.kind());
            let kind = kinds.into_iter().find(|kind| *kind != io::ErrorKind::InvalidInput).unwrap_or(kind);
            let each: Vec<String> = failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
            io::Error::new(kind, AllRefused(each.join("; ")))
        }
        (None, _) => io::Error::new(io::ErrorKind::NotFound, "the host name has no address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_written_as_ipv4() {
        for (seen, written) in [
            ("[::ffff:127.0.0.1]:7", "127.0.0.1:7"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("[fe80::1%3]:7", "[fe80::1%3]:7"),
        ] {
            assert_eq!(canonical(seen.parse().unwrap()).to_string(), written);
        }
    }

    #[test]
    fn one_failure_stands_for_itself_and_several_are_listed() {
        let failure = |address: &str, text: &str| (address.parse().unwrap(), io::Error::other(text.to_owned()));
        assert_eq!(join_failures(vec![failure("127.0.0.1:7", "no")]).to_string(), "no");
        let both = join_failures(vec![failure("127.0.0.1:7", "no"), failure("[::1]:7", "never")]);
        assert_eq!(both.to_string(), "127.0.0.1:7: no; [::1]:7: never");
    }

    /// A link-local address without its scope is invalid for ever, and beside it stands a good one.
    #[test]
    fn of_several_failures_one_that_may_pass_is_enough() {
        let failures = |kinds: &[io::ErrorKind]| {
            kinds.iter().map(|kind| ("127.0.0.1:1".parse().unwrap(), io::Error::from(*kind))).collect()
        };
        let (refused, invalid) = (io::ErrorKind::ConnectionRefused, io::ErrorKind::InvalidInput);
        assert_eq!(join_failures(failures(&[refused, invalid])).kind(), refused);
        assert_eq!(join_failures(failures(&[invalid, refused])).kind(), refused);
        assert_eq!(join_failures(failures(&[invalid, invalid])).kind(), invalid);
    }
}
