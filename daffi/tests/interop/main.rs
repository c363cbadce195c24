//! Rust nodes and nodes of daffi 3.0.1 as peers of each other.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod deaths;
mod errors;
mod exposed;
mod forms;
mod hostile;
mod large;
mod lifecycle;
mod load;
mod matrix;
mod names;
mod nowait;
mod one_by_one;
mod pair;
mod pickers;
mod raw;
mod refusals;
mod restart;
mod results;
mod router;
mod routers;
mod streams;
mod support;
mod values;
mod web;
