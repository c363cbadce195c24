//! Several endpoints of one network, with commas between them.

use daffi_testing::SocketPath;

use crate::support::{Running, command, finished, run};

/// Two routers, with one worker at both of them.
fn network() -> ([Running; 2], Running) {
    let routers = ["one", "two"].map(|name| Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--name", name]));
    let both = routers.each_ref().map(Running::endpoint).join(",");
    let worker = Running::start(&["demo", "--connect", &both, "--name", "worker"]);
    for router in &routers {
        while !run(&["members", &router.endpoint()]).stdout.windows(6).any(|part| part == b"worker") {
            std::thread::yield_now();
        }
    }
    (routers, worker)
}

#[test]
fn any_endpoint_that_answers_will_do() {
    let ([one, two], worker) = network();
    let nobody = format!("unix://{},", SocketPath::new().path().display());
    for router in [&one, &two] {
        let list = nobody.clone() + &router.endpoint();
        assert_eq!(run(&["call", &list, "add", "3", "4"]).answer(), "7\n");
        assert!(run(&["ping", &list]).answer().starts_with(&router.endpoint()), "it says which one answers");
        assert_eq!(
            finished(command(&["call", "add", "3", "4"]).env("DAFFI_ADDR", &list).spawn().unwrap()).answer(),
            "7\n"
        );
    }
    let both = [one.endpoint(), two.endpoint()].join(",");
    assert!(run(&["members", &both]).answer().contains("worker"));
    drop(worker);
}

#[test]
fn where_none_answers_each_is_named() {
    let nobody = [SocketPath::new(), SocketPath::new()].map(|socket| format!("unix://{}", socket.path().display()));
    let failure = run(&["call", &nobody.join(","), "add", "3", "4"]);
    let text = failure.failure(3);
    assert!(text.starts_with("none of 2 addresses works; ") && nobody.iter().all(|at| text.contains(at)), "{text}");
    for (wrong, says) in [("tcp://127.0.0.1:1,", "endpoint"), ("tcp://127.0.0.1:1,tcp://127.0.0.1:1", "twice")] {
        let refused = run(&["call", wrong, "add"]);
        assert!(refused.failure(2).contains(says), "{refused:?}");
    }
}
