//! The rules of a session as state machines: they take frames and give frames and outcomes, and
//! have no sockets, no tasks, no clock and no lock. Both ends are here: a client's session, its
//! open calls and its members; a server's handshake, who bears which name, who is a member of a
//! Router, and whether a request may go where it wants.
//!
//! Three things stay outside, on purpose. Who waits for a call is known to its table by a
//! [`Waker`](std::task::Waker), which is a handle and runs nothing: a list of ids to look up at
//! every answer would cost the quickest call a second probe. And a Router finds the receiver of a
//! frame in a table that all its connections read without a lock (`router`), because a state
//! machine that owned the table would have to be locked for each frame. For the same reason it is
//! not chosen here among several: the counts that decide are kept where all connections change
//! them, and hear through a [`LoadMark`] that a call has ended.

mod call_note;
mod client;
mod cow;
mod credit;
mod fair_line;
mod hub;
mod in_flight;
mod list_shares;
mod members;
mod membership;
mod news;
mod open_calls;
#[cfg(test)]
mod open_calls_tests;
mod policy;
mod pulse;
pub(crate) mod routing;
mod says;
mod server;
mod unanswered;
mod waiting;
mod watching;
mod window;

#[cfg(any(test, feature = "internals"))]
pub(crate) use self::members::MemberList;
pub(crate) use self::{
    call_note::{AskedPeer, CallNote, LoadMark, OnCallEnd, Unanswered},
    client::{ClientSession, Handled},
    cow::{List, Map},
    credit::{CreditPool, IncomingFlow, Outgoing, Receiving},
    fair_line::{FairLine, FairPlace},
    hub::Hub,
    in_flight::{Completed, IDS, InFlight, Outcome},
    membership::{Joined, Membership, Updated},
    open_calls::{OpenCalls, OwedWords},
    policy::{Access, Action, Denied, ShownToken},
    pulse::{Beat, ENDED, Pulse},
    says::Says,
    server::{
        Hello, attempt_is_past, event_frame, handshake_refusal, handshake_reply, name_of_service, name_taken,
        no_room_for_list, reply_to_member,
    },
    waiting::{CallLine, WaitingCalls, WaitingKey},
    window::{PassingWindow, ReceiveWindow, SendWindow},
};
pub use self::{
    members::Members,
    policy::{Identity, Others, PatternError, Policy, Rule, RuleError, Token, TokenError},
};
