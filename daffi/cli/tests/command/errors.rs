//! What goes wrong, told in one sentence, with an exit code of its own for each kind.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Child,
    thread,
};

use daffi_testing::Certificate;
use serde_json::Value;

use crate::support::{Running, TempFile, command, command_of_few_files, finished, run};

/// Remote errors are 1, a call that takes too long is 4.
#[test]
fn a_call_that_fails_says_why() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run(&["call", &at, "fail", "on purpose"]).failure(1), "fail on demo failed: ValueError: on purpose");
    assert_eq!(
        run(&["call", &at, "add", "1"]).failure(1),
        "add on demo failed: TypeError: add() missing 1 required positional argument: 'b'"
    );
    assert!(run(&["call", &at, "add", "1", "x"]).failure(1).ends_with("add() takes two numbers, not 1 and 'x'"));
    assert!(run(&["call", &at, "sleep", "x"]).failure(1).ends_with("sleep() takes a number, not 'x'"));
    assert!(run(&["call", &at, "sleep", "-1"]).failure(1).contains("ValueError: sleep(-1): "));
    assert_eq!(
        run(&["call", &at, "nope"]).failure(1),
        format!("no member exposes nope; `daffi members {at}` lists who is there and what they expose")
    );
    assert_eq!(
        run(&["call", &at, "add", "-r", "w9"]).failure(1),
        format!("w9 is not a member that exposes add; `daffi members {at}` lists who is there and what they expose")
    );
    assert_eq!(
        run(&["call", &at, "sleep", "10", "--timeout", "0.05"]).failure(4),
        "no answer of demo to sleep within 50ms; --timeout TIME waits longer"
    );
    // Nobody else waits for it.
    assert_eq!(run(&["call", &at, "add", "1", "2", "--timeout", "8"]).answer(), "3\n");
    let stream = run(&["stream", &at, "add", "Cargo.toml"]);
    assert!(stream.failure(1).starts_with("chunk 0: add on demo failed: TypeError: add() missing 1"), "{stream:?}");
}

/// 3: whether nobody is there, or somebody who is no node.
#[test]
fn no_connection_says_what_to_check() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("tcp://{}", listener.local_addr().unwrap())
    };
    for command in
        [&["call", &closed, "add", "1", "2"][..], &["members", &closed], &["ping", &closed], &["events", &closed]]
    {
        let refused = run(command);
        let sentence = refused.failure(3);
        assert!(sentence.starts_with(&format!("cannot connect to {closed}: Connection refused")), "{sentence}");
        assert!(sentence.ends_with("start a node there with `daffi demo --listen URL`"), "{sentence}");
    }
    let no_file = run(&["ping", "unix:///no-such.sock"]);
    assert!(no_file.failure(3).contains("there is no such socket: check the path"), "{no_file:?}");
    let no_directory = run(&["ping", "unix:///no/such.sock"]);
    assert!(no_directory.failure(3).ends_with("there is no directory /no; check the path"), "{no_directory:?}");
    let no_socket = run(&["ping", "unix:///etc/passwd"]);
    assert!(no_socket.failure(3).contains("what is at the path is not a socket"), "{no_socket:?}");
    let neither = run(&["ping", &format!("{closed},unix:///no-such.sock")]);
    assert!(neither.failure(3).contains("nobody listens there: check the address"), "{neither:?}");
    let no_socket = "there is no such socket: check the path, or start a node there";
    assert!(neither.failure(3).contains(no_socket), "{neither:?}");
    let no_host = run(&["ping", "tcp://no.such.host.invalid:5001"]);
    assert!(no_host.failure(3).contains("\"no.such.host.invalid\" cannot be resolved"), "{no_host:?}");
}

#[test]
fn another_protocol_is_named() {
    let demo = Running::demo();
    let plain = demo.endpoint();
    let tls = Certificate::localhost();
    let (certificate, key, authority) =
        (tls.certificate.to_str().unwrap(), tls.key.to_str().unwrap(), tls.authority.to_str().unwrap());
    let secure =
        Running::start(&["demo", "--listen", "tls://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key]);
    let at = secure.endpoint();
    assert_eq!(run(&["call", &at, "--ca", authority, "add", "3", "4"]).answer(), "7\n");
    assert_eq!(run(&["call", &at, "--pin", certificate, "add", "3", "4"]).answer(), "7\n");
    assert_eq!(run(&["call", &at, "--dangerous-no-verify", "add", "3", "4"]).answer(), "7\n");
    let unknown = run(&["call", &at, "add", "3", "4"]);
    assert!(unknown.failure(3).contains("certificate"), "nothing is skipped by leaving it out: {unknown:?}");
    let websocket = at.replace("tls://", "wss://");
    assert_eq!(run(&["call", &websocket, "--ca", authority, "add", "3", "4"]).answer(), "7\n");
    // A server of daffi 3.0.1 and many others close the connection on what they do not know.
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = format!("tcp://{}", closing.local_addr().unwrap());
    thread::spawn(move || {
        for peer in closing.incoming() {
            let mut peer = peer.unwrap();
            // What it leaves unread resets the connection.
            peer.read_exact(&mut [0; 9]).unwrap();
        }
    });
    for (at, scheme, words) in [
        (&plain, "tcp", None),
        (&plain, "ws", None),
        (&plain, "tls", Some("use tcp:// in place of tls://")),
        (&plain, "wss", Some("ws:// in place of wss://")),
        (&at, "tls", None),
        (&at, "wss", None),
        (&at, "tcp", Some("use tls:// on both sides")),
        (&at, "ws", Some("use wss:// in place of ws://")),
        (&deaf, "tls", Some("it may be restarting, or refuse this client")),
        (&deaf, "wss", Some("ws:// in place of wss://")),
        (&deaf, "ws", Some("use tcp:// in place of ws://")),
    ] {
        let (_, address) = at.split_once(':').unwrap();
        let tls = if matches!(scheme, "tls" | "wss") { &["--ca", authority][..] } else { &[] };
        let ran = run(&[&["ping", &format!("{scheme}:{address}")], tls].concat());
        match words {
            None => assert!(ran.answer().contains("demo"), "{ran:?}"),
            Some(words) => assert!(ran.failure(3).contains(words), "{scheme} to {at}: {ran:?}"),
        }
    }

    for (greeting, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "speaks HTTP, not daffi: a node behind a web server is reached by ws://",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is the other end a daffi node?"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = format!("tcp://{}", listener.local_addr().unwrap());
        let serving = thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            peer.read_exact(&mut [0; 9]).unwrap();
            peer.write_all(greeting).unwrap();
            // What it leaves unread would reset the connection.
            drop(peer.read_to_end(&mut Vec::new()));
        });
        let told = run(&["ping", &other]);
        assert!(told.failure(3).contains(words), "{told:?}");
        serving.join().unwrap();
    }
}

#[test]
fn clients_show_certificates_where_that_is_demanded() {
    let tls = Certificate::localhost();
    let fixtures = tls.key.parent().unwrap();
    let file = |name: &str| fixtures.join(name).to_str().unwrap().to_owned();
    let (authority, certificate, key) = (file("authority.pem"), file("localhost.pem"), file("localhost.key"));
    let listen = ["demo", "--listen", "tls://127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
    let demo = Running::start(&[&listen[..], &["--client-ca", &authority]].concat());
    let at = demo.endpoint();
    let call = ["call", &at, "--ca", &authority, "add", "3", "4"];
    let (own, own_key) = (file("client.pem"), file("client.key"));
    let shown = [&call[..], &["--client-cert", &own, "--client-key", &own_key]].concat();
    assert_eq!(run(&shown).answer(), "7\n");
    let refused = run(&call);
    assert!(refused.failure(3).contains("ertificate"), "{refused:?}");
}

#[test]
fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", listener.local_addr().unwrap());
    let silent = run(&["call", &at, "--connect-timeout", "0.1", "add"]);
    assert!(silent.failure(3).contains("no handshake within 100ms"), "{silent:?}");
}

/// 2, and in one sentence where clap is not the one who complains.
#[test]
fn wrong_usage_says_what_is_right() {
    let cases: &[(&[&str], &str)] = &[
        (&["call"], "no endpoint: name one before all else, as in tcp://127.0.0.1:5001"),
        (&["call", "127.0.0.1:5001", "add"], "write it with its scheme and ://, as in tcp://127.0.0.1:5001"),
        (&["call", "tcp:/127.0.0.1:5001", "add"], "write it with its scheme and ://, as in tcp://127.0.0.1:5001"),
        (&["call", "localhost", "add"], "no endpoint (localhost, which has no scheme, is the METHOD): name one"),
        (&["call", "tcp://127.0.0.1:5001/", "add"], "nothing follows the port"),
        (&["call", "tcp:///run/daffi.sock", "add"], "the path of a socket belongs behind unix://"),
        (&["call", "tcp://127.0.0.1:5001"], "no METHOD: name the callback to call"),
        (&["call", "http://127.0.0.1", "add"], "there is no http://, only tcp://"),
        (&["call", "tcp://127.0.0.1:1", "f", "-k", "a"], "--kwarg a: write NAME=VALUE"),
        (&["call", "tcp://127.0.0.1:1", "f", "-k", "a=1", "-k", "a=2"], "the keyword argument a is given twice"),
        (&["call", "tcp://127.0.0.1:1", "f", "True"], "True is how Python writes it: write true for the value"),
        (&["call", "tcp://127.0.0.1:1", "f", "-k", "a=None"], "None is how Python writes it: write null for the value"),
        (&["call", "tcp://127.0.0.1:1", "f", "--", "-Infinity"], "write '{\"$float\": \"-inf\"}' for the value"),
        (&["call", "tcp://127.0.0.1:1", "f", "-Infinity"], "write '{\"$float\": \"-inf\"}' for the value"),
        (&["call", "tcp://127.0.0.1:1", "f", "[1,"], "argument [1,: it begins like JSON and is none: EOF"),
        (&["call", "tcp://127.0.0.1:1", "f", "{\"a\":1"], "write '\"{\\\"a\\\":1\"' or --text for the text"),
        (&["call", "tcp://127.0.0.1:1", "f", "--args-file", "/no/such"], "(os error 2); check the path"),
        (&["call", "tcp://127.0.0.1:1", ""], "METHOD is empty"),
        (&["call", "tcp://127.0.0.1:1", "--ca", "x", "f"], "tcp://127.0.0.1:1 is not encrypted"),
        (&["call", "tls://127.0.0.1:1", "--ca", "/no/such.pem", "f"], "(os error 2); check the path"),
        (&["members", "somewhere"], "the endpoint \"somewhere\" cannot be used"),
        (&["stream", "tcp://127.0.0.1:1", "f"], "METHOD and FILE are needed"),
        (&["stream", "tcp://127.0.0.1:1", "f", "/no/such/file"], "(os error 2); check the path"),
        (&["call", "tcp://127.0.0.1:1", "--token-file", "/no/such", "f"], "(os error 2); check the path"),
        (&["call", "tcp://127.0.0.1:1", "--args-file", "/", "f"], "name a file, and not a directory"),
        (&["router", "--config", "/no/such.toml"], "(os error 2); check the path"),
        (&["stream", "tcp://127.0.0.1:1", "f", "/"], "is a directory"),
        (&["demo", "--listen", "tcp://127.0.0.1:0", "--ca", "x"], "--ca, --pin"),
        (&["demo", "--connect", "tcp://127.0.0.1:1", "--tls-cert", "x", "--tls-key", "x"], "belong to --listen"),
        (&["router"], "where to listen: --listen tcp://127.0.0.1:5000 for one"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--admin", "9090"], "write HOST:PORT, as in 127.0.0.1:9090"),
        (&["ping", "tcp://127.0.0.1:0"], "port 0 is any that is free, and only to listen"),
        (&["call", "tcp://127.0.0.1:1", "f", "nan"], "nan is how Python writes it: write '{\"$float\": \"nan\"}'"),
        (&["call", "tcp://127.0.0.1:1", "f", "-inf"], "write '{\"$float\": \"-inf\"}' for the value"),
        (&["call", "tcp://127.0.0.1:1", "f", ".5"], ".5 is no number in JSON: write 0.5 for the value"),
        (&["call", "tcp://127.0.0.1:1", "f", "(1, 2)"], "(1, 2) is how Python writes it: write '[1,2]'"),
        (&["demo", "--listen", "tls://127.0.0.1:0"], "needs --tls-cert FILE and --tls-key FILE"),
    ];
    for (args, words) in cases {
        let ran = run(args);
        assert!(ran.failure(2).contains(words), "{args:?}: {ran:?}");
    }
    let values: &[(&[&str], &str)] = &[
        (&["call", "tcp://127.0.0.1:1", "--name", "a|b", "f"], "node name \"a|b\" holds '|'"),
        (&["router", "--listen", "ws://127.0.0.1:0"], "listen on tcp://HOST:PORT: it takes WebSockets, too"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--allow-origin", "nowhere"], "\"nowhere\" is not an origin"),
    ];
    for (args, words) in values {
        let ran = run(args);
        assert!(ran.code == Some(2) && ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    for args in [
        &["call", "--timeout", "0", "x"][..],
        &["demo"],
        &["router"],
        &["bench", "-f", "0"],
        &["nope"],
        &["call", "-s", "xml"],
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_slice()), (Some(2), &b""[..]), "{args:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{args:?}: {ran:?}");
    }
}

/// Whoever asked for JSON reads errors as JSON, those of clap as well.
#[test]
fn wrong_usage_is_json_where_that_is_asked_for() {
    for (args, words) in [
        (&["call", "--json", "-t", "0", "x"][..], "it must be more than 0; `none` waits"),
        (&["call", "-s", "xml", "--json"], "invalid value 'xml' for '--serde <FORMAT>' [possible values: msgpack,"),
        (&["bench", "--json", "-f", "0"], "a whole number from 1 to"),
        (&["ping", "--json", "-n", "0"], "a whole number from 1 to"),
        (&["members", "--json", "one", "two"], "unexpected argument 'two' found"),
        (&["call", "--json", "f", "-Infinity"], "-Infinity is how JavaScript writes it"),
        (&["context", "list", "--json", "more"], "unexpected argument 'more' found"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_slice()), (Some(2), &b""[..]), "{args:?}: {ran:?}");
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(error["exit_code"], 2, "{args:?}: {ran:?}");
        assert!(error["error"].as_str().unwrap().contains(words), "{args:?}: {ran:?}");
    }
    // Behind -- it is an argument.
    assert!(run(&["call", "-t", "0", "x", "--", "--json"]).stderr.starts_with("error: "));
}

/// Nothing of Rust's own words, and no crash.
#[test]
fn numbers_out_of_range_are_told_with_the_range() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for (args, words) in [
        (&["-t", "-1"][..], "it must be more than 0; `none` waits"),
        (&["-d", "nan"], "a time from 0 to 1000000000 s is expected"),
        (&["-c", "0"], "a whole number from 1 to"),
        (&["-f", "65536"], "a connection has 65535 calls open at most"),
        (&["--rate", "1e-300"], "calls a second from 0.001 to 1000000000"),
        (&["--rate", "1e10"], "calls a second from 0.001 to 1000000000"),
        (&["--rate", "nan"], "calls a second from 0.001 to 1000000000"),
        (&["--rate", "-5"], "calls a second from 0.001 to 1000000000"),
        (&["-p", "18446744073709551615"], "an argument has 4294967295 bytes at most"),
        (&["-p", "100G"], "an argument has 4294967295 bytes at most"),
    ] {
        let ran = run(&[&["bench", &at, "add", "1", "2"], args].concat());
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
    for (args, words) in [
        (&["ping", &at, "-n", "-1"][..], "a whole number from 1 to"),
        (&["ping", &at, "--connect-timeout", "0"], "it must be more than 0"),
        (&["router", "--listen", "tcp://127.0.0.1:0,unix:///tmp/x.sock"], "give --listen once for each"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--max-connections", "-1"], "a whole number from 1 to"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--grace", "-1"], "a time from 0 to 1000000000 s is expected"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--share", "-0.5"], "a share is a number above 0"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--handshake-timeout", "0"], "it must be more than 0"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--slow-peer-timeout", "0s"], "it must be more than 0"),
        (&["router", "--listen", "tcp://127.0.0.1:0", "--threads", "18446744073709551615"], "1024 threads at most"),
    ] {
        let ran = run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words) && !ran.stderr.contains("tip:"), "{args:?}: {ran:?}");
    }
    // More than can be called does not make it last longer.
    let wanted = run(&["bench", &at, "add", "1", "2", "-d", "0.2", "--warm-up", "0", "--rate", "1e9", "--json"]).json();
    assert!(wanted["calls"].as_u64().unwrap() > 0 && wanted["seconds"].as_f64().unwrap() < 20.0, "{wanted}");
}

/// Who runs out of files hears what to raise.
#[test]
fn no_more_files_say_what_to_raise() {
    let demo = Running::demo();
    let bench = ["bench", &demo.endpoint(), "add", "1", "2", "-c", "100"];
    let ran = finished(command_of_few_files(40, &bench).spawn().unwrap());
    assert!(ran.failure(3).contains("Too many open files (os error 24); raise `ulimit -n`"), "{ran:?}");
}

/// However few there may be, in whatever the process does when they run out.
#[test]
fn too_few_files_to_start_with_are_told_as_such() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut told = 0;
    for most in 4..16 {
        for (args, codes) in [
            (&["router", "--listen", "tcp://127.0.0.1:0"][..], [1, 5]),
            (&["demo", "--listen", "tcp://127.0.0.1:0"], [1, 5]),
            (&["call", &at, "add", "1", "2"], [1, 3]),
            (&["ping", &at, "-n", "1"], [1, 3]),
        ] {
            let mut running = command_of_few_files(most, args).spawn().unwrap();
            if args.contains(&"--listen") {
                let enough = read_line(&mut running).contains("://");
                if enough {
                    running.kill().unwrap();
                    running.wait().unwrap();
                    continue;
                }
            }
            let ran = finished(running);
            if ran.code == Some(0) {
                continue;
            }
            told += 1;
            let lines: Vec<_> = ran.stderr.lines().collect();
            let [line] = lines[..] else { panic!("{most} {args:?}: {ran:?}") };
            assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{most} {args:?}: {ran:?}");
            assert!(line.starts_with("error: ") && line.contains("raise `ulimit -n`"), "{most} {args:?}: {ran:?}");
        }
    }
    assert!(told > 8, "{told}");
}

/// What it answers first; nothing, when it ends without.
fn read_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn an_address_in_use_is_named() {
    let demo = Running::demo();
    let ran = run(&["demo", "--listen", &demo.endpoint()]);
    assert!(ran.failure(5).contains("another program listens there, or another endpoint of this one"), "{ran:?}");
    let taken = demo.endpoint().replace("tcp://", "");
    let ran = run(&["router", "--listen", "tcp://127.0.0.1:0", "--admin", &taken]);
    assert!(ran.failure(5).contains("another program listens there"), "{ran:?}");
}

#[test]
fn beside_a_log_in_json_errors_are_its_lines() {
    let told = |args: &[&str], variable: Option<&str>, code: i64| {
        let mut command = command(args);
        command.envs(variable.map(|format| ("DAFFI_ROUTER_LOG_FORMAT", format)));
        let ran = finished(command.spawn().unwrap());
        let line: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!((&line["severity"], &line["exit_code"]), (&"ERROR".into(), &code.into()), "{ran:?}");
        assert!(line["time"].is_string() && line["module"].is_string(), "{line}");
        line["event"].as_str().unwrap().to_owned()
    };
    let file = TempFile::new("json-log", b"log-format = \"json\"\nlisten = \"x\"\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", taken.local_addr().unwrap());
    assert!(told(&["--log-format", "json", "router", "-l", &at], None, 5).starts_with("cannot listen on "));
    assert!(told(&["demo", "-l", "x", "--log-format=json"], None, 2).starts_with("invalid value 'x' for '--listen"));
    assert!(told(&["router"], Some("json"), 2).starts_with("it needs to know where to listen"));
    assert!(told(&["router", "--config", file.path()], None, 2).contains(":2: invalid value 'x' for '--listen"));
    assert!(told(&["call", "--log-format", "json"], None, 2).starts_with("no endpoint"));
    // What answers in JSON complains as it always does.
    let both = run(&["call", "--log-format", "json", "--json"]);
    assert!(both.stderr.starts_with("{\"error\":\"no endpoint"), "{both:?}");
}

#[test]
fn times_that_are_none_say_so() {
    for time in ["0", "-1", "-5s", "0ms"] {
        let told = run(&["call", "tcp://127.0.0.1:1", "add", "-t", time]).stderr;
        let text = "for '--timeout <TIME>': it must be more than 0; `none` waits for as long as it takes";
        assert!(told.contains(text), "{time}: {told}");
    }
    let told = run(&["call", "tcp://127.0.0.1:1", "add", "--every", "-1s"]).stderr;
    assert!(told.contains("invalid value '-1s' for '--every <TIME>': it must be more than 0"), "{told}");
}

/// What was waited for in vain can be waited for longer.
#[test]
fn a_time_that_was_up_names_its_option() {
    // It takes connections, and answers no handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", silent.local_addr().unwrap());
    let refused = run(&["ping", &at, "--connect-timeout", "50ms"]);
    let words = "is the other end a daffi node? --connect-timeout TIME waits longer";
    assert!(refused.failure(3).ends_with(words), "{refused:?}");
    let demo = Running::demo();
    let refused = run(&["call", &demo.endpoint(), "nope", "--wait", "-t", "50ms"]);
    assert!(refused.failure(4).ends_with("is a node that has it there? --timeout TIME waits longer"), "{refused:?}");
}

/// What was written wrong is told with what to write.
#[test]
fn wrong_words_are_told_with_right_ones() {
    let names = TempFile::new("names", b"3");
    let (at, file) = ("tcp://127.0.0.1:1", names.path());
    let cases: [(&[&str], &str); 5] = [
        (&["call", at, "f", "--args-file", file], "as [1, 2] or {\"a\": 1}"),
        (&["router", "-l", "tcp://127.0.0.1:0", "--mode", "660"], "add one, or leave them out"),
        (&["router", "-l", "tcp://127.0.0.1:0", "--tls-cert", file, "--tls-key", file], "add one, or leave it out"),
        (&["router", "-l", "tcp://127.0.0.1:0", "--share", "0"], "a number above 0, as 0.5"),
        (&["context", "add", "", at], "is a variable of the shell not set?"),
    ];
    for (args, words) in cases {
        let ran = run(args);
        assert!(ran.code == Some(2) && ran.stderr.contains(words), "{args:?}: {ran:?}");
    }
}
