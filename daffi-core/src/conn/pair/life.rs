//! Whether a peer lives, and how connections end.

use tokio::time::advance;

use super::*;
use crate::conn::{DataFrom, DataKey};

#[tokio::test(start_paused = true)]
async fn idle_peers_are_not_waited_for_when_a_node_stops() {
    for busy in [false, true] {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.take(usize::MAX);
        pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
        assert!(pair.run().is_pending());
        advance(if busy { SECOND / 2 } else { 3 * SECOND }).await;
        assert!(pair.run().is_pending());
        pair.conn.drain();
        if !busy {
            assert!(pair.run().is_ready() && pair.is_shut());
            continue;
        }
        assert!(pair.run().is_pending() && !pair.is_shut(), "its last answer settles");
        advance(SECOND / 5).await;
        assert!(pair.run().is_pending() && !pair.is_shut(), "its caller may have to wait for a processor");
        advance(SECOND / 10).await;
        assert!(pair.run().is_pending() && pair.is_shut(), "it may send its own end");
        advance(2 * SECOND).await;
        assert!(pair.run().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_settled_ends_at_once_and_does_so_when_it_has_arrived() {
    for arrives in [true, false] {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.take(usize::MAX);
        pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
        pair.tell(6, None);
        pair.conn.settle();
        assert!(pair.run().is_pending() && !pair.conn.has_settled());
        advance(SECOND / 8).await;
        assert!(pair.run().is_pending() && !pair.conn.has_settled(), "it is on its way");
        if arrives {
            pair.tell(0, None);
        }
        advance(if arrives { SECOND } else { 2 * SECOND }).await;
        assert!(pair.run().is_pending() && pair.conn.has_settled() && !pair.is_shut());
        pair.conn.drain();
        assert!(pair.run().is_ready() && pair.is_shut());
    }
}

#[tokio::test(start_paused = true)]
async fn the_farewell_is_behind_all_that_waits_and_nothing_is_read_after_it() {
    let mut pair = Pair::new(&budget(), Level::FOUR);
    pair.take(0);
    for id in 1..=4 {
        let key = DataKey { from: DataFrom::Own, id: CallId(id), from_caller: false };
        pair.conn.send_data(key, request(100_000).into()).unwrap();
    }
    let farewell = Ping::Answers(*b"farewell").frame();
    pair.driver.handler.farewell = Some(farewell.clone());
    pair.conn.drain();
    assert!(pair.run().is_pending(), "the peer takes nothing");
    pair.send(&request(10));
    assert!(pair.run().is_pending() && pair.driver.handler.handled == 1, "what comes meanwhile is answered");
    pair.take(usize::MAX);
    while !pair.is_shut() {
        let _ended = pair.run();
    }
    pair.send(&request(10));
    let _ended = pair.run();
    let frames = pair.frames();
    assert_eq!((frames.len(), frames.last(), pair.driver.handler.handled), (5, Some(&farewell), 1));
}

/// Lets so many seconds pass, and gives why the connection ended and after how many.
async fn live(pair: &mut Pair, seconds: u64, mut each: impl FnMut(&Pair, u64)) -> Option<(Disconnected, u64)> {
    for second in 0..seconds {
        each(pair, second);
        if let Poll::Ready(reason) = pair.run() {
            return Some((reason, second));
        }
        advance(SECOND).await;
    }
    None
}

fn answer() -> Vec<u8> {
    Ping::Answers(*b"12345678").frame().as_bytes().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_dead_way_ends_a_connection_while_something_is_unacknowledged() {
    for level in [Level::THREE, Level::FOUR] {
        let mut pair = Pair::new(&budget(), level);
        pair.take(usize::MAX);
        pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
        let dies = |pair: &Pair, second| pair.tell(6, Some(Duration::from_secs(second)));
        let (reason, after) = live(&mut pair, 60, dies).await.expect("nobody is there any more");
        assert!(matches!(reason, Disconnected::Unreachable(_)), "{reason}");
        assert!((25..30).contains(&after), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_and_one_that_hears_from_its_peer_cost_no_look_at_the_way() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.take(usize::MAX);
    assert!(live(&mut pair, 60, |_, _| {}).await.is_none());
    assert_eq!(pair.looks(), 0);
    let talks = |pair: &Pair, _| {
        pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
        pair.send(&request(10));
        pair.take(usize::MAX);
    };
    assert!(live(&mut pair, 60, talks).await.is_none());
    assert_eq!(pair.looks(), 0);
    assert!(live(&mut pair, 60, |_, _| {}).await.is_none());
    assert_eq!((pair.looks(), pair.driver.timers.next()), (1, None), "all is acknowledged");
}

/// A system takes more of what waits once a third of a large buffer is free, which a slow reader
/// makes in minutes. What the host of the reader has taken is known meanwhile.
#[tokio::test(start_paused = true)]
async fn a_steady_reader_of_which_only_the_system_tells_lives_and_a_deaf_one_is_ended() {
    for bytes_a_second in [2000, 500, 0] {
        let mut pair = Pair::new(&budget(), Level::THREE);
        pair.conn.send_parts(Class::Answer, &vec![0; 2 << 20], None).unwrap();
        pair.take(1 << 20);
        let reads = |pair: &Pair, second: u64| {
            let taken = usize::try_from(bytes_a_second * second).unwrap();
            pair.tell((1 << 20) - taken, None);
        };
        let ended = live(&mut pair, 300, reads).await;
        if bytes_a_second == 2000 {
            assert!(ended.is_none(), "{ended:?}");
        } else {
            let (reason, after) = ended.expect("it takes next to nothing");
            assert!(matches!(reason, Disconnected::SlowPeer { .. }), "{reason}");
            assert!((60..62).contains(&after), "{after}");
        }
    }
}

/// A host that was suspended, with this node, has not had the time to acknowledge anything.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_stopped_blames_no_way() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.take(usize::MAX);
    pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
    pair.tell(6, None);
    assert!(live(&mut pair, 4, |_, _| {}).await.is_none());
    pair.tell(6, Some(Duration::from_secs(60)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(pair.run().is_pending());
    pair.tell(0, None);
    assert!(live(&mut pair, 60, |_, _| {}).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_its_window_closed_is_left_as_long_as_its_host_answers() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.take(usize::MAX);
    pair.conn.send_parts(Class::Answer, b"answer", None).unwrap();
    pair.tell(6, None);
    assert!(live(&mut pair, 3600, |_, _| {}).await.is_none());
    let (_, after) = live(&mut pair, 60, |pair, second| pair.tell(6, Some(Duration::from_secs(second)))).await.unwrap();
    assert!(after < 31, "looked at as long as something is unacknowledged: {after}");
}

/// Whether what was sent before lies in buffers on the way, which the system takes at first, or
/// here.
#[tokio::test(start_paused = true)]
async fn one_that_holds_this_end_back_lives_and_one_that_stands_still_is_ended() {
    for room in [usize::MAX, 1_000] {
        let stuck = || {
            let pair = Pair::new(&budget(), Level::FOUR).asking();
            pair.take(room);
            pair.conn.send_parts(Class::Answer, &vec![7; 10_000], None).unwrap();
            pair
        };
        let unread = |pair: &Pair| pair.tell(usize::try_from(pair.conn.outbox.bytes_written()).unwrap(), None);
        let holds = |pair: &Pair, second: u64| {
            unread(pair);
            if second.is_multiple_of(5) {
                pair.send(&answer());
            }
        };
        let mut pair = stuck();
        let ended = live(&mut pair, 50, holds).await;
        assert!(ended.is_none() && !pair.conn.is_stopped(), "{ended:?}");
        let (reason, after) = live(&mut stuck(), 59, |pair, _| unread(pair)).await.expect("it gives no sign of life");
        assert!(matches!(reason, Disconnected::Silent(_)) && after < 45, "{reason} after {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_this_end_holds_back_hears_that_it_lives() {
    let mut pair = Pair::new(&Budget::new(16 * MIB, 1.0, 100, 12 * MIB), Level::FOUR).asking();
    pair.driver.handler.keeps = true;
    pair.take(usize::MAX);
    for _ in 0..20 {
        pair.send(&request(MIB));
    }
    let mut signs = 0;
    let count = |pair: &Pair, _| {
        for frame in pair.frames() {
            assert!(matches!(Ping::read(&frame), Ok(Ping::Answers(_))), "who does not read asks nobody");
            signs += 1;
        }
    };
    assert!(live(&mut pair, 600, count).await.is_none());
    assert!(pair.unread() > 0);
    assert!(signs >= 100, "one in five seconds: {signs}");
    // One that takes nothing is told nothing more.
    pair.take(0);
    assert!(live(&mut pair, 600, |_, _| {}).await.is_none_or(|(reason, _)| !matches!(reason, Disconnected::Silent(_))));
    assert!(pair.conn.outbox.bytes() < 100, "{}", pair.conn.outbox.bytes());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_travels_slowly_behind_other_bytes_is_waited_for() {
    let mut pair = Pair::new(&budget(), Level::FOUR).asking();
    pair.take(usize::MAX);
    pair.conn.send_parts(Class::Answer, &vec![7; 4 * MIB], None).unwrap();
    // All of it is in the system's buffers at once, and 20 KiB/s travel.
    let travels = |pair: &Pair, second: u64| {
        let sent = usize::try_from(pair.conn.outbox.bytes_written()).unwrap();
        pair.tell(sent.saturating_sub(20 * 1024 * usize::try_from(second).unwrap()), None);
    };
    let (reason, after) = live(&mut pair, 400, travels).await.expect("it never answers");
    assert!(matches!(reason, Disconnected::Silent(_)) && (200..250).contains(&after), "{reason} after {after}");
}

/// A clock of reading that comes when nobody reads any more wakes the driver once, and not without
/// end.
#[tokio::test(start_paused = true)]
async fn the_clocks_of_one_that_is_ended_let_it_rest() {
    let mut pair = Pair::new(&budget(), Level::THREE);
    pair.driver.handler.keeps = true;
    for _ in 0..60 {
        pair.send(&request(MIB));
    }
    pair.conn.send_parts(Class::Answer, b"an answer", None).unwrap();
    pair.take(usize::MAX);
    assert!(pair.run().is_pending() && pair.unread() > 0, "it is read slowly");
    pair.take(0);
    pair.conn.send_parts(Class::Answer, &[7; 100_000], None).unwrap();
    pair.conn.end(Disconnected::Stopped, true);
    for _ in 0..30 {
        // Few enough that the runtime does not make it rest.
        assert!((0..10).any(|_| pair.rests()), "what waits is to be written");
        advance(SECOND).await;
    }
    pair.take(usize::MAX);
    while pair.run().is_pending() {
        advance(SECOND).await;
    }
}
