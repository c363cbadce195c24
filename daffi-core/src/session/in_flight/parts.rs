//! Calls of which the answer comes in parts.

use daffi_wire::CallId;

use super::{Completed, InFlight, SlotState};

impl InFlight {
    /// `receiver` says that the rest of its answer comes in DATA. Gives whether somebody waits for
    /// it.
    pub(crate) fn answer_follows(&mut self, id: CallId, receiver: &str) -> bool {
        let slot = self.calls.get_mut(&id.0).filter(|slot| slot.receiver.as_str() == receiver);
        slot.is_some_and(|slot| {
            slot.streams = true;
            matches!(slot.state, SlotState::Waiting(_))
        })
    }

    /// Ends a call that failed at this end. Its number rests, because an answer comes all the same.
    pub(crate) fn fail(&mut self, id: CallId) -> Option<Completed> {
        let slot = self.calls.get_mut(&id.0)?;
        let SlotState::Waiting(waker) = &mut slot.state else { return None };
        let waker = waker.take();
        slot.state = SlotState::Evicted;
        Some(Completed::of(waker))
    }
}
