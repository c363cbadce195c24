//! Who may answer a call, and calls of which the answer comes in parts.

use daffi_wire::{CallId, Frame, NodeName};

use super::{Completed, InFlight, Slot, SlotState};

impl Slot {
    /// Whether this member may answer the call: the one that was asked, or whichever a Router
    /// chose.
    pub(super) fn is_of(&self, is_from: impl FnOnce(&NodeName) -> bool) -> bool {
        is_from(&self.receiver) || self.receiver.is_empty()
    }
}

impl InFlight {
    /// `receiver` says that the rest of its answer comes in DATA. Gives whether somebody waits for
    /// it.
    pub(crate) fn answer_follows(&mut self, id: CallId, receiver: &str) -> bool {
        let slot = self.calls.get_mut(&id.0).filter(|slot| slot.is_of(|asked| asked.as_str() == receiver));
        slot.is_some_and(|slot| {
            slot.streams = true;
            matches!(slot.state, SlotState::Waiting(_))
        })
    }

    /// `frame` says that the results of a call follow. To a call that never asked for them it is an
    /// answer as any. One that was given up, or whose receiver left, has its end still to come:
    /// its number rests until then.
    pub(crate) fn results_follow(&mut self, frame: Frame) -> Option<Completed> {
        let slot =
            self.calls.get_mut(&frame.header().id().0).filter(|slot| slot.is_of(|asked| frame.is_from(asked)))?;
        match slot.state {
            SlotState::Waiting(_) if !slot.streams => self.complete(frame),
            SlotState::Waiting(_) | SlotState::Done(_) => None,
            SlotState::Evicted | SlotState::Resting => {
                slot.streams = true;
                None
            }
        }
    }

    /// Ends a call that `receiver` answers and that failed at this end. Its number rests, because
    /// an answer comes all the same.
    pub(crate) fn fail(&mut self, id: CallId, receiver: &str) -> Option<Completed> {
        let slot = self.calls.get_mut(&id.0).filter(|slot| slot.is_of(|asked| asked.as_str() == receiver))?;
        let SlotState::Waiting(waker) = &mut slot.state else { return None };
        let waker = waker.take();
        slot.state = SlotState::Evicted;
        Some(Completed::of(waker))
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{FormatId, Header, Kind, Limits};

    use super::*;

    /// What was given up ends by the last word of its receiver, and not by the first.
    #[test]
    fn the_word_that_results_follow_frees_no_number_that_rests() {
        let svc = NodeName::new("svc", &Limits::default()).unwrap();
        let word = |id| {
            let header = Header::new(Kind::Response, id, FormatId::JSON, true, false);
            Frame::new(header, "svc", "me", "f", b"", &Limits::default()).unwrap()
        };
        let mut calls = InFlight::default();
        let [plain, given_up, failed, streams] = [(); 4].map(|()| calls.open(&svc, None).unwrap());
        calls.mark_streams(streams);
        assert!(!calls.give_up(given_up, true));
        assert!(calls.fail(failed, "svc").is_some());
        assert!(calls.results_follow(word(plain)).is_some(), "it takes one answer, and that is it");
        for id in [given_up, failed, streams] {
            assert!(calls.results_follow(word(id)).is_none());
        }
        calls.give_up(failed, true);
        for id in [given_up, failed, streams] {
            assert!(calls.complete_stream(id, "svc").is_some(), "its end is still to come");
        }
    }

    /// Of a call that a Router gave to whom it chose, that is whoever it is.
    #[test]
    fn what_fails_at_this_end_is_the_call_that_its_receiver_answers() {
        let name = |text: &str| NodeName::new(text, &Limits::default()).unwrap();
        let mut calls = InFlight::default();
        let named = calls.open(&name("one"), None).unwrap();
        let chosen = calls.open(&NodeName::empty(), None).unwrap();
        assert!(calls.fail(named, "two").is_none());
        assert!(calls.fail(named, "one").is_some() && calls.fail(named, "one").is_none());
        assert!(calls.fail(chosen, "two").is_some());
    }
}
