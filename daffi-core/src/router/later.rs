//! Ends of calls that are told once their caller takes what waits for it: a caller that calls on and reads nothing must not
//! make a Router write ever more errors.

use std::{collections::VecDeque, sync::Arc};

use daffi_wire::{CallId, Limits, NodeName};
use parking_lot::Mutex;

use super::Peer;
use crate::{
    conn::{Account, Charge},
    refusal::Refusal,
};

/// What is kept for one caller at most, in bytes: errors for every call number, if receivers have usual names.
const MOST: usize = 4 * 1024 * 1024;

/// What one end takes beside the receiver's name.
const COST: usize = 64;

/// Ends told at a time.
const AT_ONCE: usize = 256;

/// Ends of calls that one caller has not been told.
#[derive(Debug, Default)]
pub(super) struct Later(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    ends: VecDeque<End>,
    bytes: usize,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) id: CallId,
    pub(super) receiver: NodeName,
    pub(super) why: Refusal,
    charge: Charge,
}

impl Later {
    /// Keeps an end of a call. `false`: too many are kept already.
    pub(super) fn keep(&self, id: CallId, receiver: NodeName, why: Refusal, account: &Arc<Account>) -> bool {
        let mut kept = self.0.lock();
        let bytes = COST + receiver.len();
        if kept.bytes + bytes > MOST {
            return false;
        }
        kept.bytes += bytes;
        kept.ends.push_back(End { id, receiver, why, charge: account.charge(bytes) });
        true
    }

    /// The next ends to be told, and whether there are more.
    pub(super) fn take(&self) -> (Vec<End>, bool) {
        let mut kept = self.0.lock();
        let count = kept.ends.len().min(AT_ONCE);
        let ends: Vec<_> = kept.ends.drain(..count).collect();
        kept.bytes -= ends.iter().map(|end| end.charge.bytes()).sum::<usize>();
        if kept.ends.is_empty() {
            kept.ends = VecDeque::new();
        }
        (ends, !kept.ends.is_empty())
    }
}

impl Peer {
    /// Puts an end of a call off until this member takes what waits for it. `false`: nothing waits, or too many were put off.
    pub(super) fn put_off(&self, id: CallId, receiver: &str, class: &str, limits: &Limits) -> bool {
        let outbox = &self.conn.outbox;
        let Ok(receiver) = NodeName::new(receiver, limits) else { return false };
        // One that was refused for another reason hears that when it calls again.
        let why = Refusal::of_class(class).unwrap_or(Refusal::Overloaded);
        let kept = outbox.is_full() && self.later.keep(id, receiver, why, outbox.account());
        if kept {
            self.conn.ask_for_room();
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Budget;

    #[test]
    fn ends_are_kept_in_order_up_to_a_bound_and_counted() {
        let account = Budget::new(1 << 28, 1.0, 100, 1 << 20).open();
        let (later, limits) = (Later::default(), Limits::default());
        let name = |text: &str| NodeName::new(text, &limits).unwrap();
        let mut kept = 0;
        while later.keep(
            CallId(u16::try_from(kept % 65_535 + 1).unwrap()),
            name("worker"),
            Refusal::Overloaded,
            &account,
        ) {
            kept += 1;
        }
        assert_eq!(kept, MOST / (COST + 6));
        assert_eq!(account.held(), kept * (COST + 6));
        let mut told = 0;
        loop {
            let (ends, more) = later.take();
            for end in ends {
                told += 1;
                assert_eq!(usize::from(end.id.0), (told - 1) % 65_535 + 1);
            }
            if !more {
                break;
            }
        }
        assert_eq!((told, account.held()), (kept, 0));
    }
}
