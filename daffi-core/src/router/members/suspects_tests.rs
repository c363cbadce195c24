use daffi_wire::{CallId, EventBody, FormatId, Frame, Header, Kind, Level, Limits};
use futures::{FutureExt, StreamExt};
use tokio::time::advance;

use super::*;
use crate::{
    config::{NamePolicy, NodeConfig},
    events::Events,
    router::bare::{BareMember, BareRouter},
};

fn name(text: &str) -> NodeName {
    NodeName::new(text, &Limits::default()).unwrap()
}

fn request(from: &str, to: &str) -> Frame {
    let header = Header::new(Kind::Request, CallId(2), FormatId::OPAQUE, false, true);
    Frame::new(header, from, to, "f", b"", &Limits::default()).unwrap()
}

fn shown(router: &BareRouter) -> Vec<String> {
    router.shared().members.lock().iter().map(|(member, _)| member.name.to_string()).collect()
}

/// What a member is told of another.
async fn told(member: &mut BareMember, of: &str) -> Vec<String> {
    let (mut told, mut frames) = (Vec::new(), Vec::new());
    // News are gathered for a moment, and the next come when those were taken.
    for _ in 0..5 {
        advance(Duration::from_millis(50)).await;
        tokio::task::yield_now().await;
        frames.extend(member.take_frames());
    }
    for frame in frames {
        match frame.kind() {
            Kind::Handshake if String::from_utf8_lossy(frame.payload()).contains(&format!("{of:?}")) => {
                told.push("listed".to_owned());
            }
            Kind::Events => {
                let EventBody { kind, member } = EventBody::parse(frame.payload(), &Limits::default()).unwrap();
                told.extend((member == of).then(|| format!("{kind:?}")));
            }
            _ => {}
        }
    }
    told
}

/// Makes a suspect of whoever comes next under that name.
fn suspect(router: &BareRouter, text: &str) {
    let (place, mark) = router.shared().suspects.place(&name(text));
    place.store(mark, Relaxed);
}

fn happened(events: &mut Events) -> Vec<MemberEvent> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

/// It says nothing for as long as it is there.
async fn come_and_go(router: &BareRouter, name: &str, stays: Duration) {
    let member = router.join(name);
    advance(stays).await;
    member.leave();
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_hear_is_shown_once() {
    let router = BareRouter::at("mem://suspect-silent");
    let mut other = router.join("other");
    other.take_frames();
    come_and_go(&router, "w", LONG).await;
    assert_eq!(told(&mut other, "w").await, ["listed", "Connected", "Disconnected"]);
    for _ in 0..3 {
        come_and_go(&router, "w", Duration::from_secs(10)).await;
        assert_eq!(told(&mut other, "w").await, [] as [&str; 0]);
    }
    let w = router.join("w");
    assert_eq!(shown(&router), ["other"]);
    let stats = router.shared().stats();
    assert_eq!((stats.members, stats.nodes.len(), stats.unheard_members), (1, 1, 1));
    other.handle(request("other", "w")).unwrap();
    let frames = other.take_frames();
    assert!(frames.iter().any(|frame| frame.kind() == Kind::Error), "it is no receiver: {frames:?}");
    // Its name is in use all the same.
    assert!(router.shared().members.lock().get(&name("w")).is_some_and(|peer| peer.id() == w.peer().id()));
    w.leave();
    assert_eq!(router.holds(), (0, 0, 0));
}

/// Its Router sees each connection end when the next has its name already.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_hear_and_comes_before_it_has_left_is_shown_once() {
    let router = BareRouter::at("mem://suspect-overlaps");
    let (mut other, mut last) = (router.join("other"), router.join("w"));
    assert_eq!(told(&mut other, "w").await, ["listed", "Connected"]);
    for (turn, stays) in [LONG, Duration::from_millis(1), LONG * 20, Duration::ZERO].into_iter().enumerate() {
        advance(stays).await;
        let next = router.join("w");
        let expected: &[&str] = if turn == 0 { &["Disconnected"] } else { &[] };
        assert_eq!(told(&mut other, "w").await, expected);
        last.leave();
        assert_eq!(told(&mut other, "w").await, [] as [&str; 0]);
        last = next;
    }
    last.handle(request("w", "nobody")).unwrap();
    assert_eq!(told(&mut other, "w").await, ["listed", "Connected"], "it hears again");
    let next = router.join("w");
    assert_eq!(shown(&router), ["other", "w"], "and is believed");
    [last, next, other].into_iter().for_each(BareMember::leave);
    assert_eq!(router.holds(), (0, 0, 0));
}

/// It is told of the others as any newcomer, and asked.
#[tokio::test(start_paused = true)]
async fn one_that_hears_again_is_shown_with_its_first_word_and_is_believed_the_next_time() {
    for answers in [true, false] {
        let router = BareRouter::at(&format!("mem://suspect-hears-{answers}"));
        let mut other = router.join("other");
        come_and_go(&router, "w", LONG).await;
        let mut w = router.join("w");
        let later = router.join("later");
        told(&mut other, "w").await;
        tokio::task::yield_now().await;
        let frames = w.take_frames();
        let list = String::from_utf8(frames[0].payload().to_vec()).unwrap();
        assert!(list.contains(r#""other""#) && list.contains(r#""w""#), "{list}");
        assert!(frames.iter().any(|frame| String::from_utf8_lossy(frame.payload()).contains("later")));
        let [Some(Ping::Asks(token))] = frames
            .iter()
            .filter(|frame| frame.kind() == Kind::Ping)
            .map(|frame| Ping::read(frame).ok())
            .collect::<Vec<_>>()[..]
        else {
            panic!("it is asked once: {frames:?}")
        };
        if answers {
            w.handle(Ping::Answers(token).frame()).unwrap();
        } else {
            w.handle(request("w", "other")).unwrap();
        }
        assert_eq!(shown(&router), ["other", "w", "later"]);
        assert_eq!(router.shared().stats().unheard_members, 0);
        assert_eq!(told(&mut other, "w").await, ["listed", "Connected"]);
        other.handle(request("other", "w")).unwrap();
        assert!(w.take_frames().iter().any(|frame| frame.kind() == Kind::Request));
        w.leave();
        let w = router.join("w");
        assert_eq!(shown(&router), ["other", "later", "w"]);
        w.leave();
        later.leave();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_there_for_a_moment_or_said_something_is_shown_the_next_time() {
    let router = BareRouter::at("mem://suspect-moment");
    come_and_go(&router, "w", LONG - Duration::from_millis(1)).await;
    let mut w = router.join("w");
    assert_eq!(shown(&router), ["w"]);
    w.handle(request("w", "nobody")).unwrap();
    advance(LONG * 10).await;
    w.leave();
    let w = router.join("w");
    assert_eq!(shown(&router), ["w"]);
    w.leave();
}

/// Calls to the one before end, and what may still answer calls of that one is remembered.
#[tokio::test(start_paused = true)]
async fn one_that_takes_a_name_and_does_not_hear_leaves_nobody_of_that_name() {
    let router = BareRouter::at("mem://suspect-evicts");
    let (mut other, mut w) = (router.join("other"), router.join("w"));
    w.handle(request("w", "other")).unwrap();
    other.handle(request("other", "w")).unwrap();
    suspect(&router, "w");
    told(&mut other, "w").await;
    let mut next = router.join("w");
    assert!(w.take_frames().iter().any(|frame| frame.kind() == Kind::Events), "it hears that it was evicted");
    assert_eq!(shown(&router), ["other"]);
    let frames = other.take_frames();
    assert!(frames.iter().any(|frame| frame.kind() == Kind::Error), "its call has ended: {frames:?}");
    assert_eq!(told(&mut other, "w").await, ["Disconnected"]);
    // The first says something behind that.
    w.handle(request("w", "other")).unwrap();
    w.leave();
    assert_eq!(shown(&router), ["other"]);
    // What is not answered yet goes by another number.
    next.handle(request("w", "other")).unwrap();
    let frames = other.take_frames();
    let calls: Vec<_> = frames.iter().filter(|frame| frame.kind() == Kind::Request).collect();
    assert!(calls.len() == 1 && calls[0].header().id() != CallId(2), "{calls:?}");
    // One of 3.0.1, which nobody can ask, takes it as ever, also from one that is not shown.
    suspect(&router, "w");
    let silent = router.join("w");
    let three = router.join_of("w", Level::THREE);
    assert_eq!(shown(&router), ["other", "w"]);
    assert_eq!(three.peer().list_receivers(), [(other.peer().id(), 2)]);
    [next, silent, three, other].into_iter().for_each(BareMember::leave);
    assert_eq!(router.holds(), (0, 0, 0));
}

/// The older connection of a name ends later than the newer begins.
#[tokio::test(start_paused = true)]
async fn the_end_of_one_whose_name_passed_on_says_nothing_of_who_has_it() {
    let router = BareRouter::at("mem://suspect-older");
    let older = router.join("w");
    advance(LONG * 10).await;
    let mut newer = router.join("w");
    newer.handle(request("w", "nobody")).unwrap();
    older.leave();
    newer.leave();
    let next = router.join("w");
    assert_eq!(shown(&router), ["w"]);
    next.leave();
}

#[tokio::test(start_paused = true)]
async fn no_end_is_told_of_one_whose_coming_was_not() {
    let router = BareRouter::at("mem://suspect-events");
    let mut events = router.shared().server.events();
    let (added, evicted) = (MemberEvent::Added("w".to_owned()), MemberEvent::Evicted("w".to_owned()));
    for level in [Level::THREE, Level::FOUR] {
        suspect(&router, "w");
        let silent = router.join("w");
        assert_eq!(happened(&mut events), []);
        if level == Level::FOUR {
            // Another name took its place among the suspects.
            router.shared().suspects.forget(&name("w"), &FirstWord::new(Instant::now()));
        }
        let shown = router.join_of("w", level);
        assert_eq!(happened(&mut events), std::slice::from_ref(&added), "{level:?}");
        let next = router.join_of("w", level);
        assert_eq!(happened(&mut events), [evicted.clone(), added.clone()], "{level:?}");
        [silent, shown, next].into_iter().for_each(BareMember::leave);
        happened(&mut events);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_shown_keeps_its_name_from_nobody() {
    let config = NodeConfig::server().name_policy(NamePolicy::First);
    let router = BareRouter::with_config("mem://suspect-first", config);
    suspect(&router, "w");
    let silent = router.join("w");
    let mut owner = router.join("w");
    let holder = || router.shared().members.lock().get(&name("w")).map(|peer| peer.id());
    assert_eq!(holder(), Some(owner.peer().id()));
    owner.handle(request("w", "nobody")).unwrap();
    assert_eq!(shown(&router), ["w"]);
    let late = router.join("w");
    assert_eq!(holder(), Some(owner.peer().id()), "the first keeps it once it was heard");
    [silent, late, owner].into_iter().for_each(BareMember::leave);
}

#[test]
fn a_question_is_waited_for_once_more_for_a_slow_way_and_for_what_is_the_routers_own_doing() {
    let begun = Instant::now();
    let stands = |acknowledged, held_back| Stands { acknowledged, held_back };
    let after = |stands: Stands, late: Duration| {
        let mut asked = OpenQuestion::new(5 * SLOW, Stands::default(), begun);
        let now = asked.until + late;
        asked.goes_on(stands, now).then_some((asked, now))
    };
    assert!(after(stands(0, 0), LATE).is_none());
    assert!(after(stands(SLOW - 1, 0), LATE).is_none(), "less is no pace");
    assert!(after(stands(0, 1), Duration::ZERO).is_some());
    assert!(after(stands(0, 0), LATE + Duration::from_millis(1)).is_some());
    let (mut asked, now) = after(stands(5 * SLOW, 0), Duration::ZERO).unwrap();
    assert_eq!(asked.until, now + ENDED);
    assert!(!asked.goes_on(stands(9 * SLOW, 0), asked.until), "the question had arrived before");
}

#[test]
fn names_without_end_take_no_more() {
    let suspects = Suspects::new();
    let word = FirstWord::new(Instant::now());
    let now = word.since + LONG;
    for n in 0..10 * MOST {
        suspects.note_end(&name(&n.to_string()), &word, now);
        assert!(suspects.has(&name(&n.to_string())), "the newest");
    }
    let known = (0..10 * MOST).filter(|n| suspects.has(&name(&n.to_string()))).count();
    assert!((MOST / 2..=MOST).contains(&known), "{known}");
    let last = name(&(10 * MOST - 1).to_string());
    suspects.forget(&last, &word);
    suspects.note_end(&last, &word, now);
    assert!(!suspects.has(&last), "it has said something");
}
