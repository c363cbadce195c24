//! Services and clients of this crate, end to end.

mod bounds;
mod calls;
mod hostile;
mod level_three;
mod lifecycle;
mod numbers;
mod peer;
mod support;
mod workers;
