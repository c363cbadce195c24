//! Recorded wire sessions of daffi 3.0.1, and their replay against any node.

mod compare;
mod cut;
mod forms;
mod frame;
mod node;
#[cfg(feature = "nodes")]
pub mod nodes;
pub mod record;
mod recordings;
mod replay;
mod session;
mod text;
mod value;
mod wire;

pub use crate::{
    compare::{Comparison, Field},
    forms::{from_form, to_form},
    frame::{Format, Frame, Kind},
    node::{ByteStream, Node, Stream},
    recordings::{directory, recorded, recordings},
    replay::{Mismatch, Started, Why, replay},
    session::{
        Action, Difference, Direction, Free, Item, NodeKind, NodeSpec, Only, Outcome, Session, Step, What,
    },
    text::ParseError,
};
