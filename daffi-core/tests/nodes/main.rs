//! Services, routers and clients of this crate, end to end.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

mod addresses;
mod bodies;
mod bodies_hostile;
mod bounds;
mod calls;
mod cancel;
mod cast_results;
mod credit;
mod data_hostile;
mod ends;
mod extensions;
mod held_calls;
mod hostile;
mod level_three;
mod lifecycle;
mod lists;
mod looking;
mod names;
mod numbers;
mod peer;
mod policy;
mod policy_answers;
mod policy_calls;
mod restart;
mod router;
mod router_flow;
mod router_hostile;
mod shares;
mod stats;
mod stream_deadlines;
mod streams;
mod support;
mod tokens;
mod tower_services;
mod traces;
mod unanswered;
mod workers;
