//! Callbacks of Python as callbacks of the engine, and the nodes of this process.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use daffi_core::{Callback, CallbackOptions, Context};
use daffi_serde::RemoteError;
use daffi_wire::{FormatId, Limits, MethodName, NameError};
use futures::{FutureExt, future::join_all, stream::BoxStream, task::AtomicWaker};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    desk::{Inbox, Work},
    formats::{RAW_PARAMS, Unread, Written, format_of},
    job::{Answered, Job},
    outlet::Flow,
};

/// Calls that wait at a desk beside those that run: threads find the next one there, and need not
/// ask for it.
const AHEAD: usize = 16;

/// How many callbacks the engine lets begin for so many that Python runs at once.
pub(crate) const fn begin_limit(workers: usize) -> usize {
    workers.saturating_add(AHEAD)
}

/// What a callback is given: payload, number of the format, whether it is text.
type Raw = (Bytes, u8, bool);

const OPTIONS: CallbackOptions = CallbackOptions::new().params(RAW_PARAMS);

/// Makes callbacks of these names, each of which gives a plain result or results one by one.
pub(crate) fn callbacks(
    names: Vec<(String, bool)>,
    inbox: &Arc<Inbox>,
    limits: &Limits,
) -> Result<Vec<Callback>, NameError> {
    let make = |(name, streams): (String, bool)| {
        let name = MethodName::new(name, limits)?;
        Ok(if streams { streaming(name, inbox) } else { plain(name, inbox) })
    };
    names.into_iter().map(make).collect()
}

fn plain(name: MethodName, inbox: &Arc<Inbox>) -> Callback {
    let (method, inbox) = (name.to_string(), Arc::clone(inbox));
    Callback::asynchronous(name, OPTIONS, Unread::default(), move |raw: Raw, context: &Context| {
        let asked = ask(&method, raw, context, &inbox);
        async move {
            match asked.await {
                Answered::With(written) => Ok(written),
                Answered::Failed(error) => Err(error),
                Answered::ByResults(_) => Err(RemoteError::new("RuntimeError", "one result was expected")),
            }
        }
    })
}

fn streaming(name: MethodName, inbox: &Arc<Inbox>) -> Callback {
    let (method, inbox) = (name.to_string(), Arc::clone(inbox));
    Callback::streaming_async(name, OPTIONS, Unread::default(), move |raw: Raw, context: &Context| {
        let asked = ask(&method, raw, context, &inbox);
        async move {
            match asked.await {
                Answered::ByResults(flow) => Ok(box_items(flow)),
                Answered::With(written) => Ok(one(written)),
                Answered::Failed(error) => Err(error),
            }
        }
    })
}

type Items = BoxStream<'static, Result<Written, RemoteError>>;

fn box_items(flow: Flow) -> Items {
    Box::pin(flow)
}

fn one(written: Written) -> Items {
    Box::pin(futures::stream::iter([Ok(written)]))
}

/// Puts a call on the desk and waits for its answer.
fn ask(method: &str, raw: Raw, context: &Context, inbox: &Arc<Inbox>) -> impl Future<Output = Answered> + Send + use<> {
    let (body, format, text) = raw;
    let (answer, answered) = oneshot::channel();
    let (number, nudge) = (inbox.number(), Arc::new(AtomicWaker::new()));
    let job = Job {
        number,
        name: method.to_owned(),
        format: format_of(format).unwrap_or(FormatId::OPAQUE),
        text,
        body: Mutex::new(body),
        context: context.clone(),
        inbox: Arc::clone(inbox),
        answer: Mutex::new(Some(answer)),
        nudge: Arc::clone(&nudge),
    };
    inbox.push(Work::Call(job));
    // A loop cancels the task of a call that nobody waits for any more; a thread cannot be stopped.
    let cancelling = inbox.is_looped().then(|| (context.clone(), Arc::clone(inbox)));
    async move {
        let mut answered = answered;
        // A call that waits for an argument is looked at then, and gives its worker up.
        let answered = poll_fn(move |cx| {
            nudge.register(cx.waker());
            answered.poll_unpin(cx)
        })
        .map(|answered| answered.unwrap_or_else(|_| Answered::Failed(ended_error())));
        match cancelling {
            None => answered.await,
            Some((context, inbox)) => {
                let mut answered = std::pin::pin!(answered);
                tokio::select! {
                    biased;
                    answered = &mut answered => return answered,
                    () = context.cancelled() => {}
                }
                inbox.push(Work::Cancelled(number));
                answered.await
            }
        }
    }
}

fn ended_error() -> RemoteError {
    RemoteError::new("RuntimeError", "the node ended before the callback did")
}

/// A node, to be stopped when the interpreter ends.
pub(crate) trait Stop: Send + Sync {
    fn stopping(&self) -> futures::future::BoxFuture<'static, ()>;
}

/// Each with its process: what a child inherited by a fork would never end in it.
static NODES: Mutex<Vec<(u32, Weak<dyn Stop>)>> = Mutex::new(Vec::new());

/// Has a node stopped when the interpreter ends, if it still lives.
pub(crate) fn remember(node: Weak<dyn Stop>) {
    let (mut nodes, process) = (NODES.lock(), std::process::id());
    nodes.retain(|(of, known)| *of == process && known.strong_count() > 0);
    nodes.push((process, node));
}

/// Stops all nodes of this process.
pub(crate) fn stop_all() -> impl Future<Output = ()> {
    let nodes = std::mem::take(&mut *NODES.lock());
    let own = nodes.iter().filter(|(process, _)| *process == std::process::id());
    let all: Vec<_> = own.filter_map(|(_, node)| node.upgrade()).map(|node| node.stopping()).collect();
    async move {
        join_all(all).await;
    }
}
