//! How a driver reads, writes and holds back.

use tokio::time::advance;

use super::*;

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
    let mut before = pair.unread();
    while before > 0 {
        advance(Duration::from_millis(500)).await;
        assert!(pair.run().is_pending());
        let now = pair.unread();
        assert_eq!(before - now, before.min(512 * 1024));
        before = now;
    }
    pair.driver.handler.kept.clear();
    pair.send(&request(10));
    assert!(pair.run().is_pending());
    assert_eq!((pair.driver.handler.handled, pair.unread()), (61, 0));
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
