//! Services and clients of this crate, end to end.

mod calls;
mod support;
