//! Honest nodes in the middle of it.

use std::{future::Future, time::Duration};

use daffi_core::{Callback, CallbackOptions, Client, InitializationError, NodeConfig, RoundRobin};
use daffi_serde::Single;
use daffi_serde_msgpack::Msgpack;
use daffi_wire::{Limits, MethodName, NodeName};
use tokio::{
    runtime::{Builder, Handle},
    time::{sleep, timeout},
};

use super::door::Door;

pub(super) type Formats = Single<Msgpack>;
pub(super) type Node = Client<Formats>;

/// Longer than anything takes that ends at all, in simulated time.
pub(super) const FOREVER: Duration = Duration::from_secs(60);

pub(super) fn formats() -> Formats {
    Single::new(Msgpack::default())
}

pub(super) fn name(text: &str) -> NodeName {
    NodeName::new(text, &Limits::default()).expect("a good name")
}

pub(super) fn config() -> NodeConfig {
    let ms = Duration::from_millis;
    NodeConfig::server()
        .handshake_timeout(ms(500))
        .connect_timeout(ms(500))
        .slow_peer_timeout(ms(2_000))
        .grace(ms(1_000))
        .linger(ms(100))
        .reconnect_first(ms(20))
        .reconnect_max(ms(200))
        .budget_bytes(512 * 1024)
}

pub(super) fn callback(method: &str) -> Callback {
    let pause = if method == "slow" { 5 } else { 0 };
    let name = MethodName::new(method, &Limits::default()).expect("a good name");
    Callback::asynchronous(name, CallbackOptions::default(), formats(), move |(number,): (u64,), _| async move {
        if pause > 0 {
            sleep(Duration::from_millis(pause)).await;
        }
        Ok(number)
    })
}

pub(super) async fn client(door: &Door, node: &str, callbacks: Vec<Callback>) -> Result<Node, InitializationError> {
    let picker = Box::new(RoundRobin::default());
    Client::builder(name(node), door.connector(), formats())
        .config(config())
        .callbacks(callbacks)
        .picker(picker)
        .connect()
        .await
}

/// A call of an honest node to an honest node gets its own answer.
pub(super) async fn honest_call(caller: &Node, receiver: &str, number: u64) -> Result<(), String> {
    let call = caller.rpc().receiver(receiver);
    match timeout(FOREVER, call.call::<u64>("echo", (number,))).await {
        Ok(Ok(answer)) if answer == number => Ok(()),
        Ok(Ok(answer)) => Err(format!("the honest call {number} got the answer {answer}")),
        Ok(Err(error)) => Err(format!("the honest call {number} failed: {error}")),
        Err(_) => Err(format!("the honest call {number} never ended")),
    }
}

/// Something that must end.
pub(super) async fn ends<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    timeout(FOREVER, future).await.map_err(|_| format!("{what} never ended"))
}

/// Nothing runs any more.
pub(super) async fn no_tasks_are_left() -> Result<(), String> {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for _ in 0..100 {
        if tasks() == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(format!("{} tasks are left", tasks()))
}

/// Runs in simulated time, on this thread.
pub(super) fn simulated<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(future)
}
