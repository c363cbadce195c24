//! Callbacks with arguments and results that come one by one, and traits of them.

use std::{borrow::Cow, sync::Arc};

use daffi::{CallError, Callbacks, Context, Incoming, RemoteError, args, callback, callbacks, remote};
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use serde::Serialize;

use crate::support::serve;

#[callback]
fn count(n: u64) -> impl Stream<Item = u64> {
    stream::iter(1..=n)
}

#[callback]
async fn halves(n: i64) -> Result<impl Stream<Item = Result<i64, String>>, RemoteError> {
    if n < 0 {
        return Err(RemoteError::new("ValueError", "a number from 0 on is expected"));
    }
    Ok(stream::iter(0..=n).map(|k| if k % 2 == 0 { Ok(k / 2) } else { Err(format!("{k} is odd")) }))
}

#[callback]
async fn sum(start: i64, mut numbers: Incoming<i64>) -> Result<i64, CallError> {
    let mut sum = start;
    while let Some(n) = numbers.try_next().await? {
        sum += n;
    }
    Ok(sum)
}

#[callback]
fn shout(ctx: Context, lines: Incoming<String>) -> impl Stream<Item = Result<String, CallError>> {
    let caller = ctx.caller().to_owned();
    lines.map_ok(move |line| format!("{caller}: {}", line.to_uppercase()))
}

fn all() -> Callbacks {
    callbacks![count, halves, sum, shout]
}

#[tokio::test]
async fn functions_stream() {
    let (_service, client) = serve(1, all()).await;
    let rpc = client.rpc();
    let counted: Vec<u64> = rpc.results::<u64>("count", (3,)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(counted, [1, 2, 3]);
    let mut halves = rpc.results::<i64>("halves", (1,)).await.unwrap();
    assert_eq!(halves.try_next().await.unwrap(), Some(0));
    assert!(matches!(halves.try_next().await, Err(CallError::Remote { error, .. }) if error.message == "1 is odd"));
    let refused = rpc.results::<i64>("halves", (-1,)).await.unwrap_err();
    assert!(matches!(refused, CallError::Remote { error, .. } if error.class == "ValueError"));
    assert_eq!(rpc.send::<i64>("sum", (10,), stream::iter([1, 2, 3])).await.unwrap(), 16);
    let (mut say, mut heard) = rpc.duplex::<String, String>("shout", ()).await.unwrap();
    say.send("hello".into()).await.unwrap();
    assert!(heard.try_next().await.unwrap().is_some_and(|line| line.ends_with(": HELLO")));
    drop(say);
    assert_eq!(heard.try_next().await.unwrap(), None);
}

/// As those call that know nothing of streams.
#[tokio::test]
async fn plain_calls_give_and_get_lists() {
    let (_service, client) = serve(1, all()).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<Vec<u64>>("count", (3,)).await.unwrap(), [1, 2, 3]);
    assert_eq!(rpc.call::<i64>("sum", (1, vec![2, 3])).await.unwrap(), 6);
    assert_eq!(rpc.call::<i64>("sum", daffi::args![1, numbers = [2]]).await.unwrap(), 3);
    let missing = rpc.call::<i64>("sum", (1,)).await.unwrap_err();
    assert!(
        matches!(&missing, CallError::Remote { error, .. } if error.class == "TypeError"
        && error.message.contains("numbers")),
        "{missing}"
    );
}

/// As functions, without a node.
#[tokio::test]
async fn callbacks_stay_functions() {
    assert_eq!(count(2).collect::<Vec<_>>().await, [1, 2]);
    assert_eq!(sum(1, Incoming::from_items([2, 3])).await.unwrap(), 6);
}

#[remote]
trait Numbers {
    fn upto(&self, n: u64) -> BoxStream<'static, u64>;
    fn total(&self, numbers: Incoming<u64>) -> Result<u64, CallError>;
    fn twice(&self, numbers: Incoming<u64>) -> BoxStream<'static, Result<u64, CallError>>;
}

struct Calculator;

impl Numbers for Calculator {
    async fn upto(&self, n: u64) -> BoxStream<'static, u64> {
        stream::iter(1..=n).boxed()
    }

    async fn total(&self, numbers: Incoming<u64>) -> Result<u64, CallError> {
        numbers.try_fold(0, |sum, n| async move { Ok(sum + n) }).await
    }

    async fn twice(&self, numbers: Incoming<u64>) -> BoxStream<'static, Result<u64, CallError>> {
        numbers.map_ok(|n| 2 * n).boxed()
    }
}

#[tokio::test]
async fn remote_traits_stream() {
    let (_service, client) = serve(1, Calculator.into_callbacks()).await;
    let numbers = NumbersClient::new(client);
    assert_eq!(numbers.upto(3).await.unwrap().try_collect::<Vec<_>>().await.unwrap(), [1, 2, 3]);
    assert_eq!(numbers.total(stream::iter([1, 2, 3])).await.unwrap(), 6);
    let (mut give, mut take) = numbers.twice().await.unwrap();
    give.send(21).await.unwrap();
    assert_eq!(take.try_next().await.unwrap(), Some(42));
}

/// As functions, but without names for their arguments.
#[tokio::test]
async fn closures_stream() {
    let all = Callbacks::new()
        .callback_fn("count", |n: u64| async move { stream::iter(1..=n) })
        .try_callback_fn("halves", |n: i64| async move {
            stream::iter(0..=n).map(|k| if k % 2 == 0 { Ok(k / 2) } else { Err(format!("{k} is odd")) })
        })
        .try_callback_fn("sum", |start: i64, numbers: Incoming<i64>| async move {
            numbers.try_fold(start, |sum, n| async move { Ok(sum + n) }).await
        })
        .callback_fn("shout", |ctx: Context, lines: Incoming<String>| async move {
            lines.map(move |line| format!("{}: {}", ctx.caller(), line.unwrap_or_default().to_uppercase()))
        })
        .callback_fn("plain", |a: i64, b: i64| async move { a + b });
    let (_service, client) = serve(1, all).await;
    let rpc = client.rpc();
    let counted: Vec<u64> = rpc.results::<u64>("count", (3,)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(counted, [1, 2, 3]);
    let halves: Vec<_> = rpc.results::<i64>("halves", (1,)).await.unwrap().collect().await;
    assert!(matches!(&halves[..], [Ok(0), Err(CallError::Remote { error, .. })] if error.message == "1 is odd"));
    assert_eq!(rpc.send::<i64>("sum", (10,), stream::iter([1, 2, 3])).await.unwrap(), 16);
    assert_eq!(rpc.call::<i64>("sum", (10, vec![1, 2, 3])).await.unwrap(), 16, "a list will do");
    let missing = rpc.call::<i64>("sum", (10,)).await.unwrap_err();
    assert!(missing.to_string().contains("sum() missing its arguments 'items'"), "{missing}");
    let (mut say, mut heard) = rpc.duplex::<String, String>("shout", ()).await.unwrap();
    say.send("hello".into()).await.unwrap();
    assert!(heard.try_next().await.unwrap().is_some_and(|line| line.ends_with(": HELLO")));
    drop(say);
    assert_eq!(heard.try_next().await.unwrap(), None);
    assert_eq!(rpc.call::<i64>("plain", (3, 4)).await.unwrap(), 7);
}

#[callback]
fn words(text: &str) -> impl Stream<Item = String> + use<> {
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    stream::iter(words)
}

#[callback]
fn same<'a>(text: Cow<'a, str>, _by: &str) -> Cow<'a, str> {
    text
}

struct Counter<T>(T);

#[callback]
impl<T: Serialize + Clone + Send + 'static> Counter<T> {
    pub async fn times(&self, n: usize) -> Result<impl Stream<Item = T> + use<T>, RemoteError> {
        Ok(stream::iter(vec![self.0.clone(); n]))
    }

    pub fn once(&self) -> BoxStream<'static, T> {
        Box::pin(stream::iter([self.0.clone()]))
    }

    pub fn boxed(self: Arc<Self>) -> impl Stream<Item = T> {
        stream::iter([self.0.clone()])
    }
}

#[tokio::test]
async fn streams_outlive_what_is_lent() {
    let (_service, client) = serve(1, callbacks![words, same].and(Counter(7))).await;
    let rpc = client.rpc();
    let words: Vec<_> = rpc.results::<String>("words", ("a b",)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(words, ["a", "b"]);
    assert_eq!(rpc.call::<String>("same", ("x", "y")).await.unwrap(), "x");
    let results = |method| rpc.results::<i64>(method, args![]);
    for (results, times) in
        [(rpc.results::<i64>("times", (2,)).await, 2), (results("once").await, 1), (results("boxed").await, 1)]
    {
        assert_eq!(results.unwrap().try_collect::<Vec<_>>().await.unwrap(), vec![7; times]);
    }
}
