//! The command beside nodes of daffi 3.0.1.

use std::process::Command;

use daffi_testing::{Peer, go_on, python, repository, stand_still};
use serde_json::json;

use crate::support::{Running, run};

#[tokio::test]
async fn it_calls_a_python_service() {
    let service = Peer::service().name("py").start().await;
    let at = service.endpoint();
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    for format in ["json", "msgpack", "pickle"] {
        assert_eq!(
            run(&["call", &at, "echo", "[1,\"a\",null]", "-s", format]).answer(),
            "[1,\"a\",null]\n",
            "{format}"
        );
    }
    assert_eq!(run(&["call", &at, "special", "datetime"]).answer(), "2024-02-29T12:30:15.250000\n");
    assert_eq!(run(&["call", &at, "special", "tuple_keys", "--json"]).json(), json!({"[1,2]": "pair"}));
    assert_eq!(run(&["call", &at, "special", "\"nan\"", "--json"]).json(), json!({"$float": "nan"}));
    assert_eq!(run(&["call", &at, "special", "big_int", "--json"]).answer(), format!("{BIG_INT}\n"));
    assert_eq!(run(&["call", &at, "fail", "on purpose"]).failure(1), "fail on py failed: ValueError: on purpose");
    assert!(run(&["ping", &at]).answer().contains("wire level 3, that of daffi 3.0.1"));
    assert!(run(&["call", &at, "echo", "1", "-s", "postcard"]).failure(2).contains("3.0.1"));
}

/// Whoever chose the receiver, and however little is logged.
#[tokio::test]
async fn headers_that_do_not_reach_a_python_worker_are_told() {
    let router = Running::router();
    let at = router.endpoint();
    let _worker = Peer::client(&at).name("py").worker().expose(&["add"]).start().await;
    router.log("joined");
    let call = ["call", &at, "add", "3", "4", "--header", "tenant=blue"];
    let told = "--header does not reach daffi 3.0.1 nodes: py; what they need is sent as an argument\n";
    for more in [&[][..], &["-q"], &["--wait"], &["-r", "py"]] {
        let ran = run(&[&call[..], more].concat());
        assert_eq!((ran.code, &ran.stdout[..], &*ran.stderr), (Some(0), &b"7\n"[..], told), "{more:?}");
    }
    assert!(router.log("headers are dropped").contains("py"));
    for style in [&["cast"][..], &["nowait"], &["nowait", "--all"]] {
        let ran = run(&[style, &call[1..]].concat());
        // `nowait` logs warnings, too.
        assert!(ran.code == Some(0) && ran.stderr.ends_with(told), "{style:?}: {ran:?}");
    }
    let _demo = Running::worker(&at, "w1");
    router.log("joined node=\"w1\"");
    assert_eq!(run(&[&call[..], &["-r", "w1"]].concat()).answer(), "7\n");
}

/// 2^200 + 1
const BIG_INT: &str = "1606938044258990275541962092341162602522202993782792835301377";

#[tokio::test]
async fn a_demo_service_echoes_what_python_sends() {
    let demo = Running::demo();
    let python = Peer::client(&demo.endpoint()).start().await;
    let names = python.invoke("special_names", json!([])).await;
    for name in names.as_array().unwrap() {
        let special = python.invoke("special", json!([name])).await;
        assert_eq!(python.call("echo", json!([special])).serde("PICKLE").ok().await, special, "{name}");
    }
    assert_eq!(python.call("add", json!([3, 4])).ok().await, 7);
    assert_eq!(python.call("greet", json!(["you"])).serde("JSON").ok().await, "Hello, you!");
    let error = python.call("fail", json!(["on purpose"])).error().await;
    assert_eq!(error.parts(), ("ValueError", "builtins", "on purpose"));
    python.stream("receive_chunk", json!({"$chunks": {"size": 1000, "count": 3}})).ok().await;
    assert_eq!(python.call("received", json!([])).serde("MSGPACK").ok().await, 3000);
}

#[test]
fn a_demo_service_echoes_objects_that_only_python_can_read() {
    let demo = Running::demo();
    let (host, port) = demo.endpoint().strip_prefix("tcp://").unwrap().rsplit_once(':').map(own).unwrap();
    let script = repository().join("daffi/cli/tests/python/echo_objects.py");
    let ran = Command::new(python()).arg(script).args([host, port]).output().unwrap();
    assert!(ran.status.success() && ran.stdout == b"7\n", "{ran:?}");
}

fn own((host, port): (&str, &str)) -> (String, String) {
    (host.to_owned(), port.to_owned())
}

#[tokio::test]
async fn a_demo_worker_serves_behind_a_python_router() {
    let router = Peer::router().start().await;
    let at = router.endpoint();
    let mut worker = Running::start(&["demo", "--connect", &at, "--name", "w1"]);
    worker.log("connected to");
    let python = Peer::client(&at).name("py").worker().expose(&["add", "whoami"]).start().await;
    assert_eq!(python.call("greet", json!(["you"])).ok().await, "Hello, you!");
    assert_eq!(python.call("add", json!([3, 4])).receiver("w1").ok().await, 7);
    assert_eq!(run(&["cast", &at, "add", "3", "4"]).answer(), "py\t7\nw1\t7\n");
    assert_eq!(run(&["call", &at, "whoami"]).answer(), "py\n");
    let members = run(&["members", &at, "--json"]).json();
    let names: Vec<_> = members.as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["w1", "py"], "without the command itself");
    assert!(run(&["ping", &at]).answer().contains("router, 2 members"));
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    python.wait_event("removed", "w1", 1).await;
}

#[tokio::test]
async fn events_of_a_python_router_are_followed() {
    let router = Peer::router().start().await;
    let at = router.endpoint();
    let mut events = Running::start(&["events", &at]);
    let mut lines = Running::start(&["events", &at, "--json"]);
    events.log("following");
    lines.log("following");
    let guest = Peer::client(&at).name("guest").start().await;
    assert!(events.answer("+ added   guest").contains('T'), "with the time");
    let told: serde_json::Value = serde_json::from_str(&lines.answer("guest")).unwrap();
    assert_eq!((&told["event"], &told["member"]), (&json!("added"), &json!("guest")));
    drop(guest);
    events.answer("- removed guest");
    lines.answer("\"removed\"");
    for command in [&mut events, &mut lines] {
        command.signal("INT");
        assert_eq!(command.end().code(), Some(0), "Ctrl-C is how it ends");
    }
}

/// It answers a question that it does not know with silence.
#[tokio::test]
async fn what_no_python_node_tells_is_not_asked_for() {
    let (router, service) = (Peer::router().start().await, Peer::service().name("py").start().await);
    for at in [router.endpoint(), service.endpoint()] {
        for args in [&["top", &at][..], &["top", &at, "--json"], &["members", &at, "--long"]] {
            let ran = run(args);
            let told = format!("a node of daffi 3.0.1 cannot tell this: `daffi members {at}` lists");
            assert!(ran.code == Some(2) && ran.stderr.contains(&told), "{args:?}: {ran:?}");
        }
    }
}

/// It would stay open for ever: its callback runs, its worker is connected, and nobody set a
/// timeout.
#[tokio::test]
async fn a_call_of_python_to_a_worker_that_stands_still_ends() {
    let router = Running::router();
    let at = router.endpoint();
    let worker = Running::worker(&at, "w1");
    let python = Peer::client(&at).name("py").start().await;
    python.wait_for_members(&["w1"]).await;
    assert_eq!(python.call("add", json!([3, 4])).ok().await, 7);
    stand_still(worker.pid());
    let error = python.call("add", json!([3, 4])).error().await;
    // 3.0.1 looks at its own list once a second, and may find the worker gone before it reads the
    // answer.
    assert!(["ReceiverGone", "TransmissionFailure"].contains(&error.class.as_str()), "{error}");
    assert!(error.message.contains("w1"), "{error}");
    router.log("does not answer whether it lives");
    router.log("left node=\"w1\"");
    go_on(worker.pid());
    router.log("joined node=\"w1\"");
    python.wait_event("added", "w1", 1).await;
    assert_eq!(python.call("add", json!([3, 4])).timeout(20).ok().await, 7);
}
