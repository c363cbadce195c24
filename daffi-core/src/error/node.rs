//! Why a node could not be started, and how one ended.

use std::{fmt, time::Duration};

use daffi_transport::{BindError, ConnectError, LinkError};
use daffi_wire::{EncodeError, FormatId, NameError};

use super::Disconnected;
use crate::config::UnusableSetting;

/// Why a node could not be started.
///
/// `Display` says which step failed; where it has the cause's words, `source` gives what is behind
/// that cause.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitializationError {
    /// A name that can't be used.
    Name(NameError),
    /// Two callbacks under one name.
    DuplicateCallback(String),
    /// A callback that returns a `Result` was registered as one that cannot fail.
    ResultAsValue(String),
    /// It can't listen.
    Bind(BindError),
    /// It can't connect.
    Connect(ConnectError),
    /// No connection in time.
    ConnectTimeout {
        /// Where to.
        endpoint: String,
        /// The limit.
        after: Duration,
    },
    /// The handshake failed.
    Handshake {
        /// Where to.
        endpoint: String,
        /// Why.
        source: Disconnected,
    },
    /// The callbacks' names do not fit into a handshake.
    Hello {
        /// Size and limit.
        source: EncodeError,
    },
    /// There is no thread for a client that blocks.
    Thread(std::io::Error),
    /// It was begun outside a tokio runtime, on which nodes live.
    NoRuntime,
    /// Nothing to listen on was given.
    NoEndpoint,
    /// Nothing to connect to was given.
    NoAddress,
    /// None of several addresses works: why each does not, in the order in which they were tried.
    AllFailed(Vec<Self>),
    /// A setting that no node can work with, 0 workers for one.
    Setting(UnusableSetting),
    /// A setting that would do nothing: it has no meaning beside what it was given with.
    Meaningless {
        /// The setting, as the builder names it.
        setting: &'static str,
        /// What it was given with: endpoints, or the way to connect or to listen.
        with: String,
        /// Why, and what to do.
        rule: &'static str,
    },
    /// A format of the user's own that bears a number which is not for those.
    NotOwnFormat(FormatId),
    /// A client that only looks was given callbacks.
    LooksOnly,
    /// The node was stopped, or ended otherwise: nobody would ever call what it is given now.
    Ended(Ended),
}

impl fmt::Display for InitializationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::DuplicateCallback(name) => {
                write!(f, "two callbacks are named {name}: give one of them another name")
            }
            Self::ResultAsValue(name) => write!(
                f,
                "callback {name} returns a Result: register a closure with try_callback_fn, and write a function's return \
                 type as Result"
            ),
            Self::Bind(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::ConnectTimeout { endpoint, after } => write!(
                f,
                "no connection to {endpoint} within {after:?}: is the server there, and does a firewall let it through?"
            ),
            Self::Handshake {
                endpoint,
                source: source @ (Disconnected::Protocol(_) | Disconnected::Link(LinkError::Protocol(_))),
            } => {
                write!(f, "handshake with {endpoint} failed: {source}; is the other end a daffi node?")
            }
            Self::Handshake { endpoint, source } => write!(f, "handshake with {endpoint} failed: {source}"),
            Self::Hello { source } => write!(f, "the callbacks do not fit into a handshake: {source}"),
            Self::Thread(error) => write!(
                f,
                "cannot start the thread of a blocking client: {error}; raise the limit of this process's open files or threads"
            ),
            Self::NoRuntime => f.write_str(
                "a node lives on a tokio runtime, and this is none: begin it in #[tokio::main], or while a runtime that is kept \
                 for as long as the node is entered (`runtime.block_on`, `runtime.enter()`); a program without async takes a \
                 blocking client (connect_blocking)",
            ),
            Self::NoEndpoint => f.write_str("a node that listens needs at least one endpoint to listen on"),
            Self::NoAddress => f.write_str("a node that connects needs at least one address to connect to"),
            Self::AllFailed(errors) => {
                write!(f, "none of {} addresses works", errors.len())?;
                errors.iter().try_for_each(|error| write!(f, "; {}", Chain(error)))
            }
            Self::NotOwnFormat(id) => write!(
                f,
                "a format of your own bears the number of {id}, which is this library's, so that it would never be used: give \
                 it one of 64 to 127, FormatId::user(64) for one"
            ),
            Self::LooksOnly => f.write_str(
                "a client that only looks (look_only) exposes no callbacks: leave them out, or let it be a member",
            ),
            Self::Setting(error) => error.fmt(f),
            Self::Meaningless { setting, with, rule } => write!(f, "{setting} has no meaning with {with}: {rule}"),
            Self::Ended(Ended::Stopped | Ended::CutOff(_) | Ended::Unsent { .. }) => {
                f.write_str("no callbacks were added: this node was stopped: start a new one with them")
            }
            Self::Ended(how) => write!(f, "no callbacks were added: {how}"),
        }
    }
}

impl std::error::Error for InitializationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Name(error) => error.source(),
            Self::Bind(error) => error.source(),
            Self::Connect(error) => error.source(),
            Self::Handshake { source, .. } => source.source(),
            Self::Hello { source } => source.source(),
            Self::Thread(error) => error.source(),
            _ => None,
        }
    }
}

impl From<UnusableSetting> for InitializationError {
    fn from(error: UnusableSetting) -> Self {
        Self::Setting(error)
    }
}

impl From<NameError> for InitializationError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<BindError> for InitializationError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<ConnectError> for InitializationError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl InitializationError {
    /// The error of a client that failed at each of its addresses.
    pub(crate) fn of_all(mut errors: Vec<Self>) -> Self {
        match errors.pop() {
            Some(only) if errors.is_empty() => only,
            Some(last) => {
                errors.push(last);
                Self::AllFailed(errors)
            }
            None => Self::NoAddress,
        }
    }

    /// Whether nothing came within the time of the attempt.
    pub(crate) const fn is_silence(&self) -> bool {
        use Disconnected::HandshakeTimeout;
        matches!(self, Self::ConnectTimeout { .. } | Self::Handshake { source: HandshakeTimeout(_), .. })
    }

    /// Whether a link stood before the attempt failed.
    pub(crate) const fn is_of_handshake(&self) -> bool {
        matches!(self, Self::Handshake { .. })
    }

    /// Whether the same attempt may work later: the address is not free or not there yet, nobody
    /// listens there, the other end did not answer as it should or refused this node for now, or
    /// the system has no room. Of several addresses one that may is enough.
    ///
    /// What stays wrong until somebody changes it here is not: an endpoint, a name, a setting, a
    /// certificate's file, a token that must not be sent there, the name of the Service itself. So
    /// a loop that tries again while this says so ends for a slip of the pen.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Bind(error) => error.is_retryable(),
            Self::Connect(error) => error.is_retryable(),
            Self::Handshake { source, .. } => source.may_pass(),
            Self::ConnectTimeout { .. } | Self::Thread(_) => true,
            Self::AllFailed(errors) => errors.iter().any(Self::is_retryable),
            _ => false,
        }
    }

    /// Whether a client that goes on trying would only ever hear this again. An attempt that the
    /// node ended itself says nothing of that.
    pub(crate) fn is_final(&self) -> bool {
        use Disconnected::{Replaced, RuntimeGone, Stopped};
        !self.is_retryable() && !matches!(self, Self::Handshake { source: Stopped | RuntimeGone | Replaced, .. })
    }
}

/// An error with what is behind it.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let behind = std::iter::successors(self.0.source(), |error| error.source());
        behind.into_iter().try_for_each(|error| write!(f, ": {error}"))
    }
}

/// How a node ended.
///
/// `Display` says it in one sentence, with what to do where there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Stopped: by `stop`, or by a signal.
    Stopped,
    /// Stopped, and `grace` was over before all was done: so many calls were cut off.
    CutOff(usize),
    /// Stopped, and its server had not taken all that nobody answers: so many requests were queued
    /// and not sent, or had not arrived, as `ClientStats` counts them. A client only. Where
    /// callbacks were cut off as well, it is [`CutOff`](Self::CutOff).
    Unsent {
        /// Requests of `rpc_nowait`, `cast_nowait` and `stream_nowait` that were not sent, or had
        /// not arrived at the server's host, wholly or in part.
        requests: u64,
        /// Bytes of them that were left, or had not arrived there, as far as the system tells.
        bytes: u64,
    },
    /// A newer connection took the name, and
    /// [`reconnect_when_evicted`](crate::NodeConfig::reconnect_when_evicted) is not set: a client
    /// only.
    Evicted,
    /// It never had a connection, and as it is set up none can come about at any of its addresses,
    /// for a reason that is not [retryable](InitializationError::is_retryable):
    /// [`Client::last_failure`](crate::Client::last_failure) says which. A client only.
    CannotConnect,
    /// The tokio runtime that it ran on was dropped before it was stopped. Final.
    RuntimeGone,
    /// It could take no connections any more, or not keep its own, because a task of its own
    /// panicked: an error of this library, which the program's panic hook told. Final.
    Panicked,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("this node was stopped"),
            Self::CutOff(1) => f.write_str(
                "this node was stopped, and 1 call that was not done when grace was over was cut off: a longer grace waits for more",
            ),
            Self::CutOff(calls) => write!(
                f,
                "this node was stopped, and {calls} calls that were not done when grace was over were cut off: a longer grace \
                 waits for more"
            ),
            Self::Unsent { requests, bytes } => write!(
                f,
                "this node was stopped, and its server had not taken all that nobody answers when grace was over (requests left: \
                 {requests}, bytes: {bytes}): does it stand still?"
            ),
            Self::Evicted => f.write_str(
                "a newer connection took the name of this node, which does not come back: give every node a name of its own, or \
                 set reconnect_when_evicted",
            ),
            Self::CannotConnect => f.write_str(
                "this node cannot connect as it is set up, and tries no more: correct what its last_failure() says, and start a \
                 new one",
            ),
            Self::RuntimeGone => f.write_str(
                "the tokio runtime of this node was dropped: start a new one on a runtime that is kept for as long as the node \
                 is used",
            ),
            Self::Panicked => f.write_str(
                "a task of this node panicked, which is an error of daffi: start a new one, and report the panic",
            ),
        }
    }
}

impl Ended {
    /// The end of a node that was stopped and cut off so many calls.
    pub(crate) const fn after(cut_off: usize) -> Self {
        if cut_off == 0 { Self::Stopped } else { Self::CutOff(cut_off) }
    }
}
