//! What goes in and what comes out, in each format.

use daffi::{DynArgs, FormatId, Value};

use crate::{
    forms::seen,
    pair::{How, Pair, positional},
    support::FORMATS,
};

fn named(values: &[i64], keywords: &[(&str, i64)]) -> DynArgs {
    let keywords = keywords.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    DynArgs { keywords, ..positional(values.iter().copied()) }
}

/// A call with several arguments or none, and its result in a format that keeps lists and tuples
/// apart.
fn several() -> [(&'static str, DynArgs, Value); 8] {
    let pair = |a: i64, b: i64| Value::List(vec![a.into(), b.into()].into());
    [
        ("add", named(&[3, 4], &[]), 7.into()),
        ("add", named(&[3], &[("b", 4)]), 7.into()),
        ("add", named(&[], &[("b", -4), ("a", 3)]), (-1).into()),
        ("add", named(&[i64::MAX - 1, 1], &[]), i64::MAX.into()),
        ("kwargs_only", named(&[1], &[]), pair(1, 2)),
        ("kwargs_only", named(&[1], &[("b", 5)]), pair(1, 5)),
        ("none", named(&[], &[]), Value::Null),
        ("echo", named(&[], &[("payload", 1)]), 1.into()),
    ]
}

/// Values that are the same in JSON, MSGPACK and PICKLE.
fn plain() -> Vec<Value> {
    vec![
        Value::Null,
        true.into(),
        0.into(),
        i64::MIN.into(),
        u64::MAX.into(),
        0.1.into(),
        (-1.5e15).into(),
        "".into(),
        "naïve ☃ 💩 \0 \"quoted\" | bar".into(),
        Value::List(Vec::new().into()),
        Value::Map(Vec::new().into()),
        Value::List(vec![Value::Null, vec![1, 2].into(), "three".into(), 4.5.into()].into()),
        [("a", Value::from(vec![1])), ("z", [("deep", true)].into_iter().collect()), ("ü", Value::Null)]
            .into_iter()
            .collect(),
    ]
}

/// What reaches a callback in OPAQUE as it is, and comes back so.
fn opaque() -> [Value; 5] {
    let all: Vec<u8> = (0..=255).collect();
    ["".into(), "naïve ☃".into(), "7".into(), Value::Bytes(all.into()), Value::Bytes(Box::default())]
}

pub(crate) async fn check(pair: &Pair) {
    for format in [FormatId::PICKLE, FormatId::JSON, FormatId::MSGPACK].map(Some).into_iter().chain([None]) {
        let how = How { format, ..How::PLAIN };
        for (method, args, expected) in several() {
            let cell = format!("{pair}: {how} of {method}({args:?})");
            let result = pair.ok(how, method, args).await;
            // A tuple of Rust is a tuple in PICKLE, as one of Python is.
            let result = match result {
                Value::Tuple(items) => Value::List(items),
                other => other,
            };
            assert_eq!(seen(&result), seen(&expected), "{cell}");
        }
        for value in plain() {
            let result = pair.ok(how, "echo", positional([value.clone()])).await;
            assert_eq!(seen(&result), seen(&value), "{pair}: {how}");
        }
    }
    for value in opaque() {
        let result = pair.ok(How::rpc(FormatId::OPAQUE), "echo", positional([value.clone()])).await;
        assert_eq!(seen(&result), seen(&value), "{pair}: OPAQUE");
    }
    for format in FORMATS {
        let greeting = pair.ok(How::rpc(format), "greet", positional(["Zoë ☃"])).await;
        assert_eq!(greeting, Value::from("Hello, Zoë ☃!"), "{pair}: {format}");
    }
    for format in [FormatId::PICKLE, FormatId::MSGPACK] {
        let keys = [(1, "one"), (3, "three"), (2, "two")];
        for value in [Value::Bytes((0..=255).collect()), (-1e300).into(), keys.into_iter().collect()] {
            let result = pair.ok(How::rpc(format), "echo", positional([value.clone()])).await;
            assert_eq!(result, value, "{pair}: {format}");
        }
    }
}
