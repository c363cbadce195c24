//! What a call was short of when its time was up.

use std::time::Duration;

use daffi_wire::Shown;

use super::ANY_MEMBER;

/// What a call waited for when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitedFor {
    /// A connection; the call was not sent.
    Connection,
    /// A member that exposes the callback; the call was sent to none.
    Receiver,
    /// Members to join.
    Members,
    /// The tower stack that the call goes through to be ready; the call was not made.
    Readiness,
    /// Room at the receiver for a request that nobody answers, or for the chunk of a stream; it was
    /// not sent.
    Room,
    /// Room for the request, or the answer: it may have run.
    Answer,
}

impl WaitedFor {
    /// Whether the time was up before any member was sent the call: it certainly did not run, and
    /// may be repeated.
    #[must_use]
    pub const fn is_before_sending(self) -> bool {
        match self {
            Self::Connection | Self::Receiver | Self::Members | Self::Readiness | Self::Room => true,
            Self::Answer => false,
        }
    }

    /// The words of a timeout.
    ///
    /// `last_failure`: why the last attempt to connect failed.
    pub(super) fn sentence(
        self,
        (receiver, method): (&str, &str),
        after: Duration,
        last_failure: Option<&str>,
    ) -> String {
        match self {
            Self::Connection => {
                let outcome = match method {
                    "wait_for_connection" => String::new(),
                    "wait_for_members" => ", so nobody is a member".to_owned(),
                    method => format!(", so {method:?} was not called"),
                };
                match last_failure {
                    Some(reason) => format!("no connection within {after:?}{outcome}: {}", Shown::new(reason)),
                    None => format!("no connection within {after:?}{outcome}; is the server there?"),
                }
            }
            Self::Receiver if receiver != ANY_MEMBER => format!(
                "{} was no member that exposes {method:?} within {after:?}, so it was not called; is it running, and connected \
                 to the same address?",
                Shown::name(receiver)
            ),
            Self::Receiver => {
                format!(
                    "no member exposed {method:?} within {after:?}, so it was not called; is a node that has it there?"
                )
            }
            Self::Members => {
                let receiver = Shown::name(receiver);
                format!("not a member within {after:?}: {receiver}; is it running, and connected to the same address?")
            }
            Self::Readiness => format!(
                "the layers around calls were not ready within {after:?}, so {method:?} was not called; is the client connected?"
            ),
            Self::Room => format!(
                "{} took no more requests within {after:?}, so {} was not called; is it slow, or are too many sent?",
                Shown::name(receiver),
                Shown::name(method)
            ),
            Self::Answer if receiver == ANY_MEMBER => format!(
                "no answer of {ANY_MEMBER} to {} within {after:?}: is a node that has it there, and quick enough?",
                Shown::name(method)
            ),
            Self::Answer => {
                format!("no answer of {} to {} within {after:?}", Shown::name(receiver), Shown::name(method))
            }
        }
    }
}
