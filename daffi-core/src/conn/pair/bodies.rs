//! Peers beside large bodies that wait for their room.

use std::sync::Weak;

use daffi_wire::NodeName;
use tokio::time::advance;

use super::*;
use crate::conn::{BodyProgress, TakesRoom, Whose, body_line};

/// A body of which nothing comes yet.
#[derive(Debug)]
struct Silent;

impl TakesRoom for Silent {
    fn on_room(&self) {}

    fn progress(&self) -> BodyProgress {
        BodyProgress::default()
    }

    fn on_lost(&self) {}
}

/// Two honest peers live, one that sends and one that takes 10 KB a second, while of two bodies one
/// has the reserve and the other waits for it: neither peer has what it lacks.
#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_the_reserve_hurries_nobody_while_memory_is_free() {
    let budget = Budget::new(256 * MIB, 1.0, 2000, 32 * MIB);
    let sender = budget.open_common();
    // The first part of each, and its first window.
    let _first = sender.charge(2 * 130_000);
    let takes: Arc<Silent> = Arc::new(Silent);
    let _bodies = ["a", "b"].map(|name| {
        let name = NodeName::new(name, &Limits::default()).unwrap();
        let takes: Weak<Silent> = Arc::downgrade(&takes);
        let place = body_line::line_up(&sender, (Whose { conn: 1, name, are_results: false }, 1), 128 * MIB, takes);
        body_line::let_begin(&budget, place.id());
        place
    });
    let (mut up, mut down) = (Pair::new(&budget, Level::FOUR), Pair::new(&budget, Level::FOUR));
    down.conn.send_parts(Class::Answer, &vec![7; 900_000], None).unwrap();
    let frame = request(900_000);
    let (begun, rest) = frame.split_at(400_000);
    up.send(begun);
    for piece in rest.chunks(10_000) {
        up.send(piece);
        assert!(up.run().is_pending() && down.run().is_pending());
        down.take(10_000);
        advance(SECOND).await;
    }
    assert!(budget.used_bytes() < 3 * MIB, "{}", budget.used_bytes());
}

/// It is read at a pace that is enough for whatever has to come, and could keep that up for ever.
#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_what_it_provokes_is_slowed_and_excused_of_nothing() {
    let budget = Budget::new(MIB, 1.0, 4, MIB);
    let mut pair = Pair::new(&budget, Level::FOUR);
    pair.driver.handler.asks_only = false;
    pair.driver.handler.answer = Some(200_000);
    pair.send(&request(10));
    assert!(pair.run().is_pending());
    pair.driver.handler.answer = None;
    for _ in 0..3 {
        pair.send(&request(1000).repeat(4000));
        assert!(pair.run().is_pending());
        assert!(pair.unread() > 0, "it is slowed");
        advance(SECOND).await;
    }
    assert_eq!(pair.conn.times_held_back(), 0);
}
