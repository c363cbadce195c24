//! Closures that hear of members.

use daffi_core::{Events, MemberEvent};
use futures::StreamExt;

pub(crate) fn on_added(events: Events, handler: impl FnMut(String) + Send + 'static) {
    on(events, handler, |event| match event {
        MemberEvent::Added(member) => Some(member),
        _ => None,
    });
}

pub(crate) fn on_removed(events: Events, handler: impl FnMut(String) + Send + 'static) {
    on(events, handler, |event| match event {
        MemberEvent::Removed(member) => Some(member),
        _ => None,
    });
}

fn on(
    mut events: Events,
    mut handler: impl FnMut(String) + Send + 'static,
    wanted: impl Fn(MemberEvent) -> Option<String> + Send + 'static,
) {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Some(member) = wanted(event) {
                handler(member);
            }
        }
    });
}
