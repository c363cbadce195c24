//! `demo`: how it starts and how it ends.

use std::net::TcpListener;

use daffi_testing::SocketPath;

use crate::support::{Running, command, finished, run};

#[test]
fn it_listens_on_several_endpoints_and_leaves_no_file() {
    let socket = SocketPath::new();
    let mut demo = Running::start(&["demo", "--listen", "tcp://127.0.0.1:0", "-l", &socket.endpoint()]);
    let tcp = demo.answer("tcp://");
    assert_eq!(demo.answer("unix://"), socket.endpoint());
    assert_eq!(run(&["call", &tcp, "add", "3", "4"]).answer(), "7\n");
    assert_eq!(run(&["call", &socket.endpoint(), "add", "3", "4"]).answer(), "7\n");
    assert!(socket.path().exists());
    demo.signal("TERM");
    assert_eq!(demo.end().code(), Some(0));
    assert!(!socket.path().exists());
}

#[test]
fn two_of_them_bear_two_names() {
    let names = [(), ()].map(|()| {
        let demo = Running::start(&["demo", "--listen", "tcp://127.0.0.1:0"]);
        run(&["members", &demo.endpoint(), "--json"]).json()[0]["name"].as_str().unwrap().to_owned()
    });
    assert!(names[0] != names[1] && names.iter().all(|name| name.starts_with("demo-")), "{names:?}");
}

#[test]
fn it_logs_who_joins_and_leaves() {
    let demo = Running::demo();
    run(&["call", &demo.endpoint(), "add", "3", "4", "--name", "visitor"]).answer();
    assert!(demo.log("joined").contains("visitor"));
    assert!(demo.log("left").contains("visitor"));
}

#[test]
fn a_worker_of_two_routers_says_which_it_is_connected_to() {
    let router = Running::router();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, silent) = (router.endpoint(), format!("tcp://{}", silent.local_addr().unwrap()));
    let worker = Running::start(&["demo", "--connect", &format!("{at},{silent}")]);
    assert!(!worker.log("connected to").contains(&silent));
    assert!(worker.log("no connection to").contains(&silent));
}

#[test]
fn what_was_accepted_is_answered_when_it_stops() {
    let mut demo = Running::demo();
    let at = demo.endpoint();
    let call = command(&["call", &at, "sleep", "2"]).spawn().unwrap();
    // The only worker is busy: the call runs.
    while run(&["call", &at, "echo", "1", "--timeout", "0.2"]).code == Some(0) {}
    demo.signal("TERM");
    assert_eq!(finished(call).answer(), "2\n");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn workers_run_at_once() {
    let demo = Running::start(&["demo", "--listen", "tcp://127.0.0.1:0", "--workers", "2"]);
    let at = demo.endpoint();
    let slow = command(&["call", &at, "sleep", "20"]).spawn().unwrap();
    demo.log("joined");
    assert_eq!(run(&["call", &at, "add", "3", "4", "--timeout", "10"]).answer(), "7\n");
    crate::support::signal(&slow, "INT");
    assert_eq!(finished(slow).code, Some(130));
}

#[test]
fn options_that_mean_nothing_where_it_is_are_refused() {
    for (options, named) in [
        (&["-l", "tcp://127.0.0.1:0", "--token-file", "/dev/null"][..], "--token-file belongs to --connect"),
        (&["-l", "tcp://127.0.0.1:0", "--ca", "/dev/null"], "--ca, --pin"),
        (&["-l", "tcp://127.0.0.1:0", "--connect-timeout", "3"], "--connect-timeout belongs to --connect"),
        (
            &["-l", "unix:///tmp/x.sock", "--ws-ping", "3"],
            "--ws-ping has no meaning with unix:///tmp/x.sock: WebSockets",
        ),
        (
            &["-c", "tcp://127.0.0.1:1", "--ws-ping", "3"],
            "--ws-ping has no meaning with tcp://127.0.0.1:1: connections",
        ),
        (&["-c", "tcp://127.0.0.1:1", "--client-ca", "/dev/null"], "belong to --listen"),
        (&["-c", "tcp://127.0.0.1:1", "--tls-key", "/dev/null"], "belong to --listen"),
        (&["-c", "tcp://127.0.0.1:1", "--mode", "660"], "--mode"),
        (&["-c", "tcp://127.0.0.1:1", "--admin-host", "a"], "belong to --listen"),
    ] {
        let outcome = run(&[&["demo"], options].concat());
        let told = outcome.failure(2);
        assert!(told.contains(named), "{options:?}: {told}");
    }
}
