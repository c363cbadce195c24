//! Callbacks whose requests of one caller run one after another.

use std::sync::Arc;

use super::*;

fn node(workers: usize) -> (Arc<Desk>, BareNode) {
    let desk = Arc::new(Desk::default());
    let ordered = CallbackOptions::new().ordered();
    let callbacks = vec![
        desk.waits("o", ordered),
        desk.waits("p", ordered),
        desk.quick("plain", ordered),
        desk.waits("free", CallbackOptions::new()),
    ];
    let node = BareNode::new(workers, callbacks);
    (desk, node)
}

#[tokio::test(start_paused = true)]
async fn a_caller_s_requests_wait_for_each_other_and_for_nobody_else_s() {
    let (desk, node) = node(4);
    let (mut a, mut b) = (node.caller("a"), node.caller("b"));
    a.call([("o", "a1"), ("o", "a2"), ("p", "other callback")]);
    b.call([("o", "b1"), ("free", "free")]);
    settle().await;
    assert_eq!(desk.log(), ["a1 began", "other callback began", "b1 began", "free began"]);
    desk.let_go("a2");
    settle().await;
    assert!(desk.log().is_empty());
    desk.let_go("a1");
    settle().await;
    assert_eq!(desk.log(), ["a1 ended", "a2 began", "a2 ended"]);
    assert_eq!(texts(&a.answers(2).await), ["a1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_up_panics_or_fails_lets_the_next_go_on() {
    let (desk, node) = node(4);
    let mut a = node.caller("a");
    let [_, second, _] = a.call([("o", "1"), ("o", "2"), ("o", "3")]);
    settle().await;
    a.cancel(second);
    desk.let_go("1");
    settle().await;
    assert_eq!(desk.log(), ["1 began", "1 ended", "3 began"]);
    desk.let_go("3");
    a.answers(3).await;
    a.call([("plain", "panic"), ("plain", "fail"), ("plain", "4")]);
    let answers = a.answers(3).await;
    assert!(answers[0].1.contains("as it was asked to") && answers[1].1.contains("ValueError"), "{answers:?}");
    assert_eq!(answers[2].1, "4", "each answer before the next");
    until(|| a.conn.inbound.frames() == 0 && node.is_idle()).await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_their_order_hold_no_worker() {
    let (desk, node) = node(2);
    let (mut a, mut b) = (node.caller("a"), node.caller("b"));
    a.call([("o", "a1"), ("o", "a2"), ("o", "a3"), ("o", "a4")]);
    b.call([("o", "b1")]);
    settle().await;
    assert_eq!(desk.log(), ["a1 began", "b1 began"]);
    a.leave();
    desk.let_go("a1");
    desk.let_go("b1");
    settle().await;
    assert_eq!(desk.log(), ["a1 ended", "b1 ended"], "what waited of one that left does not run");
    settle().await;
    assert!(node.is_idle() && a.conn.inbound.frames() == 0);
}

#[tokio::test(start_paused = true)]
async fn one_worker_alone_needs_no_order_and_keeps_it() {
    let (desk, node) = node(1);
    let mut a = node.caller("a");
    a.call([("o", "1"), ("plain", "2"), ("p", "3"), ("plain", "4")]);
    settle().await;
    assert_eq!(desk.log(), ["1 began"]);
    ["1", "3"].iter().for_each(|text| desk.let_go(text));
    assert_eq!(texts(&a.answers(4).await), ["1", "2", "3", "4"]);
    assert_eq!(desk.log(), ["1 ended", "2 ran", "3 began", "3 ended", "4 ran"]);
}
