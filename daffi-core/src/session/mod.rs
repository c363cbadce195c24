//! The state machines of a session. They take frames and give frames and outcomes: no sockets, no tasks, no clock, no
//! lock.

mod client;
mod hub;
mod in_flight;
mod members;

pub use self::members::Members;
pub(crate) use self::{
    client::{ClientSession, Handled},
    hub::Hub,
    in_flight::{IDS, InFlight, Outcome},
};
