//! The command as its users run it: the built binary, its output, its exit codes.

mod answers;
mod calls;
mod demo;
mod errors;
mod network;
mod python;
mod router;
mod streams;
mod support;
