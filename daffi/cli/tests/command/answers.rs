//! stdout holds the answer and nothing else, whoever reads it or does not.

use std::{fs, process::Stdio};

use crate::support::{Running, TempFile, command, finished, hears_signals, run, signal};

#[test]
fn help_teaches_how_to_call() {
    let help = run(&["--help"]);
    for words in ["daffi call URL METHOD [ARG]...", "daffi members URL", "DAFFI_ADDR", "Exit codes:"] {
        assert!(help.answer().contains(words), "{words}: {}", help.answer());
    }
    let commands = [
        "call",
        "cast",
        "nowait",
        "stream",
        "members",
        "events",
        "ping",
        "bench",
        "router",
        "demo",
        "config",
        "context",
        "completions",
        "man",
        "version",
    ];
    for name in commands {
        assert!(help.answer().contains(&format!("\n  {name} ")), "{name}");
        assert!(run(&[name, "--help"]).answer().contains(&format!("Usage: daffi {name}")), "{name}");
    }
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).answer().contains("daffi"), "{shell}");
    }
}

#[test]
fn nobody_reading_is_no_crash() {
    for args in [&["completions", "bash"][..], &["--help"]] {
        let mut child = command(args).spawn().unwrap();
        drop(child.stdout.take());
        let ran = finished(child);
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        assert_eq!(ran.code, Some(0));
    }
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut child = command(&["call", &at, "sleep", "0.2"]).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut child = command(&["call", &at, "fail", "unheard"]).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// Also one that would give a plain value, whose callback hears of it.
#[test]
fn a_call_that_nobody_reads_is_cancelled() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut child = command(&["call", &at, "sleep", "1000", "-t", "none"]).spawn().unwrap();
    demo.log("joined");
    drop(child.stdout.take());
    let ran = finished(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n", "its worker is free");
}

#[test]
fn a_full_disk_is_an_error() {
    let demo = Running::demo();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let at = demo.endpoint();
    // Help that was asked for is an answer, too.
    for args in [&["call", &*at, "add", "3", "4"][..], &["version"], &["--help"], &["help", "call"], &["--version"]] {
        let child = command(args).stdout(Stdio::from(full.try_clone().unwrap())).spawn().unwrap();
        assert!(finished(child).failure(1).starts_with("the answer cannot be written: No space left"), "{args:?}");
    }
}

#[test]
fn an_interrupt_gives_a_call_up() {
    let demo = Running::demo();
    let child = command(&["call", &demo.endpoint(), "sleep", "30"]).spawn().unwrap();
    demo.log("joined");
    signal(&child, "INT");
    let ran = finished(child);
    assert_eq!((ran.code, ran.stdout.as_slice(), ran.stderr.as_str()), (Some(130), &b""[..], "sleep was cancelled\n"));
}

#[test]
fn as_much_is_logged_as_is_asked_for() {
    let listen = ["demo", "--listen", "tcp://127.0.0.1:0"];
    let logs = |more: &[&str]| {
        let mut demo = Running::start(&[&listen[..], more].concat());
        run(&["call", &demo.endpoint(), "fail", "x", "--name", "visitor"]).failure(1);
        demo.signal("TERM");
        demo.end();
        demo.told()
    };
    assert!(logs(&[]).contains("joined"));
    assert!(!logs(&["--quiet"]).contains("joined"));
    assert!(!logs(&[]).contains("DEBUG") && logs(&["-vv"]).contains("DEBUG"));
}

#[test]
fn an_interrupt_is_heard_while_stdin_is_waited_for() {
    let demo = Running::demo();
    let child = command(&["call", &demo.endpoint(), "echo", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    hears_signals(&child);
    signal(&child, "INT");
    assert_eq!(finished(child).code, Some(130));
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let place = TempFile::new("manual", b"");
    let folder = format!("{}.pages", place.path());
    assert_eq!(run(&["man", &folder]).answer(), "");
    let page = fs::read_to_string(format!("{folder}/daffi-router.1")).unwrap();
    assert!(page.contains("max\\-connections") && page.contains(".TH"), "{page}");
    assert!(fs::read_to_string(format!("{folder}/daffi-config-check.1")).is_ok());
    fs::remove_dir_all(&folder).unwrap();
    let told = run(&["man", "/dev/null/manual"]).failure(1).to_owned();
    assert!(told.starts_with("the manual cannot be written to /dev/null/manual: "), "{told}");
}
