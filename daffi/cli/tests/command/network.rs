//! `members`, `ping` and `bench`: what there is, and how fast.

use serde_json::{Value, json};

use crate::support::{Running, run};

const METHODS: [&str; 7] = ["add", "greet", "sleep", "fail", "receive_chunk", "received", "echo"];

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
    assert!((number(&report["calls_per_second"]) - calls / seconds).abs() < 1e-6);
    let latency = ["min", "p50", "p90", "p99", "p99.9", "max"].map(|name| number(&report["latency_us"][name]));
    assert!(latency[0] > 1.0 && latency.is_sorted(), "{latency:?}");
    // Four callers wait for their answers all the time.
    let busy = number(&report["latency_us"]["p50"]) * calls / 4.0;
    assert!(busy < 1.5 * seconds * 1e6, "{report}");
    let ran = bench(&["add", "3", "4"]);
    for name in ["calls", "rate", "in flight", "fastest", "p50", "p99.9", "slowest"] {
        assert!(ran.answer().lines().any(|line| line.starts_with(&format!("{name:<9}  "))), "{name}: {ran:?}");
    }
    assert_eq!(bench(&["fail", "x"]).failure(1), "fail on demo failed: ValueError: x");
}

#[test]
fn a_service_has_no_events() {
    let demo = Running::demo();
    let ran = run(&["events", &demo.endpoint()]);
    assert!(ran.failure(2).ends_with("is a service: only a router tells who joins and leaves"), "{ran:?}");
}
