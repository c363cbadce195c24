//! What only PICKLE tells apart, and what the other formats make of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use daffi::{CallError, Client, FormatId, Value, value::TimeDelta};
use daffi_testing::Peer;
use num_bigint::BigInt;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::{
    forms::seen,
    routers::RouterKind,
    support::{Transport, python_client, rust_client},
};

fn map<K: Into<Value>, V: Into<Value>, const N: usize>(entries: [(K, V); N]) -> Value {
    entries.into_iter().collect()
}

fn date_time(text: &str) -> Value {
    text.parse::<daffi::value::DateTime>().unwrap().into()
}

/// The values of `SPECIAL` in `callbacks.py`, by the same names.
fn specials() -> Vec<(&'static str, Value)> {
    let big: BigInt = BigInt::from(1) << 200;
    let mixed = || vec![Value::from(1), "two".into(), Value::Null];
    let row = |n: u8| {
        let tags = Value::Tuple(vec!["x".into(), Value::Set(vec![n.into()].into())].into());
        map([("id", Value::from(n)), ("tags", tags), ("raw", Bytes::copy_from_slice(&[n]).into())])
    };
    vec![
        ("none", Value::Null),
        ("bool", true.into()),
        ("int", (-7).into()),
        ("i64_min", i64::MIN.into()),
        ("u64_max", u64::MAX.into()),
        ("big_int", Value::from(&big + 1)),
        ("negative_big_int", Value::from(-&big)),
        ("float", 0.1.into()),
        ("nan", f64::NAN.into()),
        ("infinity", f64::INFINITY.into()),
        ("text", "naïve ☃ 💩 \0 \"quoted\" | bar".into()),
        ("empty_text", "".into()),
        ("bytes", Value::Bytes((0..=255).collect())),
        ("empty_bytes", Bytes::new().into()),
        ("bytearray", Bytes::from_static(&[0, 1, 255]).into()),
        ("list", Value::List(vec![1.into(), "two".into(), Value::Null, vec![3.5].into()].into())),
        ("tuple", Value::Tuple(mixed().into())),
        ("empty_tuple", Value::Tuple(Vec::new().into())),
        ("set", Value::Set(vec![1.into(), 2.into(), 3.into()].into())),
        ("empty_set", Value::Set(Vec::new().into())),
        ("frozenset", Value::FrozenSet(vec!["a".into(), "b".into()].into())),
        ("dict", map([("a", Value::from(1)), ("b", Value::List(vec![true.into(), Value::Null].into()))])),
        ("int_keys", map([(1, "one"), (2, "two")])),
        ("tuple_keys", map([(Value::Tuple(vec![1.into(), 2.into()].into()), "pair")])),
        ("ordereddict", map([("z", 1), ("a", 2)])),
        ("complex", Value::Complex(1.5, -2.0)),
        ("decimal", Value::Decimal("1234567890.0987654321".into())),
        ("uuid", Value::Uuid(Box::new(0x12345678_1234_5678_1234_567812345678))),
        ("date", Value::Date("2024-02-29".parse().unwrap())),
        ("time", Value::Time(Box::new("23:59:58.123456".parse().unwrap()))),
        ("datetime", date_time("2024-02-29T12:30:15.250000")),
        ("datetime_utc", date_time("2024-02-29T12:30:15+00:00")),
        ("datetime_offset", date_time("2024-02-29T12:30:15+05:30")),
        ("datetime_summer", date_time("2024-07-01T12:00:00+02:00[Europe/Berlin]")),
        ("datetime_again", date_time("2024-10-27T02:30:00+01:00[Europe/Berlin]")),
        ("datetime_no_cache", date_time("2024-01-01T12:00:00-05:00[America/New_York]")),
        ("time_utc", Value::Time(Box::new("12:00:00+00:00".parse().unwrap()))),
        ("timedelta", TimeDelta::new(-1, 3, 7).unwrap().into()),
        ("nested", map([("rows", Value::List((0..3).map(row).collect()))])),
    ]
}

#[tokio::test]
async fn rust_reads_and_writes_every_special_value() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let mut names: Vec<String> = client.rpc().call("special_names", ()).await.unwrap();
    for (name, value) in specials() {
        names.retain(|known| known != name);
        let read: Value = client.rpc().call("special", (name,)).await.unwrap();
        assert_eq!(seen(&read), seen(&value), "{name}");
        let written: Value = client.rpc().call("check_special", (name, value)).await.unwrap();
        let expected = match name {
            // A Value has one kind of bytes and one of maps, and writes the commoner of Python's
            // two.
            "bytearray" => "bytes b'\\x00\\x01\\xff'".into(),
            "ordereddict" => "dict {'z': 1, 'a': 2}".into(),
            // To Python no moment of an hour that clocks show twice equals one in another zone.
            "datetime_again" => {
                "datetime datetime.datetime(2024, 10, 27, 2, 30, tzinfo=datetime.timezone(datetime.timedelta(seconds=3600), \
                 'Europe/Berlin'))"
                    .into()
            }
            _ => Value::Bool(true),
        };
        assert_eq!(written, expected, "{name}");
    }
    assert!(names.is_empty(), "without a value here: {names:?}");
}

#[tokio::test]
async fn a_rust_echo_gives_python_every_special_value_back() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client = python_client(&service).start().await;
    for (name, _) in specials() {
        let form = client.invoke("special", json!([name])).await;
        let result = client.call("echo", json!([form])).ok().await;
        let expected = match name {
            "bytearray" => json!({"$bytes": form["$bytearray"]}),
            "ordereddict" => json!({"z": 1, "a": 2}),
            _ => form,
        };
        assert_eq!(result, expected, "{name}");
    }
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Row {
    id: u8,
    tags: (String, BTreeSet<u16>),
    raw: Bytes,
}

#[tokio::test]
async fn special_values_are_read_into_types() {
    async fn get<T: serde::de::DeserializeOwned + 'static>(client: &Client, name: &'static str) -> T {
        client.rpc().call("special", (name,)).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
    let service = Transport::Tcp.python_service().start().await;
    let client = &rust_client("caller", &service.endpoint()).await;
    get::<()>(client, "none").await;
    assert_eq!(get::<Option<i64>>(client, "none").await, None);
    assert_eq!(get::<Option<i64>>(client, "int").await, Some(-7));
    assert_eq!(get::<i64>(client, "i64_min").await, i64::MIN);
    assert_eq!(get::<u64>(client, "u64_max").await, u64::MAX);
    assert_eq!(get::<i128>(client, "u64_max").await, i128::from(u64::MAX));
    assert!(get::<f64>(client, "nan").await.is_nan());
    assert_eq!(get::<Vec<u8>>(client, "bytearray").await, [0, 1, 255]);
    assert_eq!(get::<Bytes>(client, "bytes").await.len(), 256);
    assert_eq!(get::<(i64, String, Option<u8>)>(client, "tuple").await, (1, "two".into(), None));
    assert_eq!(get::<BTreeSet<i64>>(client, "set").await, BTreeSet::from([1, 2, 3]));
    assert_eq!(get::<HashMap<i64, String>>(client, "int_keys").await[&2], "two");
    assert_eq!(get::<HashMap<(i64, i64), String>>(client, "tuple_keys").await[&(1, 2)], "pair");
    assert_eq!(get::<BTreeMap<String, i64>>(client, "ordereddict").await["z"], 1);
    assert_eq!(get::<String>(client, "decimal").await, "1234567890.0987654321");
    assert_eq!(get::<String>(client, "uuid").await, "12345678-1234-5678-1234-567812345678");
    assert_eq!(get::<String>(client, "date").await, "2024-02-29");
    assert_eq!(get::<String>(client, "datetime_offset").await, "2024-02-29T12:30:15+05:30");
    let mut rows: HashMap<String, Vec<Row>> = get(client, "nested").await;
    let rows = rows.remove("rows").unwrap();
    assert_eq!(rows[2], Row { id: 2, tags: ("x".into(), [2].into()), raw: Bytes::from_static(&[2]) });
    let error = client.rpc().call::<i64>("special", ("text",)).await.unwrap_err();
    assert!(matches!(error, CallError::Decode { .. }), "{error}");
    let error = client.rpc().call::<i64>("special", ("u64_max",)).await.unwrap_err();
    assert!(matches!(error, CallError::Decode { .. }), "{error}");
}

#[tokio::test]
async fn python_sees_rust_types_as_its_own() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let row = || Row { id: 1, tags: ("x".into(), [2].into()), raw: Bytes::from_static(b"r") };
    for format in [FormatId::PICKLE, FormatId::MSGPACK] {
        let [row, maybe, octets]: [(String, String); 3] = {
            let rpc = client.rpc().serde(format);
            let row = rpc.call("describe", (row(),)).await.unwrap();
            [
                row,
                rpc.call("describe", (None::<i64>,)).await.unwrap(),
                rpc.call("describe", (vec![1_u8],)).await.unwrap(),
            ]
        };
        let tags = if format == FormatId::PICKLE { "('x', [2])" } else { "['x', [2]]" };
        assert_eq!(row, ("dict".into(), format!("{{'id': 1, 'tags': {tags}, 'raw': b'r'}}")), "{format}");
        assert_eq!(maybe, ("NoneType".into(), "None".into()), "{format}");
        assert_eq!(octets, ("bytes".into(), "b'\\x01'".into()), "{format}");
    }
}

#[tokio::test]
async fn other_formats_carry_the_nearest_form() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let specials: HashMap<_, _> = specials().into_iter().collect();
    for format in [FormatId::JSON, FormatId::MSGPACK] {
        for (name, expected) in [
            ("tuple", r#"list [1, 'two', None]"#),
            ("set", "list [1, 2, 3]"),
            ("date", "str '2024-02-29'"),
            ("datetime_utc", "str '2024-02-29T12:30:15+00:00'"),
            ("decimal", "str '1234567890.0987654321'"),
            ("uuid", "str '12345678-1234-5678-1234-567812345678'"),
        ] {
            let described = client.rpc().serde(format).call("describe", (specials[name].clone(),)).await;
            let (class, text): (String, String) =
                described.unwrap_or_else(|error| panic!("{name} in {format}: {error}"));
            assert_eq!(format!("{class} {text}"), expected, "{name} in {format}");
        }
    }
}

#[tokio::test]
async fn what_a_format_cannot_hold_is_refused_before_it_is_sent() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let specials: HashMap<_, _> = specials().into_iter().collect();
    for (format, name) in [
        (FormatId::JSON, "bytes"),
        (FormatId::JSON, "nan"),
        (FormatId::JSON, "tuple_keys"),
        (FormatId::MSGPACK, "big_int"),
        (FormatId::OPAQUE, "list"),
    ] {
        let error = client.rpc().serde(format).call::<Value>("echo", (specials[name].clone(),)).await.unwrap_err();
        assert!(matches!(error, CallError::Encode { .. }), "{name} in {format}: {error}");
        let others = ["PICKLE", "MSGPACK"];
        assert!(others.iter().any(|other| error.to_string().contains(other)), "{name} in {format}: {error}");
    }
    assert_eq!(client.rpc().call::<i64>("add", (3, 4)).await.unwrap(), 7);
}

/// It would stop the one thread of a 3.0.1 worker for good.
#[tokio::test]
async fn a_key_that_python_cannot_hash_reaches_no_worker() {
    let router = RouterKind::Rust.start().await;
    let worker = router.python_worker("worker").await;
    let client = rust_client("caller", &router.endpoint()).await;
    client.wait_for_members(&["worker"], None).await.unwrap();
    let list = || Value::from(vec![Value::from(1)]);
    for format in [FormatId::PICKLE, FormatId::MSGPACK] {
        let rpc = client.rpc().serde(format);
        for error in [
            rpc.call::<Value>("echo", (HashMap::from([(vec![1], 2)]),)).await.unwrap_err(),
            rpc.call::<Value>("echo", (map([(list(), 2)]),)).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, CallError::Encode { .. }) && error.to_string().contains("key"),
                "{format}: {error}"
            );
        }
    }
    let error = client
        .rpc()
        .serde(FormatId::PICKLE)
        .call::<Value>("echo", (Value::Set(vec![list()].into()),))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Encode { .. }), "{error}");
    assert_eq!(client.rpc().receiver("worker").call::<i64>("add", (3, 4)).await.unwrap(), 7);
    drop(worker);
}

/// In both directions, as the integers that they are.
#[tokio::test]
async fn json_carries_integers_beyond_64_bits() {
    let service = Transport::Tcp.python_service().start().await;
    let client = rust_client("caller", &service.endpoint()).await;
    let specials: HashMap<_, _> = specials().into_iter().collect();
    for name in ["big_int", "negative_big_int"] {
        let rpc = client.rpc().serde(FormatId::JSON);
        let (class, text): (String, String) = rpc.call("describe", (specials[name].clone(),)).await.unwrap();
        let back: Value = rpc.call("echo", (specials[name].clone(),)).await.unwrap();
        assert_eq!((class.as_str(), Value::from(text.parse::<BigInt>().unwrap())), ("int", specials[name].clone()));
        assert_eq!(back, specials[name], "{name}");
    }
}

/// What Python writes and Rust can't read is answered, and the service goes on; 3.0.1 itself would
/// hang.
#[tokio::test]
async fn what_rust_cannot_read_is_an_error_for_python() {
    let service = Transport::Tcp.rust_service("service", 1).await;
    let client = python_client(&service).start().await;
    let beyond = format!("1{}", "0".repeat(400));
    let unread: [(&str, Json, &str); 4] = [
        ("JSON", json!({"$float": "nan"}), "NaN"),
        ("JSON", json!({"$int": beyond}), "out of range"),
        ("PICKLE", json!({"$times": [{"$times": [1, 3000]}, 3000]}), "4194304"),
        ("MSGPACK", json!({"$times": [{"$times": [1, 3000]}, 3000]}), "4194304"),
    ];
    for (format, form, named) in unread {
        let error = client.call("echo", json!([form])).serde(format).timeout(80).error().await;
        assert!(error.is_remote(), "{format}: {error}");
        assert!(error.message.contains(named), "{format}: {error}");
        assert_eq!(client.call("add", json!([3, 4])).serde(format).ok().await, 7);
    }
    assert_eq!(client_of(&service, "late").await.call("add", json!([3, 4])).ok().await, 7);
}

async fn client_of(service: &daffi::Service, name: &str) -> Peer {
    python_client(service).name(name).start().await
}
