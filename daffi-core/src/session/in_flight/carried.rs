//! Numbers that rest beyond the end of their connection.

use super::{IDS, InFlight, Slot, SlotState};

/// So many at most.
const CARRIED: usize = IDS / 4;

impl InFlight {
    /// The table of the connection that follows `ended`: its numbers go on.
    ///
    /// A 3.0.1 server sends an answer to whoever bears the name by then
    /// ([protocol, 4](daffi_wire::protocol#4)), so what was open on the connection before rests on
    /// this one. Of the ones before that nothing is left, and of very many nothing is kept: their
    /// numbers come again only after all others.
    pub(crate) fn follow(ended: &Self) -> Self {
        let mut next = Self { last: ended.last, ..Self::default() };
        if ended.calls.len() <= CARRIED {
            for (id, slot) in
                ended.calls.iter().filter(|(_, slot)| !slot.carried && !matches!(slot.state, SlotState::Done(_)))
            {
                let rests = Slot {
                    receiver: slot.receiver.clone(),
                    state: SlotState::Resting,
                    streams: slot.streams,
                    carried: true,
                };
                next.calls.insert(*id, rests);
                next.carried += 1;
                next.rests(&slot.receiver);
            }
        }
        next
    }

    /// Whether no answer is to come any more. Those to calls of the connection before do not count:
    /// most went there, and nobody says that they never come.
    pub(crate) fn is_quiet(&self) -> bool {
        self.calls.len() == self.carried
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{Limits, NodeName};

    use super::*;

    #[test]
    fn what_is_carried_over_keeps_nothing_from_being_quiet() {
        let name = |text: &str| NodeName::new(text, &Limits::default()).unwrap();
        let (mut first, one, two) = (InFlight::default(), name("one"), name("two"));
        for receiver in [&one, &one, &two] {
            first.open(receiver, None).unwrap();
        }
        let mut second = InFlight::follow(&first);
        assert!(second.is_quiet() && second.nobody_waits() && second.carried == 3);
        let id = second.open(&two, None).unwrap();
        assert!(!second.is_quiet());
        second.end_receiver("one");
        assert_eq!(second.carried, 1);
        second.give_up(id, false);
        assert!(second.is_quiet());
        second.end_receiver("two");
        assert!(second.is_quiet() && second.carried == 0 && second.calls.is_empty());
    }
}
