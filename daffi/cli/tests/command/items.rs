//! `call --items`: the lines of stdin as arguments that go one by one.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    thread,
};

use daffi_testing::Peer;
use serde_json::json;

use crate::support::{Running, TempFile, command, finished, run, run_with, signal};

#[test]
fn each_line_is_an_argument() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run_with(&["call", &at, "sum", "--items"], b"1\n2.5\n-3\n").answer(), "0.5\n");
    assert_eq!(run_with(&["call", &at, "sum", "--items"], b"").answer(), "0\n");
    assert_eq!(
        run_with(&["call", &at, "shout", "--items"], b"one\r\ntwo three\n\nlast").answer(),
        "ONE\nTWO THREE\n\nLAST\n"
    );
    let shouted = run_with(&["call", &at, "shout", "--items", "--text", "--json"], b"True\n\"3\"\n");
    assert_eq!(shouted.answer(), "\"TRUE\"\n\"\\\"3\\\"\"\n");
    let all: String = (1..=100_000).map(|number| format!("line {number}\n")).collect();
    let mut call = command(&["call", &at, "shout", "--items"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, lines) = (call.stdin.take().unwrap(), all.clone());
    // The command reads no further than its answers are read.
    let writing = thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    assert_eq!(finished(call).answer(), all.to_uppercase());
    writing.join().unwrap();
    let bytes = TempFile::new("items", b"ab");
    let lines = format!("@{}\n{{\"$bytes\": \"Yw==\"}}\n", bytes.path());
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert_eq!(run_with(&["call", &at, "hash", "--items"], lines.as_bytes()).answer(), hash);
}

#[test]
fn callbacks_that_take_none_answer_all_the_same() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run_with(&["call", &at, "add", "3", "4", "--items"], b"5\n").answer(), "7\n");
    assert!(run_with(&["call", &at, "fail", "no", "--items"], b"5\n").failure(1).ends_with("ValueError: no"));
}

#[test]
fn a_line_of_another_type_is_named() {
    let demo = Running::demo();
    let failed = run_with(&["call", &demo.endpoint(), "shout", "--items"], b"one\n2\n");
    assert_eq!((failed.code, &failed.stdout[..]), (Some(1), &b"ONE\n"[..]));
    assert!(failed.stderr.contains("TypeError: item 2 of shout(): cannot read"), "{}", failed.stderr);
}

/// Results come while items go.
#[test]
fn results_and_arguments_go_at_once() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut call = command(&["call", &at, "shout", "--items", "-t", "none"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (call.stdin.take().unwrap(), BufReader::new(call.stdout.take().unwrap()));
    for word in ["one", "two"] {
        writeln!(stdin, "{word}").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word.to_uppercase());
    }
    drop(stdin);
    assert_eq!(finished(call).code, Some(0));
}

fn until_cancelled(at: &str, count: u64) {
    while run(&["call", at, "cancelled"]).answer() != format!("{count}\n") {}
}

/// What came before it is not taken for all.
#[test]
fn a_bad_line_cancels_and_is_named() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for (number, (bad, words)) in [
        (&b"[1,"[..], "line 3 of stdin: argument [1,: it begins like JSON and is none"),
        (b"True", "line 3 of stdin: True is how Python writes it"),
        (b"-", "line 3 of stdin: - stands for stdin, of which --items takes the lines: use @FILE"),
        (b"\xff", "line 3 of stdin: it is not text in UTF-8"),
        (b"@/no/such/file", "line 3 of stdin: the file \"/no/such/file\" cannot be read"),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = run_with(&["call", &at, "sum", "--items"], &[b"1\n2\n", bad, b"\n4\n"].concat());
        assert!(ran.failure(2).starts_with(words), "{ran:?}");
        until_cancelled(&at, number as u64 + 1);
    }
    let unwritable = run_with(&["call", &at, "sum", "--items", "-s", "json"], b"{\"$bytes\": \"AP8=\"}\n");
    assert!(unwritable.failure(2).starts_with("line 1 of stdin: arguments of sum: "), "{unwritable:?}");
}

#[test]
fn an_interrupt_cancels_and_says_so() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut call = command(&["call", &at, "shout", "--items", "-t", "none"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (call.stdin.take().unwrap(), BufReader::new(call.stdout.take().unwrap()));
    writeln!(stdin, "one").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    signal(&call, "INT");
    let ran = finished(call);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), "shout was cancelled after 1 result\n"));
    until_cancelled(&at, 1);
}

/// Its time begins with the last of them.
#[test]
fn the_timeout_begins_when_all_were_sent() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let args = ["call", &at, "sum", "--items", "--timeout", "0.2"];
    let mut call = command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = call.stdin.take().unwrap();
    writeln!(stdin, "1").unwrap();
    assert_eq!(run(&["call", &at, "sleep", "0.5"]).answer(), "0.5\n");
    writeln!(stdin, "2").unwrap();
    drop(stdin);
    assert_eq!(finished(call).answer(), "3\n");
    let never = run_with(&["call", &at, "sleep", "1000", "--items", "--timeout", "0.05"], b"1\n");
    assert_eq!(never.failure(4), "no answer of demo to sleep within 50ms; --timeout TIME waits longer");
}

#[test]
fn stdin_has_one_use() {
    for more in [&["-"][..], &["--args-file", "-"], &["-k", "a=-"]] {
        let args = [&["call", "tcp://127.0.0.1:1", "f", "--items"], more].concat();
        assert!(run(&args).failure(2).contains("stdin, of which --items takes the lines"), "{more:?}");
    }
    let both = run(&["call", "tcp://127.0.0.1:1", "f", "--items", "--every", "1s"]);
    assert!(both.code == Some(2) && both.stderr.contains("cannot be used with"), "{both:?}");
}

#[tokio::test]
async fn a_node_of_3_0_1_takes_none() {
    let service = Peer::service().name("py").start().await;
    let refused = run_with(&["call", &service.endpoint(), "add", "--items"], b"3\n4\n");
    assert!(refused.failure(1).starts_with("py is a daffi 3.0.1 node, which takes no arguments of add one by one"));
    let router = Running::router();
    let at = router.endpoint();
    let worker = Peer::client(&at).name("py").worker().expose(&["add"]).start().await;
    router.log("joined");
    let refused = run_with(&["call", &at, "add", "--items", "-r", "py"], b"3\n4\n");
    assert!(refused.failure(1).starts_with("py is a daffi 3.0.1 node, which takes no arguments of add one by one"));
    assert_eq!(run(&["call", &at, "add", "3", "4", "--json"]).json(), json!(7));
    drop(worker);
}
