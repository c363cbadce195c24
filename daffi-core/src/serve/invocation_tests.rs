use daffi_wire::{CallerLeft, Limits, NodeName};
use futures::FutureExt;

use super::*;

fn caller(name: &str) -> Arc<Caller> {
    let [name, node] = [name, "node"].map(|text| NodeName::new(text, &Limits::default()).unwrap());
    Caller::detached(name, node)
}

fn call() -> Invocation {
    Invocation::new(caller("a"))
}

/// The callers of calls that are not over.
fn callers(all: &Invocations) -> impl Iterator<Item = CallerId> {
    let placed = all.places.iter().flatten().map(|(_, call)| call);
    let others = all.others.by_caller.values().flat_map(|calls| calls.values());
    placed.chain(others).filter(|call| !call.is_over()).map(|call| call.caller.id)
}

/// Every order of begin, end and cancel: one terminal, and what was cancelled before it began
/// does not begin.
#[test]
fn a_call_ends_once_whatever_comes_first() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let invocation = call();
        let (mut terminals, mut cancelled) = (0, false);
        for step in order {
            match step {
                0 => assert_eq!(invocation.begin(), !cancelled, "{order:?}"),
                1 => terminals += usize::from(invocation.end().is_some()),
                _ => {
                    cancelled = invocation.cancel();
                    terminals += usize::from(cancelled);
                }
            }
        }
        assert_eq!(terminals, 1, "{order:?}");
        assert_eq!(invocation.is_cancelled(), cancelled);
        assert_eq!(invocation.cancelled().now_or_never().is_some(), cancelled);
    }
}

#[test]
fn what_has_begun_is_not_withdrawn() {
    let (waits, runs) = (call(), call());
    assert!(runs.begin());
    assert!(waits.await_withdrawal().now_or_never().is_none());
    assert!(waits.cancel() && runs.cancel());
    assert!(waits.await_withdrawal().now_or_never().is_some());
    assert!(runs.await_withdrawal().now_or_never().is_none());
}

#[test]
fn what_cannot_be_cancelled_never_is_and_always_ends() {
    let any = Invocation::of_any(caller("a"));
    any.begin_unknown();
    assert!(any.begin() && any.end().is_some() && any.begin() && any.end().is_some() && !any.is_cancelled());
}

#[test]
fn a_number_that_is_used_again_is_another_call() {
    let (a, b) = (caller("a"), caller("b"));
    let mut all = Invocations::default();
    let (first, second) = (all.take(&a), all.take(&a));
    all.enter(CallId(2), Arc::clone(&first));
    assert!(!all.cancel(a.id, CallId(3)) && !all.cancel(b.id, CallId(2)), "others' calls");
    all.enter(CallId(2), Arc::clone(&second));
    drop(first);
    assert!(all.cancel(a.id, CallId(2)) && second.is_cancelled());
    assert!(!all.cancel(a.id, CallId(2)), "it has ended");
}

/// A call takes the place of one that has ended, and of no other.
#[test]
fn ended_calls_serve_the_next_ones_once_nobody_sees_them() {
    let (a, b) = (caller("a"), caller("b"));
    let mut all = Invocations::default();
    let seen = all.take(&a);
    assert!(seen.begin() && seen.end().is_some());
    all.give(Arc::clone(&seen));
    assert!(!Arc::ptr_eq(&seen, &all.take(&a)), "a callback may still look at it");
    let at = Arc::as_ptr(&seen);
    all.enter(CallId(1), seen);
    let other = all.take(&a);
    all.enter(CallId(1), other);
    let next = all.take(&b);
    assert!(Arc::as_ptr(&next) == at && Arc::ptr_eq(&next.caller, &b), "of whoever calls next");
    assert!(next.begin() && next.end().is_some(), "as new");
}

/// Whatever ends in which order: each open call is found, and not many others are remembered.
#[test]
fn open_calls_are_found_among_any_number() {
    let callers = [caller("a"), caller("b"), caller("c")];
    let mut all = Invocations::default();
    let mut open = Vec::new();
    let mut rng = fastrand::Rng::with_seed(7);
    for step in 0..30_000_u32 {
        let (most, id) = ([1, 40, 1000][step as usize / 10_000], CallId((step % 60_000) as u16 + 1));
        let caller = rng.choice(&callers).unwrap();
        let call = all.take(caller);
        assert!(!call.is_cancelled() && call.caller.id == caller.id);
        all.enter(id, Arc::clone(&call));
        open.push((id, call));
        while open.len() > rng.usize(0..most) {
            let (id, call) = open.swap_remove(rng.usize(..open.len()));
            // Some end with an answer, some because nobody waits for one, some are given up.
            match rng.u8(..3) {
                0 => assert!(call.end().is_some() && !all.cancel(call.caller.id, id)),
                1 => assert!(all.cancel(call.caller.id, id) && call.is_cancelled() && call.end().is_none()),
                _ => {}
            }
        }
        all.tidy(open.len());
        assert!(all.places.len() <= PLACES && all.others.len <= 2 * open.len());
        assert_eq!(all.others.len, all.others.by_caller.values().map(|calls| calls.len()).sum::<usize>());
    }
    for (id, call) in open.drain(..) {
        assert!(all.cancel(call.caller.id, id) && call.is_cancelled());
    }
    all.tidy(0);
    assert_eq!((all.others.len, all.others.by_caller.capacity()), (0, 0));
}

/// Nothing of the calls of a caller that has left comes behind what is said last.
#[test]
fn the_last_word_waits_for_answers_that_are_on_their_way() {
    let (gone, there) = (caller("gone"), caller("there"));
    let mut all = Invocations::default();
    let calls: Vec<_> = (1..=200).map(|id| (CallId(id), all.take(&gone))).collect();
    let other = all.take(&there);
    all.enter(CallId(1), Arc::clone(&other));
    calls.iter().for_each(|(id, call)| all.enter(*id, Arc::clone(call)));
    let (answered, answers) = (&calls[3].1, &calls[150].1);
    drop(answered.end());
    let on_its_way = answers.end().unwrap();
    let conn = &gone.conn;
    let word = LastWord::answering(CallerLeft::Told(7), (conn, &gone.node), gone.name.clone(), Some(gone.id));
    all.leave(gone.id, word.as_ref());
    drop(word);
    assert_eq!(conn.outbox.bytes(), 0, "an answer is on its way");
    assert!(calls.iter().all(|(_, call)| call.has_ended() && call.end().is_none()), "and nothing else is");
    assert_eq!(calls.iter().filter(|(_, call)| call.is_cancelled()).count(), 198);
    assert!(!callers(&all).any(|caller| caller == gone.id));
    assert!(!all.has_open(gone.id) && all.has_open(there.id));
    drop(on_its_way);
    assert!(conn.outbox.bytes() > 0, "it was said, whoever still looks at the calls");
    assert!(!other.has_ended() && all.cancel(there.id, CallId(1)), "others' calls");
}

/// A call that ends for another reason keeps its place until that is said.
#[test]
fn a_call_is_remembered_until_its_answer_was_said() {
    let gone = caller("gone");
    let mut all = Invocations::default();
    let call = all.take(&gone);
    all.enter(CallId(1), Arc::clone(&call));
    let on_its_way = call.end().unwrap();
    for id in 2..=300 {
        let next = all.take(&gone);
        drop(next.end());
        all.enter(CallId(id), next);
    }
    all.tidy(0);
    assert_eq!(callers(&all).count(), 1);
    drop(on_its_way);
    assert_eq!(callers(&all).count(), 0);
}
