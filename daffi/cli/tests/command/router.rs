//! `router`, and the other commands behind one.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::{MetadataExt, PermissionsExt},
    thread,
    time::Duration,
};

use daffi_testing::{Certificate, Peer, SocketPath};
use rustix::{
    net::sockopt::set_socket_linger,
    process::{Pid, Signal, kill_process},
};
use serde_json::json;

use crate::{
    support::{Running, command, finished, run},
    watched::Watched,
};

#[test]
fn it_joins_those_who_connect() {
    let router = Running::router();
    let at = router.endpoint();
    let _workers = ["w1", "w2"].map(|name| Running::worker(&at, name));
    router.log("joined node=\"w1\"");
    router.log("joined node=\"w2\"");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    assert_eq!(run(&["call", &at, "greet", "you", "-r", "w2"]).answer(), "Hello, you!\n");
    assert_eq!(run(&["cast", &at, "add", "3", "4"]).answer(), "w1\t7\nw2\t7\n");
    assert_eq!(run(&["cast", &at, "add", "3", "4", "-r", "w2", "--json"]).json(), json!({"w2": {"ok": 7}}));
    assert_eq!(run(&["nowait", &at, "receive_chunk", "hello", "--all"]).answer(), "");
    assert_eq!(run(&["cast", &at, "received"]).answer(), "w1\t5\nw2\t5\n");
    assert_eq!(run(&["stream", &at, "receive_chunk", "Cargo.toml", "-r", "w1", "-c", "1KiB"]).answer(), "");
    let bytes = std::fs::metadata("Cargo.toml").unwrap().len();
    assert_eq!(run(&["call", &at, "received", "-r", "w1"]).answer(), format!("{}\n", bytes + 5));
    let members = run(&["members", &at]);
    assert!(members.answer().lines().skip(1).all(|line| line.contains("add, greet, sleep")), "{members:?}");
    let ping = run(&["ping", &at]);
    assert!(ping.answer().contains("\nrouter, 2 members\nwire level 4\n"), "{ping:?}");
    let missing = run(&["call", &at, "add", "1", "2", "-r", "w3"]);
    assert!(missing.failure(1).starts_with("w3 is not a member that exposes add"), "{missing:?}");
}

#[test]
fn events_tell_who_comes_and_goes() {
    let router = Running::router();
    let at = router.endpoint();
    let events = Running::start(&["events", &at, "--json"]);
    events.log("following");
    let mut worker = Running::worker(&at, "w1");
    events.answer(r#""event":"added","member":"w1""#);
    worker.signal("TERM");
    assert_eq!(worker.end().code(), Some(0));
    events.answer(r#""event":"removed","member":"w1""#);
    router.log("left node=\"w1\"");
}

#[test]
fn nobody_hears_of_those_who_look() {
    let router = Running::router();
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    let events = Running::start(&["events", &at, "--json", "--name", "follower"]);
    events.log("following");
    // Under the name of a member, which keeps it and is listed.
    assert!(run(&["members", &at, "--name", "w1"]).answer().contains("w1  "));
    assert_eq!(run(&["ping", &at, "-n", "3", "--json"]).json()["members"], json!(["w1", "follower"]));
    let _late = Running::worker(&at, "w2");
    events.answer(r#""member":"w2""#);
    router.log("joined node=\"w2\"");
    assert!(!events.told().contains("cli-") && !events.told().contains("w1"), "{}", events.told());
    assert!(!router.told().contains("cli-"), "{}", router.told());
    assert!(!router.told().contains("left") && !router.told().contains("evicted"), "{}", router.told());
}

#[test]
fn a_second_node_of_a_name_evicts_the_first() {
    let router = Running::router();
    let at = router.endpoint();
    let mut first = Running::worker(&at, "twin");
    let _second = Running::worker(&at, "twin");
    assert_eq!(first.end().code(), Some(3));
    assert_eq!(first.log("error:"), "error: a newer connection took the name twin: choose another --name");
}

#[test]
fn sigterm_drains_it_and_leaves_no_socket_file() {
    let socket = SocketPath::new();
    let mut router = Running::start(&["router", "-l", &socket.endpoint(), "-l", "tcp://127.0.0.1:0"]);
    let at = router.answer("tcp://");
    assert_eq!(router.answer("unix://"), socket.endpoint());
    let worker = Running::start(&["demo", "--connect", &socket.endpoint(), "--workers", "2"]);
    worker.log("connected to");
    let calls = [&at, &socket.endpoint()].map(|at| command(&["call", at, "sleep", "3"]).spawn().unwrap());
    // The worker runs two calls at a time: both do once this one has to wait.
    while run(&["call", &at, "echo", "1", "--timeout", "0.2"]).code == Some(0) {}
    router.signal("TERM");
    for call in calls {
        assert_eq!(finished(call).answer(), "3\n");
    }
    assert_eq!(router.end().code(), Some(0));
    assert!(!socket.path().exists());
}

#[test]
fn nodes_come_back_to_a_router_that_was_started_again() {
    let socket = SocketPath::new();
    let at = socket.endpoint();
    let start = || Running::start(&["router", "--listen", &at]);
    let mut first = start();
    first.endpoint();
    let _worker = Running::worker(&at, "w1");
    let events = Running::start(&["events", &at, "--name", "follower"]);
    events.log("following");
    first.signal("TERM");
    assert_eq!(first.end().code(), Some(0));
    events.log("connection lost; reconnecting");
    // With the cause, of which the first half says nothing.
    // Until the socket is gone it may be there without a router.
    let cause = events.log("no connection yet");
    assert!(["No such file or directory", "Connection refused"].iter().any(|error| cause.contains(error)), "{cause}");
    let second = start();
    events.log("connected again");
    second.log("joined node=\"w1\"");
    second.log("joined node=\"follower\"");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    let _late = Running::worker(&at, "w2");
    events.answer("+ added   w2");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut router = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--grace", "1000"]);
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    let call = command(&["call", &at, "sleep", "1000", "--timeout", "none"]).spawn().unwrap();
    while run(&["call", &at, "echo", "1", "--timeout", "0.2"]).code == Some(0) {}
    router.signal("INT");
    router.log("stopping");
    // What comes at once is no second one: until it is.
    while router.is_running() {
        router.signal("INT");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(router.end().code(), Some(130));
    assert_eq!(finished(call).code, Some(3), "it says that the connection was lost");
}

/// `timeout` sends SIGTERM to its child and then to its group.
#[test]
fn two_signals_at_once_are_one_wish() {
    let mut router = Running::router();
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    let call = command(&["call", &at, "sleep", "1", "--timeout", "none"]).spawn().unwrap();
    while run(&["call", &at, "echo", "1", "--timeout", "0.2"]).code == Some(0) {}
    let process = Pid::from_raw(router.pid().cast_signed()).unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        kill_process(process, signal).unwrap();
    }
    assert_eq!(finished(call).answer(), "1\n");
    assert_eq!(router.end().code(), Some(0));
}

#[test]
fn calls_that_are_cut_off_are_counted() {
    let mut router = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--grace", "100ms"]);
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    let mut demo = Running::start(&["demo", "-l", "tcp://127.0.0.1:0", "--grace", "0.1"]);
    let service = demo.endpoint();
    for (node, at) in [(&mut router, at), (&mut demo, service)] {
        let call = command(&["call", &at, "sleep", "1000", "--timeout", "none"]).spawn().unwrap();
        while run(&["call", &at, "echo", "1", "--timeout", "0.2"]).code == Some(0) {}
        node.signal("TERM");
        assert_eq!(node.end().code(), Some(6), "{}", node.told());
        assert!(node.log("error: ").contains(" not answered when --grace was over"), "{}", node.told());
        assert_ne!(finished(call).code, Some(0));
    }
}

#[test]
fn who_may_connect_to_a_unix_socket_is_said() {
    let group = rustix::process::getgid().as_raw();
    for node in ["router", "demo"] {
        let socket = SocketPath::new();
        let at = socket.endpoint();
        let node = Running::start(&[node, "-l", &at, "--mode", "640", "--group", &group.to_string()]);
        node.endpoint();
        let file = fs::metadata(socket.path()).unwrap();
        assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o640, group));
        assert_eq!(run(&["ping", &at]).code, Some(0));
    }
    let socket = SocketPath::new();
    let at = socket.endpoint();
    for (more, words) in [
        (&["-l", &at, "--mode", "888"][..], "three digits from 0 to 7"),
        (&["-l", &at, "--group", "no-such-group"], "there is no group no-such-group"),
        (&["-l", "tcp://127.0.0.1:0", "--mode", "660"], "there is no --listen unix:///PATH"),
    ] {
        let ran = run(&[&["router"][..], more].concat());
        assert!(ran.code == Some(2) && ran.stderr.contains(words), "{ran:?}");
    }
    assert!(!socket.path().exists());
}

#[test]
fn an_orderly_end_of_a_websocket_is_no_warning() {
    let mut router = Running::router();
    let at = router.endpoint().replace("tcp://", "ws://");
    for _ in 0..5 {
        let mut worker = Running::worker(&at, "w1");
        assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
        worker.signal("TERM");
        assert_eq!(worker.end().code(), Some(0));
    }
    router.signal("TERM");
    router.end();
    assert!(router.told().contains("joined") && !router.told().contains("WARN"), "{}", router.told());
}

#[test]
fn a_stranger_cannot_fill_the_log() {
    const STRANGERS: usize = 3000;
    const SAYS: &str = "a connection was not opened";
    let router = Running::router();
    let at = router.endpoint();
    for _ in 0..STRANGERS {
        TcpStream::connect(at.strip_prefix("tcp://").unwrap()).unwrap().write_all(b"no").unwrap();
    }
    let of_kind = |line: &&String| line.contains("lines of one kind were left out") && line.contains(SAYS);
    let count =
        |line: &String| line.split("lines=").nth(1).unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
    // The rest is told a little later.
    router.log_until(|lines| {
        let written = lines.iter().filter(|line| line.contains(&format!(" INFO {SAYS}"))).count();
        let left_out: usize = lines.iter().filter(of_kind).map(count).sum();
        assert!(written < STRANGERS / 2, "{written}");
        written + left_out == STRANGERS
    });
}

/// Load balancers knock as often as every second.
#[test]
fn who_only_knocks_is_no_line_of_the_log() {
    let tls = Certificate::localhost();
    let [certificate, key] = [&tls.certificate, &tls.key].map(|file| file.to_str().unwrap());
    let plain = ["router", "--listen", "tcp://127.0.0.1:0"];
    let encrypted = ["router", "--listen", "tls://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
    for (args, said) in [(&plain[..], "the opening bytes failed: the peer closed after 2 of "), (&encrypted, "TLS")] {
        let router = Running::start(args);
        let at = router.endpoint();
        let at = at.split_once("://").unwrap().1;
        for n in 0..10 {
            let stream = TcpStream::connect(at).unwrap();
            // With a reset or a FIN.
            set_socket_linger(&stream, (n % 2 == 0).then_some(Duration::ZERO)).unwrap();
        }
        TcpStream::connect(at).unwrap().write_all(b"no").unwrap();
        let line = router.log("a connection was not opened");
        assert!(line.contains(said), "{line}");
        let lines = router.told_lines();
        assert_eq!(lines.matches("was not opened").count(), 1, "{lines}");
    }
}

#[test]
fn silent_websockets_are_pinged_as_often_as_is_asked() {
    let router = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--ws-ping", "50ms"]);
    let mut page = BufReader::new(asking(&router, "http://127.0.0.1"));
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        page.read_line(&mut line).unwrap();
    }
    let mut ping = [0; 2];
    page.read_exact(&mut ping).unwrap();
    assert_eq!(ping, [0x89, 0]);
    // It answers nothing.
    router.log("no answer to a ping");
    for (option, value) in [("--ws-ping", "3"), ("--allow-origin", "https://app.example")] {
        let refused = run(&["router", "-l", "unix:///tmp/x.sock", option, value]);
        assert!(refused.failure(2).contains(&format!("{option} has no meaning with unix://")), "{refused:?}");
    }
    let refused = run(&["router", "-l", "tcp://127.0.0.1:0", "--ws-ping", "0"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("more than 0"), "{refused:?}");
}

/// A file that a cleaner of temporary directories removes, for one.
#[test]
fn a_socket_whose_file_is_gone_is_told() {
    let socket = SocketPath::new();
    let watched = Watched::start(&["-l", &socket.endpoint()]);
    let router = &watched.router;
    router.answer("unix://");
    assert_eq!(watched.metric("daffi_ready"), 1.0);
    fs::remove_file(socket.path()).unwrap();
    assert!(router.log("the file of the socket was removed or replaced").contains(&socket.endpoint()));
    watched.wait_for("daffi_ready", |ready| ready == 0.0);
    let node = watched.node();
    assert!(node["unready"].as_str().unwrap().contains(&socket.endpoint()), "{node}");
}

#[test]
fn a_socket_in_whatever_directory_the_command_runs_in_is_refused() {
    for command in ["router", "demo"] {
        for at in ["unix://rel", "unix://@abc"] {
            let ran = run(&[command, "-l", at]);
            assert!(ran.code == Some(2) && ran.stderr.contains("listen on unix:///PATH"), "{ran:?}");
        }
    }
}

#[test]
fn its_limits_hold() {
    let router =
        Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--max-frame-bytes", "10KiB", "--max-connections", "2"]);
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    let ran = run(&["call", &at, "echo", &"x".repeat(20 << 10)]);
    assert!(ran.failure(3).contains("closed the connection"), "{ran:?}");
    assert!(router.log("ended a connection").contains("10240"), "{}", router.told());
    for (limit, words) in [
        (["--max-frame-bytes", "32MiB"], "at most 33554431 bytes"),
        (["--max-connections", "0"], "a whole number from 1 to"),
        (["--grace", "soon"], "a number of seconds such as"),
        (["--budget-bytes", "0"], "more than 0"),
        (["--share", "0"], "a number above 0"),
        (["--outbox-bytes", "16M"], "--budget-bytes bounds"),
        (["--inbound-frames", "7"], "--share"),
    ] {
        let ran = run(&[&["router", "-l", "tcp://127.0.0.1:0"][..], &limit].concat());
        assert!(ran.code == Some(2) && ran.stderr.contains(words), "{ran:?}");
    }
}

/// A page that asks for a WebSocket.
fn asking(router: &Running, origin: &str) -> TcpStream {
    let at = router.endpoint();
    let address = at.strip_prefix("tcp://").unwrap();
    let mut page = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
    );
    page.write_all(request.as_bytes()).unwrap();
    page
}

/// What a router answers to it.
fn upgrade(router: &Running, origin: &str) -> String {
    let mut status = String::new();
    BufReader::new(asking(router, origin)).read_line(&mut status).unwrap();
    status
}

#[test]
fn pages_of_allowed_origins_may_connect() {
    let open = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--allow-origin", "https://app.example"]);
    assert!(upgrade(&open, "https://app.example").contains("101"));
    assert!(upgrade(&open, "https://other.example").contains("403"));
    assert!(upgrade(&Running::router(), "https://app.example").contains("403"));
}

#[tokio::test]
async fn it_takes_the_place_of_a_python_router() {
    let router = Running::router();
    let at = router.endpoint();
    let _rust = Running::worker(&at, "rust");
    let python = Peer::client(&at).name("python").worker().expose(&["add", "whoami"]).start().await;
    let caller = Peer::client(&at).name("caller").start().await;
    caller.wait_for_members(&["rust", "python"]).await;
    assert_eq!(caller.call("greet", json!(["you"])).ok().await, "Hello, you!");
    assert_eq!(caller.call("add", json!([3, 4])).style("cast").ok().await, json!({"rust": 7, "python": 7}));
    assert_eq!(run(&["call", &at, "whoami"]).answer(), "python\n");
    assert_eq!(run(&["cast", &at, "add", "3", "4"]).answer(), "python\t7\nrust\t7\n");
    drop(python);
    router.log("left node=\"python\"");
}
