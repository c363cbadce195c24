use std::{sync::Arc, time::Duration};

use daffi_serde::{RemoteError, SerdeError};
use daffi_transport::{BindError, ConnectError, LinkError};
use daffi_wire::{BodyError, EncodeError, FormatId, NameError};

/// Any error of a tower layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call did not give a result. Cheap enough to clone: one cause may end many calls.
///
/// `Debug` is the sentence, because that is what `main` prints of an error it returns.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The callback failed, or the receiver refused the call.
    #[error("{method} on {receiver} failed: {error}")]
    Remote {
        /// Who answered.
        receiver: String,
        /// The callback.
        method: String,
        /// Class name, module and message.
        #[source]
        error: RemoteError,
    },
    /// No answer within the call's timeout.
    #[error("no answer of {receiver} to {method} within {after:?}")]
    Timeout {
        /// Who was asked; `any member` when none could be chosen in time.
        receiver: String,
        /// The callback.
        method: String,
        /// The timeout.
        after: Duration,
    },
    /// No member exposes the callback, or the named one is no member or does not expose it.
    #[error("{}", no_receiver(method, receiver.as_deref()))]
    ReceiverNotFound {
        /// The callback.
        method: String,
        /// The member asked for.
        receiver: Option<String>,
    },
    /// The receiver left while the call was open.
    #[error("{receiver} left before it answered {method}")]
    ReceiverGone {
        /// Who left.
        receiver: String,
        /// The callback.
        method: String,
    },
    /// A bound was reached: no free call number, or the receiver's queue is full.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// The receiver, or the Router on the way to it, is stopping. The callback did not run: call again, and another member or
    /// the next node of the name gets it.
    #[error("{0}")]
    Stopping(String),
    /// The callback ran, and its answer was dropped: this node did not take what waited for it. Ask for less at once, or
    /// read answers sooner; repeating the call runs it again.
    #[error("the answer was lost: {0}")]
    AnswerLost(String),
    /// There is no connection, or it ended while the call was open. Whether the callback ran is unknown.
    #[error("disconnected: {0}")]
    Disconnected(Disconnected),
    /// A newer connection took this node's name. Final.
    #[error("evicted: a newer connection took the name of this node")]
    Evicted,
    /// The node was stopped.
    #[error("this node was stopped")]
    Stopped,
    /// The runtime that this node ran on was dropped. Final: make a node anew on a runtime that lives.
    #[error("the tokio runtime of this node was dropped")]
    RuntimeGone,
    /// The arguments can't be written in the call's format.
    #[error("arguments of {method}: {source}")]
    Encode {
        /// The callback.
        method: String,
        /// What could not be written.
        source: SerdeError,
    },
    /// The result is not of the type asked for.
    #[error("result of {method}: {source}")]
    Decode {
        /// The callback.
        method: String,
        /// What could not be read.
        source: SerdeError,
    },
    /// The call does not fit into a frame.
    #[error("call of {method} does not fit: {source}")]
    TransmissionFailure {
        /// The callback.
        method: String,
        /// Size and limit.
        source: EncodeError,
    },
    /// The receiver speaks wire level 3, which has no such format.
    #[error("{receiver} is a daffi 3.0.1 node and cannot read {format}; use MSGPACK, PICKLE, JSON or OPAQUE")]
    FormatUnsupported {
        /// The receiver.
        receiver: String,
        /// The format.
        format: FormatId,
    },
    /// A tower layer around the calls failed.
    #[error("{0}")]
    Layer(Arc<dyn std::error::Error + Send + Sync>),
}

fn no_receiver(method: &str, receiver: Option<&str>) -> String {
    match receiver {
        Some(receiver) => format!("{receiver} is not a member that exposes {method}"),
        None => format!("no member exposes {method}"),
    }
}

impl std::fmt::Debug for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

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

    /// Whether the call certainly did not run and may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::ReceiverNotFound { .. }
                | Self::Overloaded(_)
                | Self::Stopping(_)
                | Self::Disconnected(Disconnected::NotConnected)
        )
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
    #[error("not connected")]
    NotConnected,
    /// The peer ended the stream.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
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
    /// The peer was asked whether it lives, and gave no sign of it: its process stands still, or the way to it is cut.
    #[error("the peer gave no sign of life for {0:?}")]
    Silent(Duration),
    /// No handshake in time.
    #[error("no handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// The server refused the handshake.
    #[error("the server refused the handshake: {0}")]
    Refused(String),
    /// A newer connection took the name.
    #[error("a newer connection took the name")]
    Evicted,
    /// The Service has the name of this node, which so takes all its callbacks for its own.
    #[error("the service has the name of this node, {0}, so that no call would find it: give this node another name")]
    SameName(String),
    /// A queue that could not be held back reached its limit.
    #[error("{what}: {size} bytes, the limit is {limit}")]
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
    #[error("a second handshake under another name: {0:?}")]
    Renamed(String),
    /// The handshake does not list its own sender.
    #[error("the handshake of {0:?} does not list its sender as its member")]
    NotAMember(String),
}

impl Disconnected {
    /// A refusal in the peer's words, of which only the beginning is kept.
    pub(crate) fn refused(reason: &str) -> Self {
        Self::Refused(shortened(reason))
    }
}

/// The beginning of a text that a peer chose.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} ... ({} bytes)", &text[..end], text.len()),
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

/// Why a node could not be started.
///
/// `Debug` is the sentence and its causes, because that is what `main` prints of an error it returns.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum InitializationError {
    /// A name that can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two callbacks under one name.
    #[error("two callbacks are named {0}")]
    DuplicateCallback(String),
    /// A callback that returns a `Result` was registered as one that cannot fail.
    #[error(
        "callback {0} returns a Result: register a closure with try_callback_fn, and write a function's return type as Result"
    )]
    ResultAsValue(String),
    /// It can't listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It can't connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No connection in time.
    #[error("no connection to {endpoint} within {after:?}")]
    ConnectTimeout {
        /// Where to.
        endpoint: String,
        /// The limit.
        after: Duration,
    },
    /// The handshake failed.
    #[error("handshake with {endpoint} failed: {source}")]
    Handshake {
        /// Where to.
        endpoint: String,
        /// Why.
        source: Disconnected,
    },
    /// The callbacks' names do not fit into a handshake.
    #[error("the callbacks do not fit into a handshake: {source}")]
    Hello {
        /// Size and limit.
        source: EncodeError,
    },
    /// Nothing to listen on was given.
    #[error("a service needs at least one endpoint to listen on")]
    NoEndpoint,
    /// The number of workers is 0.
    #[error("workers must be at least 1")]
    NoWorkers,
}

impl std::fmt::Debug for InitializationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Stopped: by `stop`, or by a signal.
    Stopped,
    /// A newer connection took the name. Final.
    Evicted,
    /// The tokio runtime that it ran on was dropped before it was stopped. Final.
    RuntimeGone,
}

impl Ended {
    /// The error of a call on a node that ended so.
    pub(crate) const fn call_error(self) -> CallError {
        match self {
            Self::Stopped => CallError::Stopped,
            Self::Evicted => CallError::Evicted,
            Self::RuntimeGone => CallError::RuntimeGone,
        }
    }
}

/// A stream that ended early. `Debug` is the sentence.
#[derive(Clone, thiserror::Error)]
#[error("chunk {chunk}: {source}")]
pub struct StreamError {
    /// The chunk that failed, counted from 0.
    pub chunk: u64,
    /// Why.
    pub source: CallError,
}

impl std::fmt::Debug for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
