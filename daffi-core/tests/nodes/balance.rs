//! Workers of different speed, and who gets how many calls: in a time that stands still while
//! anybody has something to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use daffi_core::{ByRouter, Client, Picker, RoundRobin};
use daffi_transport::{Endpoint, mem};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::support::{Formats, asynchronous, formats, node, router, worker};

const CALLERS: usize = 16;
const QUICK: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(100);
/// The part that is asked of what the workers together can do.
const LOAD: f64 = 0.8;
const LONG_ENOUGH: Duration = Duration::from_secs(30);

/// What became of the calls of one run.
#[derive(Debug, Default)]
struct LoadRun {
    took: Vec<Duration>,
    by: BTreeMap<String, usize>,
}

impl LoadRun {
    fn p99(&mut self) -> Duration {
        self.took.sort_unstable();
        self.took[self.took.len() * 99 / 100]
    }
}

async fn caller(at: &Endpoint, n: usize, picker: Box<dyn Picker>) -> Client<Formats> {
    let connector = Box::new(mem::MemConnector::new(at.clone()));
    Client::builder(node(&format!("caller-{n}")), connector, formats()).picker(picker).connect().await.unwrap()
}

/// Callers call at random times, whether earlier calls were answered or not.
async fn run(times: [Duration; 4], picker: fn() -> Box<dyn Picker>) -> LoadRun {
    let (_router, at) = router();
    let mut workers = Vec::new();
    for (n, time) in times.into_iter().enumerate() {
        let name: &'static str = ["w0", "w1", "w2", "w3"][n];
        let work = asynchronous("work", move |(): ()| async move {
            sleep(time).await;
            name
        });
        workers.push(worker(&at, name, vec![work]).await);
    }
    let ran = Arc::new(Mutex::new(LoadRun::default()));
    let in_a_second: f64 = LOAD * times.iter().map(|time| 1.0 / time.as_secs_f64()).sum::<f64>();
    let pause = CALLERS as f64 / in_a_second;
    let mut callers = Vec::new();
    for n in 0..CALLERS {
        let (client, ran) = (caller(&at, n, picker()).await, Arc::clone(&ran));
        client.wait_for_members(&["w0", "w1", "w2", "w3"], None).await.unwrap();
        callers.push(tokio::spawn(async move {
            let mut rng = fastrand::Rng::with_seed(n as u64);
            let (begun, mut calls) = (Instant::now(), Vec::new());
            while begun.elapsed() < LONG_ENOUGH {
                sleep(Duration::from_secs_f64(-pause * (1.0 - rng.f64()).ln())).await;
                let (client, ran) = (client.clone(), Arc::clone(&ran));
                calls.push(tokio::spawn(async move {
                    let asked = Instant::now();
                    let by = client.rpc().call::<String>("work", ()).await.unwrap();
                    let ran = &mut *ran.lock();
                    ran.took.push(asked.elapsed());
                    *ran.by.entry(by).or_default() += 1;
                }));
            }
            for call in calls {
                call.await.unwrap();
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    std::mem::take(&mut *ran.lock())
}

#[tokio::test(start_paused = true)]
async fn with_the_router_choosing_one_slow_worker_of_four_costs_a_third_of_the_p99_at_most() {
    let times = [QUICK, QUICK, QUICK, SLOW];
    let mut in_turn = run(times, || Box::new(RoundRobin::default())).await;
    let mut chosen = run(times, || Box::new(ByRouter::default())).await;
    let (in_turn, chosen, by) = (in_turn.p99(), chosen.p99(), chosen.by);
    println!("p99 {chosen:?} with the Router choosing, {in_turn:?} in turn; {by:?}");
    assert!(3 * chosen <= in_turn, "{chosen:?} with the Router choosing, {in_turn:?} in turn");
}

#[tokio::test(start_paused = true)]
async fn equal_workers_get_as_many_calls() {
    let mut ran = run([QUICK; 4], || Box::new(ByRouter::default())).await;
    let mean = ran.took.len() / 4;
    println!("p99 {:?}; {:?}", ran.p99(), ran.by);
    assert!(mean > 1000 && ran.by.values().all(|n| n.abs_diff(mean) < mean / 10), "{:?}", ran.by);
}
