#[cfg(test)]
mod advice_tests;
mod node;
mod waited_for;

use std::{fmt, sync::Arc, time::Duration};

use daffi_serde::{RemoteError, SerdeError};
use daffi_transport::LinkError;
use daffi_wire::{BodyError, EncodeError, ExtensionError, FormatId, Shown};

pub use self::{
    node::{Ended, InitializationError},
    waited_for::WaitedFor,
};

/// Any error of a tower layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call did not give a result. Cheap enough to clone: one cause may end many calls.
///
/// `Display` is the whole sentence, the cause's words included; so `source` gives what is behind
/// the cause, and nothing is said twice where a chain of errors is printed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The callback failed, or the receiver refused the call.
    Remote {
        /// Who answered.
        receiver: String,
        /// The callback.
        method: String,
        /// Class name, module and message.
        error: RemoteError,
    },
    /// No answer within the call's timeout.
    Timeout {
        /// Who was asked, or was to be; `any member` when none was named, or chosen in time.
        receiver: String,
        /// The callback.
        method: String,
        /// The timeout.
        after: Duration,
        /// What the call waited for when its time was up.
        waited_for: WaitedFor,
        /// Where that was a connection: why the last attempt to make one failed, if one has failed
        /// since there was none.
        last_failure: Option<Arc<str>>,
    },
    /// No member exposes the callback, or the named one is no member or does not expose it.
    ReceiverNotFound {
        /// The callback.
        method: String,
        /// The member asked for.
        receiver: Option<String>,
    },
    /// A cast was to reach only the members of a list that names none.
    NoReceivers {
        /// The callback.
        method: String,
    },
    /// The receiver left while the call was open.
    ReceiverGone {
        /// Who left.
        receiver: String,
        /// The callback.
        method: String,
    },
    /// A bound was reached: no free call number, or the receiver's queue is full.
    Overloaded(String),
    /// The receiver, or the Router on the way to it, is stopping. The callback did not run: call
    /// again, and another member or the next node of the name gets it.
    Stopping(String),
    /// The callback ran, and its answer was dropped: this node did not take what waited for it. Ask
    /// for less at once, or read answers sooner; repeating the call runs it again.
    AnswerLost(String),
    /// A node of daffi 3.0.1 did not answer for as long as the Router on the way lets it:
    /// [`level3_call_limit`](crate::NodeConfig::level3_call_limit). Whether the callback ran, or
    /// still runs, is unknown.
    Unanswered(String),
    /// There is no connection, or it ended while the call was open. Whether the callback ran is
    /// unknown.
    Disconnected(Disconnected),
    /// A newer connection took this node's name, and it does not come back: see
    /// [`reconnect_when_evicted`](crate::NodeConfig::reconnect_when_evicted).
    Evicted,
    /// This node was stopped. Of a call that was open then it is unknown whether the callback ran,
    /// or still runs; one that was made later was not sent.
    Stopped,
    /// The runtime that this node ran on was dropped. Of a call that was open then it is unknown
    /// whether the callback ran, or still runs; one that was made later was not sent. Final: make a
    /// node anew on a runtime that lives.
    RuntimeGone,
    /// The arguments can't be written in the call's format.
    Encode {
        /// The callback.
        method: String,
        /// What could not be written.
        source: SerdeError,
    },
    /// The result is not of the type asked for.
    Decode {
        /// The callback.
        method: String,
        /// What could not be read.
        source: SerdeError,
    },
    /// The call does not fit into a frame.
    TransmissionFailure {
        /// The callback.
        method: String,
        /// Size and limit.
        source: EncodeError,
    },
    /// The client has ended, because nothing that it tries can connect it as it is set up. The call
    /// was not sent. Final: correct what the reason names, and connect a new one.
    CannotConnect(Arc<str>),
    /// Nobody waits any more for the call that this one was made for: a call of the client of a
    /// callback's [`Context`](crate::Context::client).
    Cancelled {
        /// The callback.
        method: String,
    },
    /// The receiver is a daffi 3.0.1 node, or behind one, which takes no arguments one by one, and
    /// none that are larger than a frame.
    LevelUnsupported {
        /// The receiver; `any member` where a Router was to choose it.
        receiver: String,
        /// The callback.
        method: String,
        /// Who takes no such arguments, and what to do.
        reason: String,
    },
    /// Arguments or result are larger than the node that was to put them together does:
    /// [`max_body`](crate::NodeConfig::max_body). Bytes can be read in pieces of any number.
    BodyTooLarge(String),
    /// An argument that came one by one is not of the type that the callback takes. What the
    /// callback fails with then is a `TypeError`, as of any other argument.
    Item {
        /// The callback.
        method: String,
        /// Which one, counted from 1.
        number: u64,
        /// What could not be read.
        source: SerdeError,
    },
    /// Items of the call were not what they have to be, or did not all come.
    Items {
        /// The callback.
        method: String,
        /// What was wrong.
        reason: String,
    },
    /// The headers can't be sent with the call, or the answer has extensions that can't be read.
    Extensions {
        /// The callback.
        method: String,
        /// Size and limit.
        source: ExtensionError,
    },
    /// The receiver could not read the extensions of the call, which did not run.
    ExtensionUnsupported(String),
    /// The receiver speaks wire level 3, which has no such format.
    FormatUnsupported {
        /// The receiver.
        receiver: String,
        /// The format.
        format: FormatId,
    },
    /// A tower layer around the calls failed.
    Layer(Arc<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote { receiver, method, error } => {
                write!(f, "{} on {} failed: {error}", Shown::name(method), Shown::name(receiver))
            }
            Self::Timeout { receiver, method, after, waited_for, last_failure } => {
                f.write_str(&waited_for.sentence((receiver, method), *after, last_failure.as_deref()))
            }
            Self::ReceiverNotFound { method, receiver } => f.write_str(&no_receiver(method, receiver.as_deref())),
            Self::NoReceivers { method } => write!(
                f,
                "the list of receivers is empty, so {} was called nowhere: name at least one, or call without receivers to reach \
                 all that expose it",
                Shown::name(method)
            ),
            Self::ReceiverGone { receiver, method } => {
                write!(f, "{} left before it answered {}", Shown::name(receiver), Shown::name(method))
            }
            Self::Overloaded(text) => write!(f, "overloaded: {}", Shown::new(text)),
            Self::Stopping(text) => Shown::new(text).fmt(f),
            Self::RuntimeGone => f.write_str(
                "the tokio runtime of this node was dropped: keep it for as long as the node is used; what was sent before may \
                 run all the same",
            ),
            Self::AnswerLost(text) => write!(f, "the answer was lost: {}", Shown::new(text)),
            Self::Unanswered(text) => write!(f, "no answer: {}", Shown::new(text)),
            Self::Disconnected(reason) => {
                write!(f, "disconnected: {reason}{}", if self.is_retryable() { "; the call did not run" } else { "" })
            }
            Self::Evicted => f.write_str(
                "evicted: a newer connection took the name of this node, which does not come back; give every node a name of its \
                 own, or set reconnect_when_evicted",
            ),
            Self::Stopped => f.write_str(
                "this node was stopped: connect a new one to call; what was sent before may run all the same",
            ),
            Self::CannotConnect(reason) => write!(
                f,
                "this node cannot connect as it is set up, and tries no more: {}; the call was not sent",
                Shown::new(reason)
            ),
            Self::Encode { method, source } => write!(f, "arguments of {}: {source}", Shown::name(method)),
            Self::Decode { method, source } => write!(f, "result of {}: {source}", Shown::name(method)),
            Self::TransmissionFailure { method, source } => write!(f, "call of {} does not fit: {source}", Shown::name(method)),
            Self::Cancelled { method } => write!(f, "{} was given up, as was the call that it was made for", Shown::name(method)),
            Self::LevelUnsupported { reason, .. } => Shown::new(reason).fmt(f),
            Self::BodyTooLarge(text) => Shown::new(text).fmt(f),
            Self::Item { method, number, source } => write!(f, "item {number} of {}(): {source}", Shown::name(method)),
            Self::Items { method, reason } => write!(f, "items of {}: {reason}", Shown::name(method)),
            Self::ExtensionUnsupported(text) => Shown::new(text).fmt(f),
            Self::Extensions { method, source } => write!(f, "extensions of the call of {}: {source}", Shown::name(method)),
            Self::FormatUnsupported { receiver, format } => write!(
                f,
                "{} is a daffi 3.0.1 node and cannot read {format}; use MSGPACK, PICKLE, JSON or OPAQUE",
                Shown::name(receiver)
            ),
            Self::Layer(error) => error.fmt(f),
        }
    }
}

/// What is behind a cause whose own words the error says already.
impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Remote { error, .. } => error.source(),
            Self::Encode { source, .. } | Self::Decode { source, .. } | Self::Item { source, .. } => source.source(),
            Self::TransmissionFailure { source, .. } => source.source(),
            Self::Extensions { source, .. } => source.source(),
            Self::Disconnected(reason) => reason.source(),
            Self::Layer(error) => error.source(),
            _ => None,
        }
    }
}

fn no_receiver(method: &str, receiver: Option<&str>) -> String {
    match receiver {
        _ if method.is_empty() => "no callback has an empty name: name the one to call".to_owned(),
        Some("") => {
            format!("no member has an empty name: name the one that is to run {}, or none for any", Shown::name(method))
        }
        Some(receiver) => format!("{} is not a member that exposes {}", Shown::name(receiver), Shown::name(method)),
        None => format!("no member exposes {}", Shown::name(method)),
    }
}

/// The receiver of a call whose receiver a Router chooses, as long as nobody knows it.
pub(crate) const ANY_MEMBER: &str = "any member";

impl CallError {
    /// Whether the receiver answered with an error, rather than something going wrong on the way.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Remote { .. })
    }

    /// Whether the timeout ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the call certainly did not run and may succeed later: nobody was there to take it
    /// or had room for it, or its time was up [before it was sent](WaitedFor::is_before_sending).
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::ReceiverNotFound { .. }
            | Self::Overloaded(_)
            | Self::Stopping(_)
            | Self::Disconnected(Disconnected::NotConnected | Disconnected::ServerStopped) => true,
            Self::Timeout { waited_for, .. } => waited_for.is_before_sending(),
            _ => false,
        }
    }

    /// The receiver's error, if it is one.
    #[must_use]
    pub const fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Remote { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a connection is not there any more.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// There is none at the moment; the client is connecting.
    #[error("there is no connection at the moment; one is being made")]
    NotConnected,
    /// The peer ended the stream.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// A server of this project was stopped, and answered all that it took: others did not run.
    #[error("the server was stopped")]
    ServerStopped,
    /// The server was stopped, and cut off what was open: whether that ran is unknown.
    #[error("the server was stopped, and cut off what was not answered in time")]
    ServerCutOff,
    /// The link failed.
    #[error(transparent)]
    Link(LinkError),
    /// The peer broke a rule of the session.
    #[error("the peer broke the protocol: {0}")]
    Protocol(Arc<ProtocolError>),
    /// Bytes were waiting for the peer, and it took too few of them.
    #[error("the peer took {moved} bytes in {within:?} while {waiting} waited")]
    SlowPeer {
        /// Bytes it took.
        moved: usize,
        /// In this time.
        within: Duration,
        /// Bytes that waited at the end.
        waiting: usize,
    },
    /// The peer began a frame and sent too little of the rest.
    #[error("the peer sent {moved} bytes in {within:?} of a frame that it had begun and sent {unfinished} bytes of")]
    SlowSender {
        /// Bytes it sent.
        moved: usize,
        /// In this time.
        within: Duration,
        /// Bytes that had come of the frame.
        unfinished: usize,
    },
    /// The peer was asked whether it lives, and gave no sign of it: its process stands still, or
    /// the way to it is cut.
    #[error("the peer gave no sign of life for {0:?}")]
    Silent(Duration),
    /// The peer's host acknowledges nothing of what was sent to it: it is gone, or the way to it is
    /// cut.
    #[error("nothing has come back from the peer's host for {0:.0?}: it is gone, or the way to it is cut")]
    Unreachable(Duration),
    /// No handshake in time.
    #[error("no handshake within {0:?} (handshake_timeout): is the other end a daffi node?")]
    HandshakeTimeout(Duration),
    /// The server refused the handshake.
    #[error("the server refused the handshake: {}", Shown::new(.0))]
    Refused(String),
    /// This node has a token to show, and did not: not there. Nothing of it was sent.
    #[error("the token was not sent: {0}")]
    TokenWithheld(&'static str),
    /// A newer connection took the name.
    #[error("a newer connection took the name of this node: give every node a name of its own")]
    Evicted,
    /// The Service has the name of this node, which so takes all its callbacks for its own.
    #[error("the service has the name of this node, {}, so that no call would find it: give this node another name", Shown::name(.0))]
    SameName(String),
    /// A queue that could not be held back reached its limit.
    #[error("{what}: {size} bytes, the limit is {limit} bytes")]
    Limit {
        /// Which bound.
        what: &'static str,
        /// Bytes reached.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// The client opened a newer connection in its place.
    #[error("replaced by a newer connection of this node")]
    Replaced,
    /// This node was stopped.
    #[error("this node was stopped")]
    Stopped,
    /// The runtime that this node ran on was dropped.
    #[error("the tokio runtime of this node was dropped")]
    RuntimeGone,
}

/// A rule of the session that a peer broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A handshake or event that can't be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A frame of a kind that nobody sends in this direction.
    #[error("a {0} frame in this direction")]
    Direction(daffi_wire::Kind),
    /// Something before the HANDSHAKE.
    #[error("a {0} frame before the handshake")]
    BeforeHandshake(daffi_wire::Kind),
    /// A second handshake under another name.
    #[error("a second handshake under another name: \"{}\"", Shown::name(.0))]
    Renamed(String),
    /// The handshake does not list its own sender.
    #[error("the handshake of \"{}\" does not list its sender as its member", Shown::name(.0))]
    NotAMember(String),
    /// More DATA of a call than was granted.
    #[error("DATA of a call that cost {received}, of which {limit} was granted")]
    Overrun {
        /// What all DATA of that direction of the call cost.
        received: u64,
        /// What was granted.
        limit: u64,
    },
    /// A grant of DATA of a call beyond what was written to who grants.
    #[error("CREDIT of a call says that DATA for {worked_off} was worked off, and {written} of it was sent")]
    UntrueGrant {
        /// What is said to be worked off.
        worked_off: u64,
        /// What was written to the peer.
        written: u64,
    },
}

impl Disconnected {
    /// Whether a handshake that ended so may go well another time, as the nodes are set up.
    pub(crate) const fn may_pass(&self) -> bool {
        !matches!(self, Self::TokenWithheld(_) | Self::SameName(_) | Self::Stopped | Self::RuntimeGone | Self::Replaced)
    }

    /// A refusal in the peer's words, of which only the beginning is kept.
    pub(crate) fn from_refusal(reason: &str) -> Self {
        Self::Refused(shorten(reason))
    }
}

/// The beginning of a text that a peer chose.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} ... ({} bytes)", &text[..end], text.len()),
    }
}

impl From<LinkError> for Disconnected {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Ended => Self::PeerClosed,
            error => Self::Link(error),
        }
    }
}

impl From<ProtocolError> for Disconnected {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(Arc::new(error))
    }
}

impl From<BodyError> for Disconnected {
    fn from(error: BodyError) -> Self {
        ProtocolError::from(error).into()
    }
}

/// A stream that ended early. `Display` is the whole sentence, the cause's words included, and
/// `source` gives what is behind the cause.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamError {
    /// The chunk that failed, counted from 0.
    pub chunk: u64,
    /// Why.
    pub source: Box<CallError>,
}

impl StreamError {
    /// The stream ended with `chunk`, for this reason.
    #[must_use]
    pub fn new(chunk: u64, source: CallError) -> Self {
        Self { chunk, source: Box::new(source) }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chunk, source } = self;
        write!(f, "chunk {chunk}: {source}")
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
