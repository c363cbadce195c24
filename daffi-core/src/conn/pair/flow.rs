//! How a driver reads, writes and holds back.

use tokio::time::advance;

use super::{
    super::timers::{Timer, now},
    *,
};

#[tokio::test(start_paused = true)]
async fn an_unfinished_frame_must_go_on() {
    let mut pair = Pair::new(&budget(), Level::FOUR);
    pair.send(&request(200_000)[..1000]);
    for _ in 0..59 {
        assert!(pair.run().is_pending());
        advance(SECOND).await;
    }
    assert!(pair.run().is_pending());
    advance(SECOND).await;
    let Poll::Ready(Disconnected::SlowSender { moved: 0, unfinished: 1000, .. }) = pair.run() else {
        panic!("a minute of silence")
    };
}

#[tokio::test(start_paused = true)]
async fn a_slow_frame_comes_through_however_long_it_takes() {
    let mut pair = Pair::new(&budget(), Level::FOUR);
    let frame = request(1_000_000);
    for piece in frame.chunks(1500) {
        pair.send(piece);
        assert!(pair.run().is_pending());
        advance(SECOND).await;
    }
    assert_eq!(pair.driver.handler.handled, 1);
    assert_eq!((pair.conn.inbound.account().held_bytes(), pair.conn.inbound.account().budget().used_bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_while_this_process_was_stopped_is_not_the_peers() {
    let mut pair = Pair::new(&budget(), Level::FOUR);
    pair.send(&request(200_000)[..1000]);
    assert!(pair.run().is_pending());
    advance(600 * SECOND).await;
    assert!(pair.run().is_pending());
    advance(60 * SECOND).await;
    assert!(pair.run().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_byte_now_and_then_is_ended_and_a_steady_one_is_not() {
    for (bytes, lives) in [(1, false), (500, false), (2000, true)] {
        let mut pair = Pair::new(&budget(), Level::FOUR);
        pair.conn.send_parts(Class::Answer, &vec![7; 500_000], None).unwrap();
        let mut ended = false;
        for _ in 0..200 {
            ended = ended || pair.run().is_ready();
            if ended {
                break;
            }
            pair.take(bytes);
            advance(SECOND).await;
        }
        assert_eq!(ended, !lives, "{bytes} bytes a second");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_provokes_is_written_before_more_of_it_is_worked_in() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.driver.handler.answer = Some(10_000);
    for _ in 0..1000 {
        pair.send(&request(100));
    }
    let mut taken = 0;
    for _ in 0..10_000 {
        taken += pair.take(usize::MAX);
        assert!(pair.turn().is_pending(), "one that reads is never ended");
        assert!(pair.conn.outbox.bytes() <= 64 * 1024 + 20_000, "{} wait", pair.conn.outbox.bytes());
    }
    assert_eq!((pair.driver.handler.handled, taken), (1000, 10_000_000));
}

#[tokio::test(start_paused = true)]
async fn one_that_provokes_and_takes_nothing_is_held_back() {
    for (level, asks_only) in [(Level::FOUR, true), (Level::THREE, true), (Level::FOUR, false)] {
        let mut pair = Pair::new(&Budget::new(16 * MIB, 1.0, 100, MIB), level);
        (pair.driver.handler.answer, pair.driver.handler.asks_only) = (Some(10_000), asks_only);
        let mut ended = None;
        for _ in 0..50 {
            for _ in 0..1000 {
                pair.send(&request(100));
            }
            if let Poll::Ready(reason) = pair.run() {
                ended = Some(reason);
                break;
            }
            advance(SECOND).await;
        }
        assert!(pair.conn.outbox.bytes() < 16 * MIB, "{}", pair.conn.outbox.bytes());
        match ended {
            None => assert!(level == Level::FOUR && asks_only && pair.unread() > MIB, "it waits"),
            Some(Disconnected::Limit { what, .. }) => assert!(what.contains("refusals"), "{what}"),
            Some(other) => panic!("{other}"),
        }
    }
}

/// What is told of a peer while too much of it waits, and when that has run.
#[tokio::test(start_paused = true)]
async fn whoever_is_held_back_is_told_as_that_until_it_is_read_on() {
    for (level, asks_only) in [(Level::FOUR, true), (Level::THREE, true), (Level::FOUR, false)] {
        let mut pair = Pair::new(&Budget::new(MIB, 1.0, 100, MIB), level);
        (pair.driver.handler.keeps, pair.driver.handler.asks_only) = (true, asks_only);
        pair.send(&request(100));
        assert!(pair.run().is_pending());
        assert!(!pair.conn.is_held_back(), "{level:?}: nothing is in its way");
        let mut sent = 0;
        while !pair.conn.is_held_back() && sent < 1000 {
            pair.send(&request(10_000));
            assert!(pair.run().is_pending());
            sent += 1;
        }
        assert!(pair.conn.is_held_back(), "{level:?}");
        pair.driver.handler.keeps = false;
        pair.driver.handler.kept.clear();
        for _ in 0..100 {
            assert!(pair.run().is_pending());
            advance(SECOND).await;
        }
        assert_eq!((pair.driver.handler.handled, pair.conn.is_held_back()), (sent + 1, false), "{level:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_beyond_all_memory_come_one_after_another_from_the_reserve() {
    let budget = Budget::new(16 * MIB, 1.0, 100, 12 * MIB);
    let mut pairs: Vec<_> = (0..8).map(|_| Pair::new(&budget, Level::FOUR)).collect();
    let frame = request(12 * MIB - 100);
    for pair in &mut pairs {
        pair.send(&frame);
        assert!(pair.run().is_pending());
    }
    let held: usize = pairs.iter().map(|pair| pair.conn.inbound.account().held_bytes()).sum();
    assert!(held <= 17 * MIB, "{held}");
    // A small call beside them has its own part.
    let mut small = Pair::new(&budget, Level::FOUR);
    small.send(&request(10));
    assert!(small.run().is_pending());
    assert_eq!(small.driver.handler.handled, 1);
    for _ in 0..100 {
        advance(Duration::from_millis(50)).await;
        for pair in &mut pairs {
            assert!(pair.run().is_pending());
        }
    }
    assert!(pairs.iter().all(|pair| pair.driver.handler.handled == 1));
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_stalls_with_the_reserve_loses_it_to_the_others() {
    let budget = Budget::new(16 * MIB, 1.0, 100, 12 * MIB);
    let mut stalled = Some(Pair::new(&budget, Level::FOUR));
    let mut pairs: Vec<_> = (1..8).map(|_| Pair::new(&budget, Level::FOUR)).collect();
    let frame = request(12 * MIB - 100);
    // It sends all but a byte and goes silent.
    stalled.as_ref().unwrap().send(&frame[..frame.len() - 1]);
    pairs.iter().for_each(|pair| pair.send(&frame));
    for _ in 0..20 * 60 {
        stalled = stalled.and_then(|mut pair| pair.run().is_pending().then_some(pair));
        assert!(pairs.iter_mut().all(|pair| pair.run().is_pending()));
        advance(Duration::from_millis(50)).await;
    }
    assert!(stalled.is_none());
    assert!(pairs.iter().all(|pair| pair.driver.handler.handled == 1));
}

#[tokio::test(start_paused = true)]
async fn one_of_level_three_is_slowed_down_and_never_stopped() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.driver.handler.keeps = true;
    for _ in 0..60 {
        pair.send(&request(MIB));
    }
    assert!(pair.run().is_pending());
    let soft = pair.conn.inbound.account().soft_share();
    assert!(pair.conn.inbound.bytes() >= soft && pair.unread() > 0);
    // Whenever it comes to read: a write of 3.0.1 fails that finds no room for a second, and there
    // is none before a third of the sender's buffer of up to 4 MiB is free.
    let mut before = pair.unread();
    for late in [125, 250, 1000, 625].into_iter().cycle() {
        advance(Duration::from_millis(late as u64)).await;
        assert!(pair.run().is_pending());
        let now = pair.unread();
        assert_eq!(before - now, before.min(4 * MIB * late / 1000), "after {late} ms");
        before = now;
        if before == 0 {
            break;
        }
    }
    pair.driver.handler.kept.clear();
    pair.send(&request(10));
    assert!(pair.run().is_pending());
    assert_eq!((pair.driver.handler.handled, pair.unread()), (61, 0));
}

/// Requests that are small, so that each is there as soon as it is read, and never end.
#[tokio::test(start_paused = true)]
async fn one_that_is_read_on_is_ended_for_a_backlog_when_there_is_no_memory_for_it() {
    for (level, asks_only) in [(Level::FOUR, false), (Level::THREE, false), (Level::FOUR, true)] {
        let budget = Budget::new(16 * MIB, 1.0, 100, MIB);
        let (mut flood, mut other) = (Pair::new(&budget, level), Pair::new(&budget, level));
        (flood.driver.handler.keeps, flood.driver.handler.asks_only) = (true, asks_only);
        let (many, mut ended) = (request(200).repeat(10_000), None);
        for _ in 0..600 {
            if flood.unread() < MIB {
                flood.send(&many);
            }
            if let Poll::Ready(reason) = flood.run() {
                ended = Some(reason);
                break;
            }
            other.send(&request(10));
            assert!(other.run().is_pending(), "it is none of the other's doing");
            assert!(budget.held_bytes() < budget.most_held() + 4 * MIB, "{}", budget.held_bytes());
            advance(SECOND).await;
        }
        match ended {
            None => assert!(level == Level::FOUR && asks_only, "it can be stopped"),
            Some(Disconnected::Limit { what, .. }) => assert!(what.contains("`budget_bytes`"), "{what}"),
            Some(reason) => panic!("{reason}"),
        }
    }
}

/// All of them wait for a worker for ever, so that not all can be taken.
#[tokio::test(start_paused = true)]
async fn of_uploads_that_cannot_wait_the_last_comers_go_and_those_near_their_end_finish() {
    let budget = Budget::new(16 * MIB, 1.0, 100, 12 * MIB);
    let frame = request(12 * MIB - 100);
    let mut pairs: Vec<_> = (0..8).map(|_| Some(Pair::new(&budget, Level::THREE))).collect();
    let mut reasons = Vec::new();
    for step in 0..400_usize {
        for (n, slot) in pairs.iter_mut().enumerate() {
            let Some(pair) = slot else { continue };
            pair.driver.handler.keeps = true;
            // Each comes a second after the one before, and all are as quick.
            let begun = 8 * n;
            if let Some(piece) = step.checked_sub(begun).and_then(|n| frame.chunks(512 * 1024).nth(n)) {
                pair.send(piece);
            }
            if let Poll::Ready(reason) = pair.run() {
                reasons.push((n, reason));
                *slot = None;
            }
        }
        // With the one that came from the reserve.
        let held = budget.held_bytes();
        assert!(held <= budget.most_held() + 13 * MIB, "{held}");
        advance(Duration::from_millis(125)).await;
    }
    let finished: Vec<_> =
        pairs.iter().map(|pair| pair.as_ref().is_some_and(|pair| pair.driver.handler.handled == 1)).collect();
    let taken = finished.iter().filter(|taken| **taken).count();
    assert!(taken >= 3 && finished[..taken].iter().all(|taken| *taken), "{finished:?} {reasons:?}");
    assert_eq!(reasons.len(), 8 - taken);
    for (n, reason) in reasons {
        let Disconnected::Limit { what, size, limit } = reason else { panic!("{n}: {reason}") };
        assert!(what.contains("budget_bytes") && size > limit && limit == 40 * MIB, "{n}: {what} {size} {limit}");
    }
}

/// Those who wait hold more, and are no reason to end nobody.
#[tokio::test(start_paused = true)]
async fn those_who_wait_do_not_keep_the_last_comers() {
    let budget = Budget::new(16 * MIB, 1.0, 100, 12 * MIB);
    let mut patient = Pair::new(&budget, Level::FOUR);
    patient.driver.handler.asks_only = false;
    patient.driver.handler.keeps = true;
    (0..6).for_each(|_| patient.send(&request(MIB)));
    patient.send(&request(11 * MIB)[..8 * MIB]);
    let mut uploads: Vec<_> = (0..6).map(|_| Pair::new(&budget, Level::THREE)).collect();
    let mut ended = 0;
    for _ in 0..100 {
        assert!(patient.run().is_pending());
        uploads.retain_mut(|pair| {
            pair.driver.handler.keeps = true;
            pair.send(&request(12 * MIB - 100)[..MIB]);
            let lives = pair.run().is_pending();
            ended += usize::from(!lives);
            lives
        });
        assert!(budget.held_bytes() <= budget.most_held() + 2 * MIB);
        advance(Duration::from_millis(125)).await;
    }
    assert!(ended > 0);
}

#[tokio::test(start_paused = true)]
async fn a_role_hears_when_there_is_room() {
    let mut pair = Pair::new(&budget(), Level::FOUR);
    pair.conn.send_parts(Class::Answer, &vec![7; MIB], None).unwrap();
    pair.conn.ask_for_room();
    assert!(pair.run().is_pending());
    assert_eq!(pair.driver.handler.rooms, 0);
    pair.take(usize::MAX);
    assert!(pair.run().is_pending());
    assert_eq!(pair.driver.handler.rooms, 1);
}

#[tokio::test(start_paused = true)]
async fn long_turns_come_one_by_one_and_short_ones_between_them() {
    let (budget, line) = (budget(), LongTurns::of(1, 1));
    let pair = || Pair::in_line(&budget, Level::THREE, Some(line.clone()));
    let (mut greedy, mut other, mut small) = (pair(), pair(), pair());
    assert!(small.run().is_pending());
    for _ in 0..10_000 {
        greedy.send(&request(10));
        other.send(&request(10));
    }
    let mut handled = |pair: &mut Pair| {
        assert!(pair.turn().is_pending());
        small.send(&request(10));
        let before = small.driver.handler.handled;
        assert!(small.turn().is_pending());
        assert_eq!(small.driver.handler.handled, before + 1, "one that asks little waits for no line");
        pair.driver.handler.handled
    };
    assert_eq!(handled(&mut greedy), 256);
    assert_eq!(handled(&mut other), 0, "the runtime has not looked for others yet");
    assert_eq!(handled(&mut greedy), 256, "it had its turn, the other had none");
    assert_eq!(handled(&mut other), 256);
    assert_eq!(handled(&mut other), 256);
    assert_eq!(handled(&mut greedy), 512);
    // One that ends leaves the line to the others.
    drop(greedy);
    assert!(other.run().is_pending());
    assert_eq!(other.driver.handler.handled, 10_000);
}

/// Three that share a thread: the first has more to do than one turn, the second waits for that,
/// and the third has had nothing to do.
fn three_in_line() -> [Pair; 3] {
    let (budget, line) = (budget(), LongTurns::of(1, 1));
    let [mut first, mut second, third] = [(); 3].map(|()| Pair::in_line(&budget, Level::THREE, Some(line.clone())));
    for _ in 0..10_000 {
        first.send(&request(10));
    }
    second.send(&request(10));
    assert!(first.turn().is_pending() && second.turn().is_pending());
    assert_eq!(second.driver.handler.handled, 0);
    [first, second, third]
}

#[tokio::test(start_paused = true)]
async fn one_that_is_ended_in_the_line_keeps_no_pass() {
    let [mut first, mut ended, mut newcomer] = three_in_line();
    // It is to be told why, and takes nothing.
    ended.conn.send_parts(Class::Notice, &[7; 1000], None).unwrap();
    ended.conn.end(Disconnected::Evicted, true);
    assert!(first.run().is_pending() && ended.run().is_pending() && first.run().is_pending());
    assert_eq!(first.driver.handler.handled, 10_000, "the pass came back");
    newcomer.send(&request(10));
    assert!(newcomer.run().is_pending() && ended.run().is_pending());
    assert_eq!(newcomer.driver.handler.handled, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_let_through_and_is_ended_passes_it_on() {
    let [first, mut ended, mut newcomer] = three_in_line();
    ended.conn.send_parts(Class::Notice, &[7; 1000], None).unwrap();
    drop(first);
    ended.conn.end(Disconnected::Evicted, true);
    assert!(ended.run().is_pending());
    newcomer.send(&request(10));
    assert!(newcomer.run().is_pending());
    assert_eq!(newcomer.driver.handler.handled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_this_end_does_not_come_to_read_is_not_late() {
    let [first, mut second, _] = three_in_line();
    second.driver.handler.open = false;
    second.driver.timers.set(Timer::Handshake, now() + 10 * SECOND);
    for _ in 0..100 {
        assert!(second.run().is_pending());
        advance(SECOND).await;
    }
    // Its turn comes, and the handshake still does not.
    drop(first);
    for _ in 0..10 {
        assert!(second.run().is_pending());
        advance(SECOND).await;
    }
    assert!(matches!(second.run(), Poll::Ready(Disconnected::HandshakeTimeout(_))));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_has_come_is_not_late_because_this_process_is() {
    let header = Header::control(Kind::Handshake, CallId::NONE, false);
    let hello = Frame::new(header, "a", "", "", b"{}", &Limits::default()).unwrap();
    // In time, late by what a busy machine is, and stopped.
    for late in [0, 1, 12, 600] {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.driver.handler.open = false;
        pair.driver.timers.set(Timer::Handshake, now() + 10 * SECOND);
        assert!(pair.run().is_pending());
        pair.send(hello.as_bytes());
        advance((10 + late) * SECOND).await;
        assert!(pair.run().is_pending(), "late by {late} s");
        assert!(pair.driver.handler.open);
        advance(60 * SECOND).await;
        assert!(pair.run().is_pending());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_on_its_way_has_its_time_anew_after_this_process_was_stopped() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.driver.handler.open = false;
    pair.driver.timers.set(Timer::Handshake, now() + 10 * SECOND);
    assert!(pair.run().is_pending());
    advance(600 * SECOND).await;
    for _ in 0..10 {
        assert!(pair.run().is_pending());
        advance(SECOND).await;
    }
    assert!(matches!(pair.run(), Poll::Ready(Disconnected::HandshakeTimeout(_))));
}
