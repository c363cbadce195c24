//! Requests of callers that take no answers, and those whose arguments find no memory.

use std::sync::Arc;

use super::*;

fn node(workers: usize) -> (Arc<Desk>, BareNode) {
    let desk = Arc::new(Desk::default());
    let (plain, inline) = (CallbackOptions::new(), CallbackOptions::new().inline());
    let node = BareNode::new(workers, vec![desk.quick("inline", inline), desk.quick("plain", plain)]);
    (desk, node)
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_no_answers_waits_without_a_worker_and_goes_on_in_its_order() {
    for name in ["inline", "plain"] {
        let (desk, node) = node(1);
        let (mut deaf, mut other) = (node.caller("deaf"), node.caller("other"));
        deaf.fill();
        deaf.call([(name, "1"), (name, "2")]);
        deaf.call([(name, "3")]);
        settle().await;
        other.call([(name, "other")]);
        assert_eq!(texts(&other.answers(1).await), ["other"]);
        until(|| deaf.conn.is_gated()).await;
        assert_eq!(desk.log(), ["other ran"]);
        // Once it takes them, what came later stands behind what waits.
        deaf.take();
        deaf.call([(name, "4")]);
        assert_eq!(texts(&deaf.answers(4).await), ["1", "2", "3", "4"], "{name}");
        until(|| !deaf.conn.is_gated() && deaf.conn.inbound.frames() == 0 && node.is_idle()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_wants_no_answer_waits_for_no_room_of_its_own() {
    for name in ["inline", "plain"] {
        let (desk, node) = node(1);
        let mut deaf = node.caller("deaf");
        deaf.fill();
        deaf.tell(name, "told");
        until(|| desk.log() == ["told ran"]).await;
        // Behind one that waits it keeps its place.
        deaf.call([(name, "waits")]);
        until(|| deaf.conn.is_gated()).await;
        deaf.tell(name, "behind it");
        settle().await;
        assert!(desk.log().is_empty(), "{name}");
        deaf.take();
        assert_eq!(texts(&deaf.answers(1).await), ["waits"]);
        until(|| deaf.conn.inbound.frames() == 0).await;
        assert_eq!(desk.log(), ["waits ran", "behind it ran"]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_or_leaves_while_it_waits_for_room_never_runs_and_holds_nobody_up() {
    for name in ["inline", "plain"] {
        for leaves in [false, true] {
            let (desk, node) = node(1);
            let (mut deaf, mut other) = (node.caller("deaf"), node.caller("other"));
            deaf.fill();
            let [first, _] = deaf.call([(name, "1"), (name, "2")]);
            until(|| deaf.conn.is_gated()).await;
            settle().await;
            if leaves {
                deaf.leave();
            } else {
                deaf.cancel(first);
                let answers = deaf.answers(2).await;
                assert!(answers[0].1.contains("Cancelled") && answers[1].1 == "2", "{answers:?}");
            }
            until(|| !deaf.conn.is_gated() && deaf.conn.inbound.frames() == 0 && node.is_idle()).await;
            assert_eq!(desk.log(), if leaves { vec![] } else { vec!["2 ran"] }, "{name}");
            other.call([(name, "other")]);
            assert_eq!(texts(&other.answers(1).await), ["other"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_deaf_callers_cost_an_honest_one_nothing() {
    let (desk, node) = node(2);
    let mut deaf: Vec<_> = (0..50).map(|n| node.caller(&format!("deaf{n}"))).collect();
    for caller in &mut deaf {
        caller.fill();
        caller.call([("plain", "x"), ("inline", "y")]);
    }
    let mut honest = node.caller("honest");
    for _ in 0..10 {
        honest.call([("plain", "1"), ("inline", "2")]);
        assert_eq!(honest.answers(2).await.len(), 2);
    }
    assert_eq!(desk.log().len(), 20);
    deaf.iter().for_each(BareCaller::leave);
    until(|| deaf.iter().all(|caller| caller.conn.inbound.frames() == 0)).await;
    assert!(desk.log().is_empty());
}
