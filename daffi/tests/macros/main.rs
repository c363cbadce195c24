//! `#[callback]`, `callbacks![..]` and `#[remote]`: what they make is called over an endpoint in
//! memory.
#![cfg(all(feature = "macros", feature = "msgpack"))]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod classes;
mod functions;
mod pieces;
mod remote;
mod streams;
mod support;
