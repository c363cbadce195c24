//! `members`, `ping` and `bench`: what there is, and how fast.

use serde_json::{Value, json};

use crate::support::{Running, command, finished, run, signal};

const METHODS: [&str; 13] = [
    "add",
    "greet",
    "sleep",
    "fail",
    "receive_chunk",
    "received",
    "count",
    "sum",
    "shout",
    "blob",
    "hash",
    "cancelled",
    "echo",
];

#[test]
fn members_are_listed() {
    let demo = Running::demo();
    let at = demo.endpoint();
    assert_eq!(run(&["members", &at]).answer(), format!("NAME  METHODS\ndemo  {}\n", METHODS.join(", ")));
    assert_eq!(run(&["members", &at, "--json"]).json(), json!([{"name": "demo", "methods": METHODS}]));
}

#[test]
fn a_ping_tells_what_answers() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let ran = run(&["ping", &at]);
    let lines: Vec<_> = ran.answer().lines().collect();
    assert_eq!(lines[..3], [at.as_str(), "service demo", "wire level 4"]);
    assert!(lines[3].starts_with("connected in "), "{lines:?}");
    let report = run(&["ping", &at, "-n", "3", "--json"]).json();
    assert_eq!(
        (&report["role"], &report["level"], &report["members"]),
        (&json!("service"), &json!(4), &json!(["demo"]))
    );
    let times = report["connect_ms"].as_array().unwrap();
    assert!(times.len() == 3 && times.iter().all(|time| time.as_f64().unwrap() > 0.0), "{times:?}");
    // No more digits than are worth something: microseconds.
    assert!(times.iter().all(|time| digits_behind_point(time) <= 3), "{times:?}");
}

/// How many digits a number of a report has behind its point.
fn digits_behind_point(number: &Value) -> usize {
    number.to_string().split_once('.').map_or(0, |(_, digits)| digits.len())
}

#[test]
fn a_benchmark_reports_what_it_measured() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let bench = |more: &[&str]| run(&[&["bench", &at, "-d", "0.2", "--warm-up", "0.05"], more].concat());
    let report = bench(&["echo", "--payload", "1KiB", "--in-flight", "4", "--serde", "opaque", "--json"]).json();
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!((&report["in_flight"], &report["payload_bytes"]), (&json!(4), &json!(1024)));
    let (calls, seconds) = (number(&report["calls"]), number(&report["seconds"]));
    assert!(calls > 0.0 && seconds >= 0.2);
    let per_second = number(&report["calls_per_second"]);
    assert!((per_second - calls / seconds).abs() < per_second * 1e-5, "no more than rounded: {report}");
    assert!(digits_behind_point(&report["calls_per_second"]) <= 3 && digits_behind_point(&report["seconds"]) <= 6);
    let latency = ["min", "p50", "p90", "p99", "p99.9", "max"].map(|name| number(&report["latency_us"][name]));
    assert!(latency[0] > 1.0 && latency.is_sorted(), "{latency:?}");
    // Four callers wait for their answers all the time.
    let busy = number(&report["latency_us"]["p50"]) * calls / 4.0;
    assert!(busy < 1.5 * seconds * 1e6, "{report}");
    let ran = bench(&["add", "3", "4"]);
    for name in ["calls", "rate", "in flight", "fastest", "p50", "p99.9", "slowest"] {
        assert!(ran.answer().lines().any(|line| line.starts_with(&format!("{name:<9}  "))), "{name}: {ran:?}");
    }
}

#[test]
fn a_benchmark_takes_results_one_by_one() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let bench = |more: &[&str]| run(&[&["bench", &at, "-d", "0.2", "--warm-up", "0"], more].concat());
    // Some give fewer, and of those that give more the rest is cancelled.
    for (n, taken) in [("5", 5), ("1000000000", 10)] {
        let report = bench(&["count", n, "--results", "10", "--json"]).json();
        let number = |name: &str| report["results"][name].as_f64().unwrap();
        assert_eq!(report["results"]["taken"].as_u64().unwrap(), taken * report["calls"].as_u64().unwrap());
        assert!(number("per_second") > 0.0 && number("cpu_seconds") > 0.0, "{report}");
        let per_cpu_second = number("taken") / number("cpu_seconds");
        assert!((per_cpu_second / number("per_cpu_second") - 1.0).abs() < 1e-4, "no more than rounded: {report}");
    }
    let readable = bench(&["count", "5", "--results", "5"]);
    assert!(readable.answer().contains("\nresults    ") && readable.answer().contains("\ncpu        "), "{readable:?}");
    assert_eq!(bench(&["add", "3", "4", "--json"]).json().get("results"), None);
}

#[test]
fn a_service_has_no_events() {
    let demo = Running::demo();
    let ran = run(&["events", &demo.endpoint()]);
    assert!(
        ran.failure(2).contains("is a service, and only a router tells who joins and leaves; `daffi members tcp://"),
        "{ran:?}"
    );
}

#[test]
fn errors_are_counted_and_do_not_end_a_benchmark() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let bench = |more: &[&str]| run(&[&["bench", &at, "-d", "0.2", "--warm-up", "0"], more].concat());
    let failed = bench(&["fail", "x", "--json"]);
    let report: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((&report["calls"], &report["failed"]), (&json!(0), &report["errors"]["ValueError"]));
    assert_eq!(report["latency_us"], Value::Null);
    assert!(report["failed"].as_u64().unwrap() > 0, "{failed:?}");
    let complaint: Value = serde_json::from_str(&failed.stderr).unwrap();
    assert_eq!((failed.code, &complaint["exit_code"]), (Some(1), &json!(1)));
    assert!(complaint["error"].as_str().unwrap().ends_with("the first: fail on demo failed: ValueError: x"));
    let readable = bench(&["fail", "x"]);
    assert!(String::from_utf8(readable.stdout).unwrap().contains(" ValueError"), "{}", readable.stderr);
    assert!(readable.stderr.contains(" calls failed, the first: fail on demo failed: ValueError: x"));
}

/// The calls that are overdue when the warm-up ends are not made in the time that is measured.
#[test]
fn a_rate_that_cannot_be_reached_is_measured_too() {
    let demo = Running::demo();
    let at = demo.endpoint();
    for (rate, call) in [("2000", &["sleep", "0.01"][..]), ("1e9", &["add", "1", "2"])] {
        let bench = ["bench", &at, "-d", "0.5", "--warm-up", "0.5", "--rate", rate, "--json"];
        let report = run(&[&bench, call].concat()).json();
        assert_eq!(report["rate"], json!(rate.parse::<f64>().unwrap()));
        assert!(
            report["calls"].as_u64().unwrap() > 0 && report["latency_us"]["p50"].as_f64().unwrap() > 0.0,
            "{report}"
        );
    }
}

#[test]
fn a_rate_is_kept_over_all_connections() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let ran = run(&[
        "bench",
        &at,
        "add",
        "3",
        "4",
        "-d",
        "1",
        "--warm-up",
        "0",
        "--rate",
        "100",
        "-c",
        "2",
        "-f",
        "2",
        "--name",
        "b",
        "--json",
    ]);
    let report = ran.json();
    assert_eq!((&report["connections"], &report["rate"]), (&json!(2), &json!(100.0)));
    // So many are due in a second. Where this process comes late, the last of them are not made.
    let calls = report["calls"].as_u64().unwrap();
    assert!((1..=100).contains(&calls), "{report}");
    demo.log("joined node=\"b-1\"");
    demo.log("joined node=\"b-2\"");
}

#[test]
fn what_was_measured_is_told_when_it_is_interrupted() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let bench = command(&["bench", &at, "add", "3", "4", "-d", "1000", "--warm-up", "0", "--json"]).spawn().unwrap();
    demo.log("joined");
    // It calls by now, or soon.
    while run(&["call", &at, "echo", "1"]).code != Some(0) {}
    signal(&bench, "INT");
    let ended = finished(bench);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(130), ""), "{ended:?}");
    if !ended.stdout.is_empty() {
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert!(report["calls"].as_u64().unwrap() > 0, "{report}");
    }
}

#[test]
fn pings_that_fail_are_counted() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("tcp://{}", listener.local_addr().unwrap())
    };
    let failed = run(&["ping", &closed, "-n", "3"]);
    let sentence = failed.failure(3);
    assert!(sentence.starts_with(&format!("3 of 3 failed, the first: cannot connect to {closed}: ")), "{sentence}");
}

#[test]
fn members_are_listed_by_callback_and_filtered() {
    let router = Running::router();
    let at = router.endpoint();
    let _workers = ["w1", "w2"].map(|name| Running::worker(&at, name));
    let by_callback = run(&["members", &at, "--by-callback", "--filter", "e"]);
    assert_eq!(
        by_callback.answer(),
        "METHOD         MEMBERS\ncancelled      w1, w2\necho           w1, w2\ngreet          w1, w2\nreceive_chunk  w1, w2\nreceived       w1, w2\n\
         sleep          w1, w2\n"
    );
    assert_eq!(
        run(&["members", &at, "--filter", "w2", "-b", "--json"]).json().as_array().unwrap().len(),
        METHODS.len()
    );
    assert_eq!(run(&["members", &at, "-f", "greet", "--json"]).json()[0], json!({"name": "w1", "methods": ["greet"]}));
    assert_eq!(run(&["members", &at, "-f", "nothing", "--json"]).json(), json!([]));
    let none = run(&["members", &at, "-f", "nothing"]);
    assert_eq!((none.code, &*none.stdout), (Some(0), &b"NAME  METHODS\n"[..]));
    assert!(none.stderr.starts_with("no member and no callback has nothing in its name; without --filter"), "{none:?}");
}

/// A list without members is no riddle, and a script that reads it sees no difference.
#[test]
fn a_network_without_members_says_how_to_join_one() {
    let router = Running::router();
    let at = router.endpoint();
    let nobody = run(&["members", &at]);
    assert_eq!((nobody.code, &*nobody.stdout), (Some(0), &b"NAME  METHODS\n"[..]));
    let note = format!("nobody is there: no node is connected to {at}; `daffi demo --connect {at}` joins one");
    assert!(nobody.stderr.starts_with(&note), "{nobody:?}");
    assert_eq!(run(&["members", &at, "--json"]).json(), json!([]));
    assert!(run(&["members", &at, "-b"]).stderr.starts_with("nobody is there"), "whichever list it is");
}

#[test]
fn a_call_is_repeated() {
    let demo = Running::demo();
    let at = demo.endpoint();
    let mut calls = Running::start(&["call", &at, "add", "3", "4", "--every", "10ms", "--json"]);
    calls.nth_answer("7", 3);
    calls.signal("TERM");
    assert_eq!(calls.end().code(), Some(0), "this is how it ends");
    let mut failing = Running::start(&["call", &at, "fail", "x", "--every", "0.01"]);
    failing.log("ValueError: x");
    failing.signal("INT");
    assert_eq!(failing.end().code(), Some(0));
}
