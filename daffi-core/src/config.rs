use std::time::Duration;

use daffi_wire::Limits;

/// The limits and times of a node. Every bound on memory and on waiting stands here, with its default.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What is accepted from the wire.
    pub limits: Limits,
    /// Callbacks that run at once. Default 1: one at a time, in order of arrival.
    pub workers: usize,
    /// Timeout of a call that sets none. Default: none; the call ends with its connection or receiver.
    pub default_timeout: Option<Duration>,
    /// Connections a server holds; further ones are closed at once. Default 10 000.
    pub max_connections: usize,
    /// Connections that have not finished their handshake; the oldest is closed for a new one. Default 1 024.
    pub max_pending_handshakes: usize,
    /// From accepting a connection to its HANDSHAKE, or from sending ours to the answer. Default 10 s.
    pub handshake_timeout: Duration,
    /// Name resolution, connecting and TLS together. Default 15 s.
    pub connect_timeout: Duration,
    /// A peer that has bytes waiting and takes none for so long is disconnected. Default 60 s for servers; 300 s for
    /// clients, whose server may hold them back on purpose.
    pub slow_peer_timeout: Duration,
    /// How long `stop` waits for callbacks and replies. Default 10 s.
    pub grace: Duration,
    /// How long a closing connection waits for the peer's end of stream. Default 1 s.
    pub linger: Duration,
    /// Bytes waiting to be written to one peer before senders wait, and before a Router answers calls to it with
    /// `Overloaded`. One frame more is let in. Answers of
    /// workers that had begun, refusals and notices are queued beyond it; a peer for which this, a frame per worker and
    /// `spool_bytes` together wait is disconnected. Default 16 MiB.
    pub outbox_bytes: usize,
    /// Bytes of requests of one peer that were received and have not run. Default 16 MiB.
    pub inbound_bytes: usize,
    /// Requests of one peer that were received and have not run. Default 16 384. Beyond either, a Service holds its peer back;
    /// a Client, which must go on reading, answers calls with `Overloaded`.
    pub inbound_frames: usize,
    /// Bytes taken beyond `inbound_bytes` from a peer that can't be held back (3.0.1). Default 48 MiB.
    pub spool_bytes: usize,
    /// Bytes received and not yet worked off, over all connections. Default 256 MiB.
    pub budget_bytes: usize,
    /// Bytes waiting to be written, over all connections. Beyond it those with more than 64 KiB waiting count as full: calls
    /// to them get `Overloaded`, and one with more than `outbox_bytes` and a frame waiting is disconnected. Default 256 MiB.
    pub unwritten_bytes: usize,
    /// First pause before reconnecting; doubles up to `reconnect_max`, jittered. Default 50 ms.
    pub reconnect_first: Duration,
    /// Longest pause before reconnecting. Default 1 s.
    pub reconnect_max: Duration,
}

const MIB: usize = 1024 * 1024;

impl NodeConfig {
    /// The defaults of a Service or a Router.
    #[must_use]
    pub fn server() -> Self {
        Self {
            limits: Limits::default(),
            workers: 1,
            default_timeout: None,
            max_connections: 10_000,
            max_pending_handshakes: 1024,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            slow_peer_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            outbox_bytes: 16 * MIB,
            inbound_bytes: 16 * MIB,
            inbound_frames: 16_384,
            spool_bytes: 48 * MIB,
            budget_bytes: 256 * MIB,
            unwritten_bytes: 256 * MIB,
            reconnect_first: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
        }
    }

    /// The defaults of a Client.
    #[must_use]
    pub fn client() -> Self {
        Self { slow_peer_timeout: Duration::from_secs(300), ..Self::server() }
    }
}
