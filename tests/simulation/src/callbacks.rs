//! What the nodes of a simulation expose.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use daffi_core::{Callback, CallbackOptions, Context, remote_error};
use daffi_serde::{RemoteError, Single};
use daffi_serde_msgpack::Msgpack;
use daffi_wire::{Limits, MethodName, NodeName};
use futures::TryStreamExt;
use tokio::time::sleep;

use crate::ledger::Ledger;

pub(crate) type Formats = Single<Msgpack>;

/// Answers with what it was given, and the name of the node.
pub(crate) const ECHO: &str = "echo";

/// Takes the chunks of a stream: a call and its place in the stream.
pub(crate) const CHUNK: &str = "chunk";

/// Gives back what it is sent one by one: a call and the item's place.
pub(crate) const BOTH: &str = "both";

pub(crate) fn formats() -> Formats {
    Single::new(Msgpack::default())
}

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text, &Limits::default()).expect("a host's name is a good name")
}

/// The callbacks of a node.
pub(crate) fn callbacks(node: &str, ledger: &Arc<Ledger>) -> Vec<Callback> {
    let method = |text: &str| MethodName::new(text, &Limits::default()).expect("a callback's name is a good name");
    let ordered = CallbackOptions::new().ordered();
    let (node, start, ledger) = (node.to_owned(), ledger.start(), Arc::clone(ledger));
    let echo = {
        let (node, ledger) = (node.clone(), Arc::clone(&ledger));
        move |(id, delay, pad): (u64, u64, Bytes), context: &Context| {
            ledger.ran(id, &node, context.caller());
            let node = node.clone();
            async move {
                if delay > 0 {
                    sleep(Duration::from_millis(delay)).await;
                }
                Ok((id, node, pad))
            }
        }
    };
    let both = {
        let (node, ledger) = (node.clone(), Arc::clone(&ledger));
        move |(id,): (u64,), context: &Context| {
            ledger.ran(id, &node, context.caller());
            let items = context.items::<(u64, u64, Bytes), Formats>(BOTH);
            let items = items.ok_or_else(|| RemoteError::new("TypeError", "no items follow"))?;
            Ok(items.map_err(remote_error))
        }
    };
    let chunk = move |((id, place),): ((u64, u64),), context: &Context| {
        ledger.chunk(id, place, (&node, start), context.caller());
        async { Ok(()) }
    };
    vec![
        Callback::asynchronous(method(ECHO), CallbackOptions::default(), formats(), echo),
        Callback::streaming(method(BOTH), CallbackOptions::default(), formats(), both),
        Callback::asynchronous(method(CHUNK), ordered, formats(), chunk),
    ]
}
