//! Ends of calls that are told once their caller takes what waits for it: a caller that calls on
//! and reads nothing must not make a Router write ever more errors.

use std::{collections::VecDeque, sync::Arc};

use daffi_wire::CallId;
use parking_lot::Mutex;

use crate::{conn::Account, refusal::Refusal, router::Peer};

/// What is kept for one caller with the names of receivers, in bytes: ends of calls with every
/// number, if those names are usual. Calls that were open end without the name beyond that.
const MOST: usize = 1024 * 1024;

/// What the ends of calls to one receiver take beside its name, and each of them.
const COST: usize = 96;
const COST_OF_EACH: usize = size_of::<CallId>();

/// Ends told at a time.
const AT_ONCE: usize = 256;

/// Ends of calls that one caller has not been told.
#[derive(Debug, Default)]
pub(crate) struct Later(Mutex<PutOff>);

#[derive(Debug, Default)]
struct PutOff {
    ends: VecDeque<ReceiverEnds>,
    bytes: usize,
    /// What counts them; known since the first.
    account: Option<Arc<Account>>,
}

/// Calls to one receiver that ended for one reason, one after another.
#[derive(Debug)]
struct ReceiverEnds {
    /// Empty: of any receivers.
    receiver: Box<str>,
    why: Refusal,
    ids: VecDeque<CallId>,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct EndedCall {
    pub(crate) id: CallId,
    /// Empty: it was not kept.
    pub(crate) receiver: Box<str>,
    pub(crate) why: Refusal,
}

/// What is known of every call that ended so, once it is told: whether it ran is never left open
/// where it is known, and never claimed where it is not.
pub(crate) const fn put_off_text(why: Refusal) -> &'static str {
    match why {
        Refusal::AnswerLost => "it ran, and its answer was dropped: too much waited for you",
        Refusal::Unanswered => "it was open for longer than level3_call_limit; it may have run",
        Refusal::ReceiverGone => "its receiver left before it answered; it may have run (too much waited for you then)",
        Refusal::Overloaded => "it did not run: too much waited for you",
        Refusal::ReceiverNotFound => "it did not run: nobody was there who takes it (too much waited for you then)",
        Refusal::NodeStopping => "it did not run: the router is stopping (too much waited for you then)",
        Refusal::DeadlineExceeded => "it did not run: its time passed before it began (too much waited for you then)",
        Refusal::FormatUnsupported => {
            "it did not run: its receiver cannot read its format (too much waited for you then)"
        }
        // Of arguments or of an answer.
        Refusal::ExtensionUnsupported => {
            "what it said beside its payload could not be passed on; it may have run (too much waited for you then)"
        }
        Refusal::LevelUnsupported => {
            "arguments or answer could not be passed on to a daffi 3.0.1 node; it may have run (too much waited for you \
             then)"
        }
        Refusal::BodyTooLarge => {
            "arguments or answer were larger than may be put together; it may have run (too much waited for you then)"
        }
        Refusal::BodyBroken => {
            "arguments or answer came too slowly or were not what was announced; it may have run (too much waited for \
             you then)"
        }
        Refusal::Cancelled => "it was given up; it may have run (too much waited for you then)",
    }
}

impl PutOff {
    fn cost_of_one_more(&self, receiver: &str, why: Refusal) -> usize {
        let joins = self.ends.back().is_some_and(|ends| ends.is_of(receiver, why));
        if joins { COST_OF_EACH } else { COST + receiver.len() + COST_OF_EACH }
    }

    fn count(&mut self, bytes: usize) {
        if let Some(account) = &self.account {
            account.change(self.bytes, bytes);
        }
        self.bytes = bytes;
    }
}

impl ReceiverEnds {
    fn is_of(&self, receiver: &str, why: Refusal) -> bool {
        *self.receiver == *receiver && self.why == why
    }
}

impl Drop for PutOff {
    fn drop(&mut self) {
        self.count(0);
    }
}

impl Later {
    /// Keeps an end of a call. `false`: there is no room for it. For a call that was open there is;
    /// one that is refused has to find it in the share of its caller.
    pub(crate) fn keep(&self, id: CallId, receiver: &str, why: Refusal, account: &Arc<Account>) -> bool {
        let mut kept = self.0.lock();
        let was_open = matches!(why, Refusal::ReceiverGone | Refusal::AnswerLost | Refusal::Unanswered);
        let fits = |bytes: usize| bytes <= MOST;
        let mut receiver = receiver;
        let mut more = kept.cost_of_one_more(receiver, why);
        if was_open && !fits(kept.bytes + more) {
            // What many names are worth is no reason to write an error for each at once.
            receiver = "";
            more = kept.cost_of_one_more(receiver, why);
        }
        let has_room = was_open || fits(kept.bytes + more) && account.admits(more);
        if !has_room {
            return false;
        }
        kept.account.get_or_insert_with(|| Arc::clone(account));
        let bytes = kept.bytes + more;
        kept.count(bytes);
        match kept.ends.back_mut().filter(|ends| ends.is_of(receiver, why)) {
            Some(ends) => ends.ids.push_back(id),
            None => kept.ends.push_back(ReceiverEnds { receiver: receiver.into(), why, ids: VecDeque::from([id]) }),
        }
        true
    }

    /// The next ends to be told, and whether there are more.
    pub(crate) fn take(&self) -> (Vec<EndedCall>, bool) {
        let mut kept = self.0.lock();
        let (mut taken, mut bytes) = (Vec::new(), kept.bytes);
        while taken.len() < AT_ONCE
            && let Some(ReceiverEnds { receiver, why, ids }) = kept.ends.front_mut()
        {
            if let Some(id) = ids.pop_front() {
                bytes -= COST_OF_EACH;
                taken.push(EndedCall { id, receiver: receiver.clone(), why: *why });
            }
            if ids.is_empty() {
                bytes -= COST + receiver.len();
                kept.ends.pop_front();
            }
        }
        kept.count(bytes);
        if kept.ends.is_empty() {
            kept.ends = VecDeque::new();
        }
        (taken, !kept.ends.is_empty())
    }
}

impl Peer {
    /// Puts an end of a call off until this member takes what waits for it. `false`: nothing waits,
    /// or too many were put off.
    pub(crate) fn put_off(&self, id: CallId, receiver: &str, why: Refusal) -> bool {
        let outbox = &self.conn.outbox;
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
    fn all_open_calls_may_end_at_once_in_order_and_are_counted() {
        let account = Budget::new(1 << 28, 1.0, 100, 1 << 20).open();
        let later = Later::default();
        for id in 1..=u16::MAX {
            // Three receivers leave, one after another.
            let receiver = format!("worker{}", id / 30_000);
            assert!(later.keep(CallId(id), &receiver, Refusal::ReceiverGone, &account));
        }
        assert_eq!(account.held_bytes(), 3 * (COST + 7) + usize::from(u16::MAX) * COST_OF_EACH);
        let mut told = 0;
        loop {
            let (ends, more) = later.take();
            for end in ends {
                told += 1;
                assert_eq!((end.id, &*end.receiver), (CallId(told), &*format!("worker{}", told / 30_000)));
            }
            if !more {
                break;
            }
        }
        assert_eq!((told, account.held_bytes()), (u16::MAX, 0));
    }

    #[test]
    fn refusals_find_room_in_the_share_or_not_at_all() {
        let budget = Budget::new(1 << 28, 1.0, 100, 1 << 20);
        let (account, full) = (budget.open(), budget.open().charge(1 << 28));
        let (later, mut kept) = (Later::default(), 0);
        let other = |n: u16| ["a", "b"][usize::from(n % 2)];
        while later.keep(CallId(kept + 1), other(kept), Refusal::Overloaded, &account) {
            kept += 1;
        }
        assert!(account.held_bytes() <= account.own() && kept > 100, "{kept}");
        assert!(later.keep(CallId(1), "a", Refusal::ReceiverGone, &account), "it was open");
        drop(full);
        while later.keep(CallId(1), other(kept), Refusal::Overloaded, &account) {
            kept = (kept + 1) % 1000;
        }
        assert!(account.held_bytes() <= MOST);
        drop(later);
        assert_eq!(account.held_bytes(), 0);
    }

    #[test]
    fn whoever_hears_late_of_an_end_hears_whether_the_call_ran() {
        for why in Refusal::ALL {
            let text = put_off_text(why);
            let said = ["it ran,", "it may have run", "it did not run"].map(|known| usize::from(text.contains(known)));
            assert_eq!(said.iter().sum::<usize>(), 1, "{why:?}: {text}");
            assert_eq!(said[0] == 1, why == Refusal::AnswerLost, "{text}");
            assert!(why != Refusal::Overloaded || said[2] == 1, "callers make it again: {text}");
        }
    }

    /// Of receivers with long names that leave in turn.
    #[test]
    fn open_calls_end_whatever_the_names_of_their_receivers_take() {
        let account = Budget::new(1 << 28, 1.0, 100, 1 << 20).open();
        let (later, names) = (Later::default(), ["a", "b"].map(|name| name.repeat(10_000)));
        for id in 1..=u16::MAX {
            assert!(later.keep(CallId(id), &names[usize::from(id % 2)], Refusal::AnswerLost, &account));
        }
        assert!(account.held_bytes() < MOST + 2 * usize::from(u16::MAX), "{}", account.held_bytes());
        let (mut told, mut nameless) = (0, 0);
        while let (ends, true) = later.take() {
            told += ends.len();
            nameless += ends.iter().filter(|end| end.receiver.is_empty()).count();
        }
        assert!(told > 65_000 && (65_000..65_500).contains(&nameless), "{told}, {nameless}");
    }
}
