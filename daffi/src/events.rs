//! Closures that hear of members.

use daffi_core::{Events, MemberEvent};
use futures::StreamExt;
use tokio::runtime::Handle;

impl crate::Client {
    /// Runs `handler` with the name of every node that joins from now on, on a task of its own.
    /// It may be called on any thread.
    pub fn on_member_added(&self, handler: impl FnMut(String) + Send + 'static) {
        on_added(self.runtime(), self.events(), handler);
    }

    /// Runs `handler` with the name of every node that leaves from now on, on a task of its own.
    /// It may be called on any thread.
    pub fn on_member_removed(&self, handler: impl FnMut(String) + Send + 'static) {
        on_removed(self.runtime(), self.events(), handler);
    }
}

pub(crate) fn on_added(runtime: &Handle, events: Events, handler: impl FnMut(String) + Send + 'static) {
    on(runtime, events, handler, |event| match event {
        MemberEvent::Added(member) => Some(member),
        _ => None,
    });
}

pub(crate) fn on_removed(runtime: &Handle, events: Events, handler: impl FnMut(String) + Send + 'static) {
    on(runtime, events, handler, |event| match event {
        MemberEvent::Removed(member) => Some(member),
        _ => None,
    });
}

fn on(
    runtime: &Handle,
    mut events: Events,
    mut handler: impl FnMut(String) + Send + 'static,
    wanted: impl Fn(MemberEvent) -> Option<String> + Send + 'static,
) {
    // Who listens may be on any thread, whether or not that is one of a runtime.
    runtime.spawn(async move {
        while let Some(event) = events.next().await {
            if let Some(member) = wanted(event) {
                handler(member);
            }
        }
    });
}
