//! Calls of which the arguments have not all come.

use std::{fmt, sync::Arc};

use daffi_serde::RemoteError;
use daffi_wire::{CallId, Frame};

use super::{
    caller::CallerId, context::Context, invocation::Invocation, open_data::end, read_extensions::ReadExtensions,
    reply::ReplyTo,
};
use crate::{
    data::{FlowError, Gathering},
    keyed::ByNumber,
    refusal::Refusal,
};

/// Calls that were read and whose arguments still come, by caller and number.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    calls: ByNumber<(CallerId, CallId), ArrivingCall>,
    /// With so many it is time to look for those that have ended.
    tidy_at: usize,
}

/// What is known of such a call beside its arguments.
pub(super) struct ArrivingCall {
    pub(super) call: Arc<Invocation>,
    pub(super) answer: ReplyTo,
    pub(super) read_extensions: ReadExtensions,
    pub(super) method: String,
    pub(super) until_done: Box<dyn Send>,
}

impl Arriving {
    pub(super) fn enter(&mut self, call: ArrivingCall) {
        self.tidy();
        let before = self.calls.insert((call.call.caller.id, call.answer.id), call);
        if let Some(before) = before {
            before.give_up();
        }
    }

    pub(super) fn take(&mut self, caller: CallerId, id: CallId) -> Option<ArrivingCall> {
        if self.calls.is_empty() { None } else { self.calls.remove(&(caller, id)) }
    }

    /// Forgets those that have ended, or whose caller has left.
    pub(super) fn forget_ended(&mut self) {
        let ended = |_: &_, call: &mut ArrivingCall| call.has_ended();
        self.calls.extract_if(ended).for_each(|(_, call)| call.give_up());
        self.tidy_at = 2 * self.calls.len() + 8;
    }

    fn tidy(&mut self) {
        if self.calls.len() >= self.tidy_at {
            self.forget_ended();
        }
    }
}

impl ArrivingCall {
    fn has_ended(&self) -> bool {
        self.call.has_ended() || self.call.caller.gone.is_cancelled()
    }

    /// Nobody waits for it any more, and what came of it is dropped.
    fn give_up(self) {
        // Nothing is said of it.
        drop(self.call.end());
    }
}

impl fmt::Debug for ArrivingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrivingCall").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Begins to put the arguments of a call together. The error is for its caller.
pub(super) fn gather(call: &Arc<Invocation>, answer: ReplyTo, (first, total): (Frame, u64)) -> Result<(), RemoteError> {
    let context = Context::of_call(Arc::clone(call));
    let limit = context.node().config.max_body;
    if total > limit as u64 {
        return Err(refusal(&FlowError::BodyTooLarge { size: total, limit }, first.method()));
    }
    let Some(data) = call.data() else { return Ok(()) };
    let (account, bytes) = (context.conn().data_account(), Gathering::first_bytes(&first));
    let Some(reserved) = account.try_charge(bytes, std::time::Instant::now()) else {
        let text = format!(
            "the first part of the arguments of {}() found no room: {bytes} bytes, and {} may be held",
            first.method(),
            account.share()
        );
        return Err(Refusal::Overloaded.error(text));
    };
    let (weak, method) = (Arc::downgrade(call), first.method().to_owned());
    let on_lost = move || {
        let Some(call) = weak.upgrade() else { return };
        let Some(_ending) = call.end() else { return };
        let error = refusal(&FlowError::Stalled, &method);
        answer.send_terminal(&Context::of_call(Arc::clone(&call)), &method, &error);
    };
    let method = first.method().to_owned();
    let body = Gathering::begin(end(&context, answer.id), (first, total), reserved, on_lost);
    let body = body.map_err(|fault| refusal(&fault, &method))?;
    data.gather(&body);
    body.line_up();
    Ok(())
}

/// What the caller of `method` hears of arguments that cannot be put together.
pub(super) fn refusal(fault: &FlowError, method: &str) -> RemoteError {
    let refusal = match fault {
        FlowError::BodyTooLarge { .. } => Refusal::BodyTooLarge,
        _ => Refusal::BodyBroken,
    };
    refusal.error(format!("{method}() did not run: its arguments are {fault}"))
}
