use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use daffi_wire::Limits;

use crate::trace::Propagator;

/// The limits and times of a node: every bound on memory and on waiting, with its default.
///
/// ```
/// use daffi_core::NodeConfig;
/// let config = NodeConfig::server().workers(4).max_connections(100);
/// assert_eq!((config.workers, config.max_connections), (4, 100));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// What is accepted from the wire.
    pub limits: Limits,
    /// Callbacks that run at once. Default 1: one at a time, in order of arrival. A caller that has
    /// more than 8 requests waiting lets the others pass: its later ones step up one by
    /// one, in their own order.
    pub workers: usize,
    /// Timeout of a call that sets none. Default: none; the call ends with its connection or
    /// receiver.
    pub default_timeout: Option<Duration>,
    /// Connections a server holds; further ones are closed at once. Default 10 000, or where fewer
    /// files may be open (`ulimit -n`), so many as leave 128 of these to all else.
    pub max_connections: usize,
    /// Connections that have not finished their handshake; the oldest is closed for a new one.
    /// Default 1 024.
    pub max_pending_handshakes: usize,
    /// From accepting a connection to its HANDSHAKE, or from sending ours to the answer. Default 10
    /// s.
    pub handshake_timeout: Duration,
    /// Name resolution, connecting and TLS together. Default 15 s.
    pub connect_timeout: Duration,
    /// A peer that has bytes waiting, or that has begun a frame, must take or send a KiB a second,
    /// looked at after each such time; else it is disconnected. Default 60 s for servers; 300 s for
    /// clients, whose server may hold them back on purpose. While others find no room because of
    /// it, a server's peer must send 64 KiB in 5 s or take 256 KiB in 20 s.
    pub slow_peer_timeout: Duration,
    /// How long a Router leaves a call open that a node of daffi 3.0.1 does not answer. Such a node
    /// cannot be asked whether it lives, so one that stands still keeps calls without a timeout
    /// open for as long as its connection holds. A call that is older ends with
    /// [`CallError::Unanswered`](crate::CallError::Unanswered), up to a tenth of a second later; an
    /// answer that still comes is dropped. Default: none, because a callback may take any time.
    pub level3_call_limit: Option<Duration>,
    /// How long `stop` waits for callbacks and replies. Default 10 s.
    pub grace: Duration,
    /// How long a closing connection waits for the peer's end of stream. Default 1 s.
    pub linger: Duration,
    /// Memory that all peers together can make this node hold, in bytes: requests that wait, frames
    /// that have begun, what waits to be written. Default 256 MiB. Each connection owns up to 128
    /// KiB of it, half of it at most for all together; of the rest it has its `share`. When that is
    /// full, its peer is held back, a call to it is refused as `Overloaded`, and an answer to it is
    /// replaced by the error `AnswerLost`. One of daffi 3.0.1 cannot be held back: it is slowed
    /// down, to 4 MiB/s on a quick way. When two of the largest frames are held beyond the budget
    /// those are ended, one after another, whose frames lack most, or of whom most requests wait
    /// above one frame. Large arguments wait up to 60 s for room to be read, and are refused then.
    pub budget_bytes: usize,
    /// How many times what is still free of the budget one connection may hold in each direction.
    /// Default 1: one alone takes half of it, a hundred greedy ones a hundredth each, and the next
    /// one gets as much.
    pub share: f64,
    /// Calls of one caller that may be open at once at a node and of which arguments or results
    /// come one by one: they need no worker while they wait for the other end. Further ones are
    /// refused as [`Overloaded`](crate::CallError::Overloaded). Default 128.
    pub max_streams: usize,
    /// The largest arguments, or result, that are put together out of several frames, in bytes.
    /// Larger ones are refused before they are sent, as
    /// [`BodyTooLarge`](crate::CallError::BodyTooLarge); bytes that are read in pieces have no
    /// limit. All of one is taken from the budget before its sender sends more than 64 KiB, and one
    /// at a time stands outside of it. Default 128 MiB.
    pub max_body: usize,
    /// Threads that the connections of a server may spread over, for one that is started on a
    /// single-threaded runtime. Default 1: they stay on that runtime. With more, connections move
    /// to a further thread, with a runtime of its own, when one uses most of a core, those that
    /// talk to each other together; and back when one does again. A multi-threaded runtime spreads
    /// them itself, at the price of wake-ups between its threads at every load, and this says
    /// nothing.
    pub threads: NonZeroUsize,
    /// Who keeps a name that a second connection asks for. Default: the newest, as with daffi
    /// 3.0.1. For servers.
    pub name_policy: NamePolicy,
    /// Whether a client whose name a newer connection took comes back, after the longest pause.
    /// Default: no; it has ended then, as with daffi 3.0.1. Two clients of one name that both come
    /// back evict each other, without end.
    pub reconnect_when_evicted: bool,
    /// Whether a client believes its Router who calls its callbacks: the Router then tells with
    /// each call by which token, certificate, user or address it knows the caller, which
    /// `Context::identity` gives. A Router of daffi 3.0.1 tells nothing, and of one that is not
    /// yours nothing is worth anything. Default: no; the Router is who calls.
    pub trust_router_identities: bool,
    /// First pause before reconnecting; doubles up to `reconnect_max`, jittered, until a connection
    /// has stood for as long as that. Default 50 ms.
    pub reconnect_first: Duration,
    /// Longest pause before reconnecting, and the one after a connection that ended for a reason
    /// which is likely to come again: one of two nodes with one name, a broken rule or limit.
    /// Default 1 s.
    pub reconnect_max: Duration,
    /// What ties calls and callbacks to a system of traces. Default: nothing.
    pub propagator: Option<Arc<dyn Propagator>>,
}

/// Who keeps a name that two connections ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NamePolicy {
    /// The newer one; the older one is told `evicted` and ended, which is final for nodes of daffi
    /// 3.0.1.
    #[default]
    Newest,
    /// The older one, as long as it lives; the newer one is refused.
    First,
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
            level3_call_limit: None,
            grace: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            budget_bytes: 256 * MIB,
            share: 1.0,
            max_streams: 128,
            max_body: 128 * MIB,
            threads: NonZeroUsize::MIN,
            name_policy: NamePolicy::Newest,
            reconnect_when_evicted: false,
            trust_router_identities: false,
            reconnect_first: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
            propagator: None,
        }
    }

    /// The defaults of a Client.
    #[must_use]
    pub fn client() -> Self {
        Self { slow_peer_timeout: Duration::from_secs(300), ..Self::server() }
    }

    /// The most that [`threads`](Self#structfield.threads) may be.
    pub const MOST_THREADS: usize = 1024;

    /// Whether a node could do its work with these settings.
    pub(crate) fn check(&self) -> Result<(), UnusableSetting> {
        self.check_counts()?;
        self.check_times()
    }

    fn check_counts(&self) -> Result<(), UnusableSetting> {
        match self {
            Self { workers: 0, .. } => refuse_setting("workers", &0, "at least 1 callback must be able to run"),
            Self { max_connections: 0, .. } => {
                refuse_setting("max_connections", &0, "at least 1 connection must find a place")
            }
            Self { max_pending_handshakes: 0, .. } => {
                refuse_setting("max_pending_handshakes", &0, "at least 1 connection must be able to begin")
            }
            Self { threads, .. } if threads.get() > Self::MOST_THREADS => {
                refuse_setting("threads", threads, "1024 are the most (MOST_THREADS), and one for each core is plenty")
            }
            Self { budget_bytes, .. } if *budget_bytes < LEAST_BUDGET => {
                refuse_setting("budget_bytes", budget_bytes, "small messages need 4096 bytes")
            }
            Self { share, .. } if !(share.is_finite() && *share > 0.0) => {
                refuse_setting("share", share, "a number above 0 is expected")
            }
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), UnusableSetting> {
        let times = [
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("connect_timeout", Some(self.connect_timeout)),
            ("slow_peer_timeout", Some(self.slow_peer_timeout)),
            ("level3_call_limit", self.level3_call_limit),
            ("default_timeout", self.default_timeout),
        ];
        match times.into_iter().find(|(_, time)| *time == Some(Duration::ZERO)) {
            Some((name, _)) => refuse_setting(name, &"0s", "it would be over at once: choose a longer time"),
            None => Ok(()),
        }
    }
}

fn refuse_setting(
    name: &'static str,
    value: &dyn std::fmt::Display,
    rule: &'static str,
) -> Result<(), UnusableSetting> {
    Err(UnusableSetting { name, value: value.to_string(), rule })
}

/// With less of a budget a connection would stop at a message of a few KiB for ever.
const LEAST_BUDGET: usize = 4096;

/// A setting that no node can work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{name} is {value}: {rule}")]
pub struct UnusableSetting {
    /// The field of [`NodeConfig`].
    pub name: &'static str,
    /// What it is.
    pub value: String,
    /// What is missing.
    pub rule: &'static str,
}

macro_rules! setters {
    ($($field:ident: $type:ty,)*) => {
        /// Setters. Each sets the field of its name.
        impl NodeConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](NodeConfig#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters! {
    limits: Limits,
    workers: usize,
    default_timeout: Option<Duration>,
    max_connections: usize,
    max_pending_handshakes: usize,
    handshake_timeout: Duration,
    connect_timeout: Duration,
    slow_peer_timeout: Duration,
    level3_call_limit: Option<Duration>,
    grace: Duration,
    linger: Duration,
    budget_bytes: usize,
    share: f64,
    max_streams: usize,
    max_body: usize,
    threads: NonZeroUsize,
    name_policy: NamePolicy,
    reconnect_when_evicted: bool,
    trust_router_identities: bool,
    reconnect_first: Duration,
    reconnect_max: Duration,
    propagator: Option<Arc<dyn Propagator>>,
}
