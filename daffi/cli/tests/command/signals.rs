//! Who reads nothing: a full pipe stops no node, and no command that a signal asks to end.

use std::{
    io::{ErrorKind, PipeReader, PipeWriter, Read, Write},
    net::TcpListener,
    process::{Child, Stdio},
    thread,
};

use daffi::Client;
use daffi_testing::SocketPath;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::support::{Running, command, end_of, finished, hears_signals, run, signal};

/// A pipe with room for not one byte more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let full = loop {
        if let Err(error) = writer.write(&[b'.'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// All that comes out of a pipe until it says `last`, or is closed.
fn read_until(mut pipe: PipeReader, last: &str) -> String {
    let (mut all, mut some) = (String::new(), [0; 1 << 16]);
    while !all.contains(last) {
        match pipe.read(&mut some).unwrap() {
            0 => break,
            read => all.push_str(std::str::from_utf8(&some[..read]).unwrap()),
        }
    }
    all
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_no_router() {
    let socket = SocketPath::new();
    let at = socket.endpoint();
    let (log, stderr) = full_pipe();
    let mut router =
        Running::adopt(command(&["router", "-l", &at, "-vv"]).stderr(Stdio::from(stderr)).spawn().unwrap());
    router.answer("unix://");
    for number in 0..1200 {
        // Its lines are more than the pipe and what waits before it hold; those of -vv are all
        // written.
        let guest = Client::builder(format!("{}{number}", "guest".repeat(100))).connect(&at).await.unwrap();
        guest.stop().await;
    }
    let _worker = Running::worker(&at, "w1");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    let reading = thread::spawn(move || read_until(log, "lines of the log were dropped"));
    let log = reading.join().unwrap();
    assert!(log.contains("joined node=\"guestguest"), "{}", &log[log.len() - 200..]);
    let counted = log.lines().find(|line| line.contains("were dropped")).unwrap();
    assert!(counted.split(' ').next().unwrap().parse::<u64>().unwrap() > 0, "{counted}");
    router.signal("TERM");
    assert_eq!(router.end().code(), Some(0));
}

#[test]
fn a_node_ends_in_time_though_nobody_reads_it() {
    for node in ["router", "demo"] {
        let socket = SocketPath::new();
        let at = socket.endpoint();
        let ((_log, stderr), (_answers, stdout)) = (full_pipe(), full_pipe());
        let mut starting = command(&[node, "-l", &at]);
        let mut child = starting.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr)).spawn().unwrap();
        while run(&["ping", &at]).code != Some(0) {}
        signal(&child, "TERM");
        assert_eq!(end_of(&mut child, || node.to_owned()).code(), Some(0));
    }
}

/// Runs it with a stdout that takes nothing, until `heard` says so.
fn unread(args: &[&str]) -> (PipeReader, Child) {
    let (answers, stdout) = full_pipe();
    let child = command(args).stdout(Stdio::from(stdout)).spawn().unwrap();
    hears_signals(&child);
    (answers, child)
}

#[test]
fn commands_wait_for_their_reader_and_drop_nothing() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let text = "text ".repeat(20_000);
    for call in [["call", &at, "echo", &text], ["cast", &at, "echo", &text]] {
        let (mut answers, child) = unread(&call);
        demo.log("left");
        let mut all = String::new();
        answers.read_to_string(&mut all).unwrap();
        assert!(all.trim_start_matches('.').ends_with(&format!("{text}\n")), "{} bytes", all.len());
        assert_eq!(finished(child).code, Some(0));
    }
}

#[test]
fn a_signal_ends_a_command_that_nobody_reads() {
    let demo = Running::demo();
    let router = Running::router();
    let (at, hub) = (demo.endpoint(), router.endpoint());
    let _follower = Running::worker(&hub, "w1");
    let commands: [(&[&str], _, _); 3] = [
        (&["call", &at, "greet", "you", "--name", "called"], "INT", 130),
        (&["cast", &at, "greet", "you", "--name", "called"], "TERM", 143),
        (&["members", &at], "TERM", 143),
    ];
    for (args, by, code) in commands {
        let (_answers, mut child) = unread(args);
        signal(&child, by);
        assert_eq!(end_of(&mut child, || args.join(" ")).code(), Some(code), "{args:?}");
    }
    // The router has it as joined before it knows that itself; told then, it was still connecting.
    let ended_as_told = (0..50).any(|round| {
        let name = format!("following{round}");
        let (_answers, mut child) = unread(&["events", &hub, "--name", &name]);
        router.log(&format!("joined node=\"{name}\""));
        signal(&child, "TERM");
        let code = end_of(&mut child, || name.clone()).code();
        assert!(matches!(code, Some(0 | 143)), "{code:?}");
        code == Some(0)
    });
    assert!(ended_as_told, "events ends in order once it follows");
}

/// The first process of a container ends by no signal that it does not listen for.
#[test]
fn every_command_listens_for_signals_whatever_it_waits_for() {
    let demo = Running::demo();
    let at = demo.endpoint();
    // One that takes connections, and answers no handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("tcp://{}", silent.local_addr().unwrap());
    let commands: [&[&str]; 9] = [
        &["call", &at, "sleep", "1000", "-t", "none"],
        &["cast", &at, "sleep", "1000", "-t", "none"],
        &["stream", &at, "receive_chunk", "-"],
        &["bench", &at, "sleep", "1000", "-t", "none"],
        &["call", &at, "echo", "-"],
        // These end by a signal with 0 once they have told something.
        &["call", &at, "sleep", "1000", "-t", "none", "--every", "1s"],
        &["call", &nobody, "add", "--every", "1s"],
        &["events", &nobody],
        &["top", &nobody],
    ];
    for args in commands {
        let mut child = command(args).stdin(Stdio::piped()).spawn().unwrap();
        hears_signals(&child);
        signal(&child, "TERM");
        assert_eq!(end_of(&mut child, || args.join(" ")).code(), Some(143), "{args:?}");
    }
}
