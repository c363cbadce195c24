//! The callbacks of a node: read as a snapshot without a lock, replaced as a whole.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache, Guard};
use daffi_wire::{Frame, MethodName};
use rustc_hash::FxHashMap;

use super::callback::Callback;
use crate::{error::InitializationError, stats::CallbackStats};

/// The callbacks of a node.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    current: Arc<ArcSwap<Exposed>>,
}

/// One state of the registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposed {
    /// The keys are this node's own, so nobody can choose them to collide.
    by_name: FxHashMap<MethodName, Arc<Callback>>,
    /// The names in order of registration, which a Service keeps on the wire ([protocol,
    /// 5.1](daffi_wire::protocol#5.1)).
    order: Vec<MethodName>,
}

impl Registry {
    pub(crate) fn snapshot(&self) -> Guard<Arc<Exposed>> {
        self.current.load()
    }

    /// The callbacks for one who looks them up often.
    pub(crate) fn lookup(&self) -> Lookup {
        Lookup { callbacks: Cache::new(Arc::clone(&self.current)), last: None }
    }

    /// Adds callbacks; all or none.
    pub(crate) fn add(&self, callbacks: Vec<Callback>) -> Result<(), InitializationError> {
        let callbacks: Vec<_> = callbacks.into_iter().map(Arc::new).collect();
        let mut duplicate = None;
        self.current.rcu(|current| {
            let mut next = Exposed::clone(current);
            duplicate = None;
            for callback in &callbacks {
                let name = callback.name().clone();
                if next.by_name.insert(name.clone(), Arc::clone(callback)).is_some() {
                    duplicate = Some(name);
                    return Arc::clone(current);
                }
                next.order.push(name);
            }
            Arc::new(next)
        });
        match duplicate {
            Some(name) => Err(InitializationError::DuplicateCallback(name.to_string())),
            None => Ok(()),
        }
    }
}

/// The callbacks as seen last, and anew when they changed.
pub(crate) struct Lookup {
    callbacks: Cache<Arc<ArcSwap<Exposed>>, Arc<Exposed>>,
    /// The one asked for last, which is exposed as long as the node lives.
    last: Option<Arc<Callback>>,
}

impl Lookup {
    /// The callback that a request asks for.
    pub(crate) fn get(&mut self, request: &Frame) -> Option<&Arc<Callback>> {
        if !self.last.as_ref().is_some_and(|last| request.calls(last.name())) {
            self.last = Some(Arc::clone(self.callbacks.load().by_name.get(request.method())?));
        }
        self.last.as_ref()
    }
}

impl Exposed {
    pub(crate) fn names(&self) -> Vec<MethodName> {
        self.order.clone()
    }

    /// What was counted of each callback, in order of registration.
    pub(crate) fn stats(&self) -> Vec<CallbackStats> {
        let callbacks = self.order.iter().filter_map(|name| self.by_name.get(name));
        callbacks.map(|callback| callback.counts.snapshot(callback.name())).collect()
    }
}
