//! Services and clients of this crate, end to end.

mod calls;
mod hostile;
mod lifecycle;
mod numbers;
mod peer;
mod support;
mod workers;
