//! Plain functions on threads that may block.

use std::sync::Arc;

use tokio::runtime;

use super::*;

fn node(workers: usize) -> (Arc<Desk>, BareNode) {
    let desk = Arc::new(Desk::default());
    let options = CallbackOptions::new();
    let callbacks = vec![desk.blocks("b", options), desk.quick("q", options), desk.waits("f", options)];
    let node = BareNode::new(workers, callbacks);
    (desk, node)
}

#[tokio::test]
async fn one_thread_takes_the_next_function_of_any_caller_in_the_order_of_the_line() {
    let (desk, node) = node(1);
    let (mut a, mut b) = (node.caller("a"), node.caller("b"));
    a.call([("b", "a1"), ("q", "a2")]);
    b.call([("q", "b1"), ("f", "b2"), ("q", "b3")]);
    until(|| !desk.log_is_empty()).await;
    settle().await;
    assert_eq!(desk.log(), ["a1 began"]);
    desk.let_go("b2");
    desk.let_go("a1");
    assert_eq!(texts(&a.answers(2).await), ["a1", "a2"]);
    assert_eq!(texts(&b.answers(3).await), ["b1", "b2", "b3"]);
    assert_eq!(desk.log(), ["a1 ended", "a2 ran", "b1 ran", "b2 began", "b2 ended", "b3 ran"]);
    until(|| node.is_idle() && a.conn.inbound.frames() + b.conn.inbound.frames() == 0).await;
}

#[tokio::test]
async fn functions_that_block_run_as_many_at_once_as_there_are_workers() {
    let (desk, node) = node(3);
    let mut a = node.caller("a");
    a.call(["1", "2", "3", "4", "5"].map(|text| ("b", text)));
    until(|| desk.log_len() == 3).await;
    settle().await;
    let mut began = desk.log();
    began.sort_unstable();
    assert_eq!(began, ["1 began", "2 began", "3 began"]);
    desk.let_go("2");
    until(|| desk.log_len() == 2).await;
    assert_eq!(desk.log(), ["2 ended", "4 began"]);
    ["1", "3", "4", "5"].iter().for_each(|text| desk.let_go(text));
    assert_eq!(a.answers(5).await.len(), 5);
    until(|| node.is_idle()).await;
}

#[tokio::test]
async fn what_is_given_up_in_line_or_on_a_killed_node_does_not_run_and_is_counted() {
    for kills in [false, true] {
        let (desk, node) = node(1);
        let (mut a, mut b) = (node.caller("a"), node.caller("b"));
        a.call([("b", "runs")]);
        until(|| !desk.log_is_empty()).await;
        let [waits] = b.call([("q", "waits")]);
        if kills {
            node.serving.node.life.kill();
        } else {
            b.cancel(waits);
        }
        desk.let_go("runs");
        until(|| node.is_idle()).await;
        assert_eq!(desk.log(), ["runs began", "runs ended"]);
        assert_eq!((a.conn.inbound.frames(), b.conn.inbound.frames()), (0, 0));
        // One that ran to its end has its answer, also on a node that was killed meanwhile.
        assert_eq!(texts(&a.answers(1).await), ["runs"]);
        let stats = node.serving.registry.snapshot().stats();
        let quick = stats.iter().find(|one| one.name == "q").unwrap();
        assert_eq!((quick.calls, quick.open, quick.unanswered), (1, 0, 1));
    }
}

#[tokio::test]
async fn behind_a_layer_a_function_runs_on_after_its_caller_and_keeps_its_worker() {
    let desk = Arc::new(Desk::default());
    let callbacks = vec![desk.blocks("b", CallbackOptions::new()), desk.quick("q", CallbackOptions::new())];
    let node = BareNode::layered(1, callbacks, crate::serve::CallbackService::from_service);
    let (mut a, mut b) = (node.caller("a"), node.caller("b"));
    let [runs] = a.call([("b", "runs")]);
    until(|| !desk.log_is_empty()).await;
    b.call([("q", "next"), ("q", "panic")]);
    a.cancel(runs);
    assert!(a.answers(1).await[0].1.contains("Cancelled"));
    settle().await;
    assert_eq!(desk.log(), ["runs began"]);
    desk.let_go("runs");
    let answers = b.answers(2).await;
    assert!(answers[0].1 == "next" && answers[1].1.contains("as it was asked to"), "{answers:?}");
    until(|| node.is_idle() && b.conn.inbound.frames() == 0).await;
}

/// The runtime of a node ends, and with it the threads for all functions.
#[test]
fn without_a_runtime_nothing_runs_and_whoever_waits_is_told() {
    let home = runtime::Builder::new_current_thread().build().unwrap();
    let (desk, node) = {
        let _within = home.enter();
        node(1)
    };
    let (mut a, mut b) = (node.caller("a"), node.caller("b"));
    drop(home);
    let other = runtime::Builder::new_current_thread().build().unwrap();
    other.block_on(async {
        b.call([("f", "runs")]);
        settle().await;
        a.call([("q", "1"), ("q", "2")]);
        let [waits] = b.call([("f", "waits")]);
        settle().await;
        // The worker is passed on to a function for which there is no thread any more.
        desk.let_go("runs");
        let answers = b.answers(2).await;
        assert_eq!(answers[0].1, "runs");
        assert!(answers[1].0 == waits && answers[1].1.contains("the node stopped before the callback ran"));
        a.call([("q", "3")]);
        until(|| node.is_idle()).await;
        assert_eq!(desk.log(), ["runs began", "runs ended"]);
        assert_eq!((a.conn.inbound.frames(), b.conn.inbound.frames()), (0, 0));
    });
}

#[tokio::test]
async fn small_requests_that_wait_keep_no_read_buffer_alive() {
    let (desk, node) = node(1);
    let mut a = node.caller("a");
    a.call([("b", "runs")]);
    let header =
        daffi_wire::Header::new(daffi_wire::Kind::Request, CallId(9), daffi_wire::FormatId::OPAQUE, true, true);
    for name in ["q", "f"] {
        let limits = daffi_wire::Limits::default();
        let frame = daffi_wire::Frame::new(header, "a", "node", name, b"waits", &limits).unwrap();
        let read = bytes::Bytes::from(frame.as_bytes().repeat(10));
        let one = read.slice(..frame.as_bytes().len());
        a.handle(daffi_wire::Frame::from_message(one, &limits).unwrap());
        a.settle();
        settle().await;
        assert!(read.is_unique(), "{name}");
    }
    ["runs", "waits"].iter().for_each(|text| desk.let_go(text));
    a.answers(3).await;
}
