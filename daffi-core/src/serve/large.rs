//! A result that is too large for one frame, on its way to its caller.

use std::sync::Arc;

use bytes::Bytes;
use daffi_wire::FIRST_CALL_WINDOW;

use super::{context::Context, open_data::end, reply::ReplyTo};
use crate::{
    conn::{Charge, Ticket, WAITING_COST},
    data::{CallData, Outflow},
    refusal::Refusal,
    scratch::Scratch,
};

/// A result in parts.
#[derive(Debug)]
pub(crate) struct Large {
    /// The frame with the first part.
    first: Scratch,
    rest: Bytes,
}

impl Large {
    pub(super) const fn new(first: Scratch, rest: Bytes) -> Self {
        Self { first, rest }
    }

    /// Sends it as the caller takes it, on a task of its own. Its answer is queued when this
    /// returns.
    pub(super) fn send(self, to: ReplyTo, context: &Context, method: &str) {
        let Self { first, rest } = self;
        let Some(data) = open(context, to) else { return };
        let bytes = first.get().len() + rest.len();
        // The rest waits for the caller and nobody else: it is counted apart, as what it takes is.
        let Some(memory) = context.conn().data_account().try_charge(rest.len(), std::time::Instant::now()) else {
            return lose(to, context, method, bytes, "there is no room for what is not sent at once");
        };
        // One that its caller gave up has its end, behind which nothing comes.
        let queued = data.outflow().map(|outflow| outflow.begin(|| to.queue_first(context, method, first)));
        let Some(Ok(queued)) = queued else { return };
        if queued {
            spawn(to, context, method, (data, rest, memory));
        } else {
            lose(to, context, method, bytes, "too much waits to be taken");
        }
    }
}

/// What comes and goes of the call in DATA. `None`: it is one that has none, or has ended.
fn open(context: &Context, to: ReplyTo) -> Option<Arc<CallData>> {
    let data = context.call().data_or(|| Arc::new(CallData::new(to.format, None, None, None)))?;
    data.outflow_or(|| Outflow::new(end(context, to.id), FIRST_CALL_WINDOW));
    context.call().shows_data().then(|| Arc::clone(data))
}

fn lose(to: ReplyTo, context: &Context, method: &str, bytes: usize, why: &str) {
    let Some(_ending) = context.call().end() else { return };
    let text = format!("{method}() ran, and its answer of {bytes} bytes was dropped: {why}");
    to.send_terminal(context, method, &Refusal::AnswerLost.error(text));
}

fn spawn(to: ReplyTo, context: &Context, method: &str, (data, rest, memory): (Arc<CallData>, Bytes, Charge)) {
    let (own, method) = (context.clone(), method.to_owned());
    // A connection that ends in order waits for it.
    let ticket = Ticket::new(Arc::clone(context.conn()), WAITING_COST);
    let running = context.node().running.clone();
    running.spawn(async move {
        let sent = async {
            let Some(outflow) = data.outflow() else { return };
            // One that was given up, or that has lost its caller, has its end.
            if outflow.send_parts(&rest).await.is_ok()
                && let Some(_ending) = own.call().end()
            {
                drop(outflow.finish());
            }
        };
        tokio::select! {
            () = sent => {}
            // Whoever gave the call up has its end.
            () = own.cancelled() => to.send_expired(&own, &method),
            () = own.node().life.killed.cancelled() => {}
        }
        drop((memory, ticket));
    });
}
