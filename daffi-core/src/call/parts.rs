//! Arguments that are too large for one frame.

use std::sync::Arc;

use bytes::Bytes;
use daffi_wire::{FIRST_CALL_WINDOW, FormatId};

use super::pending_reply::PendingReply;
use crate::data::{CallData, Outflow};

/// What of the arguments of a call follows its request.
pub(super) struct Rest {
    data: Arc<CallData>,
    rest: Bytes,
}

impl Rest {
    /// What follows the request of a call of which nothing else comes or goes in DATA, before its
    /// request is sent.
    pub(super) fn open(pending: &mut PendingReply, format: FormatId, rest: Bytes) -> Self {
        let data = Arc::new(CallData::new(format, None, None, None));
        pending.stream(Arc::clone(&data));
        Self::of(pending, data, rest)
    }

    /// What follows the request of a call with DATA.
    pub(super) fn of(pending: &PendingReply, data: Arc<CallData>, rest: Bytes) -> Self {
        let conn = pending.conn();
        data.outflow_or(|| Outflow::new(conn.call_end(pending.id, pending.receiver()), FIRST_CALL_WINDOW));
        Self { data, rest }
    }

    /// Sends it as the receiver takes it, beside whoever waits for the answer. It ends with the
    /// call.
    pub(super) fn send(self) {
        let Self { data, rest } = self;
        tokio::spawn(async move {
            let Some(outflow) = data.outflow() else { return };
            // A receiver that has answered, or left, takes no more.
            if outflow.send_parts(&rest).await.is_ok() {
                drop(outflow.finish());
            }
        });
    }
}
