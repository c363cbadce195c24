//! Very many members, and many that join: everybody hears of all of them soon and in one order, and
//! calls are answered.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::time::{Duration, Instant};

use daffi::Client;
use daffi_stress::{Node, percentile};

async fn crowd(members: usize, joins_a_second: usize, seconds: usize) {
    let router = Node::start(env!("CARGO_BIN_EXE_router_node"), &["60"]);
    let worker = Client::builder("worker").callback_fn("add", |a: i64, b: i64| async move { a + b });
    let _worker = worker.connect(router.endpoint()).await.unwrap();
    let caller = Client::builder("caller").connect(router.endpoint()).await.unwrap();
    let mut crowd = Node::start(env!("CARGO_BIN_EXE_crowd"), &[router.address(), &members.to_string()]);
    assert_eq!(crowd.endpoint(), members.to_string());
    let joins = joins_a_second * seconds;
    let (begun, cpu) = (Instant::now(), router.cpu());
    let question = format!("{joins} {joins_a_second}");
    let answer = tokio::task::spawn_blocking(move || (crowd.ask(&question), crowd));
    let mut took = Vec::new();
    while !answer.is_finished() {
        let asked = Instant::now();
        let sum: i64 = caller.rpc().timeout(Duration::from_secs(20)).call("add", (3, 4)).await.unwrap();
        assert_eq!(sum, 7);
        took.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (elapsed, cpu) = (begun.elapsed(), router.cpu().saturating_sub(cpu));
    let (answer, _crowd) = answer.await.unwrap();
    let numbers: Vec<u64> = answer.split(' ').map(|number| number.parse().unwrap()).collect();
    let [heard, disagree, median, p99, worst] = numbers[..] else { panic!("{answer}") };
    took.sort_unstable();
    println!("{members} members, {joins} joins at {joins_a_second} a second: {heard} notices,");
    println!("  heard after {:?}: median", Duration::from_micros(median));
    println!("  {:?}: 99th percentile, {:?}: last", Duration::from_micros(p99), Duration::from_micros(worst));
    println!("  {} routed calls meanwhile: median {:?}, ", took.len(), percentile(&took, 50));
    println!("  99th percentile {:?}, slowest {:?}", percentile(&took, 99), percentile(&took, 100));
    let cpus = cpu.as_secs_f64() / elapsed.as_secs_f64();
    println!("  router: {cpus:.2} CPUs, at most {} MiB", router.peak() / 1024 / 1024);
    assert_eq!(heard, (members * joins) as u64, "every listener hears of every newcomer");
    assert_eq!(disagree, 0, "all hear the same order");
    assert!(worst < 1_000_000, "a notice took {worst} µs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_members_hear_of_fifty_joins_a_second() {
    crowd(500, 50, 3).await;
}

/// For `scripts/stress`: in an unoptimized build the crowd itself is too slow for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a release build; scripts/stress runs it"]
async fn two_thousand_members_hear_of_two_hundred_joins_a_second() {
    crowd(2000, 200, 10).await;
}
