//! Calls that wait until somebody exposes their callback: those who come, go, are deaf or silent,
//! and the time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use daffi_wire::{
    CallId, Cancel, CancelReason, Data, DataEnd, Extensions, FIRST_CALL_WINDOW, FormatId, Frame, FrameWriter, Header,
    Kind, Level, Limits,
};
use tokio::{task::yield_now, time::advance};

use crate::{
    error::{Disconnected, ProtocolError},
    router::{
        bare::{BareMember, BareRouter},
        joined::{hello, joined},
    },
    session::OwedWords,
};

const MS: Duration = Duration::from_millis(1);

/// A call of whoever exposes this, within so many milliseconds; `body`: what of it follows.
fn call(id: u16, from: &str, method: &str, ms: u32, body: Option<u64>) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, from, "", method).unwrap();
    let mut said = Extensions::builder().wait_for_receiver();
    if let Some(total) = body {
        said = said.body(total);
    }
    writer.time_left(ms, &said.build().unwrap());
    writer.body().extend_from_slice(&[7; 100]);
    writer.finish(Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

fn item(id: u16, from: &str, bytes: usize) -> Frame {
    let bytes = Bytes::from(vec![7; bytes]);
    let data = Data { id: CallId(id), from_caller: true, end: DataEnd::Nothing, packed: false, bytes };
    data.frame(from, "", &Limits::default()).unwrap()
}

async fn settle() {
    for _ in 0..64 {
        yield_now().await;
    }
}

/// What a member got of calls, once all that may go has gone: requests, answers and DATA.
async fn got(member: &mut BareMember) -> Vec<Frame> {
    settle().await;
    let is_of_call = |frame: &Frame| matches!(frame.kind(), Kind::Request | Kind::Response | Kind::Error | Kind::Data);
    member.take_frames().into_iter().filter(is_of_call).collect()
}

/// Sends to a member until it takes nothing more.
fn fill(deaf: &BareMember) {
    let header = Header::control(Kind::Response, CallId(1), false);
    let filler = Frame::new(header, "", "", "", &[7; 64 * 1024], &Limits::default()).unwrap();
    while !deaf.peer().conn.outbox.is_full() {
        deaf.peer().conn.send(crate::conn::Class::Notice, &filler).unwrap();
    }
}

/// Why the one call of a member was refused.
async fn refused(member: &mut BareMember) -> String {
    let [error] = <[Frame; 1]>::try_from(got(member).await).expect("one answer");
    assert_eq!(error.kind(), Kind::Error);
    String::from_utf8_lossy(error.payload()).into_owned()
}

fn waiting(router: &BareRouter) -> usize {
    router.shared().waiting.len()
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_the_first_who_comes_with_the_time_that_is_left() {
    let router = BareRouter::at("mem://waiting-first");
    let mut caller = joined(&router, "c", Level::FOUR, &[]);
    caller.handle(call(7, "c", "f", 1000, None)).unwrap();
    let mut other = joined(&router, "other", Level::FOUR, &["g"]);
    assert!(got(&mut other).await.is_empty());
    advance(300 * MS).await;
    let mut worker = joined(&router, "w", Level::FOUR, &["f", "g"]);
    let [mut sent] = <[Frame; 1]>::try_from(got(&mut worker).await).expect("it goes once");
    assert_eq!(sent.take_extensions().unwrap().time_left_ms(), Some(700));
    assert_eq!(waiting(&router), 0);
    let mut late = joined(&router, "late", Level::FOUR, &["f"]);
    assert!(got(&mut late).await.is_empty());
    let header = Header::new(Kind::Response, sent.header().id(), FormatId::OPAQUE, false, false);
    worker.handle(Frame::new(header, "w", "c", "f", b"y", &Limits::default()).unwrap()).unwrap();
    let [answer] = <[Frame; 1]>::try_from(got(&mut caller).await).unwrap();
    assert_eq!((answer.header().id(), answer.payload()), (CallId(7), &b"y"[..]));
    advance(2000 * MS).await;
    assert!(got(&mut caller).await.is_empty(), "its time is the worker's from there on");
}

#[tokio::test(start_paused = true)]
async fn one_whose_time_passes_reads_why_nobody_took_it() {
    let router = BareRouter::at("mem://waiting-overdue");
    let mut caller = joined(&router, "c", Level::FOUR, &[]);
    caller.handle(call(7, "c", "f", 50, None)).unwrap();
    settle().await;
    advance(49 * MS).await;
    assert!(got(&mut caller).await.is_empty());
    advance(2 * MS).await;
    let why = refused(&mut caller).await;
    assert!(why.contains("DeadlineExceeded") && why.contains("nobody exposed"), "{why}");
    // It comes too late.
    let mut worker = joined(&router, "w", Level::FOUR, &["f"]);
    assert!(got(&mut worker).await.is_empty() && waiting(&router) == 0);
    // One is there, and takes none for now.
    let mut deaf = joined(&router, "deaf", Level::FOUR, &["h"]);
    fill(&deaf);
    let mut first = joined(&router, "first", Level::FOUR, &[]);
    first.handle(call(1, "first", "i", 500, None)).unwrap();
    deaf.handle(hello("deaf", Level::FOUR, &["h", "i"])).unwrap();
    settle().await;
    caller.handle(call(8, "c", "i", 50, None)).unwrap();
    settle().await;
    advance(51 * MS).await;
    let why = refused(&mut caller).await;
    assert!(why.contains("took too few"), "{why}");
    // The other goes as soon as it takes something.
    while deaf.take_all() > 0 {}
    assert!(got(&mut deaf).await.iter().any(|frame| frame.kind() == Kind::Request));
    assert!(got(&mut first).await.is_empty() && waiting(&router) == 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_leaves_or_uses_the_number_again_waits_no_more() {
    let router = BareRouter::at("mem://waiting-given-up");
    let mut callers = ["a", "b", "d"].map(|name| joined(&router, name, Level::FOUR, &[]));
    for (caller, name) in callers.iter_mut().zip(["a", "b", "d"]) {
        caller.handle(call(7, name, "f", 60_000, None)).unwrap();
    }
    assert_eq!(waiting(&router), 3);
    let [mut a, b, mut d] = callers;
    let cancel = Cancel { id: CallId(7), reason: CancelReason::Dropped };
    a.handle(cancel.frame("a", "", &Limits::default()).unwrap()).unwrap();
    let why = refused(&mut a).await;
    assert!(why.contains("Cancelled"), "{why}");
    a.handle(cancel.frame("a", "", &Limits::default()).unwrap()).unwrap();
    assert!(got(&mut a).await.is_empty(), "once");
    b.leave();
    assert_eq!(waiting(&router), 1);
    d.handle(call(7, "d", "g", 60_000, None)).unwrap();
    assert_eq!(waiting(&router), 1, "the newer of that number");
    let mut worker = joined(&router, "w", Level::FOUR, &["f", "g"]);
    let sent = got(&mut worker).await;
    assert!(sent.len() == 1 && sent[0].method() == "g", "{sent:?}");
    assert_eq!(waiting(&router), 0);
    [a, d, worker].into_iter().for_each(BareMember::leave);
    assert_eq!(router.holds(), (0, 0, 0), "what waited is counted no more");
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_call_waits_with_it_within_the_first_window() {
    let router = BareRouter::at("mem://waiting-data");
    let mut caller = joined(&router, "c", Level::FOUR, &[]);
    // Of one that announced nothing nothing is kept.
    caller.handle(call(6, "c", "g", 60_000, None)).unwrap();
    caller.handle(item(6, "c", 1000)).unwrap();
    caller.handle(call(7, "c", "f", 60_000, Some(1_000_000))).unwrap();
    for _ in 0..4 {
        caller.handle(item(7, "c", 10_000)).unwrap();
    }
    let mut worker = joined(&router, "w", Level::FOUR, &["f", "g"]);
    let mut sent = got(&mut worker).await;
    sent.extend(got(&mut worker).await);
    let of = |kind| sent.iter().filter(|frame| frame.kind() == kind).count();
    assert_eq!((of(Kind::Request), of(Kind::Data)), (2, 4));
    let first_data = sent.iter().position(|frame| frame.kind() == Kind::Data).unwrap();
    let begins = sent.iter().position(|frame| frame.method() == "f").unwrap();
    assert!(begins < first_data);
    // Whoever sends more than its window breaks a rule.
    caller.handle(call(9, "c", "h", 60_000, Some(1_000_000))).unwrap();
    let sends = FIRST_CALL_WINDOW as usize / 10_000 + 1;
    let ended = (0..sends).find_map(|_| caller.handle(item(9, "c", 10_000)).err());
    let Some(Disconnected::Protocol(rule)) = ended else { panic!("{ended:?}") };
    assert!(matches!(*rule, ProtocolError::Overrun { .. }), "{rule}");
}

#[tokio::test(start_paused = true)]
async fn calls_for_one_that_stopped_to_take_them_go_to_the_other() {
    for leaves in [false, true] {
        let router = BareRouter::at(&format!("mem://waiting-others-{leaves}"));
        let mut caller = joined(&router, "c", Level::FOUR, &[]);
        for id in 1..=200 {
            caller.handle(call(id, "c", "f", 60_000, None)).unwrap();
        }
        let mut slow = joined(&router, "slow", Level::FOUR, &["f"]);
        let taken = got(&mut slow).await.len();
        assert!((1..200).contains(&taken), "one that answers nothing gets some of them: {taken}");
        assert_eq!(waiting(&router), 200 - taken);
        assert!(got(&mut slow).await.is_empty());
        let mut quick = joined(&router, "quick", Level::FOUR, &["g"]);
        if leaves {
            slow.leave();
        } else {
            slow.handle(hello("slow", Level::FOUR, &[])).unwrap();
        }
        settle().await;
        assert_eq!(waiting(&router), 200 - taken);
        quick.handle(hello("quick", Level::FOUR, &["f"])).unwrap();
        let mut done = 0;
        while done < 200 - taken {
            let sent = got(&mut quick).await;
            assert!(!sent.is_empty(), "{done} of {}", 200 - taken);
            for request in &sent {
                let header = Header::new(Kind::Response, request.header().id(), FormatId::OPAQUE, false, false);
                let answer = Frame::new(header, "quick", "c", "f", b"y", &Limits::default()).unwrap();
                quick.handle(answer).unwrap();
            }
            done += sent.len();
        }
        assert_eq!((waiting(&router), done), (0, 200 - taken));
    }
}

/// It has to answer a caller that left before it gets calls, and may never do so.
#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_last_word_of_one_that_owes_it_or_for_another() {
    for answers in [true, false] {
        let router = BareRouter::at(&format!("mem://waiting-owed-{answers}"));
        let mut caller = joined(&router, "c", Level::FOUR, &[]);
        (1..=3).for_each(|id| caller.handle(call(id, "c", "f", 60_000, None)).unwrap());
        let mut owing = joined(&router, "w", Level::THREE, &["g"]);
        owing.peer().owe(OwedWords { answers: 1, farewells: 0 });
        owing.handle(hello("w", Level::THREE, &["f"])).unwrap();
        assert_eq!((got(&mut owing).await.len(), got(&mut caller).await.len(), waiting(&router)), (0, 0, 3));
        let mut takes = if answers {
            let header = Header::new(Kind::Response, CallId(9), FormatId::OPAQUE, false, false);
            owing.handle(Frame::new(header, "w", "gone", "f", b"y", &Limits::default()).unwrap()).unwrap();
            owing
        } else {
            joined(&router, "other", Level::FOUR, &["f"])
        };
        let requests = got(&mut takes).await.into_iter().filter(|frame| frame.kind() == Kind::Request).count();
        assert_eq!((requests, got(&mut caller).await.len(), waiting(&router)), (3, 0, 0));
    }
}

/// The other is one in whose line nothing waited that it could have been given.
#[tokio::test(start_paused = true)]
async fn another_is_awaited_where_some_owe_words_for_ever() {
    // Whom of several a draw finds is chance.
    for (round, names) in [&["w"][..], &["v", "w"]].repeat(8).into_iter().enumerate() {
        let router = BareRouter::at(&format!("mem://waiting-owed-other-{round}"));
        let mut other = joined(&router, "other", Level::FOUR, &["f"]);
        other.handle(call(1, "other", "f", 60_000, None)).unwrap();
        let owing: Vec<_> = names.iter().map(|name| joined(&router, name, Level::FOUR, &["f"])).collect();
        for one in &owing {
            one.peer().farewells.next();
            one.peer().owe(OwedWords { answers: 0, farewells: 1 });
        }
        settle().await;
        fill(&other);
        let mut caller = joined(&router, "c", Level::FOUR, &[]);
        let mut id = 0;
        // None takes calls, and each is drawn as often as the others.
        while waiting(&router) < 2 && id < 1000 {
            id += 1;
            caller.handle(call(id, "c", "f", 60_000, None)).unwrap();
            caller.take_frames();
            settle().await;
        }
        assert_eq!(waiting(&router), 2, "its own, and one of the caller");
        while other.take_all() > 0 {}
        let requests = got(&mut other).await;
        assert!(matches!(&requests[..], [request] if request.header().id() == CallId(id)), "{round}: {requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_wait_does_where_all_who_expose_its_callback_owe_words() {
    let router = BareRouter::at("mem://waiting-owed-all");
    let mut caller = joined(&router, "c", Level::FOUR, &[]);
    let mut owing = joined(&router, "w", Level::THREE, &["f"]);
    owing.peer().owe(OwedWords { answers: 1, farewells: 0 });
    settle().await;
    (1..=2).for_each(|id| caller.handle(call(id, "c", "f", 60_000, None)).unwrap());
    assert_eq!((got(&mut owing).await.len(), got(&mut caller).await.len(), waiting(&router)), (0, 0, 2));
    let mut other = joined(&router, "other", Level::FOUR, &["f"]);
    let requests = got(&mut other).await.into_iter().filter(|frame| frame.kind() == Kind::Request).count();
    assert_eq!((requests, waiting(&router)), (2, 0));
}
