//! The line for a worker: its order, and who leaves it.

use std::sync::Arc;

use super::*;
use crate::serve::Callback;

/// A quick callback, so that callers are known: of a newcomer others come first.
fn hello(desk: &Arc<Desk>) -> Callback {
    desk.quick("hello", CallbackOptions::new().inline())
}

/// Something of each of them has run.
fn make_known(desk: &Desk, callers: [&mut BareCaller; 3]) {
    for caller in callers {
        caller.call([("hello", "hello")]);
        caller.take();
    }
    desk.log();
}

#[tokio::test(start_paused = true)]
async fn as_many_run_at_once_as_there_are_workers_and_the_others_in_order() {
    let desk = Arc::new(Desk::default());
    let node = BareNode::new(2, vec![desk.waits("f", CallbackOptions::new())]);
    let (mut a, mut b) = (node.caller("a"), node.caller("b"));
    a.call([("f", "a1"), ("f", "a2"), ("f", "a3")]);
    b.call([("f", "b1")]);
    a.call([("f", "a4")]);
    settle().await;
    assert_eq!(desk.log(), ["a1 began", "a2 began"]);
    for (ends, begins) in [("a2", "a3 began"), ("a1", "b1 began"), ("b1", "a4 began")] {
        desk.let_go(ends);
        settle().await;
        assert_eq!(desk.log(), [format!("{ends} ended"), begins.to_owned()]);
    }
    desk.let_go("a3");
    desk.let_go("a4");
    assert_eq!(texts(&a.answers(4).await), ["a2", "a1", "a3", "a4"]);
    assert_eq!(texts(&b.answers(1).await), ["b1"]);
    settle().await;
    assert!(node.is_idle() && a.conn.inbound.frames() == 0 && a.context.waiting() == 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_quick_runs_where_it_was_read_and_overtakes_nothing_that_waits() {
    let desk = Arc::new(Desk::default());
    let inline = CallbackOptions::new().inline();
    let node = BareNode::new(1, vec![desk.waits("f", CallbackOptions::new()), desk.quick("q", inline)]);
    let mut a = node.caller("a");
    a.call([("q", "1"), ("q", "fail"), ("q", "2")]);
    assert_eq!(desk.log(), ["1 ran", "fail ran", "2 ran"]);
    let answers = a.take();
    assert_eq!(answers.len(), 3, "and is answered there");
    a.call([("f", "3"), ("q", "4"), ("f", "5"), ("q", "6")]);
    settle().await;
    assert_eq!(desk.log(), ["3 began"]);
    desk.let_go("3");
    settle().await;
    assert_eq!(desk.log(), ["3 ended", "4 ran", "5 began"]);
    desk.let_go("5");
    assert_eq!(texts(&a.answers(4).await), ["3", "4", "5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_its_own_caller_s_error_and_frees_its_worker() {
    let desk = Arc::new(Desk::default());
    let inline = CallbackOptions::new().inline();
    let node = BareNode::new(1, vec![desk.quick("here", inline), desk.quick("there", CallbackOptions::new())]);
    let mut a = node.caller("a");
    for name in ["here", "there"] {
        a.call([(name, "1"), (name, "panic"), (name, "2")]);
        let answers = a.answers(3).await;
        assert!(answers[1].1.contains("panic") && answers[1].1.contains("as it was asked to"), "{answers:?}");
        assert_eq!([&*answers[0].1, &*answers[2].1], ["1", "2"]);
    }
    until(|| a.conn.inbound.frames() == 0).await;
    // One that panicked on a reader does not run there again.
    desk.log();
    a.call([("here", "3")]);
    assert_eq!(texts(&a.answers(1).await), ["3"]);
    let stats = node.serving.registry.snapshot().stats();
    assert!(stats.iter().all(|one| one.open == 0 && one.unanswered == 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_in_line_never_runs_and_leaves_its_place() {
    let desk = Arc::new(Desk::default());
    let node = BareNode::new(1, vec![hello(&desk), desk.waits("f", CallbackOptions::new())]);
    let (mut a, mut b, mut c) = (node.caller("a"), node.caller("b"), node.caller("c"));
    make_known(&desk, [&mut a, &mut b, &mut c]);
    a.call([("f", "runs")]);
    let [gives_up, _] = b.call([("f", "given up"), ("f", "b stays")]);
    c.call([("f", "c leaves")]);
    a.call([("f", "last")]);
    settle().await;
    b.cancel(gives_up);
    c.leave();
    let told = b.answers(1).await;
    assert!(told[0].0 == gives_up && told[0].1.contains("Cancelled"), "{told:?}");
    desk.let_go("runs");
    settle().await;
    desk.let_go("b stays");
    desk.let_go("last");
    assert_eq!(texts(&a.answers(2).await), ["runs", "last"]);
    assert_eq!(desk.log(), ["runs began", "runs ended", "b stays began", "b stays ended", "last began", "last ended"]);
    settle().await;
    assert!(node.is_idle());
    let held = [&a, &b, &c].map(|caller| (caller.conn.inbound.frames(), caller.conn.inbound.bytes()));
    assert_eq!(held, [(0, 0); 3]);
    let stats = node.serving.registry.snapshot().stats();
    let counted = stats.iter().find(|one| one.name == "f").unwrap();
    assert_eq!((counted.calls, counted.open, counted.unanswered), (5, 0, 2));
}

/// A callback that reads what comes one by one.
fn sums(desk: &Arc<Desk>) -> Callback {
    let desk = Arc::clone(desk);
    Callback::asynchronous(method("sum"), CallbackOptions::new(), formats(), move |(): (), context| {
        use futures::StreamExt;
        let (desk, mut items) = (Arc::clone(&desk), context.items::<bytes::Bytes, Formats>("sum").unwrap());
        desk.note("sum began".into());
        async move {
            let mut all = Vec::new();
            while let Some(item) = items.next().await {
                let item = item.map_err(crate::serve::remote_error)?;
                desk.note(format!("took {}", String::from_utf8_lossy(&item)));
                all.extend_from_slice(&item);
            }
            Ok(String::from_utf8_lossy(&all).into_owned())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_an_argument_lets_others_have_its_worker_and_comes_back_in_line() {
    let desk = Arc::new(Desk::default());
    let node = BareNode::new(1, vec![hello(&desk), sums(&desk), desk.waits("f", CallbackOptions::new())]);
    let (mut a, mut b, mut c) = (node.caller("a"), node.caller("b"), node.caller("c"));
    make_known(&desk, [&mut a, &mut b, &mut c]);
    let id = a.call_with_items("sum");
    settle().await;
    b.call([("f", "1"), ("f", "2")]);
    settle().await;
    assert_eq!(desk.log(), ["sum began", "1 began"]);
    a.item(id, b"x");
    settle().await;
    assert!(desk.log().is_empty(), "all workers are busy");
    desk.let_go("1");
    settle().await;
    assert_eq!(desk.log(), ["1 ended", "2 began"], "it stands behind the one that came before its argument");
    desk.let_go("2");
    settle().await;
    assert_eq!(desk.log(), ["2 ended", "took x"]);
    a.item(id, b"y");
    a.item(id, b"");
    assert_eq!(a.answers(1).await, [(id, "xy".to_owned())]);
    assert!(node.is_idle() && a.conn.inbound.frames() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_killed_lets_nothing_go_on_wherever_it_waits() {
    let desk = Arc::new(Desk::default());
    let options = CallbackOptions::new();
    let callbacks =
        vec![desk.waits("f", options), desk.waits("o", options.ordered()), desk.quick("q", options), sums(&desk)];
    let node = BareNode::new(2, callbacks);
    let [mut a, mut b, mut stuck] = ["a", "b", "stuck"].map(|name| node.caller(name));
    // Waits for an argument, and then for a worker.
    let sum = a.call_with_items("sum");
    settle().await;
    // One runs, the next waits for it, the third has a worker.
    a.call([("o", "runs"), ("o", "waits for the first")]);
    b.call([("f", "has a worker"), ("f", "in line"), ("q", "a function in line")]);
    a.item(sum, b"x");
    // And one waits for room.
    stuck.fill();
    stuck.call([("f", "in line, and then for room")]);
    settle().await;
    assert_eq!(desk.log(), ["sum began", "runs began", "has a worker began"]);
    node.serving.node.life.kill();
    settle().await;
    ["runs", "has a worker"].iter().for_each(|text| desk.let_go(text));
    settle().await;
    until(|| node.is_idle()).await;
    assert!(desk.log().is_empty());
    for caller in [&mut a, &mut b, &mut stuck] {
        assert!(caller.answers_now().await.is_empty());
        assert_eq!((caller.conn.inbound.frames(), caller.conn.inbound.bytes(), caller.conn.is_gated()), (0, 0, false));
    }
    let stats = node.serving.registry.snapshot().stats();
    assert!(stats.iter().all(|one| one.open == 0 && one.unanswered == one.calls), "{stats:?}");
}
