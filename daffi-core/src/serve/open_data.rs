//! How a node begins to serve a call of which a part comes or goes in DATA.

use std::sync::Arc;

use daffi_serde::RemoteError;
use daffi_wire::{CallId, FIRST_CALL_WINDOW, FormatId};

use super::{context::Context, read_extensions::Streams};
use crate::{
    conn::Conn,
    data::{CallData, CallEnd, Inflow, Outflow, StreamPlace},
    refusal::Refusal,
};

/// What comes and goes in DATA of a call that was read. The error is for its caller.
pub(super) fn open_data(
    context: &Context,
    (id, format): (CallId, FormatId),
    streams: Streams,
    in_pieces: bool,
) -> Result<Arc<CallData>, RemoteError> {
    let (caller, config) = (&context.call().caller, &context.node().config);
    // A large body that is put together waits in its own line, and takes its room from the budget.
    let is_counted = streams.flags.items_follow || streams.flags.takes_results || in_pieces;
    let counted = is_counted.then(|| {
        StreamPlace::one_of(&caller.streams, config.max_streams).ok_or_else(|| {
            Refusal::Overloaded.error(format!(
                "{} has {} calls open whose arguments or results come one by one, which is the most (max_streams)",
                caller.name, config.max_streams
            ))
        })
    });
    let counted = counted.transpose()?;
    let inflow = if streams.flags.items_follow || in_pieces {
        let reserved = reserve(context.conn()).map_err(|error| {
            let text = format!("there is no room for the items of a call of {}: {error}", caller.name);
            Refusal::Overloaded.error(text)
        })?;
        Some(Inflow::new(end(context, id), reserved, config.limits.max_frame_bytes))
    } else {
        None
    };
    let outflow = streams.flags.takes_results.then(|| Outflow::new(end(context, id), streams.window));
    Ok(Arc::new(CallData::new(format, inflow, outflow, counted)))
}

/// This node's end of a call of `context`'s caller.
pub(super) fn end(context: &Context, id: CallId) -> CallEnd {
    let node = context.node();
    context.call().caller.note_data();
    CallEnd {
        conn: Arc::clone(context.conn()),
        me: node.name.clone(),
        other: context.caller_name().clone(),
        id,
        is_caller: false,
        from: context.caller_id().data_from(),
        limits: node.config.limits,
    }
}

/// Takes the memory of a first window.
fn reserve(conn: &Conn) -> Result<crate::conn::Charge, String> {
    let (account, window) = (conn.data_account(), FIRST_CALL_WINDOW as usize);
    account
        .try_charge(window, std::time::Instant::now())
        .ok_or_else(|| format!("a first window takes {window} bytes, and {} may be held", account.share()))
}
