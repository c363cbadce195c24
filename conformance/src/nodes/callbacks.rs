//! The callbacks of recordings, as functions of this project's nodes.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use daffi::{
    Bytes, CallError, Callbacks, Context, Incoming, NodeConfig, RemoteError, Value, callback, callbacks as list,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::text::payload::digest;

#[callback]
fn echo(payload: Value) -> Value {
    payload
}

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
fn greet(name: String) -> String {
    format!("Hello, {name}!")
}

#[callback]
fn none() {}

#[callback]
fn whoami(ctx: Context) -> String {
    ctx.node_name().to_owned()
}

#[callback]
fn kwargs_only(a: i64, #[default(2)] b: i64) -> Vec<i64> {
    vec![a, b]
}

#[callback]
fn big(n: usize) -> Bytes {
    Bytes::from(vec![b'x'; n])
}

#[callback]
fn total(data: Bytes) -> usize {
    data.len()
}

#[callback]
async fn sleep(seconds: Value) -> Value {
    let wait = match seconds {
        Value::Int(seconds) => seconds as f64,
        Value::Float(seconds) => seconds,
        _ => 0.0,
    };
    tokio::time::sleep(Duration::from_secs_f64(wait.clamp(0.0, 10.0))).await;
    seconds
}

#[callback]
fn fail(message: String) -> Result<(), RemoteError> {
    Err(RemoteError::new("ValueError", message))
}

#[callback]
fn fail_as(name: String, message: String) -> Result<(), RemoteError> {
    Err(RemoteError::new(name, message))
}

/// A class the caller cannot know, in the module of the recorded one.
#[callback]
fn fail_custom() -> Result<(), RemoteError> {
    Err(RemoteError { module: "callbacks".into(), ..RemoteError::new("CustomError", "custom failure") })
}

#[callback]
fn rows(n: u32) -> impl Stream<Item = u32> {
    stream::iter(0..n)
}

#[callback]
async fn sum(mut numbers: Incoming<i64>) -> Result<i64, CallError> {
    let mut sum = 0;
    while let Some(number) = numbers.try_next().await? {
        sum += number;
    }
    Ok(sum)
}

#[callback]
fn shout(lines: Incoming<String>) -> impl Stream<Item = Result<String, CallError>> {
    lines.map_ok(|line| line.to_uppercase())
}

/// Gives what it gave up to there, and then fails.
#[callback]
fn tear(n: u32) -> impl Stream<Item = Result<u32, RemoteError>> {
    stream::iter(0..n).map(Ok).chain(stream::once(async { Err(RemoteError::new("ValueError", "torn")) }))
}

/// Gives so many, and no end.
#[callback]
fn endless(n: u32) -> impl Stream<Item = u32> {
    stream::iter(0..n).chain(stream::pending())
}

/// Takes one of what comes, and wants no more.
#[callback]
async fn first(mut numbers: Incoming<i64>, ctx: Context) -> Result<Option<i64>, CallError> {
    let first = numbers.try_next().await?;
    drop(numbers);
    ctx.cancelled().await;
    Ok(first)
}

/// Runs until it is given up.
#[callback]
async fn hang(ctx: Context) {
    ctx.cancelled().await;
}

#[callback]
fn has_deadline(ctx: Context) -> bool {
    ctx.deadline().is_some()
}

#[callback]
fn header(key: String, ctx: Context) -> Option<String> {
    ctx.header(&key).map(str::to_owned)
}

/// Calls `none` of whoever exposes that.
#[callback]
async fn relay(ctx: Context) -> Result<(), CallError> {
    let client = ctx.client::<daffi::Formats>().ok_or(CallError::Stopped)?;
    client.rpc().call("none", ()).await
}

#[derive(Debug, Default)]
struct State {
    chunks: u64,
    bytes: Vec<u8>,
    notified: u64,
}

/// What a node under test exposes, in this order.
///
/// # Errors
/// The name of a callback that this list does not have.
pub fn callbacks(names: &[String]) -> io::Result<Callbacks> {
    let state = Arc::new(Mutex::new(State::default()));
    names.iter().try_fold(Callbacks::new(), |all, name| Ok(all.and(one(name, &state)?)))
}

fn one(name: &str, state: &Arc<Mutex<State>>) -> io::Result<Callbacks> {
    let state = Arc::clone(state);
    let with = move |act: fn(&mut State, Value) -> Value| {
        move |argument: Value| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            std::future::ready(act(&mut state, argument))
        }
    };
    let without = |act: fn(&mut State, Value) -> Value| {
        let with = with.clone()(act);
        move || with(Value::Null)
    };
    let all = Callbacks::new();
    Ok(match name {
        "echo" => list![echo],
        "add" => list![add],
        "greet" => list![greet],
        "none" => list![none],
        "whoami" => list![whoami],
        "kwargs_only" => list![kwargs_only],
        "big" => list![big],
        "total" => list![total],
        "sleep" => list![sleep],
        "fail" => list![fail],
        "fail_as" => list![fail_as],
        "fail_custom" => list![fail_custom],
        "rows" => list![rows],
        "sum" => list![sum],
        "shout" => list![shout],
        "tear" => list![tear],
        "endless" => list![endless],
        "first" => list![first],
        "hang" => list![hang],
        "has_deadline" => list![has_deadline],
        "header" => list![header],
        "relay" => list![relay],
        "notify" => all.callback_fn(
            name,
            with(|state, _| {
                state.notified += 1;
                Value::Null
            }),
        ),
        "count" => all.callback_fn(name, without(|state, _| state.notified.into())),
        "receive_chunk" => all.callback_fn(
            name,
            with(|state, chunk| {
                state.chunks += 1;
                match chunk {
                    Value::Str(text) => state.bytes.extend(text.as_bytes()),
                    Value::Bytes(bytes) => state.bytes.extend(bytes),
                    _ => {}
                }
                Value::Null
            }),
        ),
        "received" => all.callback_fn(
            name,
            without(|state, _| {
                Value::List(
                    vec![state.chunks.into(), (state.bytes.len() as u64).into(), digest(&state.bytes).into()].into(),
                )
            }),
        ),
        _ => return Err(io::Error::other(format!("there is no callback {name}"))),
    })
}

/// A callback that is registered while the node runs.
pub(super) fn late(name: &str) -> Callbacks {
    let text = format!("late {name}");
    Callbacks::new().callback_fn(name, move || std::future::ready(text.clone()))
}

/// What every node here is configured with.
pub(super) fn configure(config: &mut NodeConfig) {
    // A replay goes on at once.
    config.reconnect_first = Duration::from_millis(1);
    config.linger = Duration::from_millis(100);
}
