//! Settings of a router from a file, the environment and the command line, and read again while it
//! runs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use daffi_testing::{Certificate, SocketPath};
use serde_json::Value;

use crate::support::{Ran, Running, TempFile, command, finished, run};

/// Runs it with variables.
fn run_in(variables: &[(&str, &str)], args: &[&str]) -> Ran {
    finished(command(args).envs(variables.iter().copied()).spawn().unwrap())
}

#[test]
fn the_file_is_below_the_environment_and_that_below_the_command_line() {
    let file = TempFile::new(
        "layers.toml",
        b"listen = \"tcp://127.0.0.1:0\"\nname = \"file\"\nshare = 0.5\nmax-connections = 0x10\ngrace = \"2s\"\n",
    );
    let environment = [("DAFFI_ROUTER_NAME", "environment"), ("DAFFI_ROUTER_SHARE", "0.25")];
    let shown = run_in(&environment, &["config", "show", file.path()]);
    let lines: Vec<&str> = shown.answer().lines().collect();
    let path = file.path();
    for line in [
        format!("listen = [\"tcp://127.0.0.1:0\"]  # {path}:1"),
        "name = \"environment\"  # DAFFI_ROUTER_NAME".to_owned(),
        "share = \"0.25\"  # DAFFI_ROUTER_SHARE".to_owned(),
        format!("max-connections = 16  # {path}:4"),
        format!("grace = \"2s\"  # {path}:5"),
        "handshake-timeout = 10  # default".to_owned(),
        "# client-ca =  # default".to_owned(),
        "log-format = \"text\"  # default".to_owned(),
    ] {
        assert!(lines.contains(&line.as_str()), "{line} is not in {lines:#?}");
    }

    // What holds is a file itself, and the command line has the last word.
    let whole = TempFile::new("whole.toml", shown.answer().as_bytes());
    let args =
        ["router", "--config", whole.path(), "--name", "flag", "-l", "tcp://127.0.0.1:0", "-l", "tcp://127.0.0.1:0"];
    let mut router = Running::adopt(command(&args).envs(environment).spawn().unwrap());
    router.log("listening name=\"flag\"");
    assert!(router.endpoint().starts_with("tcp://127.0.0.1:"));
    router.log_until(|lines| lines.iter().filter(|line| line.contains("://")).count() == 0);
    router.signal("TERM");
    assert_eq!(router.end().code(), Some(0));
    assert_eq!(router.told().matches("tcp://127.0.0.1:").count(), 2, "{}", router.told());
}

#[test]
fn a_router_needs_no_command_line() {
    let file = TempFile::new("alone.toml", b"\xef\xbb\xbflisten = [\"tcp://127.0.0.1:0\"]\r\nquiet = true\r\n");
    let variables = [("DAFFI_ROUTER_CONFIG", file.path()), ("DAFFI_ROUTER_LISEN", "tcp://127.0.0.1:1")];
    let router = Running::adopt(command(&["router", "-v"]).envs(variables).spawn().unwrap());
    router.log("this is no option of `daffi router`: `daffi router --help` lists them variable=DAFFI_ROUTER_LISEN");
    let at = router.endpoint();
    assert!(run(&["ping", &at]).answer().contains("wire level 4"));
    // A flag of the command line goes before the one that it excludes.
    router.log("listening");
}

#[test]
fn what_a_router_could_not_start_with_is_told_with_its_place() {
    let refused = |text: &str, args: &[&str]| {
        let file = TempFile::new("refused.toml", text.as_bytes());
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "FILE" { file.path() } else { arg }).collect();
        run(&args).failure(2).replace(file.path(), "FILE")
    };
    let check = |text: &str| refused(text, &["config", "check", "FILE"]);
    assert_eq!(
        check("listen = \"tcp://127.0.0.1:0\"\nmax_connections = 5\n"),
        "FILE:2: max_connections is no option of `daffi router`; did you mean max-connections?"
    );
    assert_eq!(
        refused("share = 0\n", &["router", "-l", "tcp://127.0.0.1:0", "--config", "FILE"]),
        "FILE:1: invalid value '0' for '--share <FACTOR>': a share is a number above 0, as 0.5"
    );
    let told = check("grace = 1\n");
    assert!(told.contains("--listen <URL>"), "{told}");
    let told = check("listen = \"tls://127.0.0.1:0\"\ntls-cert = \"c.pem\"\n");
    assert_eq!(told, "FILE:2: --tls-cert needs --tls-key FILE");
    let told = check("listen = \"tls://127.0.0.1:0\"\ntls-cert = \"/none/c.pem\"\ntls-key = \"/none/k.pem\"\n");
    assert!(told.contains("cannot read the certificate file \"/none/c.pem\""), "{told}");
    let here = |text: &str| check(&format!("listen = \"tcp://127.0.0.1:0\"\n{text}\n"));
    for (text, told) in [
        ("name = \"\"", "FILE:2: invalid value '' for '--name <NAME>': a node name must not be empty"),
        (
            "allow-origin = [\"foo\"]",
            "FILE:2: invalid value 'foo' for '--allow-origin <ORIGIN>': \"foo\" is not an origin",
        ),
        ("mode = \"660\"", "FILE:2: --mode and --group are those of a Unix socket"),
        (
            "admin = \"127.0.0.1:0\"\nadmin-host = [\"http://ops.example\"]",
            "FILE:3: invalid value 'http://ops.example' for '--admin-host <NAME>': \"http://ops.example\" is no host",
        ),
        ("admin = \"nowhere\"", "FILE:2: --admin nowhere: write HOST:PORT"),
        (
            "admin = \"0.0.0.0:0\"",
            "FILE:2: --admin 0.0.0.0:0 is reached by others than this machine: --admin-token-file",
        ),
        ("admin-host = [\"a\"]", "FILE:2: --admin-host and --admin-token-file belong to --admin HOST:PORT"),
        (
            "admin = \"127.0.0.1:0\"\nadmin-token-file = \"/none\"",
            "FILE:3: --admin-token-file /none: the file cannot be read",
        ),
    ] {
        let refused = here(text);
        assert!(refused.starts_with(told), "{text}: {refused}");
    }
    let told = check("listen = \"ws://127.0.0.1:0\"\n");
    assert!(told.ends_with("listen on tcp://HOST:PORT: it takes WebSockets, too"), "{told}");
    let told = run_in(&[("DAFFI_ROUTER_GRACE", "soon")], &["config", "show"]).failure(2).to_owned();
    assert!(told.starts_with("DAFFI_ROUTER_GRACE: invalid value 'soon' for '--grace <TIME>'"), "{told}");
    let told = run(&["router", "--config", "/none/router.toml"]).failure(2).to_owned();
    assert!(told.starts_with("--config /none/router.toml: the file cannot be read: "), "{told}");
    let told = run(&["router", "--config", "/"]).failure(2).to_owned();
    assert!(told.starts_with("--config /: the file cannot be read: "), "{told}");
}

#[test]
fn the_example_is_a_file_that_holds_the_defaults() {
    let printed = run(&["config", "example"]);
    let example = TempFile::new("example.toml", printed.answer().as_bytes());
    assert_eq!(run(&["config", "check", example.path()]).answer(), "");
    assert!(printed.answer().lines().all(|line| line.chars().count() <= 100), "{}", printed.answer());

    // Each default that it names can be written there.
    let options = printed.answer().split("# [policy]").next().unwrap();
    let is_setting = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let shows_a_kind =
        ["name =", "tls-", "client-ca", "admin", "mode =", "group =", "allow-origin", "threads", "no-pickle"];
    let set: Vec<&str> = options
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .filter(|line| is_setting(line) && !shows_a_kind.iter().any(|kind| line.starts_with(kind)))
        .collect();
    assert!(set.len() > 12, "{set:?}");
    let whole = TempFile::new("defaults.toml", set.join("\n").as_bytes());
    assert_eq!(run(&["config", "check", whole.path()]).answer(), "");
}

#[test]
fn hangups_reload_and_other_signals_tell() {
    let certificate = Certificate::localhost();
    let place = TempFile::new("certificates", b"");
    let [cert, key] = ["crt", "key"].map(|kind| format!("{}.{kind}", place.path()));
    let expired = certificate.certificate.with_file_name("plain.pem");
    fs::copy(&expired, &cert).unwrap();
    fs::copy(expired.with_extension("key"), &key).unwrap();
    let text = |rest: &str| {
        format!(
            "listen = [\"tls://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\ntls-cert = {cert:?}\ntls-key = {key:?}\n{rest}"
        )
    };
    let file = TempFile::new("reloaded.toml", text("").as_bytes());
    let mut router = Running::start(&["router", "--config", file.path()]);
    let at = router.answer("tls://");
    let ca = certificate.authority.to_str().unwrap();
    let seen = at.replace("127.0.0.1", "localhost");
    run(&["ping", &seen, "--ca", ca]).failure(3);

    fs::copy(&certificate.certificate, &cert).unwrap();
    fs::write(file.path(), text("max-connections = 5\nshare = 0.5\ngrace = 1\n")).unwrap();
    router.signal("HUP");
    router.log("not reloaded, and all stays as it is reason=\"the key file");
    // What was refused has not been taken in part: it is told as changed once the pair matches.
    fs::copy(&certificate.key, &key).unwrap();
    router.signal("HUP");
    let told = router.log("reloaded, but for options that take effect when the router starts again");
    assert!(told.contains("options=\"max-connections, share\" changed=\"grace, the certificate (expires 2"), "{told}");
    assert!(run(&["ping", &seen, "--ca", ca]).answer().contains("router"));
    // They still wait.
    router.signal("HUP");
    router.log_until(|lines| {
        lines.iter().filter(|line| line.contains("options=\"max-connections, share\"")).count() == 2
    });

    // How much is logged changes at once.
    fs::write(file.path(), text("verbose = 2\n")).unwrap();
    router.signal("HUP");
    router.log("reloaded changed=\"grace, verbose\"");
    drop(run(&["call", &router.answer("tcp://"), "nothing"]));
    router.log("a member joined");

    fs::write(file.path(), "listen = 5").unwrap();
    router.signal("HUP");
    router.log("not reloaded, and all stays as it is reason=");
    router.signal("USR1");
    router.log("counted so far refused_calls=0");
    assert!(router.is_running());
    for file in [cert, key] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let mut router = Running::router();
    router.endpoint();
    router.signal("HUP");
    router.log("there is nothing to reload: this router has no file (--config) and no certificates");
    let mut demo = Running::demo();
    demo.endpoint();
    demo.signal("HUP");
    demo.log("there is nothing to reload");
    demo.signal("USR1");
    demo.log("counted so far members=0");
    assert!(router.is_running() && demo.is_running());
}

#[test]
fn lines_of_the_log_are_json_when_asked_for() {
    let router = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--log-format", "json", "--name", "r\u{202e}"]);
    let _worker = Running::worker(&router.endpoint(), "w1");
    let line = router.log("joined");
    let joined: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&joined["event"], &joined["node"], &joined["severity"]),
        (&"joined".into(), &"w1".into(), &"INFO".into())
    );
    let time = joined["time"].as_str().unwrap();
    assert!(time.len() == "2026-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{time}");
    let listening: Value = serde_json::from_str(&router.log("listening")).unwrap();
    assert_eq!(listening["name"], "r\u{202e}");
    assert!(!router.told().contains('\u{202e}'));
}

#[test]
fn a_supervisor_is_told_how_the_router_is() {
    let place = SocketPath::new();
    let supervisor = UnixDatagram::bind(place.path()).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hears = |what: &str| loop {
        let mut told = [0; 256];
        let length = supervisor.recv(&mut told).unwrap_or_else(|error| panic!("no {what}: {error}"));
        let told = String::from_utf8(told[..length].to_vec()).unwrap();
        if !told.contains("WATCHDOG=1") || what == "WATCHDOG=1" {
            assert!(told.contains(what), "{told:?} and not {what}");
            break told;
        }
    };
    let mut command = command(&["router", "-l", "tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", place.path()).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
    let mut router = Running::adopt(command.spawn().unwrap());
    router.endpoint();
    hears("READY=1");
    hears("WATCHDOG=1");
    router.signal("HUP");
    assert!(hears("RELOADING=1").contains("MONOTONIC_USEC="));
    hears("READY=1");
    router.signal("TERM");
    hears("STOPPING=1");
    hears("EXTEND_TIMEOUT_USEC=20000000");
    let ended = router.end();
    assert_eq!(ended.code(), Some(0), "{}", router.told());
}

/// A node without a free file descriptor can open no socket to it.
#[test]
fn one_socket_to_the_supervisor_is_kept_until_it_is_started_again() {
    let place = SocketPath::new();
    let bind = || {
        let supervisor = UnixDatagram::bind(place.path()).unwrap();
        supervisor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        supervisor
    };
    let supervisor = bind();
    let hear = |supervisor: &UnixDatagram| supervisor.recv(&mut [0; 256]).unwrap();
    let mut command = command(&["router", "-l", "tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", place.path()).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
    let router = Running::adopt(command.spawn().unwrap());
    router.endpoint();
    hear(&supervisor);
    std::fs::remove_file(place.path()).unwrap();
    // More than what may have waited before nobody could find it any more.
    for _ in 0..100 {
        hear(&supervisor);
    }
    drop(supervisor);
    hear(&bind());
}

#[test]
fn a_supervisor_under_an_abstract_name_is_told_too() {
    let name = format!("daffi-supervisor-{}", std::process::id());
    let supervisor = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = command(&["router", "-l", "tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", format!("@{name}")).env_remove("WATCHDOG_USEC");
    let router = Running::adopt(command.spawn().unwrap());
    router.endpoint();
    let mut told = [0; 64];
    let length = supervisor.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1");
}

#[test]
fn a_supervisor_that_reads_nothing_stops_no_router() {
    let place = SocketPath::new();
    let _deaf = UnixDatagram::bind(place.path()).unwrap();
    let mut command = command(&["router", "-l", "tcp://127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", place.path()).env("WATCHDOG_USEC", "2000").env_remove("WATCHDOG_PID");
    let mut router = Running::adopt(command.spawn().unwrap());
    let at = router.endpoint();
    for number in 1..=40 {
        router.signal("HUP");
        router.log_until(|lines| lines.iter().filter(|line| line.contains("nothing to reload")).count() >= number);
    }
    assert!(run(&["ping", &at]).answer().contains("wire level 4"));
    router.signal("TERM");
    assert_eq!(router.end().code(), Some(0));
}

#[test]
fn a_router_tells_over_http_what_it_does() {
    let router = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--admin", "127.0.0.1:0", "--name", "r1"]);
    let at = router.answer("http://");
    assert!(router.endpoint().starts_with("tcp://"));
    let host = at.strip_prefix("http://").unwrap();
    let mut asking = TcpStream::connect(host).unwrap();
    asking.write_all(format!("GET /api/node HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""name":"r1""#), "{answer}");

    let listen = ["router", "-l", "tcp://127.0.0.1:0"];
    let refused = |args: &[&str], code| run(&[&listen[..], args].concat()).failure(code).to_owned();
    let told = refused(&["--admin", "0.0.0.0:0"], 2);
    assert_eq!(
        told,
        "--admin 0.0.0.0:0 is reached by others than this machine: --admin-token-file FILE keeps them out"
    );
    let short = TempFile::new("token", b"secret\n");
    let told = refused(&["--admin", "127.0.0.1:0", "--admin-token-file", short.path()], 2);
    assert!(told.contains("a token of 6 bytes can be guessed"), "{told}");
    let told = refused(&["--admin-host", "ops.example"], 2);
    assert!(told.contains("belong to --admin HOST:PORT"), "{told}");
    assert!(refused(&["--admin", host], 5).starts_with("--admin: cannot listen at "));
}
