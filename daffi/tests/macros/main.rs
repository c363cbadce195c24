//! `#[callback]`, `callbacks![..]` and `#[remote]`: what they make is called over an endpoint in memory.
#![cfg(all(feature = "macros", feature = "msgpack"))]

mod classes;
mod functions;
mod remote;
mod support;
