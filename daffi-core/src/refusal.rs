//! Why a node of this project refuses a call, as it travels and as its callers see it.

use daffi_serde::RemoteError;
use daffi_wire::Shown;

use crate::error::{ANY_MEMBER, CallError};

/// The module of refusals. No class of a callback's error bears it.
const MODULE: &str = "daffi";

/// The module of what callbacks pass on of calls that they made and that were refused.
const PASSED_ON: &str = "daffi.passed_on";

/// What to do where the receiver takes no arguments one by one.
pub(crate) const AS_A_LIST: &str = "send them as a list, or with stream()";

/// Bytes of the text of an error of this node's own.
const LONGEST_TEXT: usize = 2 * 1024;

/// A call that a Router cannot deliver, or a node does not take. Travels as an ERROR in JSON: a
/// 3.0.1 caller raises a class of the refusal's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The receiver is no member, or does not expose the callback.
    ReceiverNotFound,
    /// The receiver left while the call was open.
    ReceiverGone,
    /// A queue on the way is full.
    Overloaded,
    /// A level 3 receiver cannot read the format.
    FormatUnsupported,
    /// The node that was to run the callback, or the Router on the way, is stopping: it did not
    /// run.
    NodeStopping,
    /// The caller gave the call up.
    Cancelled,
    /// The call's deadline passed before it began.
    DeadlineExceeded,
    /// The call has extensions that can't be read, or that this node does not know.
    ExtensionUnsupported,
    /// The receiver is of level 3 and cannot take what the call sends.
    LevelUnsupported,
    /// The callback ran, and its answer found no room on the way back.
    AnswerLost,
    /// Arguments or result are larger than may be put together.
    BodyTooLarge,
    /// The parts of a large body are not what its first frame said.
    BodyBroken,
    /// A level 3 receiver did not answer for as long as the Router lets it.
    Unanswered,
}

impl Refusal {
    pub(crate) const ALL: [Self; 13] = [
        Self::ReceiverNotFound,
        Self::ReceiverGone,
        Self::Overloaded,
        Self::FormatUnsupported,
        Self::NodeStopping,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::ExtensionUnsupported,
        Self::LevelUnsupported,
        Self::AnswerLost,
        Self::BodyTooLarge,
        Self::BodyBroken,
        Self::Unanswered,
    ];

    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::ReceiverNotFound => "ReceiverNotFound",
            Self::ReceiverGone => "ReceiverGone",
            Self::Overloaded => "Overloaded",
            Self::FormatUnsupported => "FormatUnsupported",
            Self::NodeStopping => "NodeStopping",
            Self::Cancelled => "Cancelled",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::ExtensionUnsupported => "ExtensionUnsupported",
            Self::LevelUnsupported => "LevelUnsupported",
            Self::AnswerLost => "AnswerLost",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::BodyBroken => "BodyBroken",
            Self::Unanswered => "Unanswered",
        }
    }

    /// The refusal of which errors bear this class.
    pub(crate) fn of_class(class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.class() == class)
    }

    /// The refusal that an error is.
    pub(crate) fn of(error: &RemoteError) -> Option<Self> {
        if error.module == MODULE { Self::of_class(&error.class) } else { None }
    }

    /// The error of a callback: one that it passes on refused a call of its own, and not the call
    /// that it fails.
    pub(crate) fn none_of(error: RemoteError) -> RemoteError {
        if Self::of(&error).is_some() { error.in_module(PASSED_ON) } else { error }
    }

    pub(crate) fn error(self, message: impl Into<String>) -> RemoteError {
        RemoteError::new(self.class(), message).in_module(MODULE)
    }

    /// The error of a call that was refused; `Err`: the callback itself failed.
    pub(crate) fn call_error(error: RemoteError, receiver: &str, method: &str) -> Result<CallError, RemoteError> {
        let (receiver, method) = (receiver.to_owned(), method.to_owned());
        match error.class.as_str() {
            _ if error.module != MODULE => Err(error),
            "ReceiverNotFound" => {
                let receiver = Some(receiver).filter(|name| !name.is_empty());
                Ok(CallError::ReceiverNotFound { method, receiver })
            }
            "ReceiverGone" => Ok(CallError::ReceiverGone { receiver, method }),
            "Overloaded" => Ok(CallError::Overloaded(error.message)),
            "NodeStopping" => Ok(CallError::Stopping(error.message)),
            "ExtensionUnsupported" => Ok(CallError::ExtensionUnsupported(error.message)),
            "LevelUnsupported" => {
                let receiver = if receiver.is_empty() { ANY_MEMBER.to_owned() } else { receiver };
                Ok(CallError::LevelUnsupported { receiver, method, reason: error.message })
            }
            "AnswerLost" => Ok(CallError::AnswerLost(error.message)),
            "BodyTooLarge" => Ok(CallError::BodyTooLarge(error.message)),
            "BodyBroken" => Ok(CallError::Items { method, reason: error.message }),
            "Unanswered" => Ok(CallError::Unanswered(error.message)),
            _ => Err(error),
        }
    }
}

/// An error in JSON, which every node reads whatever the call's format
/// ([protocol, 7.3](daffi_wire::protocol#7.3)).
pub(crate) fn json_error(error: &RemoteError) -> Vec<u8> {
    serde_json::json!({ "args": [error], "kwargs": {} }).to_string().into_bytes()
}

/// A refusal in JSON: an error of this node's own, whose text names what peers are called: not more
/// of it than anybody reads.
pub(crate) fn json_refusal(error: &RemoteError) -> Vec<u8> {
    if error.message.len() <= LONGEST_TEXT {
        return json_error(error);
    }
    let message = Shown::new(&error.message).at_most(LONGEST_TEXT).to_string();
    json_error(&RemoteError { message, ..error.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_no_refusal_long() {
        let error = Refusal::ReceiverGone.error(format!("{} left", "\u{1}".repeat(10_000)));
        assert!(json_refusal(&error).len() < 8 * LONGEST_TEXT);
        let short = Refusal::ReceiverGone.error("w1 left");
        assert_eq!(json_refusal(&short), json_error(&short));
    }

    #[test]
    fn refusals_come_back_as_what_they_were() {
        let read = |error| Refusal::call_error(error, "w1", "f");
        let gone = read(Refusal::ReceiverGone.error("w1 left"));
        assert!(matches!(gone, Ok(CallError::ReceiverGone { receiver, .. }) if receiver == "w1"));
        let busy = read(Refusal::Overloaded.error("w1 has too much waiting"));
        assert!(matches!(busy, Ok(CallError::Overloaded(why)) if why == "w1 has too much waiting"));
        let lookalike = RemoteError::new("Overloaded", "a callback's own");
        assert_eq!(read(lookalike.clone()).unwrap_err(), lookalike);
    }
}
