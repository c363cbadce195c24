use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::value::Error};
use serde_json::json;

use super::*;

fn big() -> Value {
    Value::from(BigInt::from(i128::MAX) * 2)
}

/// One of each kind, nested where it can be.
fn everything() -> Value {
    let date = Date::new(2024, 2, 29).unwrap();
    let time = Time::new(3, 4, 5, 6).unwrap().at_offset(TimeDelta::new(0, 3600, 0).unwrap()).unwrap();
    let plain = vec![
        Value::Null,
        true.into(),
        (-3).into(),
        i128::MIN.into(),
        u64::MAX.into(),
        big(),
        2.5.into(),
        "text".into(),
        Value::Bytes(b"bytes".as_slice().into()),
        Value::Complex(1.0, -2.0),
        date.into(),
        time.into(),
        DateTime::new(date, time).in_zone("Europe/Berlin").into(),
        TimeDelta::new(-999_999_999, 86_399, 999_999).unwrap().into(),
        Value::Decimal("1E+3".into()),
        Value::Uuid(Box::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
    ];
    let nested = vec![
        Value::List(plain.clone().into()),
        Value::Tuple(plain.clone().into()),
        Value::Set(plain.clone().into()),
        Value::FrozenSet(plain.clone().into()),
        Value::Map(plain.into_iter().map(|value| (Value::Tuple(vec![value.clone()].into()), value)).collect()),
    ];
    Value::Map(vec![(1.into(), Value::Tuple(nested.clone().into())), ("two".into(), Value::Set(nested.into()))].into())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i8, i8),
    Box { width: u16 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    name: String,
    shapes: Vec<Shape>,
    data: Bytes,
    octets: Vec<u8>,
    keys: HashMap<i64, Option<char>>,
    address: std::net::IpAddr,
    anything: Value,
    wide: (i128, u128),
}

#[test]
fn a_value_read_from_a_value_is_the_same() {
    assert_eq!(everything().into_typed::<Value>(), Ok(everything()));
    assert_eq!(to_value(&everything()), Ok(everything()));
    let several = Value::List(vec![everything(), Value::Null].into()).into_typed::<Vec<Option<Value>>>();
    assert_eq!(several, Ok(vec![Some(everything()), None]));
}

#[test]
fn types_survive_the_way_through_a_value() {
    let record = Record {
        name: "n".into(),
        shapes: vec![Shape::Empty, Shape::Circle(1.0), Shape::Line(1, -2), Shape::Box { width: 3 }],
        data: Bytes::from_static(b"\0\xff"),
        octets: vec![1, 2],
        keys: HashMap::from([(-1, Some('x')), (2, None)]),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        anything: everything(),
        wide: (i128::MIN, u128::MAX),
    };
    let value = to_value(&record).unwrap();
    assert_eq!(value.get("address"), Some(&"127.0.0.1".into()));
    assert_eq!(
        value.get("shapes").unwrap().to_string(),
        "['Empty', {'Circle': 1.0}, {'Line': (1, -2)}, {'Box': {'width': 3}}]"
    );
    assert_eq!(value.into_typed(), Ok(record));
}

#[test]
fn kinds_that_serde_does_not_know_are_read_as_their_nearest() {
    let date = Date::new(2024, 2, 29).unwrap();
    assert_eq!(Value::from(date).into_typed(), Ok("2024-02-29".to_owned()));
    assert_eq!(Value::Set(vec![1.into(), 2.into()].into()).into_typed(), Ok((1, 2)));
    assert_eq!(Value::Complex(1.0, 2.0).into_typed(), Ok([1.0, 2.0]));
    assert_eq!(Value::from(TimeDelta::new(1, 0, 500_000).unwrap()).into_typed(), Ok(86_400.5));
    assert_eq!(Value::Bytes(b"ab".as_slice().into()).into_typed(), Ok(vec![97_u8, 98]));
    assert_eq!(Value::Str("ab".into()).into_typed(), Ok(Bytes::from_static(b"ab")));
    assert_eq!(Value::Int(3).into_typed(), Ok(3.0));
    let map = Value::Map(vec![(Value::Tuple(vec![1.into()].into()), 2.into())].into());
    assert_eq!(map.into_typed(), Ok(BTreeMap::from([((1,), 2)])));
}

#[test]
fn errors_name_what_is_there_and_what_was_asked_for() {
    fn error<T: std::fmt::Debug + serde::de::DeserializeOwned>(value: impl Into<Value>) -> String {
        value.into().into_typed::<T>().unwrap_err().to_string()
    }
    assert_eq!(error::<i8>(300), "invalid value: integer `300`, expected i8");
    assert_eq!(error::<u64>(-1), "invalid value: integer `-1`, expected u64");
    assert_eq!(error::<i64>(1.5), "invalid type: floating point `1.5`, expected i64");
    assert_eq!(error::<i64>(i128::MAX), format!("invalid type: integer `{}` as i128, expected i64", i128::MAX));
    assert_eq!(error::<(i32, i32)>(vec![1, 2, 3]), "invalid length 3, expected 2 elements in sequence");
    assert_eq!(error::<String>(Bytes::from_static(b"ab")), "invalid type: bytes, expected a string");
    assert_eq!(error::<Shape>("Cube"), "unknown variant `Cube`, expected one of `Empty`, `Circle`, `Line`, `Box`");
    assert_eq!(error::<Shape>("Circle"), "invalid type: unit variant, expected newtype variant");
    assert_eq!(error::<Shape>(3), "invalid type: an integer, expected the name of a variant, or a map");
    assert_eq!(error::<i64>(()), "invalid type: unit value, expected i64");
}

#[test]
fn stock_serializers_see_natural_forms() {
    let value = Value::List(
        vec![
            Value::Null,
            7.into(),
            Value::Tuple(vec!["a".into()].into()),
            Value::Set(vec![1.into()].into()),
            Value::Complex(1.0, 2.0),
            DateTime::new(Date::new(1, 2, 3).unwrap(), Time::new(4, 5, 6, 0).unwrap()).into(),
            TimeDelta::new(0, 1, 500_000).unwrap().into(),
            Value::Decimal("0.10".into()),
            Value::Uuid(Box::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
            Value::Map(vec![("k".into(), u64::MAX.into())].into()),
        ]
        .into(),
    );
    let json = json!([
        null, 7, ["a"], [1], [1.0, 2.0], "0001-02-03T04:05:06", 1.5, "0.10", "00112233-4455-6677-8899-aabbccddeeff",
        {"k": u64::MAX}
    ]);
    assert_eq!(serde_json::to_value(&value).unwrap(), json);
}

#[test]
fn a_value_is_read_from_any_format_that_describes_itself() {
    let value: Value = serde_json::from_str(r#"{"a": [1, -2, 3.5, null, true, "x", 18446744073709551615]}"#).unwrap();
    let items: Vec<Value> =
        vec![1.into(), (-2).into(), 3.5.into(), Value::Null, true.into(), "x".into(), u64::MAX.into()];
    assert_eq!(value, Value::Map(vec![("a".into(), items.into())].into()));
}

#[test]
fn small_numbers_are_never_big() {
    assert_eq!(Value::from(BigInt::from(3)), Value::Int(3));
    assert_eq!(to_value(&Value::BigInt(Box::new(3.into()))), Ok(Value::Int(3)));
    assert_eq!(Value::BigInt(Box::new(3.into())).into_typed(), Ok(3));
    assert!(matches!(Value::from(u128::MAX), Value::BigInt(_)));
    assert_eq!(Value::from(u128::MAX).into_typed(), Ok(u128::MAX));
}

/// Threads of a runtime have 2 MiB; the deepest value that formats let in must pass on one.
fn on_a_small_stack(test: impl FnOnce(Value) + Send + 'static) {
    let deep = (0..256).fold(Value::Null, |inner, _| Value::List(vec![inner].into()));
    std::thread::Builder::new().stack_size(2 << 20).spawn(move || test(deep)).unwrap().join().unwrap();
}

#[test]
fn the_deepest_value_can_be_read_on_a_small_stack() {
    on_a_small_stack(|deep| assert_eq!(deep.clone().into_typed::<Value>(), Ok(deep)));
}

#[test]
fn the_deepest_value_can_be_read_through_a_pointer_on_a_small_stack() {
    on_a_small_stack(|deep| {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(ValueDeserializer::<Error>::new(deep.clone()));
        assert_eq!(erased_serde::deserialize::<Value>(&mut erased).unwrap(), deep);
    });
}

#[test]
fn the_deepest_value_can_be_written_on_a_small_stack() {
    on_a_small_stack(|deep| {
        assert_eq!(to_value(&deep), Ok(deep.clone()));
        let erased: &dyn erased_serde::Serialize = &deep;
        assert_eq!(to_value(erased), Ok(deep.clone()));
        assert_eq!(deep.to_string().len(), 256 * 2 + 4);
    });
}
