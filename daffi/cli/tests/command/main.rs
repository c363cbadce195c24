//! The command as its users run it: the built binary, its output, its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod addresses;
mod answers;
mod calls;
mod causes;
mod config;
mod contexts;
mod demo;
mod demo_streams;
mod ended;
mod errors;
mod few_files;
mod hostile;
mod items;
mod layers;
mod network;
mod page;
mod policy;
mod python;
mod reloads;
mod restarts;
mod results;
mod router;
mod signals;
mod streams;
mod support;
mod top;
mod top_screen;
mod unsent;
mod watched;
