//! What a peer chose steers no terminal and forges no line: names, texts, classes of errors, the
//! origin of a page.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
};

use daffi::{Client, NamePolicy, RemoteError, Router, Service, Shown, Value, callback, callbacks};
use futures::{Stream, stream};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::support::{Ran, Running, TempFile, command, finished, run};

/// All that steers: line feed, tab, ESC, DEL, C1, marks of writing direction, separators of lines.
const HOSTILE: &str = "evil\nforged\t\u{1b}[2J\u{7f}\u{9b}31m\u{85}\r\u{202e}\u{2066}\u{2028}x";
/// A worker's own name, so that it and a client may have all that in theirs.
const GUEST: &str = "guest\nforged\u{1b}[2J\u{9b}\u{202e}x";

/// Nothing in it steers, and no line of it is a peer's. `own`: what the command itself writes
/// between words.
#[track_caller]
fn assert_harmless(text: &str, own: &[char]) {
    let steers = text.chars().find(|c| *c != '\n' && !own.contains(c) && Shown::new("").escapes(*c));
    assert_eq!(steers, None, "{text:?}");
    assert!(text.lines().all(|line| !line.starts_with("forged")), "{text:?}");
}

#[track_caller]
fn assert_harmless_run(ran: &Ran, own: &[char]) {
    assert_harmless(std::str::from_utf8(&ran.stdout).unwrap(), own);
    assert_harmless(&ran.stderr, &[]);
    assert!(!ran.stdout.is_empty() || !ran.stderr.is_empty(), "{ran:?}");
}

/// What it writes to a terminal of so many columns; 0 is that of one that does not know.
fn on_terminal(args: &[&str], columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: columns.min(1) * 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let open = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let mut child = command(args).env("NO_COLOR", "1").stdout(open()).stderr(open()).spawn().unwrap();
    let (mut terminal, mut all, mut some) = (File::from(terminal), Vec::new(), [0; 4096]);
    // A terminal that nobody has open any more is an error and no end.
    while let Ok(read @ 1..) = terminal.read(&mut some) {
        all.extend_from_slice(&some[..read]);
    }
    child.wait().unwrap();
    // The terminal's own.
    String::from_utf8(all).unwrap().replace("\r\n", "\n")
}

fn hostile_map() -> Value {
    Value::from_iter([(HOSTILE, Value::from(vec![HOSTILE, "plain"])), ("plain", HOSTILE.into())])
}

/// Results one by one.
#[callback]
fn each() -> impl Stream<Item = Value> {
    stream::iter([HOSTILE.into(), hostile_map()])
}

#[callback]
fn each_fails() -> impl Stream<Item = Result<Value, RemoteError>> {
    stream::iter([Ok(hostile_map()), Err(RemoteError::new(HOSTILE, HOSTILE))])
}

async fn hostile_worker(at: &str) -> Client {
    let builder = Client::builder(HOSTILE)
        .callback_fn(HOSTILE, || async { HOSTILE })
        .callback_fn("map", || async { hostile_map() })
        .callback_fn("long", || async { Value::Null })
        .callbacks(callbacks![each, each_fails])
        .try_callback_fn("fail", |_: Option<Value>| async { Err::<(), _>(RemoteError::new(HOSTILE, HOSTILE)) })
        .try_callback_fn("fail_at_length", || async { Err::<(), _>(RemoteError::new("E", "\u{1b}".repeat(1 << 20))) });
    builder.connect(at).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_prints_what_steers() {
    let mut router = Running::start(&["router", "--listen", "tcp://127.0.0.1:0", "-vv"]);
    let at = router.endpoint();
    let file = TempFile::new("hostile", b"chunk");
    let following = [&["events", &at][..], &["events", &at, "--json"]].map(Running::start);
    let mut again = Running::start(&["call", &at, "fail", "1", "--every", "20ms"]);
    following.iter().for_each(|events| drop(events.log("following")));
    let worker = hostile_worker(&at).await;
    let config = TempFile::new("hostile.toml", format!("listen = {HOSTILE:?}\n{HOSTILE:?} = 1\n").as_bytes());
    let commands: [&[&str]; 33] = [
        &["members", &at],
        &["members", &at, "--json"],
        &["members", &at, "--by-callback"],
        &["members", &at, "-b", "--json"],
        &["ping", &at, "--json"],
        &["call", &at, HOSTILE, "--json"],
        &["call", &at, "map"],
        &["call", &at, "map", "--json"],
        &["call", &at, "fail", "1"],
        &["call", &at, "fail", "1", "--json"],
        &["call", &at, "map", "-r", "nobody"],
        &["call", &at, "Map", "-r", HOSTILE],
        &["call", &at, "evil\nforged\t", "--json"],
        &["cast", &at, "fail", "1", "--json"],
        &["stream", &at, "fail", file.path(), "-s", "msgpack"],
        &["bench", &at, "fail", "1", "-d", "0.1", "--warm-up", "0"],
        &["bench", &at, "fail", "1", "-d", "0.1", "--warm-up", "0", "--json"],
        &["call", &at, "long", "--timeout", "0.001"],
        &["cast", &at, "fail", "1"],
        // What a person passes on came from somebody else, too.
        &["call", &at, "map", "--args-file", HOSTILE],
        &["call", &at, "map", "[\u{1b}[2J\u{9b}\nforged"],
        &["call", &at, "map", "'\u{1b}[2J\u{9b}\nforged'"],
        &["nowait", &at, "Map", "-r", HOSTILE],
        &["call", &at, "each", "--json"],
        &["call", &at, "each_fails"],
        &["call", &at, "each_fails", "--json"],
        &["call", &at, "map", "--items"],
        &["top", &at, "--once", "--interval", "300ms"],
        &["top", &at, "--json"],
        &["config", "check", config.path()],
        &["config", "show", "--config", config.path()],
        &["context", "use", HOSTILE],
        &["context", "add", HOSTILE, HOSTILE],
    ];
    for args in commands {
        assert_harmless_run(&run(args), &[]);
    }
    for args in [&["cast", &at, HOSTILE][..], &["cast", &at, "map"]] {
        // Between name and result.
        assert_harmless_run(&run(args), &['\t']);
    }
    assert_eq!(run(&["call", &at, HOSTILE]).answer(), format!("{HOSTILE}\n"), "a pipe gets a text as it is");
    for columns in [0, 30] {
        for args in commands.into_iter().filter(|args| !["stream", "bench"].contains(&args[0])) {
            assert_harmless(&on_terminal(args, columns), &[]);
        }
        assert_harmless(&on_terminal(&["cast", &at, HOSTILE], columns), &['\t']);
        // A text that stands by itself keeps its lines.
        let shown = on_terminal(&["call", &at, HOSTILE], columns);
        assert_eq!(shown, format!("{}\n", Shown::new(HOSTILE).with_lines()));
    }
    let long = run(&["call", &at, "fail_at_length"]);
    assert!(long.failure(1).len() < 8 << 10, "{} bytes", long.stderr.len());
    again.log("evil");
    again.signal("INT");
    again.end();
    assert_harmless(&again.told_lines(), &[]);
    worker.stop().await;
    for events in &following {
        events.answer("removed");
        events.signal("TERM");
        assert_harmless(&events.told_lines(), &[]);
    }
    router.signal("TERM");
    router.end();
    assert_harmless(&router.told_lines(), &[]);
}

/// No name passes for another, or for a name and what it exposes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_blank_of_a_name_is_lost() {
    let router = Running::router();
    let at = router.endpoint();
    let names = ["demo", "demo ", " x", "a  b", " ", "x  add, secret", "one two"];
    let events = Running::start(&["events", &at]);
    events.log("following");
    let mut workers = Vec::new();
    for name in names {
        workers.push(Client::builder(name).callback_fn("add", || async { 7 }).connect(&at).await.unwrap());
    }
    let mut shown = ["demo", r"demo\u{20}", r"\u{20}x", r"a \u{20}b", r"\u{20}", r"x \u{20}add, secret", "one two"];
    for name in shown {
        events.answer(&format!("+ added   {name}"));
    }
    shown.sort_unstable();
    for args in [&["members", &at][..], &["members", &at, "-l"], &["top", &at, "--once", "--interval", "300ms"]] {
        let ran = run(args);
        let lines =
            ran.answer().lines().skip_while(|line| !line.starts_with("NAME") && !line.starts_with("NODE")).skip(1);
        // Without those who follow.
        let lines = lines.filter(|line| !line.starts_with("cli-"));
        let mut columns: Vec<_> = lines.map(|line| line.split("  ").next().unwrap()).collect();
        columns.sort_unstable();
        assert_eq!(columns, shown, "{args:?}: {ran:?}");
    }
    let ran = run(&["cast", &at, "add"]);
    let mut columns: Vec<_> = ran.answer().lines().map(|line| line.split('\t').next().unwrap()).collect();
    columns.sort_unstable();
    assert_eq!(columns, shown);
    let ran = run(&["members", &at, "-b"]);
    let row = ran.answer().lines().nth(1).unwrap();
    let mut listed: Vec<_> = row.strip_prefix("add     ").unwrap().split(", ").collect();
    listed.sort_unstable();
    assert_eq!(listed, shown.map(|name| name.replace(',', r"\u{2c}")));
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_a_log_is_a_peers() {
    for node in ["router", "demo"] {
        let mut node = Running::start(&[node, "--listen", "tcp://127.0.0.1:0", "-vv"]);
        let at = node.endpoint();
        let guest = Client::builder(GUEST).connect(&at).await.unwrap();
        let _nobody = guest.rpc().receiver(HOSTILE).call::<Value>(HOSTILE, ()).await;
        if let Some(name) = guest.members().iter().map(|member| member.name.to_string()).find(|name| name != GUEST) {
            guest.rpc_nowait().receiver(&name).call("fail", (HOSTILE,)).await.unwrap();
            guest.rpc_nowait().receiver(&name).call("add", (HOSTILE, HOSTILE)).await.unwrap();
        }
        let again = Client::builder(GUEST).connect(&at).await.unwrap();
        again.stop().await;
        page(&at, "https://\u{9b}31m\u{202e}.example\t\u{85}forged");
        node.log("answered with \"403");
        node.signal("TERM");
        node.end();
        assert!(node.told_lines().contains("guest\\"), "{}", node.told_lines());
        assert_harmless(&node.told_lines(), &[]);
    }
}

/// Without quotes the blanks of a name would be those between the fields of a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_blank_of_a_name_is_lost_in_a_log() {
    const BLANK: &str = "wide  name ";
    for node in ["router", "demo"] {
        let mut node = Running::start(&[node, "--listen", "tcp://127.0.0.1:0", "-vv"]);
        let at = node.endpoint();
        let guest = Client::builder(BLANK).connect(&at).await.unwrap();
        let member = guest.members().iter().map(|member| member.name.to_string()).find(|name| name != BLANK);
        let nobody = guest.rpc().receiver(BLANK).call::<Value>(BLANK, ()).await.unwrap_err();
        assert!(nobody.to_string().contains(r"wide \u{20}name\u{20}"), "{nobody}");
        if let Some(name) = member {
            guest.rpc_nowait().receiver(&name).call("fail", ("why",)).await.unwrap();
            node.log("a nowait call failed");
        }
        // It evicts the first.
        Client::builder(BLANK).connect(&at).await.unwrap().stop().await;
        node.signal("TERM");
        node.end();
        let told = node.told_lines();
        assert!(told.contains(r"=wide \u{20}name\u{20}"), "{told}");
        for line in told.lines() {
            let bare: String = line.split('"').step_by(2).collect();
            assert!(!bare.contains("wide  name"), "{line}");
        }
    }
}

/// A page of this origin asks for a WebSocket.
fn page(at: &str, origin: &str) {
    let address = at.strip_prefix("tcp://").unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
    );
    TcpStream::connect(address).unwrap().write_all(request.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_steers_nothing_either() {
    let service = Service::builder(HOSTILE).bind("tcp://127.0.0.1:0").await.unwrap();
    let at = service.endpoints()[0].to_string();
    for args in [&["ping", &at][..], &["ping", &at, "--json"], &["members", &at], &["call", &at, "x", "-vv"]] {
        assert_harmless_run(&run(args), &[]);
        assert_harmless(&on_terminal(args, 0), &[]);
    }
    let router = Router::builder(HOSTILE).configure(|config| config.name_policy = NamePolicy::First);
    let router = router.bind("tcp://127.0.0.1:0").await.unwrap();
    let at = router.endpoints()[0].to_string();
    let _first = Client::builder(HOSTILE).connect(&at).await.unwrap();
    let refused = finished(command(&["call", &at, "x", "--name", HOSTILE]).spawn().unwrap());
    assert!(refused.failure(3).contains("evil\\"), "{refused:?}");
    assert_harmless_run(&refused, &[]);
}
