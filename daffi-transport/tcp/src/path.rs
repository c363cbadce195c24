//! Whether the way to a peer is dead, as the system's own state of the connection tells.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use daffi_transport::{Path, Way};
use tokio::net::TcpStream;

use crate::socket::KEEPALIVE_IDLE;

/// So many questions in a row about a closed window have to stay unanswered: they come up to two
/// minutes apart, and one of them, or its answer, may be lost on the way to a peer that is well.
const PROBES: u8 = 3;

/// The way of one TCP connection. It [tells](Path::look) on Linux, elsewhere it does not.
///
/// `TCP_USER_TIMEOUT` would end a connection whose peer keeps its window closed on purpose as well.
/// This does not: the host of such a peer answers the system's questions, and every answer is a
/// sign of life. The state comes from the same place as `TCP_INFO` (`sock_diag(7)`), and takes
/// neither rights nor a descriptor while it is not asked for.
#[derive(Debug)]
pub struct TcpPath {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
    ends: Option<(SocketAddr, SocketAddr)>,
    /// Since when the system asks in vain, as far as was seen.
    asking: Option<Instant>,
}

impl TcpPath {
    /// The way of this connection.
    #[must_use]
    pub fn of(stream: &TcpStream) -> Self {
        // A connection that broke already has no ends, and its reader finds that out.
        Self { ends: stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?))).ok(), asking: None }
    }

    /// The silence that a state seen at `now` tells of.
    fn judge(&mut self, state: &PathState, now: Instant) -> Option<Duration> {
        let Some(asked_for) = state.time_unanswered() else {
            self.asking = None;
            return None;
        };
        let since = *self.asking.get_or_insert_with(|| now.checked_sub(asked_for).unwrap_or(now));
        let is_certain = state.retransmits > 0 || state.probes >= PROBES;
        // The silence before the first question counts as far as it does for the keepalive, which
        // asks after so long. Whatever came back in between was a sign of life, what the system
        // waits for or not.
        is_certain.then(|| (now.duration_since(since).max(asked_for) + KEEPALIVE_IDLE).min(state.heard))
    }
}

impl Path for TcpPath {
    fn look(&mut self) -> Option<Way> {
        #[cfg(target_os = "linux")]
        let state = self.ends.and_then(diag::state);
        #[cfg(not(target_os = "linux"))]
        let state: Option<PathState> = None;
        let state = state?;
        Some(Way { unacknowledged: state.unacknowledged, silence: self.judge(&state, Instant::now()) })
    }
}

/// What the system knows of a connection.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
struct PathState {
    /// Bytes that were written and not acknowledged, those not sent yet included.
    unacknowledged: usize,
    /// Timeouts in a row after which something was sent again.
    retransmits: u8,
    /// Questions in a row, about a closed window or of the keepalive, that were not answered.
    probes: u8,
    /// Doublings of `timeout`.
    backoff: u8,
    /// The time after which something is sent again, the next time.
    timeout: Duration,
    /// The time since anything came from the peer's host.
    heard: Duration,
}

impl PathState {
    /// For how long at least the system has asked in vain.
    fn time_unanswered(&self) -> Option<Duration> {
        match (self.retransmits, self.probes) {
            (0, 0) => None,
            (0, _) => Some(Duration::ZERO),
            // Each wait was twice the one before.
            _ => Some(self.timeout.saturating_sub(self.timeout / 2u32.saturating_pow(self.backoff.into()))),
        }
    }
}

/// Asks the system about a connection by its two addresses.
#[cfg(target_os = "linux")]
mod diag {
    use std::{
        io::{Read, Write},
        net::{IpAddr, SocketAddr},
        time::Duration,
    };

    use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_sock_diag::{
        SockDiagMessage,
        constants::{AF_INET, AF_INET6, IPPROTO_TCP},
        inet::{ExtensionFlags, InetRequest, SocketId, StateFlags, nlas::Nla},
    };
    use socket2::{Domain, Protocol, Socket, Type};

    use super::PathState;

    /// `AF_NETLINK` and `NETLINK_SOCK_DIAG` of the kernel's interface.
    const NETLINK: (i32, i32) = (16, 4);

    /// The answer has about 400 bytes.
    const ANSWER_BYTES: usize = 4096;

    pub(super) fn state((local, peer): (SocketAddr, SocketAddr)) -> Option<PathState> {
        let mut socket = Socket::new(Domain::from(NETLINK.0), Type::DGRAM, Some(Protocol::from(NETLINK.1))).ok()?;
        // The kernel answers before the request returns.
        socket.set_nonblocking(true).ok()?;
        socket.write_all(&request(local, peer)).ok()?;
        let mut answer = [0; ANSWER_BYTES];
        let size = socket.read(&mut answer).ok()?;
        let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer[..size]).ok()?;
        let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(answer)) = answer.payload else { return None };
        let unacknowledged = usize::try_from(answer.header.send_queue).unwrap_or(usize::MAX);
        answer.nlas.iter().find_map(|attribute| match attribute {
            Nla::TcpInfo(info) => Some(PathState {
                unacknowledged,
                retransmits: info.retransmits,
                probes: info.probes,
                backoff: info.backoff,
                timeout: Duration::from_micros(info.rto.into()),
                heard: Duration::from_millis(info.last_ack_recv.into()),
            }),
            _ => None,
        })
    }

    fn request(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
        let mut id = if local.is_ipv4() { SocketId::new_v4() } else { SocketId::new_v6() };
        (id.source_address, id.source_port) = (local.ip(), local.port());
        (id.destination_address, id.destination_port) = (peer.ip(), peer.port());
        if let SocketAddr::V6(peer) = peer {
            id.interface_id = peer.scope_id();
        }
        // Any socket of these addresses.
        id.cookie = [0xff; 8];
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let request = InetRequest {
            family: if matches!(local.ip(), IpAddr::V4(_)) { AF_INET } else { AF_INET6 },
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: StateFlags::all(),
            socket_id: id,
        };
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn path() -> TcpPath {
        TcpPath { ends: None, asking: None }
    }

    const IDLE: PathState =
        PathState { unacknowledged: 0, retransmits: 0, probes: 0, backoff: 0, timeout: SECOND, heard: SECOND };

    fn resending(backoff: u8, heard: Duration) -> PathState {
        let timeout = Duration::from_millis(200) * 2u32.pow(backoff.into());
        PathState { unacknowledged: 1, retransmits: backoff, probes: 0, backoff, timeout, heard }
    }

    #[test]
    fn what_is_sent_again_in_vain_is_silence() {
        let (mut path, start) = (path(), Instant::now());
        assert_eq!(path.judge(&resending(0, 9 * SECOND), start), None, "nothing was sent again");
        // 0.2 + 0.4 + 0.8 s have passed at the third time.
        let later = |seconds: u32| start + seconds * SECOND;
        assert_eq!(path.judge(&resending(3, 30 * SECOND), start), Some(Duration::from_millis(11_400)));
        assert_eq!(path.judge(&resending(6, 42 * SECOND), later(12)), Some(Duration::from_millis(23_400)));
        assert_eq!(path.judge(&resending(6, 17 * SECOND), later(12)), Some(17 * SECOND), "what was heard before");
        assert_eq!(path.judge(&resending(6, SECOND), start + 13 * SECOND), Some(SECOND), "something came back");
        assert_eq!(path.judge(&IDLE, start + 14 * SECOND), None);
        assert_eq!(path.judge(&resending(1, 20 * SECOND), start + 15 * SECOND), Some(KEEPALIVE_IDLE + SECOND / 5));
    }

    #[test]
    fn a_closed_window_is_silence_only_while_questions_about_it_stay_unanswered() {
        let (mut path, start) = (path(), Instant::now());
        // Between two questions, whose distance grows to two minutes, nothing is heard and nothing
        // is wrong.
        let waits = |probes| PathState { probes, backoff: 9, timeout: 120 * SECOND, heard: 110 * SECOND, ..IDLE };
        assert_eq!(path.judge(&waits(0), start), None);
        assert_eq!(path.judge(&waits(1), start), None, "it was asked this moment");
        assert_eq!(path.judge(&waits(0), start + 5 * SECOND), None, "it was answered");
        assert_eq!(path.judge(&waits(1), start + 9 * SECOND), None);
        assert_eq!(path.judge(&waits(1), start + 60 * SECOND), None, "one question may be lost");
        assert_eq!(path.judge(&waits(3), start + 70 * SECOND), Some(71 * SECOND));
    }
}
