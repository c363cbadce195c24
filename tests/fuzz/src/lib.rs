//! Hostile input for everything that reads a peer's bytes, on the stable toolchain.
//!
//! ```console
//! $ cargo run --release -p daffi-fuzz -- --seconds 600 --threads 2      # all targets
//! $ cargo run --release -p daffi-fuzz -- router --seconds 3600          # one
//! $ cargo run --release -p daffi-fuzz -- opening --input 474554         # one input, as a finding prints it
//! ```
//!
//! | target | what it reads | what must hold |
//! |---|---|---|
//! | `frames` | a stream of frames | in pieces it gives the same frames; a frame is written as it was read |
//! | `bodies` | handshakes, events, credit, pings | what was read is written so that it is read alike |
//! | `formats` | payloads of all formats | a value that was read survives a round trip |
//! | `opening` | first bytes, WebSocket upgrade, messages | more bytes change no verdict; in pieces it ends alike |
//! | `service`, `router` | raw peers: frames, garbage, parts of recorded sessions, API calls | honest nodes get their own answers; nothing is left of the raw peers |
//! | `client` | a raw server, and calls of all styles | every call ends; the node stops |
//!
//! Nothing may panic, tasks included, and no input may take long. Sessions run in simulated time.
//!
//! # Why a driver of our own
//!
//! The maintained fuzzers need a nightly compiler, or on a stable one do not change inputs they
//! know (`bolero`). This one changes inputs of a corpus, seeded with what nodes of 3.0.1 sent in
//! the recorded sessions, and keeps what does something new. It is told by the target what an input
//! did ([`Signature`]), since a stable compiler does not tell which code ran. A [`Target`] is a
//! function of bytes: any other fuzzer can drive it.
//!
//! ```
//! use std::time::Duration;
//!
//! let frames = daffi_fuzz::TARGETS[0];
//! let outcome = frames.drive(1, Duration::from_secs(5), 1_000);
//! assert!(outcome.finding.is_none(), "{:?}", outcome.finding);
//! ```

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
