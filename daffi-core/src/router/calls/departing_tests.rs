//! Callers that leave, and those who have calls of theirs, which leave at the same time.

use bytes::Bytes;
use daffi_wire::{CallId, Credit, Data, DataEnd, FIRST_CALL_WINDOW, FlowId, FormatId, Header, Kind, Level, Limits};

use super::*;
use crate::{
    config::NodeConfig,
    router::bare::{BareMember, BareRouter},
};

fn frame(header: Header, names: [&str; 3], payload: &[u8]) -> Frame {
    Frame::new(header, names[0], names[1], names[2], payload, &Limits::default()).unwrap()
}

fn request(id: u16, wants_reply: bool, payload: &[u8]) -> Frame {
    frame(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, wants_reply), ["c", "w", "f"], payload)
}

fn begins(flow: u32) -> Frame {
    Credit::Begins(FlowId(flow)).frame("c", "w", &Limits::default()).unwrap()
}

/// The member of that name, as it sends.
fn sender_of(router: &BareRouter, name: &str) -> Arc<Sender> {
    Arc::clone(router.shared().table.load().get(name).unwrap())
}

/// A worker, and a caller with one call of it.
fn with_a_call(router: &BareRouter) -> (BareMember, BareMember) {
    let (mut worker, mut caller) = (router.join("w"), router.join("c"));
    caller.handle(request(2, true, b"")).unwrap();
    worker.take_all();
    assert_eq!(caller.peer().list_receivers(), [(worker.peer().id(), 1)]);
    (worker, caller)
}

/// Whoever inherits calls of its name hears when those leave who may answer them, though it called
/// none of them itself.
#[tokio::test]
async fn no_number_rests_for_a_receiver_that_has_left() {
    let router = BareRouter::at("mem://bare-departing-left");
    for is_evicted in [false, true] {
        let (worker, caller) = with_a_call(&router);
        let next = if is_evicted {
            let next = router.join("c");
            caller.leave();
            next
        } else {
            caller.leave();
            router.join("c")
        };
        assert_eq!(next.peer().list_receivers(), [(worker.peer().id(), 1)], "it may still be answered");
        worker.leave();
        assert_eq!(next.peer().list_receivers(), []);
        next.leave();
        assert_eq!(router.holds(), (0, 0, 0));
    }
}

/// The one looks for calls that it may answer while the other takes its own away.
#[tokio::test]
async fn no_number_rests_where_both_leave_at_once() {
    let router = BareRouter::at("mem://bare-departing-both");
    let shared = router.shared();
    for (is_withdrawn, has_next) in [(false, false), (false, true), (true, false), (true, true)] {
        let (worker, caller) = with_a_call(&router);
        let next = router.join("d");
        let sender = sender_of(&router, "d");
        let calls = shared.close_calls(&caller.peer());
        assert_eq!(calls.len(), 1);
        let worker = if is_withdrawn {
            shared.withdraw(&worker.peer());
            Some(worker)
        } else {
            worker.leave();
            None
        };
        if has_next {
            shared.hand_on(calls, &sender);
        } else {
            shared.keep_calls(&caller.peer(), calls);
        }
        worker.into_iter().for_each(BareMember::leave);
        assert_eq!(sender.peer.list_receivers(), []);
        assert_eq!(shared.absent.lock().take(&caller.peer().name).len(), 0);
        drop(sender);
        caller.leave();
        next.leave();
        assert_eq!(router.holds(), (0, 0, 0));
    }
}

/// One that comes and goes before a worker that takes nothing leaves no word there each time.
#[tokio::test]
async fn who_was_told_of_nothing_hears_of_no_end() {
    let router = BareRouter::at("mem://bare-departing-untold");
    let mut worker = router.join("w");
    worker.take_all();
    for is_heard_of in [false, true] {
        let (caller, sender) = (router.join("c"), sender_of(&router, "c"));
        // The worker has not taken the news of it.
        sender.on_begin(&worker.peer(), FlowId(1), begins(1), false);
        if is_heard_of {
            sender.on_heard_of(&worker.peer());
        }
        drop(sender);
        caller.leave();
        let came: Vec<_> = worker.take_frames().into_iter().filter(|frame| frame.is_from("c")).collect();
        let kinds: Vec<_> = came.iter().map(Frame::kind).collect();
        assert_eq!(kinds, if is_heard_of { &[Kind::Credit, Kind::Cancel][..] } else { &[] });
    }
    worker.leave();
    assert_eq!(router.holds(), (0, 0, 0));
}

/// Its driver may be in the middle of a turn, and what it sent before may just be written.
#[tokio::test]
async fn nothing_of_a_caller_goes_behind_the_word_that_it_has_left() {
    let router = BareRouter::at("mem://bare-departing-silent");
    let mut worker = router.join("w");
    let of_caller = |worker: &mut BareMember| {
        let of_it = worker.take_frames().into_iter().filter(|frame| frame.is_from("c"));
        of_it.map(|frame| frame.kind()).collect::<Vec<_>>()
    };
    let call = || request(2, true, b"");
    let before: [(Vec<Frame>, &[Kind]); 3] = [
        (vec![call()], &[Kind::Request]),
        (vec![begins(1)], &[Kind::Credit]),
        // The second flow begins when the first was taken.
        (vec![begins(1), begins(2), request(0, false, b"")], &[Kind::Credit]),
    ];
    for (before, came) in before {
        let mut caller = router.join("c");
        before.into_iter().for_each(|frame| caller.handle(frame).unwrap());
        let next = router.join("c");
        assert_eq!(of_caller(&mut worker), [came, &[Kind::Cancel]].concat());
        assert_eq!(of_caller(&mut worker), []);
        let held = router.holds().0;
        for frame in [request(0, false, b""), begins(3), request(0, false, &[7; 10_000]), call()] {
            caller.handle(frame).unwrap();
            assert_eq!(of_caller(&mut worker), []);
        }
        assert_eq!(router.holds().0, held, "and nothing begins to wait");
        caller.leave();
        next.leave();
    }
    worker.leave();
    assert_eq!(router.holds(), (0, 0, 0));
}

fn call(id: u16, from: &str, to: &str) -> Frame {
    frame(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true), [from, to, "f"], b"")
}

fn answer(id: u16, to: &str) -> Frame {
    frame(Header::new(Kind::Response, CallId(id), FormatId::OPAQUE, false, false), ["w", to, "f"], b"")
}

fn result(id: u16, to: &str, end: DataEnd) -> Frame {
    let bytes = Bytes::from_static(&[7; FIRST_CALL_WINDOW as usize - 1000]);
    let data = Data { id: CallId(id), from_caller: false, end, packed: false, bytes };
    data.frame("w", to, &Limits::default()).unwrap()
}

/// A Router that keeps little of those who left.
fn forgetful(address: &str) -> BareRouter {
    let config = NodeConfig { share: 1.0 / 32.0, ..NodeConfig::server().budget_bytes(8 << 20).max_connections(20) };
    BareRouter::with_config(address, config)
}

/// Callers of the worker leave until calls of theirs are forgotten, `c` as the first of them. Gives
/// their names, and what came to the worker.
fn leave_until_forgotten(router: &BareRouter, worker: &mut BareMember) -> (Vec<String>, Vec<Frame>) {
    let (mut came, mut names) = (Vec::new(), Vec::new());
    while !worker.peer().owed.is_any() {
        let name = if names.is_empty() { "c".to_owned() } else { format!("{:0250}", names.len()) };
        let mut leaving = router.join(&name);
        leaving.handle(call(7, &name, "w")).unwrap();
        came.extend(worker.take_frames());
        leaving.leave();
        came.extend(worker.take_frames());
        names.push(name);
    }
    (names, came)
}

/// What a worker says back that was told so that callers left.
fn last_words(came: &[Frame]) -> Vec<Frame> {
    let told = came.iter().filter(|frame| frame.kind() == Kind::Cancel);
    let answers = told.map(|frame| {
        let Some(CallerLeft::Told(number)) = CallerLeft::read(frame).unwrap() else { panic!("{frame:?}") };
        CallerLeft::Answered(number).frame("w", frame.transmitter(), &Limits::default()).unwrap()
    });
    answers.collect()
}

/// Answers may be on their way when their caller leaves: what its receiver says back then is about
/// nothing any more.
#[tokio::test]
async fn a_word_that_is_not_owed_pays_for_none_that_is() {
    for has_next in [false, true] {
        let router = forgetful(&format!("mem://bare-departing-unowed-{has_next}"));
        let mut worker = router.join("w");
        let [mut before, mut after] = ["before", "after"].map(|name| router.join(name));
        before.handle(call(7, "before", "w")).unwrap();
        after.handle(call(7, "after", "w")).unwrap();
        worker.take_all();
        // Of this one too it was told before others were forgotten.
        before.leave();
        let told_before = worker.take_frames();
        worker.handle(answer(7, "before")).unwrap();
        let (_, mut came) = leave_until_forgotten(&router, &mut worker);
        came.extend(told_before);
        after.leave();
        let told_after = worker.take_frames();
        let next = has_next.then(|| router.join("after"));
        worker.handle(answer(7, "after")).unwrap();
        let [unowed] = <[Frame; 1]>::try_from(last_words(&told_after)).unwrap();
        worker.handle(unowed).unwrap();
        for word in last_words(&came) {
            assert!(worker.peer().owed.is_any(), "a word is missing");
            worker.handle(word).unwrap();
        }
        assert!(!worker.peer().owed.is_any());
        next.into_iter().chain([worker]).for_each(BareMember::leave);
        assert_eq!(router.holds(), (0, 0, 0));
    }
}

/// Those who left fill what is kept for them, of which there is little. A worker that has not
/// answered them hears of no new call, of which an old answer could be, until it has.
#[tokio::test]
async fn no_number_is_given_again_of_which_its_receiver_may_still_speak() {
    for level in [Level::FOUR, Level::THREE] {
        let router = forgetful(&format!("mem://bare-departing-forgotten-{level:?}"));
        let mut worker = router.join_of("w", level);
        let (names, came) = leave_until_forgotten(&router, &mut worker);
        let (mut next, mut other) = (router.join("c"), router.join("other"));
        let requests = |frames: &[Frame]| frames.iter().filter(|frame| frame.kind() == Kind::Request).count();
        assert_eq!(requests(&came), names.len());
        next.take_all();
        next.handle(call(7, "c", "w")).unwrap();
        assert_eq!(requests(&worker.take_frames()), 0, "{level:?}");
        let refused: Vec<_> = next.take_frames().into_iter().filter(|frame| frame.kind() == Kind::Error).collect();
        assert!(matches!(&refused[..], [error] if error.header().id() == CallId(7)), "{refused:?}");
        next.handle(call(7, "c", "other")).unwrap();
        assert_eq!(requests(&other.take_frames()), 1, "nobody else stands apart");
        // Which the Router chooses.
        for id in 10..40 {
            next.handle(call(id, "c", "")).unwrap();
        }
        assert_eq!(requests(&worker.take_frames()), 0);
        // What an honest worker may say of the first call.
        next.take_all();
        if level == Level::FOUR {
            for end in [DataEnd::Item, DataEnd::Item, DataEnd::Direction] {
                worker.handle(result(7, "c", end)).unwrap();
            }
            let words = last_words(&came);
            assert_eq!(words.len(), names.len());
            for word in words {
                assert!(worker.peer().owed.is_any());
                worker.handle(word).unwrap();
            }
        } else {
            for name in &names {
                assert!(worker.peer().owed.is_any());
                worker.handle(answer(7, name)).unwrap();
            }
        }
        let late = next.take_frames().into_iter().filter(|frame| frame.is_from("w")).count();
        assert_eq!((late, worker.peer().owed.is_any()), (0, false));
        next.handle(call(8, "c", "w")).unwrap();
        let passed = worker.take_frames();
        assert_eq!(requests(&passed), 1, "it has said all, and gets calls again");
        [next, worker, other].into_iter().for_each(BareMember::leave);
        assert_eq!(router.holds(), (0, 0, 0));
    }
}
