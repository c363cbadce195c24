//! How a call begins of which arguments or results come one by one.

use std::sync::Arc;

use daffi_serde::FormatSet;
use daffi_wire::{CallId, FIRST_CALL_WINDOW, FormatId, NodeName};
use tokio::time::{Instant, timeout_at};

use super::{engine::send_streaming, pending_reply::PendingReply, progress::Progress, request::Payloads};
use crate::{
    client::{CallOptions, Client, ClientConn},
    data::{CallData, Hand, Inflow, Outflow},
    deadline::later,
    error::CallError,
};

/// A call of which arguments or results come one by one, and that was sent. Dropped before its end,
/// it tells the receiver that nobody waits.
pub(super) struct StreamingCall {
    pub(super) pending: PendingReply,
    pub(super) data: Arc<CallData>,
    /// What its program reads.
    pub(super) hand: Hand,
    /// When the call's timeout has passed, counted from the call.
    pub(super) deadline: Option<Instant>,
}

/// Sends the request of a call with such arguments and options, within its timeout. Cancel safe:
/// dropped, it has sent nothing or gives the call up.
pub(super) async fn open<F: FormatSet>(
    client: &Client<F>,
    method: &str,
    payloads: &Payloads,
    options: &CallOptions,
) -> Result<StreamingCall, CallError> {
    let mut call = open_until(client, method, (payloads, options), options.timeout.map(later)).await?;
    call.pending.count(method);
    Ok(call)
}

/// Sends, as [`open`] does, the request of a call that was made before: it was counted then, and
/// its time passes since.
pub(super) async fn open_until<F: FormatSet>(
    client: &Client<F>,
    method: &str,
    (payloads, options): (&Payloads, &CallOptions),
    deadline: Option<Instant>,
) -> Result<StreamingCall, CallError> {
    let mut progress = Progress::default();
    let sending = client.unless_given_up(method, async {
        let (pending, written) = loop {
            let (conn, receiver, written) = client.address(method, payloads, options, true, &mut progress).await?;
            progress.set_target(&conn, &receiver);
            if let Some(pending) = PendingReply::open(conn, receiver).await? {
                break (pending, written);
            }
        };
        let format = written.format();
        let data =
            |conn: &Arc<ClientConn>, receiver: &NodeName, id| call_data(client, conn, (receiver, id), format, options);
        let (pending, data) = send_streaming(pending, written, deadline, data, &mut progress).await?;
        Ok(StreamingCall { pending, data, hand: Hand::default(), deadline })
    });
    let Some(until) = deadline else { return sending.await };
    match timeout_at(until, sending).await {
        Ok(opened) => opened,
        Err(_) => Err(progress.timeout_error(method, options.timeout.unwrap_or_default())),
    }
}

fn call_data<F: FormatSet>(
    client: &Client<F>,
    conn: &Arc<ClientConn>,
    (receiver, id): (&NodeName, CallId),
    format: FormatId,
    options: &CallOptions,
) -> Result<Arc<CallData>, CallError> {
    let end = || conn.call_end(id, receiver);
    let inflow = if options.stream.takes_results {
        let (account, window) = (conn.conn.data_account(), FIRST_CALL_WINDOW as usize);
        let reserved = account.try_charge(window, std::time::Instant::now()).ok_or_else(|| {
            CallError::Overloaded(format!(
                "the results of so many calls may wait that there is no room for {window} bytes more, as things stand \
                 {} may: take results, or raise budget_bytes",
                account.share()
            ))
        })?;
        Some(Inflow::new(end(), reserved, conn.limits.max_frame_bytes))
    } else {
        None
    };
    let outflow = options.stream.items_follow.then(|| Outflow::new(end(), FIRST_CALL_WINDOW));
    let data = CallData::new(format, inflow, outflow, None);
    if !options.in_pieces {
        return Ok(Arc::new(data));
    }
    let formats = client.formats().clone();
    Ok(Arc::new(data.in_pieces(move |first, total| formats.bytes_in_result(format, first, total))))
}
