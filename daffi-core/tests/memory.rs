//! What nodes hold, counted by the allocator: alone in its process, and in one test.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{alloc::System, time::Duration};

use cap::Cap;
use daffi_core::Router;
use daffi_transport::mem::MemListener;
use daffi_wire::{Extensions, Limits, NodeName};
use tokio::time::{sleep, timeout};

#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "nodes/peer.rs"]
mod peer;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const CALLS: u16 = 20_000;

/// Beside what is counted: buffers of connections and tasks.
const REST: usize = 1 << 20;

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(120), waiting).await.expect("in time");
}

/// Of as many callbacks as there are calls, and all of one; and nothing stays of them.
#[tokio::test]
async fn calls_that_wait_take_no_more_than_is_counted() {
    let at = "mem://core-memory".parse().unwrap();
    let listener = Box::new(MemListener::bind(&at).unwrap());
    let router = Router::builder(NodeName::new("router", &Limits::default()).unwrap()).listen(vec![listener]).unwrap();
    let said = Extensions::builder().time_left_ms(600_000).wait_for_receiver().build().unwrap();
    let mut caller = peer::raw(&at, "caller", "client/4", "null").await;
    peer::send(&mut caller, &peer::request(u16::MAX, ["caller", "", "parked"], &said, "{}")).await;
    until(|| router.stats().waiting_calls == 1).await;
    for is_one in [false, true] {
        let (held, allocated) = (router.stats().held_bytes, MEMORY.allocated());
        let mut greedy = peer::raw(&at, "greedy", "client/4", "null").await;
        for id in 1..=CALLS {
            let method = if is_one { "callback".to_owned() } else { format!("callback-{id}") };
            peer::send(&mut greedy, &peer::request(id, ["greedy", "", &method], &said, "{}")).await;
        }
        until(|| router.stats().waiting_calls == usize::from(CALLS) + 1).await;
        let (counted, taken) = (router.stats().held_bytes - held, MEMORY.allocated() - allocated);
        println!("{counted} bytes are counted, {taken} are taken");
        assert!(taken <= counted + REST, "{taken} bytes are taken, and {counted} counted");
        drop(greedy);
        until(|| router.stats().waiting_calls == 1 && router.members().len() == 1).await;
        assert!(MEMORY.allocated() <= allocated + REST, "{} bytes stay", MEMORY.allocated() - allocated);
    }
}
