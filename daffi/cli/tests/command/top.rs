//! `daffi top`, and what else a router tells of its members.

use std::time::Duration;

use crate::support::{Running, run};

#[test]
fn a_router_is_watched_without_a_page() {
    let router = Running::router();
    let at = router.endpoint();
    let _demo = Running::worker(&at, "demo");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");

    let told = run(&["top", &at, "--json"]).json();
    assert_eq!((&told["members"], &told["callbacks"][0]["name"]), (&1.into(), &"add".into()), "{told}");
    let text = run(&["top", &at, "--interval", "300ms"]);
    let text = text.answer();
    for words in ["1 members", "CALLBACK", "add ", "NODE", "tcp://127.0.0.1:"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let long = run(&["members", &at, "--long", "--json"]).json();
    assert_eq!(long[0]["level"], 4);
    assert!(long[0]["address"].as_str().unwrap().starts_with("tcp://127.0.0.1:"), "{long}");
    assert!(Duration::from_secs_f64(long[0]["age"].as_f64().unwrap()) > Duration::ZERO);
    let long = run(&["members", &at, "--long"]);
    assert!(long.answer().starts_with("NAME") && long.answer().contains("ADDRESS"), "{long:?}");
}

#[test]
fn who_tells_nothing_is_named() {
    let demo = Running::demo();
    let failure = run(&["top", &demo.endpoint(), "--once"]);
    assert!(failure.failure(2).contains("this is a service"), "{failure:?}");
}
