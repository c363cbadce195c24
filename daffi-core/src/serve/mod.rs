//! How a node serves calls: its callbacks, the layers around them, and the workers that run them.
//!
//! In one direction: [`node`] and [`lifecycle`] are what a node has by itself; a [`caller`] is who
//! calls it, a [`last_word`] what is said when it has left, and an [`invocation`] an open call as
//! those see it who run, answer and cancel it; [`arriving`] calls have no arguments yet;
//! [`context`] is what a callback knows of its call, [`incoming`] its arguments that come one by
//! one, and [`reply`] takes its answer back, [`items`] one of many parts and [`large`] one of many
//! bytes; a [`request`] and its [`callback`] name each other, and [`answering`] is an async one
//! that runs; [`registry`] finds a callback, [`dispatch`] runs it, [`layers`] stand around that,
//! and [`run`] is where a request that was read begins.

mod answering;
mod arriving;
#[cfg(test)]
mod bare;
mod callback;
mod caller;
mod context;
mod dispatch;
mod extensions;
mod incoming;
mod invocation;
mod items;
mod large;
mod last_word;
mod layers;
mod lifecycle;
mod node;
mod open_data;
mod pace;
mod read_extensions;
mod registry;
mod reply;
mod request;
mod run;
mod span;
#[cfg(test)]
mod tests;

#[cfg(feature = "internals")]
pub(crate) use self::registry::{Lookup, Registry};
pub use self::{
    callback::{Callback, CallbackOptions, remote_error},
    context::Context,
    dispatch::{Dispatch, Dispatched},
    extensions::RequestExtensions,
    incoming::Incoming,
    layers::{CallbackService, Serving},
    reply::Reply,
    request::Request,
};
pub(crate) use self::{
    caller::CallerId,
    last_word::LastWord,
    lifecycle::Lifecycle,
    node::Node,
    run::{Intake, ServingNode},
};
