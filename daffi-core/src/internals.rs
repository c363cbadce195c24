//! Parts of the engine by themselves, for the project's own micro-benchmarks. No part of the API:
//! they change without notice.

use std::{
    fmt,
    task::{Context, Poll},
};

use daffi_wire::{CallId, Frame, Limits, Member, NodeName};

pub use crate::router::bare::{BareMember, BareRouter};
use crate::{
    client::Choice,
    error::InitializationError,
    serve::{Callback, Lookup, Registry},
    session::{self, MemberList, Members},
};

/// The open calls of a connection, as a caller has them.
#[derive(Debug, Default)]
pub struct BareInFlight(session::InFlight);

impl BareInFlight {
    pub fn open(&mut self, receiver: &NodeName) -> Option<CallId> {
        self.0.open(receiver, None)
    }

    /// Whether the call has ended; its number is free then.
    pub fn poll(&mut self, id: CallId, cx: &Context<'_>) -> bool {
        matches!(self.0.poll(id, cx), Poll::Ready(_))
    }

    /// Whether the reply belongs to a number that was not free.
    pub fn complete(&mut self, reply: Frame) -> bool {
        self.0.complete(reply).is_some()
    }

    pub fn give_up(&mut self, id: CallId) -> bool {
        self.0.give_up(id, true)
    }

    /// How many callers are woken.
    pub fn end_receiver(&mut self, receiver: &str) -> usize {
        self.0.end_receiver(receiver).len()
    }
}

/// The open calls of a member, as a Router has them.
#[derive(Debug, Default)]
pub struct BareOpenCalls(session::OpenCalls);

impl BareOpenCalls {
    pub fn open(&mut self, id: CallId, receiver: u64) -> Option<CallId> {
        self.0.open(id, receiver, session::CallNote::default())
    }

    pub fn complete(&mut self, number: CallId, receiver: u64) -> Option<CallId> {
        self.0.complete(number, receiver)
    }
}

/// The callbacks of a node, for one connection.
pub struct CallbackLookup(Lookup);

impl CallbackLookup {
    pub fn new(callbacks: Vec<Callback>) -> Result<Self, InitializationError> {
        let registry = Registry::default();
        registry.add(callbacks)?;
        Ok(Self(registry.lookup()))
    }

    pub fn has(&mut self, request: &Frame) -> bool {
        self.0.get(request).is_some()
    }
}

impl fmt::Debug for CallbackLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackLookup")
    }
}

/// The members that a server listed, for the node `own`.
#[must_use]
pub fn members(list: Vec<Member>, own: &str) -> Members {
    let own = NodeName::new(own, &Limits::default()).expect("the name of a node that runs is good");
    let mut all = MemberList::new(own);
    all.replace(list);
    all.snapshot()
}

/// A call that several members could get.
#[must_use]
pub const fn choice<'a>(method: &'a str, candidates: &'a [NodeName], key: Option<&'a str>) -> Choice<'a> {
    Choice { method, candidates, key, client: 0 }
}
