//! `#[remote]`, both ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use daffi::{CallError, Callbacks, Context, FormatId, callback, remote};
use serde::{Deserialize, Serialize};

use crate::support::serve;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair {
    left: i64,
    right: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
pub(crate) struct Refused(String);

/// Sums and more.
#[remote]
pub(crate) trait Calc {
    /// The sum.
    async fn add(&self, a: i64, b: i64) -> i64;
    fn fail(&self, msg: String) -> Result<(), Refused>;
    async fn swap(&self, pair: Pair) -> Result<Pair, Refused>;
    async fn length(&self, text: &str, data: &[u8]) -> usize;
    async fn caller(&self, ctx: Context, prefix: String) -> String;
    #[callback(name = "calc.scale", ordered)]
    async fn scale(&self, value: i64, #[default(10)] factor: i64) -> i64;
    async fn nothing(&self);
    async fn slow(&self);
    #[cfg(any())]
    async fn left_out(&self, a: NoSuchType);
}

struct Machine {
    bias: i64,
}

impl Calc for Machine {
    async fn add(&self, a: i64, b: i64) -> i64 {
        tokio::task::yield_now().await;
        a + b + self.bias
    }

    async fn fail(&self, msg: String) -> Result<(), Refused> {
        Err(Refused(msg))
    }

    async fn swap(&self, Pair { left, right }: Pair) -> Result<Pair, Refused> {
        Ok(Pair { left: right, right: left })
    }

    async fn length(&self, text: &str, data: &[u8]) -> usize {
        tokio::task::yield_now().await;
        text.len() + data.len()
    }

    async fn caller(&self, ctx: Context, prefix: String) -> String {
        prefix + ctx.caller()
    }

    async fn scale(&self, value: i64, factor: i64) -> i64 {
        value * factor
    }

    async fn nothing(&self) {}

    async fn slow(&self) {
        std::future::pending().await
    }
}

#[remote(client = "Asker")]
trait Oracle {
    async fn ask(&self) -> std::io::Result<String>;
}

impl Oracle for () {
    async fn ask(&self) -> std::io::Result<String> {
        Ok("yes".into())
    }
}

#[tokio::test]
async fn calls_are_typed_on_both_ends() {
    let (_service, client) = serve(2, Machine { bias: 0 }.into_callbacks()).await;
    let calc = CalcClient::new(client.clone());
    assert_eq!(calc.add(3, 4).await.unwrap(), 7);
    assert_eq!(calc.swap(Pair { left: 1, right: 2 }).await.unwrap(), Pair { left: 2, right: 1 });
    assert_eq!(calc.length("abc", &[1, 2]).await.unwrap(), 5);
    assert_eq!(calc.caller("by ".into()).await.unwrap(), "by client");
    assert_eq!(calc.scale(2, 3).await.unwrap(), 6);
    calc.nothing().await.unwrap();
    // The callbacks are callable by name as well.
    assert_eq!(client.rpc().call::<i64>("calc.scale", (2,)).await.unwrap(), 20);
}

#[tokio::test]
async fn errors_keep_their_class() {
    let (_service, client) = serve(1, Machine { bias: 0 }.into_callbacks()).await;
    match CalcClient::new(client).fail("no".into()).await {
        Err(CallError::Remote { error, method, .. }) => {
            assert_eq!((&*error.class, &*error.message, &*method), ("Refused", "refused: no", "fail"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_take_options() {
    let (_service, client) = serve(1, Machine { bias: 0 }.into_callbacks()).await;
    let calc = CalcClient::new(client.clone()).with(client.rpc().timeout(Duration::from_millis(1)));
    assert!(calc.slow().await.unwrap_err().is_timeout());
    let calc = calc.with(client.rpc().receiver("nobody").serde(FormatId::MSGPACK));
    assert!(matches!(calc.add(1, 2).await, Err(CallError::ReceiverNotFound { .. })));
}

#[tokio::test]
async fn typed_calls_have_setters_and_styles() {
    let (_service, client) = serve(8, Machine { bias: 0 }.into_callbacks()).await;
    let calc = CalcClient::new(client.clone());
    let hurried = calc.timeout(Duration::from_millis(1));
    assert!(hurried.slow().await.unwrap_err().is_timeout());
    assert!(matches!(calc.receiver("nobody").add(1, 2).await, Err(CallError::ReceiverNotFound { .. })));
    assert_eq!(calc.add(1, 2).await.unwrap(), 3, "what was set is another client's");
    calc.nowait().nothing().await.unwrap();
    let answers = calc.cast().add(3, 4).await.unwrap();
    assert!(answers.len() == 1 && answers.values().all(|answer| matches!(answer, Ok(7))), "{answers:?}");
    let answers = hurried.cast().slow().await.unwrap();
    assert!(answers.values().all(|answer| answer.as_ref().is_err_and(CallError::is_timeout)), "{answers:?}");
    let answers = calc.cast().receivers(["nobody"]).length("abc", &[]).await.unwrap();
    assert!(matches!(answers["nobody"], Err(CallError::ReceiverNotFound { .. })), "{answers:?}");
}

#[tokio::test]
async fn typed_calls_go_through_a_tower_stack() {
    let (_service, client) = serve(2, Machine { bias: 0 }.into_callbacks()).await;
    let stack = tower::load_shed::LoadShed::new(client.clone().into_service());
    let calc = CalcClient::over(stack);
    assert_eq!(calc.add(3, 4).await.unwrap(), 7);
    assert_eq!(calc.swap(Pair { left: 1, right: 2 }).await.unwrap(), Pair { left: 2, right: 1 });
    assert_eq!(calc.length("abc", &[1, 2]).await.unwrap(), 5, "borrowed arguments are copied");
    assert!(calc.timeout(Duration::from_millis(1)).slow().await.unwrap_err().is_timeout());
    assert!(matches!(calc.receiver("nobody").add(1, 2).await, Err(CallError::ReceiverNotFound { .. })));
    assert!(matches!(calc.fail("no".into()).await, Err(CallError::Remote { error, .. }) if error.class == "Refused"));
    // What a stack fails with is told as such.
    let refusing = tower::filter::Filter::new(client.into_service(), |call: daffi::tower::Call| match call.method() {
        "calc.scale" => Err("not today"),
        _ => Ok(call),
    });
    let calc = CalcClient::over(refusing);
    assert!(matches!(calc.scale(1, 2).await, Err(CallError::Layer(_))));
    assert_eq!(calc.caller("by ".into()).await.unwrap(), "by client");
}

#[tokio::test]
async fn names_are_chosen() {
    let (_service, client) = serve(1, ().into_callbacks()).await;
    assert_eq!(Asker::new(client).ask().await.unwrap(), "yes");
}

#[tokio::test]
async fn implementations_are_called_directly() {
    assert_eq!(Machine { bias: 1 }.add(3, 4).await, 8);
    assert_eq!(Machine { bias: 1 }.scale(3, 4).await, 12);
}

#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    fn of_service(service: &impl Calc) {
        is_send(service.add(1, 2));
        is_send(service.length("", &[]));
    }
    fn of_client(client: &CalcClient) {
        is_send(client.add(1, 2));
        is_send(client.length("", &[]));
        is_send(client.fail(String::new()));
    }
    of_service(&Machine { bias: 0 });
    let _ = of_client;
}

/// A second trait of a [`Shop`], which has callbacks of its own as well.
#[remote]
trait Till {
    async fn pay(&self, cents: u64) -> u64;
}

#[remote]
trait Stock {
    async fn left(&self) -> u64;
}

#[derive(Default)]
struct Shop {
    paid: AtomicU64,
}

impl Till for Shop {
    async fn pay(&self, cents: u64) -> u64 {
        self.paid.fetch_add(cents, Relaxed) + cents
    }
}

impl Stock for Shop {
    async fn left(&self) -> u64 {
        100 - self.paid.load(Relaxed)
    }
}

#[callback]
impl Shop {
    pub fn paid(&self) -> u64 {
        self.paid.load(Relaxed)
    }
}

#[tokio::test]
async fn one_instance_serves_several_traits_and_is_kept() {
    let shop = Arc::new(Shop::default());
    let callbacks = Callbacks::new()
        .and(Till::callbacks_of(Arc::clone(&shop)))
        .and(Stock::callbacks_of(Arc::clone(&shop)))
        .and(Arc::clone(&shop));
    let (_service, client) = serve(1, callbacks).await;
    assert_eq!(TillClient::new(client.clone()).pay(30).await.unwrap(), 30);
    assert_eq!(StockClient::new(client.clone()).left().await.unwrap(), 70);
    assert_eq!(client.rpc().call::<u64>("paid", ()).await.unwrap(), 30);
    shop.paid.store(1, Relaxed);
    assert_eq!(StockClient::new(client).left().await.unwrap(), 99);
}

/// A crate that exports daffi as its own.
mod exported {
    pub(crate) mod rpc {
        pub(crate) use daffi::*;
    }
}

#[callback(name = "twice", crate = exported::rpc)]
fn doubled(a: i64, #[default(b"x")] _data: &[u8]) -> i64 {
    2 * a
}

struct Held(u64);

#[callback(crate = exported::rpc)]
impl Held {
    #[callback(name = "held")]
    pub fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }
}

#[remote(client = "NamedByPath", crate = exported::rpc)]
trait Named {
    async fn length(&self, data: &[u8]) -> usize;
}

impl Named for Held {
    async fn length(&self, data: &[u8]) -> usize {
        data.len()
    }
}

#[tokio::test]
async fn the_crate_may_have_another_name() {
    let callbacks = exported::rpc::callbacks![crate = exported::rpc; doubled].and(Named::into_callbacks(Held(0)));
    let (_service, client) = serve(1, callbacks.and(Held(1))).await;
    assert_eq!(client.rpc().call::<i64>("twice", (2,)).await.unwrap(), 4);
    assert_eq!(client.rpc().call::<u64>("held", (2,)).await.unwrap(), 3);
    assert_eq!(NamedByPath::new(client).length(b"abc").await.unwrap(), 3);
}
