//! Hostile input for everything that reads a peer's bytes, on the stable toolchain.
mod driver;
mod mutate;
mod recorded;
mod tape;
mod targets;

pub use crate::{
    driver::{Finding, Outcome, Signature, Target},
    tape::Tape,
    targets::TARGETS,
};
