//! `call`, `cast` and `nowait`: arguments in, the answer out.

use serde_json::json;

use crate::support::{Running, TempFile, command, finished, run, run_with};

#[test]
fn a_call_prints_its_result() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    assert_eq!(run(&["call", &at, "add", "3", "--kwarg", "b=-4.5"]).answer(), "-1.5\n");
    assert_eq!(run(&["call", &at, "greet", "world"]).answer(), "Hello, world!\n");
    assert_eq!(run(&["call", &at, "greet", "world", "--json"]).json(), json!("Hello, world!"));
    assert_eq!(run(&["call", &at, "add", "-3", "-1", "--receiver", "demo"]).answer(), "-4\n");
    assert_eq!(run(&["call", &at, "greet", "--", "--name"]).answer(), "Hello, --name!\n");
    assert_eq!(run(&["call", "--timeout", "none", &at, "sleep", "0.01"]).answer(), "0.01\n");
    assert_eq!(run(&["call", "-t", "5s", &at, "add", "3", "4"]).answer(), "7\n");
    assert_eq!(run(&["call", "--text", &at, "greet", "True"]).answer(), "Hello, True!\n");
    assert_eq!(run(&["call", "--text", &at, "greet", "-k", "name=[1,"]).answer(), "Hello, [1,!\n");
}

#[test]
fn a_file_of_arguments_is_not_read_without_end() {
    let large = TempFile::new("large.json", b"[");
    let file = std::fs::File::options().write(true).open(large.path()).expect("it was made just now");
    // Without taking room on the disk.
    file.set_len(1 << 40).expect("a file may have holes");
    let refused = run(&["call", "tcp://127.0.0.1:1", "f", "--args-file", large.path()]);
    assert!(refused.failure(2).contains("more than 134217728 bytes, the most that is read as JSON"), "{refused:?}");
}

#[test]
fn arguments_come_from_a_file() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let text = "x".repeat(300_000);
    let list = TempFile::new("list.json", json!([text]).to_string().as_bytes());
    assert_eq!(run(&["call", &at, "echo", "--args-file", list.path()]).answer(), format!("{text}\n"));
    assert_eq!(run_with(&["call", &at, "add", "--args-file", "-"], b"{\"a\": 3, \"b\": 4}").answer(), "7\n");
    assert_eq!(run_with(&["call", &at, "add", "--args-file", "-", "4"], b"[3]").answer(), "7\n");
    // As some editors save it.
    assert_eq!(run_with(&["call", &at, "add", "--args-file", "-"], b"\xef\xbb\xbf[3, 4]\r\n").answer(), "7\n");
    let refused = run_with(&["call", &at, "add", "--args-file", "-"], b" \r\n");
    assert_eq!(refused.failure(2), "--args-file -: nothing is in it: [] is no arguments");
    let refused = run(&["call", "", "add", "3", "4"]);
    assert!(refused.failure(2).starts_with("the first argument is empty, and is a URL or a METHOD"), "{refused:?}");
    let refused = run_with(&["call", &at, "add", "--args-file", "-"], b"\xff\xfe[\0]\0");
    assert!(refused.failure(2).contains("--args-file -: it is UTF-16: save it as UTF-8"), "{refused:?}");
    let refused = run_with(&["call", &at, "add", "--args-file", "-"], b"[\"\xe4\"]");
    assert!(refused.failure(2).contains("from index 2: save it as UTF-8"), "{refused:?}");
    let refused = run_with(&["call", &at, "add", "--args-file", "-"], b"3");
    assert!(refused.failure(2).contains("a list of arguments is expected, or an object"), "{refused:?}");
    assert!(run_with(&["call", &at, "echo", "--args-file", "-", "-"], b"[]").failure(2).contains("only once"));
}

#[test]
fn what_is_printed_is_taken_back_in_any_format() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for value in [
        r#"{"$float":"nan"}"#,
        r#"{"$float":"-inf"}"#,
        r#"{"$bytes":"AP8="}"#,
        "6.02e+23",
        // Dicts that only look like what stands for bytes and floats.
        r#"{"$map":[["$bytes","AAE="]]}"#,
        r#"[{"$map":[["$float","nan"]]}]"#,
    ] {
        for format in ["msgpack", "pickle", "postcard"] {
            let printed = run(&["call", &at, "echo", value, "-s", format, "--json"]);
            assert_eq!(printed.answer(), format!("{value}\n"), "{format}");
        }
    }
}

#[test]
fn the_endpoint_may_stand_in_the_environment() {
    let demo = Running::demo();
    let add = |args: &[&str], addr: &str| finished(command(args).env("DAFFI_ADDR", addr).spawn().unwrap());
    assert_eq!(add(&["call", "add", "3", "4"], &demo.endpoint()).answer(), "7\n");
    assert_eq!(add(&["call", &demo.endpoint(), "add", "3", "4"], "tcp://127.0.0.1:1").answer(), "7\n", "the word wins");
    assert!(add(&["members"], &demo.endpoint()).answer().contains("demo"));
    assert_eq!(
        add(&["call", "add", "3", "4"], "127.0.0.1:1").failure(2),
        "the environment variable DAFFI_ADDR: the endpoint \"127.0.0.1:1\" cannot be used: it needs a scheme, as in \
         tcp://127.0.0.1:5001 or unix:///run/calc.sock"
    );
}

#[test]
fn every_format_carries_what_it_can() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let value = r#"{"a":[1,2.5,null,true,"text"]}"#;
    for format in ["json", "msgpack", "pickle", "postcard", "PICKLE"] {
        assert_eq!(run(&["call", &at, "echo", value, "--serde", format]).answer(), format!("{value}\n"), "{format}");
        assert_eq!(run(&["call", &at, "echo", "-s", format, "-k", "payload=5"]).answer(), "5\n", "{format}");
    }
    assert_eq!(run(&["call", &at, "echo", "text", "--serde", "opaque"]).answer(), "text\n");
    let refused = run(&["call", &at, "echo", "[1]", "--serde", "opaque"]);
    assert!(refused.failure(2).contains("MSGPACK and PICKLE carry it"), "{refused:?}");
}

#[test]
fn bytes_come_from_stdin_and_files_and_go_as_they_are() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let bytes: Vec<u8> = (0..=255).collect();
    let file = TempFile::new("bytes", &bytes);
    let from_file = format!("@{}", file.path());
    for format in ["msgpack", "pickle", "opaque", "postcard"] {
        assert_eq!(run(&["call", &at, "echo", &from_file, "-s", format]).stdout, bytes, "{format}");
        assert_eq!(run_with(&["call", &at, "echo", "-", "-s", format], &bytes).stdout, bytes, "{format}");
    }
    assert_eq!(run_with(&["call", &at, "echo", "-", "--json"], b"\0\xff").json(), json!({"$bytes": "AP8="}));
    let nested = r#"{"a":[{"$bytes":"AP8="}]}"#;
    assert_eq!(run(&["call", &at, "echo", nested]).answer(), format!("{nested}\n"), "and back in");
    assert!(run(&["call", &at, "echo", "-", "-k", "b=-"]).failure(2).contains("only once"));
    assert!(run(&["call", &at, "echo", "@/no/such/file"]).failure(2).contains("/no/such/file"));
}

#[test]
fn websockets_reach_what_tcp_reaches() {
    let demo = Running::demo();
    let at = demo.endpoint().replace("tcp://", "ws://");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    assert!(run(&["ping", &at]).answer().contains("service demo"));
}

#[test]
fn text_is_not_touched_on_its_way_to_a_pipe() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let coloured = "\u{1b}[31mred\u{1b}[0m \u{9b}";
    assert_eq!(run(&["call", &at, "echo", coloured]).answer(), format!("{coloured}\n"));
    assert_eq!(run(&["call", &at, "echo", coloured, "--json"]).json(), json!(coloured));
}

#[test]
fn a_cast_tells_of_each_member() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run(&["cast", &at, "greet", "all"]).answer(), "demo\tHello, all!\n");
    assert_eq!(run(&["cast", &at, "greet", "all", "--json"]).json(), json!({"demo": {"ok": "Hello, all!"}}));
    let partly = run(&["cast", &at, "greet", "some", "-r", "demo", "-r", "nobody"]);
    assert_eq!((partly.code, partly.stdout.as_slice()), (Some(1), &b"demo\tHello, some!\n"[..]));
    assert!(partly.stderr.starts_with("error: nobody is not a member that exposes greet"), "{partly:?}");
    let failed = run(&["cast", &at, "fail", "on purpose", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(answer, json!({"demo": {"error": "fail on demo failed: ValueError: on purpose"}}));
    assert_eq!(
        (failed.code, failed.stderr.as_str()),
        (Some(1), "{\"error\":\"fail on demo failed: ValueError: on purpose\",\"exit_code\":1}\n")
    );
}

/// As while a worker is restarted: without it each ends at once.
#[test]
fn who_waits_is_served_by_who_comes() {
    let router = Running::router();
    let at = router.endpoint();
    let refused = run(&["call", &at, "add", "3", "4"]);
    assert!(refused.failure(1).starts_with("no member exposes add; `daffi members tcp://"), "{refused:?}");
    let waiting: &[(&[&str], &str)] = &[
        (&["call", &at, "add", "3", "4", "--wait", "--name", "one"], "7\n"),
        (&["call", &at, "greet", "you", "--wait", "--name", "two", "-r", "w1"], "Hello, you!\n"),
        (&["call", &at, "sum", "--items", "--wait", "--name", "three"], "0\n"),
        (&["cast", &at, "add", "3", "4", "--wait", "--name", "four"], "w1\t7\n"),
        (&["cast", &at, "add", "3", "4", "--wait", "--name", "five", "-r", "w1"], "w1\t7\n"),
        (&["nowait", &at, "receive_chunk", "hello", "--wait", "--name", "six"], ""),
        (&["nowait", &at, "receive_chunk", "hello", "--wait", "--name", "seven", "--all"], ""),
    ];
    let started: Vec<_> = waiting.iter().map(|(args, _)| command(args).spawn().unwrap()).collect();
    for (args, _) in waiting {
        let name = args.iter().skip_while(|word| **word != "--name").nth(1).unwrap();
        router.log(&format!("joined node=\"{name}\""));
    }
    let _worker = Running::worker(&at, "w1");
    for ((args, answer), child) in waiting.iter().zip(started) {
        assert_eq!(finished(child).answer(), *answer, "{args:?}");
    }
    assert_eq!(run(&["call", &at, "received"]).answer(), "10\n");
    let late = run(&["call", &at, "nope", "--wait", "-t", "50ms"]);
    assert!(late.failure(4).contains("nope"), "{late:?}");
}

#[test]
fn nowait_sends_before_it_ends() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run(&["nowait", &at, "receive_chunk", "hello"]).answer(), "");
    assert_eq!(run(&["call", &at, "received"]).answer(), "5\n");
    assert_eq!(run(&["nowait", &at, "receive_chunk", "hello", "--all"]).answer(), "");
    assert_eq!(run(&["call", &at, "received"]).answer(), "10\n");
    assert_eq!(run(&["nowait", &at, "fail", "unheard"]).answer(), "", "nobody hears of it");
    demo.log("unheard");
}

#[test]
fn negative_numbers_are_arguments() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for (number, json) in [("-1e-5", "-0.00001"), ("-1.5e-3", "-0.0015"), ("-1e+5", "-100000.0"), ("-1e5", "-100000.0")]
    {
        assert_eq!(run(&["call", &at, "echo", number, "--json", "-t", "5"]).answer(), format!("{json}\n"), "{number}");
    }
    for (number, json) in [("-.5", "-0.5"), ("-0x10", "-16"), ("-1_000", "-1000")] {
        let ran = run(&["call", &at, "echo", number]);
        assert!(ran.failure(2).starts_with(&format!("{number} is no number in JSON: write {json} for")), "{ran:?}");
        assert_eq!(run(&["call", &at, "echo", number, "--text"]).answer(), format!("{number}\n"));
    }
    let mistyped = run(&["call", &at, "echo", "-1e-5", "--jsn"]);
    assert!(mistyped.code == Some(2) && mistyped.stderr.contains("'--json'"), "{mistyped:?}");
}

#[test]
fn what_is_wrong_is_named() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let blank = run(&["call", &at, " "]);
    assert!(blank.failure(1).starts_with(r"no member exposes \u{20}; "), "{blank:?}");
    let blank = run(&["call", &at, "add", "-r", " "]);
    assert!(blank.failure(1).starts_with(r"\u{20} is not a member that exposes add; "), "{blank:?}");
    let repeated = run(&["call", &at, "echo", r#"{"b":{"a":1,"a":2}}"#]);
    assert!(repeated.failure(2).contains("the key \"a\" is given twice"), "{repeated:?}");
    let keyword = run(&["call", &at, "echo", "-k", "x=False"]);
    assert!(keyword.failure(2).starts_with("--kwarg x: False is how Python writes it"), "{keyword:?}");
    let unnamed = run(&["call", &at]);
    assert!(unnamed.failure(2).ends_with(&format!("`daffi members {at}` lists them")), "{unnamed:?}");
}

#[test]
fn what_cannot_be_measured_is_told_for_what_it_is() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for more in
        [&[][..], &["--warm-up", "0"], &["-r", "nobody"], &["-f", "64", "-c", "2"], &["--rate", "1", "-f", "64"]]
    {
        // It would take longer than a test waits.
        let ran = run(&[&["bench", &at, "nope", "-d", "1h"], more].concat());
        assert!(ran.failure(1).contains("exposes nope; `daffi members tcp://"), "{more:?}: {ran:?}");
    }
    let silent = run(&["bench", &at, "sleep", "60", "-d", "0.1", "--warm-up", "0.1", "-t", "0.5"]);
    assert!(silent.failure(4).starts_with("no answer of demo to sleep within 500ms"), "{silent:?}");
}
