//! `call` of callbacks whose results come one by one.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
};

use serde_json::json;

use crate::support::{Ran, Running, TempFile, command, end_of, finished, run, run_with, signal};

/// Waits until so many callbacks were given up.
fn until_cancelled(at: &str, count: u64) {
    while run(&["call", at, "cancelled"]).answer() != format!("{count}\n") {}
}

/// The first line of stdout, as soon as there is one.
fn first_line(child: &mut Child) -> (String, BufReader<impl Read + use<>>) {
    let (mut stdout, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    stdout.read_line(&mut line).unwrap();
    (line, stdout)
}

#[test]
fn results_are_lines_as_they_come() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run(&["call", &at, "count", "3"]).answer(), "1\n2\n3\n");
    assert_eq!(run(&["call", &at, "count", "3", "--json", "-s", "pickle"]).answer(), "1\n2\n3\n");
    assert_eq!(run(&["call", &at, "count", "0"]).answer(), "");
    let all: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(run(&["call", &at, "count", "100000"]).answer(), all);
    // The second comes in a quarter of an hour.
    let mut waits = command(&["call", &at, "count", "2", "1000", "--json"]).spawn().unwrap();
    assert_eq!(first_line(&mut waits).0, "1\n");
}

#[test]
fn bytes_go_as_they_are_and_of_any_size() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for format in ["msgpack", "pickle"] {
        let blob = run(&["call", &at, "blob", "1000000", "-s", format]).stdout;
        assert_eq!(blob.len(), 1_000_000);
        assert!(blob.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251), "{format}");
    }
    let mut large = command(&["call", &at, "blob", "100000000"]).spawn().unwrap();
    let copied = std::io::copy(&mut large.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!((copied, finished(large).code), (100_000_000, Some(0)));
    assert_eq!(run(&["call", &at, "blob", "2", "--json"]).json(), json!({"$bytes": "AAE="}));
}

/// Whatever its size: only bytes for a file or a pipe come in pieces.
#[test]
fn a_large_plain_result_is_one_result() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let bytes = TempFile::new("large", &[0xff; 3_000_000]);
    let arg = format!("@{}", bytes.path());
    for format in ["msgpack", "pickle"] {
        let told = run(&["call", &at, "echo", &arg, "--json", "-s", format]).json();
        assert_eq!(told["$bytes"].as_str().unwrap().len(), 4_000_000, "{format}");
        let items = run_with(&["call", &at, "echo", &arg, "--json", "--items", "-s", format], b"").json();
        assert_eq!(items, told, "{format}");
        assert_eq!(run(&["call", &at, "echo", &arg, "-s", format]).stdout, [0xff; 3_000_000], "{format}");
    }
    // Text is text, in a format too that knows bytes only.
    let words = "na\u{ef}ve ".repeat(200_000);
    let text = TempFile::new("words", json!([words]).to_string().as_bytes());
    for more in [&[][..], &["--items"]] {
        let args = [&["call", &at, "echo", "--args-file", text.path(), "-s", "opaque"], more].concat();
        let (plain, json) = (run_with(&args, b""), run_with(&[&args[..], &["--json"]].concat(), b""));
        assert!(plain.stdout == format!("{words}\n").as_bytes(), "{} bytes", plain.stdout.len());
        assert!(json.json() == json!(words));
    }
}

#[test]
fn results_before_an_error_are_printed() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let refused = run(&["call", &at, "count", "--", "-1"]);
    assert_eq!(refused.failure(1), "count on demo failed: ValueError: count(-1): it takes a number from 0 on");
    let late = run(&["call", &at, "count", "2", "1000", "--timeout", "0.3"]);
    assert_eq!((late.code, late.stdout.as_slice()), (Some(4), &b"1\n"[..]), "{late:?}");
    assert_eq!(late.stderr, "error: no answer of demo to count within 300ms; --timeout TIME waits longer\n");
    until_cancelled(&at, 1);
    // It takes longer than the timeout in all, and no result does.
    assert_eq!(run(&["call", &at, "count", "4", "0.3", "--timeout", "0.8"]).answer(), "1\n2\n3\n4\n");
}

#[test]
fn a_router_passes_them_on() {
    let router = Running::router();
    let at = router.endpoint();
    let worker = Running::worker(&at, "w1");
    assert_eq!(run(&["call", &at, "count", "2"]).answer(), "1\n2\n");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    let mut call = command(&["call", &at, "count", "2", "1000"]).spawn().unwrap();
    let (line, _stdout) = first_line(&mut call);
    assert_eq!(line, "1\n");
    drop(worker);
    let ran = finished(call);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(3), "error: w1 left before it answered count; whether the callback ran is unknown\n")
    );
}

/// Before the next result comes, and though none may ever come.
#[test]
fn whoever_closes_the_pipe_cancels() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for (number, args) in [(1, ["2", "1000"]), (2, ["1000000000", "0"])] {
        let mut call = command(&["call", &at, "count", args[0], args[1], "-t", "none"]).spawn().unwrap();
        drop(first_line(&mut call));
        let ran = finished(call);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        until_cancelled(&at, number);
    }
}

fn interrupted(at: &str, more: &[&str]) -> Ran {
    let args = [&["call", at, "count", "2", "1000", "-t", "none"], more].concat();
    let mut call = command(&args).spawn().unwrap();
    let (line, _stdout) = first_line(&mut call);
    assert_eq!(line, "1\n");
    signal(&call, "INT");
    finished(call)
}

#[test]
fn an_interrupt_cancels_and_says_so() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let ran = interrupted(&at, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), "count was cancelled after 1 result\n"));
    until_cancelled(&at, 1);
    let ran = interrupted(&at, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(told, json!({"error": "count was cancelled after 1 result", "exit_code": 130}));
    until_cancelled(&at, 2);
}

/// It waits for its reader, and so does the callback; a signal ends it at once all the same.
#[test]
fn an_interrupt_ends_one_that_nobody_reads() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let (_unread, stdout) = std::io::pipe().unwrap();
    let mut call = command(&["call", &at, "count", "1000000000", "-t", "none"]);
    let mut call = call.stdout(Stdio::from(stdout)).spawn().unwrap();
    demo.log("joined");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    signal(&call, "TERM");
    assert_eq!(end_of(&mut call, || "count".to_owned()).code(), Some(143));
    until_cancelled(&at, 1);
}

#[test]
fn a_stream_is_asked_for_again_and_again() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut calls = Running::start(&["call", &at, "count", "2", "--every", "10ms"]);
    calls.nth_answer("2", 3);
    calls.signal("TERM");
    assert_eq!(calls.end().code(), Some(0));
}
