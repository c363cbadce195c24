//! What a command says whose other end takes nothing.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

use bytes::BytesMut;
use daffi_testing::SocketPath;
use daffi_wire::{Frame, FrameDecoder, Limits};

use crate::support::{Ran, TempFile, command, finished, run, signal};

/// More than a connection takes that nobody reads.
const LARGE: usize = 3_000_000;

/// A Service that exposes `f` and answers the handshake of the next node. What it gives is the
/// connection, of which it reads no more.
fn welcome(listener: &UnixListener) -> UnixStream {
    let (mut link, _) = listener.accept().unwrap();
    // A client of a byte stream says this first.
    link.read_exact(&mut [0; 9]).unwrap();
    let (mut decoder, mut read) = (FrameDecoder::new(Limits::default()), BytesMut::new());
    let hello = loop {
        let mut some = [0; 1024];
        let count = link.read(&mut some).unwrap();
        read.extend_from_slice(&some[..count]);
        if let Some(frame) = decoder.decode(&mut read).unwrap() {
            break frame;
        }
    };
    let list = br#"{"meta":{"type":"service/4","error":null},"members":[{"name":"svc","methods":["f"]}]}"#;
    let [from, to, says] = [hello.transmitter(), hello.receiver(), hello.method()];
    let answer = Frame::new(hello.header(), from, to, says, list, &Limits::default()).unwrap();
    link.write_all(answer.as_bytes()).unwrap();
    link
}

/// Runs it against a Service that reads nothing behind the handshake.
fn ran_at_a_deaf_one(at: impl FnOnce(&str) -> Vec<String>) -> Ran {
    let socket = SocketPath::new();
    let listener = UnixListener::bind(socket.path()).unwrap();
    let args = at(&socket.endpoint());
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let child = command(&args).spawn().unwrap();
    let _deaf = welcome(&listener);
    finished(child)
}

/// The same, ended by a signal once the first byte of a request has come.
fn ended_at_a_deaf_one(by: &str, at: impl FnOnce(&str) -> Vec<String>) -> Ran {
    let socket = SocketPath::new();
    let listener = UnixListener::bind(socket.path()).unwrap();
    let args = at(&socket.endpoint());
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let child = command(&args).spawn().unwrap();
    let mut deaf = welcome(&listener);
    deaf.read_exact(&mut [0]).unwrap();
    signal(&child, by);
    finished(child)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The number before `bytes`.
fn bytes_in(text: &str) -> usize {
    let (before, _) = text.split_once(" bytes").unwrap_or_else(|| panic!("{text}"));
    before.rsplit(' ').next().unwrap().parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_is_not_answered_and_was_not_sent_is_a_failure() {
    let file = TempFile::new("unsent", &[7; LARGE]);
    let large = format!("@{}", file.path());
    for (command, options, to) in [
        (&["nowait"][..], &["f", &large][..], "f was not sent: "),
        (&["nowait"], &["f", &large, "-r", "svc"], "f was not sent to svc: "),
        (&["nowait", "--all"], &["f", &large], "f was not sent: "),
        (&["stream", "--nowait", "-c", "3MB"], &["f", file.path()], "f was not sent: "),
    ] {
        let ran = ran_at_a_deaf_one(|at| words(&[command, &["-t", "0.2", at], options].concat()));
        let (log, said) = ran.stderr.split_once('\n').unwrap();
        assert_eq!((ran.code, ran.stdout.as_slice()), (Some(4), &b""[..]), "{command:?}: {ran:?}");
        assert!(log.contains("WARN stopped before all that nobody answers was sent"), "{command:?}: {log}");
        let said = said.strip_prefix("error: ").unwrap();
        assert!(said.starts_with(to) && said.contains("--timeout TIME waits longer"), "{command:?}: {said}");
        assert!((LARGE / 2..LARGE + 1000).contains(&bytes_in(said)), "{command:?}: {said}");
    }
}

#[test]
fn what_was_sent_is_none_though_nobody_answers() {
    let demo = crate::support::Running::demo();
    let file = TempFile::new("sent", &[7; LARGE]);
    let at = demo.endpoint();
    assert_eq!(run(&["nowait", &at, "receive_chunk", &format!("@{}", file.path()), "-t", "0.2"]).answer(), "");
}

#[test]
fn who_ends_a_command_that_still_sends_hears_how_much_was_left() {
    let file = TempFile::new("ended-unsent", &[7; LARGE]);
    let large = format!("@{}", file.path());
    for (args, by, code) in [
        (["nowait", "-t", "none"], "TERM", 143),
        (["nowait", "--all", "-tnone"], "INT", 130),
        (["nowait", "-r", "svc"], "HUP", 129),
    ] {
        let ran = ended_at_a_deaf_one(by, |at| words(&[&args[..], &[at, "f", &large]].concat()));
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        // The log may say so as well, before that or behind it.
        let note = ran.stderr.lines().find(|line| line.starts_with("it was not sent: "));
        let note = note.unwrap_or_else(|| panic!("{args:?}: {ran:?}"));
        assert!((LARGE / 2..LARGE + 1000).contains(&bytes_in(note)), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_call_that_is_ended_before_it_was_sent_did_not_run() {
    let file = TempFile::new("cancelled-unsent", &[7; LARGE]);
    let large = format!("@{}", file.path());
    let ran = ended_at_a_deaf_one("INT", |at| words(&["call", at, "f", &large]));
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stderr.starts_with("f was cancelled before it was sent, so it did not run: "), "{ran:?}");
    assert!((LARGE / 2..LARGE + 1000).contains(&bytes_in(&ran.stderr)), "{ran:?}");
}
