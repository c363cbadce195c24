//! What a command says that a signal ends, and what the end of its terminal means to it.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use daffi_testing::SocketPath;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Ran, Running, TempFile, command, end_of, finished, hears_signals, run, signal};

/// The exit code by which shells tell of a signal.
fn code_of(by: &str) -> i32 {
    128 + match by {
        "HUP" => 1,
        "INT" => 2,
        _ => 15,
    }
}

/// What gives SIGHUP its meaning back before a program starts: these tests may run under `nohup`.
const HEARS_HANGUP: [&str; 2] = ["env", "--default-signal=HUP"];

/// Ends it by a signal.
fn ended(child: Child, by: &str) -> Ran {
    signal(&child, by);
    let ran = finished(child);
    assert_eq!(ran.code, Some(code_of(by)), "{ran:?}");
    ran
}

#[test]
fn who_was_not_connected_yet_says_so() {
    // It takes connections, and answers no handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("tcp://{}", silent.local_addr().unwrap());
    let none = format!("there was no connection to {nobody} yet");
    let commands: [(&[&str], _, _); 9] = [
        (&["call", &nobody, "add", "1", "2"], "TERM", format!("add was not called: {none}")),
        (&["cast", &nobody, "add", "1", "2"], "INT", format!("add was not called: {none}")),
        (&["nowait", &nobody, "add"], "HUP", format!("add was not called: {none}")),
        (&["stream", &nobody, "add", "Cargo.toml"], "TERM", format!("nothing was sent: {none}")),
        (&["bench", &nobody, "add"], "HUP", format!("nothing was measured: {none}")),
        (&["ping", &nobody], "TERM", none.clone()),
        (&["members", &nobody], "HUP", none.clone()),
        (&["events", &nobody], "TERM", none.clone()),
        (&["top", &nobody], "TERM", none.clone()),
    ];
    for (args, by, note) in commands {
        let daffi = command(args);
        let mut child = Command::new(HEARS_HANGUP[0]);
        child.arg(HEARS_HANGUP[1]).arg(daffi.get_program()).args(args).stdin(Stdio::null());
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _connection = silent.accept().unwrap();
        assert_eq!(ended(child, by).stderr, format!("{note}\n"), "{args:?}");
    }
}

#[test]
fn what_is_given_up_is_said() {
    let demo = Running::demo();
    let router = Running::router();
    let (at, hub) = (demo.endpoint(), router.endpoint());

    let mut stream = command(&["stream", &at, "receive_chunk", "-", "-c", "4"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = stream.stdin.take().unwrap();
    stdin.write_all(b"onetwo").unwrap();
    while run(&["call", &at, "received"]).answer() != "4\n" {}
    let said = ended(stream, "TERM").stderr;
    assert_eq!(said, "receive_chunk was cancelled: 1 chunk of 4 bytes was sent; whether it ran is unknown\n");

    let bench = command(&["bench", &at, "receive_chunk", "more", "--warm-up", "1h", "--json"]).spawn().unwrap();
    while run(&["call", &at, "received"]).answer() == "4\n" {}
    let said = ended(bench, "INT").stderr;
    assert_eq!(said, "{\"error\":\"nothing was measured: it was ended in its --warm-up\",\"exit_code\":130}\n");

    // Of these nobody tells how far they are; told too soon, they are still connecting.
    let given_up: [(&[&str], _); 4] = [
        (&["cast", &at, "sleep", "1000", "-t", "none"], "sleep was cancelled; what was answered before is not shown\n"),
        (&["nowait", &at, "nope", "--wait", "-t", "none"], "nope was given up before it was sent\n"),
        (&["call", &at, "nope", "--wait", "-t", "none", "--every", "1s"], "nope was cancelled, and never answered\n"),
        (&["top", &hub, "--interval", "1h"], "no table was printed: it is of 3600 s between two looks (--interval)\n"),
    ];
    for (args, note) in given_up {
        let said = (0..50).any(|round| {
            let child = command(args).spawn().unwrap();
            hears_signals(&child);
            thread::sleep(Duration::from_millis(10 * round));
            let said = ended(child, "TERM").stderr;
            assert!(!said.is_empty(), "{args:?}");
            said == note
        });
        assert!(said, "{args:?}");
    }
}

/// Runs it in a session of a terminal of its own, whose other end is given, with its log in a file.
fn in_terminal(args: &[&str], log: &TempFile, by: &[&str]) -> (File, Running) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let line = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let inner = command(args);
    let mut in_session = Command::new("setsid");
    in_session.arg("--ctty").args(HEARS_HANGUP).args(by).arg(inner.get_program()).args(args).stdin(Stdio::from(line));
    let log = OpenOptions::new().append(true).open(log.path()).unwrap();
    (File::from(terminal), Running::adopt(in_session.stdout(Stdio::piped()).stderr(log).spawn().unwrap()))
}

#[test]
fn a_node_ends_with_its_terminal_wherever_its_log_goes() {
    for node in ["router", "demo"] {
        let log = TempFile::new(&format!("hangup-{node}"), b"");
        let listen = [node, "--listen", "tcp://127.0.0.1:0"];
        let (terminal, mut running) = in_terminal(&listen, &log, &[]);
        running.endpoint();
        drop(terminal);
        assert_eq!(running.end().code(), Some(0), "{node}");

        // One that `nohup` started does not, and takes a signal for what else it may mean.
        let (terminal, mut running) = in_terminal(&listen, &log, &["nohup"]);
        let at = running.endpoint();
        drop(terminal);
        running.signal("HUP");
        while !std::fs::read_to_string(log.path()).unwrap().contains("there is nothing to reload") {}
        assert!(run(&["ping", &at]).answer().starts_with(&at));
        assert!(running.is_running());
        running.signal("TERM");
        assert_eq!(running.end().code(), Some(0), "{node}");
    }
}

#[test]
fn a_command_that_nohup_started_outlives_its_terminal() {
    let demo = Running::demo();
    let inner = command(&["call", &demo.endpoint(), "sleep", "0.3"]);
    let mut nohup = Command::new("nohup");
    nohup.arg(inner.get_program()).args(inner.get_args());
    nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = nohup.spawn().unwrap();
    hears_signals(&child);
    signal(&child, "HUP");
    assert_eq!(end_of(&mut child, || "call".to_owned()).code(), Some(0));
}

/// A service with the name of a node came to the place of its router for a while.
#[test]
fn who_was_connected_says_whom_it_meets_and_tries_on() {
    for (command, sign) in [("demo --name twin --connect", "connected to"), ("events --name twin", "following")] {
        let path = SocketPath::new();
        let at = path.endpoint();
        let mut router = Running::start(&["router", "--listen", &at]);
        router.endpoint();
        let args: Vec<_> = command.split(' ').chain([&*at]).collect();
        let mut node = Running::start(&args);
        node.log(sign);
        router.signal("TERM");
        assert!(router.end().success());
        let mut service = Running::start(&["demo", "--listen", &at, "--name", "twin"]);
        service.endpoint();
        let said = node.log("trying on");
        assert!(said.contains("the service has the name of this node, twin"), "{said}");
        assert!(said.contains("give this node another name"), "{said}");
        service.signal("TERM");
        assert!(service.end().success());
        let again = Running::start(&["router", "--listen", &at]);
        again.endpoint();
        node.log("connected again");
        node.signal("TERM");
        node.end();
    }
}
