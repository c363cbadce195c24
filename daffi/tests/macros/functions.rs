//! `#[callback]` on functions, and `callbacks![..]`.

use std::collections::BTreeMap;

use bytes::Bytes;
use daffi::{
    CallbackItem, Callbacks, Context, InitializationError, RemoteError, Service, Value, args, callback, callbacks,
};
use futures::{Stream, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::support::{remote, serve};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is no number")]
struct NotANumber(String);

/// Doc comments stay on the function.
#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
async fn shout(text: String) -> String {
    tokio::task::yield_now().await;
    text.to_uppercase()
}

#[callback]
fn parse(text: String) -> Result<i64, NotANumber> {
    text.parse().map_err(|_| NotANumber(text))
}

#[callback]
async fn read_config(name: String) -> std::io::Result<String> {
    Err(std::io::Error::new(std::io::ErrorKind::NotFound, format!("no file {name}")))
}

#[callback]
fn chosen_class() -> Result<(), RemoteError> {
    Err(RemoteError::new("KeyError", "k"))
}

#[callback]
fn nothing() {}

#[callback]
async fn answer() -> i64 {
    42
}

#[callback]
fn greet(name: String, greeting: Option<String>) -> String {
    format!("{}, {name}", greeting.unwrap_or_else(|| "hello".into()))
}

#[callback]
fn repeat(text: String, #[default(2)] times: usize, #[default("-")] between: String) -> String {
    vec![text; times].join(&between)
}

#[callback]
async fn who(ctx: Context) -> String {
    ctx.caller().to_owned()
}

#[callback]
fn who_says(text: String, ctx: Context, mut times: i64) -> String {
    times += 1;
    format!("{} says {text} {times} times", ctx.caller())
}

#[callback(name = "math.mul", blocking)]
fn multiply(a: i64, b: i64) -> i64 {
    a * b
}

#[callback(inline, ordered)]
fn r#type(r#struct: i64) -> i64 {
    r#struct
}

#[callback]
fn swapped(point: Point) -> Point {
    Point { x: point.y, y: point.x }
}

#[callback]
async fn lengths(text: &str, data: &[u8], #[default("and")] word: &str) -> String {
    tokio::task::yield_now().await;
    format!("{} {word} {}", text.len(), data.len())
}

#[callback]
fn reversed(data: Vec<u8>) -> Bytes {
    data.into_iter().rev().collect::<Vec<_>>().into()
}

#[callback]
fn shadows(shadows: i64, callbacks: i64, _ignored: Value, instance: i64, __arg0: i64) -> i64 {
    shadows + callbacks + instance + __arg0
}

#[rustfmt::skip]
#[callback]
#[allow(clippy::too_many_arguments)]
fn twelve(
    a: i8, b: i16, c: i32, d: i64, e: u8, f: u16, g: u32, h: u64, i: f32, j: f64, k: bool, ctx: Context, l: char,
) -> String {
    let _ = ctx;
    format!("{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}")
}

#[callback]
fn keywords(r#match: i64, r#type: i64) -> i64 {
    r#match * 10 + r#type
}

#[callback]
async fn lent(point: &Point, numbers: &[i64], name: Option<&str>, data: Option<&[u8]>, ctx: &Context) -> String {
    tokio::task::yield_now().await;
    format!("{point:?} {numbers:?} {name:?} {data:?} {}", ctx.caller())
}

mod math {
    use daffi::callback;

    #[callback]
    pub(crate) fn mul(a: i64, b: i64) -> i64 {
        a * b
    }

    pub(crate) mod inner {
        use daffi::callback;

        #[callback]
        pub(in super::super) async fn neg(a: i64) -> i64 {
            -a
        }
    }
}

#[cfg(any())]
#[callback]
fn left_out(a: NoSuchType) {}

#[callback]
#[cfg(any())]
fn left_out_too(a: NoSuchType) {}

#[tokio::test]
async fn plain_and_async_functions_are_called() {
    let (_service, client) = serve(1, callbacks![add, shout, nothing, answer]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<i64>("add", (3, 4)).await.unwrap(), 7);
    assert_eq!(rpc.call::<String>("shout", ("hi",)).await.unwrap(), "HI");
    assert_eq!(rpc.call::<i64>("answer", ()).await.unwrap(), 42);
    rpc.call::<()>("nothing", ()).await.unwrap();
}

#[tokio::test]
async fn functions_stay_functions() {
    assert_eq!(add(1, 2), 3);
    assert_eq!(shout("hi".into()).await, "HI");
    assert_eq!(parse("12".into()).unwrap(), 12);
    assert_eq!(repeat("a".into(), 2, "+".into()), "a+a");
    assert_eq!(lengths("ab", b"c", "&").await, "2 & 1");
    assert_eq!([1, 2].into_iter().fold(0, add), 3);
}

#[tokio::test]
async fn errors_travel_with_their_class() {
    let (_service, client) = serve(1, callbacks![parse, read_config, chosen_class]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<i64>("parse", ("12",)).await.unwrap(), 12);
    let pair = |class: &str, message: &str| (class.to_owned(), message.to_owned());
    assert_eq!(remote(rpc.call::<i64>("parse", ("x",)).await), pair("NotANumber", "x is no number"));
    assert_eq!(remote(rpc.call::<String>("read_config", ("x",)).await), pair("OSError", "no file x"));
    assert_eq!(remote(rpc.call::<()>("chosen_class", ()).await), pair("KeyError", "k"));
}

#[tokio::test]
async fn arguments_come_by_position_and_by_name() {
    let (_service, client) = serve(1, callbacks![add, r#type]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<i64>("add", args![3, b = 4]).await.unwrap(), 7);
    assert_eq!(rpc.call::<i64>("add", args![b = 3, a = 4]).await.unwrap(), 7);
    assert_eq!(rpc.call::<i64>("type", args![struct = 5]).await.unwrap(), 5);
    let (class, message) = remote(rpc.call::<i64>("add", (1,)).await);
    assert_eq!((&*class, &*message), ("TypeError", "add() missing 1 required positional argument: 'b'"));
    let (_, message) = remote(rpc.call::<i64>("add", args![1, 2, c = 3]).await);
    assert_eq!(message, "add() got an unexpected keyword argument 'c'");
    let (_, message) = remote(rpc.call::<i64>("add", args![1, a = 3]).await);
    assert_eq!(message, "add() got multiple values for argument 'a'");
    let (_, message) = remote(rpc.call::<i64>("add", (1, "two")).await);
    assert!(message.starts_with("add() argument 'b': "), "{message}");
}

#[tokio::test]
async fn words_of_the_language_are_names_as_any_other() {
    let (_service, client) = serve(1, callbacks![keywords]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<i64>("keywords", args![r#match = 1, r#type = 2]).await.unwrap(), 12);
    assert_eq!(rpc.call::<i64>("keywords", args![1, type = 2]).await.unwrap(), 12);
}

#[tokio::test]
async fn parameters_may_be_lent() {
    let (_service, client) = serve(1, callbacks![lent]).await;
    let rpc = client.rpc();
    let (point, numbers) = (Point { x: 1, y: 2 }, vec![3, 4]);
    let all: String = rpc.call("lent", (&point, &numbers[..], "five", &[6_u8][..])).await.unwrap();
    assert_eq!(all, r#"Point { x: 1, y: 2 } [3, 4] Some("five") Some([6]) client"#);
    let least: String = rpc.call("lent", args![&point, numbers = numbers]).await.unwrap();
    assert_eq!(least, "Point { x: 1, y: 2 } [3, 4] None None client");
}

#[tokio::test]
async fn optional_arguments_and_defaults_may_be_missing() {
    let (_service, client) = serve(1, callbacks![greet, repeat, lengths]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<String>("greet", ("Ann",)).await.unwrap(), "hello, Ann");
    assert_eq!(rpc.call::<String>("greet", args!["Ann", greeting = "hi"]).await.unwrap(), "hi, Ann");
    assert_eq!(rpc.call::<String>("greet", ("Ann", None::<String>)).await.unwrap(), "hello, Ann");
    assert_eq!(rpc.call::<String>("repeat", ("a",)).await.unwrap(), "a-a");
    assert_eq!(rpc.call::<String>("repeat", ("a", 3)).await.unwrap(), "a-a-a");
    assert_eq!(rpc.call::<String>("repeat", args!["a", between = ""]).await.unwrap(), "aa");
    assert_eq!(rpc.call::<String>("lengths", ("ab", Bytes::from_static(b"c"))).await.unwrap(), "2 and 1");
}

#[tokio::test]
async fn a_context_is_no_argument() {
    let (_service, client) = serve(1, callbacks![who, who_says, twelve]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<String>("who", ()).await.unwrap(), "client");
    assert_eq!(rpc.call::<String>("who_says", ("hi", 2)).await.unwrap(), "client says hi 3 times");
    assert_eq!(rpc.call::<String>("who_says", args!["hi", times = 2]).await.unwrap(), "client says hi 3 times");
    let all = (1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.5, true, 'x');
    assert_eq!(rpc.call::<String>("twelve", all).await.unwrap(), "123456789.510.5truex");
}

#[tokio::test]
async fn types_of_all_kinds_are_taken_and_given() {
    let (_service, client) = serve(1, callbacks![swapped, reversed, shadows]).await;
    let rpc = client.rpc();
    let swapped: BTreeMap<String, i32> = rpc.call("swapped", (Point { x: 1, y: 2 },)).await.unwrap();
    assert_eq!(swapped, BTreeMap::from([("x".into(), 2), ("y".into(), 1)]));
    assert_eq!(rpc.call::<Bytes>("reversed", (vec![1_u8, 2],)).await.unwrap(), &[2, 1][..]);
    assert_eq!(rpc.call::<i64>("shadows", (1, 2, "x", 3, 4)).await.unwrap(), 10);
}

#[tokio::test]
async fn names_and_paths() {
    use math::mul as times;
    let (_service, client) = serve(2, callbacks![multiply, times, self::math::inner::neg]).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<i64>("math.mul", (3, 4)).await.unwrap(), 12);
    assert_eq!(rpc.call::<i64>("mul", (3, 4)).await.unwrap(), 12);
    assert_eq!(rpc.call::<i64>("neg", (3,)).await.unwrap(), -3);
    assert_eq!(times(2, 2), 4);
}

#[tokio::test]
async fn functions_within_functions() {
    #[callback]
    fn local(a: i64) -> i64 {
        a
    }
    let (_service, client) = serve(1, callbacks![local]).await;
    assert_eq!(client.rpc().call::<i64>("local", (local(1),)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_result_under_another_name_is_told() {
    type Outcome = Result<i64, String>;
    #[callback]
    fn aliased() -> Outcome {
        Err("an error that would travel as a result".into())
    }
    let error = Service::builder("service").callbacks(callbacks![aliased]).bind("mem://macros-aliased").await;
    assert!(matches!(error, Err(InitializationError::ResultAsValue(name)) if name == "aliased"));
}

#[test]
fn lists_of_any_length() {
    fn is_item<T: CallbackItem>() {}
    is_item::<add>();
    assert!(callbacks![].is_empty());
    assert_eq!(callbacks![add,].len(), 1);
    assert_eq!(callbacks![add, math::mul].and(Callbacks::new().item::<shout>()).len(), 3);
}

#[callback]
fn marked(
    #[default("x")] plain: Option<&str>,
    #[default(Some("y"))] word: Option<&str>,
    #[default(Some(b"z"))] data: Option<&[u8]>,
    #[default(None)] none: Option<&str>,
) -> String {
    format!("{plain:?} {word:?} {data:?} {none:?}")
}

#[tokio::test]
async fn optional_references_have_defaults() {
    let (_service, client) = serve(1, callbacks![marked]).await;
    let rpc = client.rpc();
    let text = rpc.call::<String>("marked", ()).await.unwrap();
    assert_eq!(text, r#"Some("x") Some("y") Some([122]) None"#);
    let text = rpc.call::<String>("marked", args![word = "w", plain = None::<i64>]).await.unwrap();
    assert_eq!(text, r#"None Some("w") Some([122]) None"#);
}

type Found = Result<i64, String>;

#[callback]
fn nested(n: i64) -> Result<Result<i64, String>, RemoteError> {
    if n < 0 {
        return Err(RemoteError::new("ValueError", "below 0"));
    }
    Ok(u8::try_from(n).map(i64::from).map_err(|_| "too large".to_owned()))
}

#[callback]
fn nested_items() -> impl Stream<Item = Result<Found, RemoteError>> {
    stream::iter([Ok(Ok(1)), Ok(Err("a value".to_owned()))])
}

/// The outer one is the answer or the error, the inner one a value.
#[tokio::test]
async fn a_result_may_hold_a_result() {
    let closure = |n| async move { nested(n) };
    let callbacks = callbacks![nested, nested_items].try_callback_fn("closure", closure);
    let (_service, client) = serve(1, callbacks).await;
    let rpc = client.rpc();
    for method in ["nested", "closure"] {
        assert_eq!(rpc.call::<Found>(method, (3,)).await.unwrap(), Ok(3));
        assert_eq!(rpc.call::<Found>(method, (300,)).await.unwrap(), Err("too large".to_owned()));
        assert_eq!(remote(rpc.call::<Found>(method, (-1,)).await).0, "ValueError");
    }
    let items: Vec<Found> = rpc.results("nested_items", ()).await.unwrap().try_collect().await.unwrap();
    assert_eq!(items, [Ok(1), Err("a value".to_owned())]);
}
