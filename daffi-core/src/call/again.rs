//! Calls that are made again: they wait for a receiver at a Router, and were on their way to one
//! that has just stopped.

use std::time::Duration;

use daffi_serde::{Body, FormatSet};
use daffi_wire::Kind;
use tokio::time::sleep;

use super::{
    engine::{Received, read_error},
    request::Payloads,
};
use crate::client::CallOptions;
use crate::refusal::Refusal;

/// The first pause before a call is made again, of which the Router may not know yet that its
/// receiver stops. Each further one is twice as long: a receiver may refuse all, and stay.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The arguments of such a call.
pub(super) struct Again(Payloads);

impl Again {
    /// `None`: a call with these options is made once.
    pub(super) fn of(payloads: &Payloads, options: &CallOptions) -> Option<Self> {
        options.waits_at_router().then(|| Self(payloads.clone()))
    }

    pub(super) const fn payloads(&self) -> &Payloads {
        &self.0
    }

    pub(super) fn into_payloads(self) -> Payloads {
        self.0
    }
}

/// The pauses of one call that is made again.
pub(super) struct AgainPauses(Duration);

impl AgainPauses {
    pub(super) const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// Waits before the call is made again. Cancel safe.
    pub(super) async fn rest(&mut self) {
        let pause = self.0;
        self.0 = (2 * pause).min(LONGEST_PAUSE);
        sleep(pause).await;
    }
}

/// Whether the answer says that the call did not run because the member that it was given to is
/// stopping.
pub(super) fn is_refused_by_stopping(formats: &impl FormatSet, received: &Received) -> bool {
    let Received { frame, level, is_of_callback, .. } = received;
    if frame.kind() != Kind::Error || frame.transmitter().is_empty() || *is_of_callback {
        return false;
    }
    let body = Body { bytes: frame.payload_bytes(), text: frame.header().is_text() };
    let error = read_error(formats, frame.header().format(*level), &body);
    error.is_ok_and(|error| Refusal::of(&error) == Some(Refusal::NodeStopping))
}
