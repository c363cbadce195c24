//! What the nodes of a simulation expose.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use daffi_core::{Callback, CallbackOptions, Context};
use daffi_serde::Single;
use daffi_serde_msgpack::Msgpack;
use daffi_wire::{Limits, MethodName, NodeName};
use tokio::time::sleep;

use crate::ledger::Ledger;

pub(crate) type Formats = Single<Msgpack>;

/// Answers with what it was given, and the name of the node.
pub(crate) const ECHO: &str = "echo";

/// Takes the chunks of a stream: a call and its place in the stream.
pub(crate) const CHUNK: &str = "chunk";

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
    let chunk = move |((id, place),): ((u64, u64),), context: &Context| {
        ledger.chunk(id, place, (&node, start), context.caller());
        async { Ok(()) }
    };
    vec![
        Callback::asynchronous(method(ECHO), CallbackOptions::default(), formats(), echo),
        Callback::asynchronous(method(CHUNK), ordered, formats(), chunk),
    ]
}
