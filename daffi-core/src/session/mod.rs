//! The state machines of a session. They take frames and give frames and outcomes: no sockets, no tasks, no clock, no
//! lock.

mod client;
mod flow;
mod hub;
mod in_flight;
mod members;
mod membership;
mod open_calls;

#[cfg(feature = "internals")]
pub(crate) use self::members::MemberList;
pub use self::members::Members;
pub(crate) use self::{
    client::{ClientSession, Handled},
    flow::{Flow, Owed},
    hub::Hub,
    in_flight::{IDS, InFlight, Outcome},
    membership::{Joined, Membership},
    open_calls::OpenCalls,
};
