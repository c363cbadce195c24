//! No bytes make a format panic, and every value survives every format that carries it.

use bytes::Bytes;
use daffi_serde::{
    Binding, Body, Codec, DynArgs, Opaque, Output, Value, ValueLimits, to_value,
    value::{Date, DateTime, Time, TimeDelta},
};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_postcard::Postcard;
use proptest::prelude::*;

/// What JSON carries and tells apart.
fn json_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Beyond 2^63 a float without a fraction could be an integer.
        (-1e15..1e15).prop_map(Value::Float),
        any::<String>().prop_map(Value::from),
    ]
}

fn finite_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        json_scalar(),
        any::<f64>().prop_map(Value::Float),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

fn offset() -> impl Strategy<Value = TimeDelta> {
    (-86_399_999_999_i128..86_400_000_000)
        .prop_map(|micros| TimeDelta::from_microseconds(micros).expect("less than a day"))
}

fn date() -> impl Strategy<Value = Date> {
    (1..10_000_u16, 1..13_u8, 1..29_u8).prop_map(|(y, m, d)| Date::new(y, m, d).expect("every month has 28 days"))
}

fn time() -> impl Strategy<Value = Time> {
    (0..24_u8, 0..60_u8, 0..60_u8, 0..1_000_000_u32, proptest::option::of(offset()))
        .prop_map(|(h, m, s, us, offset)| Time { offset, ..Time::new(h, m, s, us).expect("in range") })
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        finite_scalar(),
        any::<i128>().prop_map(Value::from),
        any::<[i128; 3]>().prop_map(|[a, b, c]| (num_bigint::BigInt::from(a) * b * c).into()),
        any::<(f64, f64)>().prop_map(|(real, imaginary)| Value::Complex(real, imaginary)),
        date().prop_map(Value::Date),
        time().prop_map(Value::from),
        (date(), time()).prop_map(|(date, time)| DateTime::new(date, time).into()),
        offset().prop_map(Value::TimeDelta),
        "-?[0-9]{1,9}(\\.[0-9]{1,9})?(E[+-][0-9]{1,3})?".prop_map(|text| Value::Decimal(text.into())),
        any::<u128>().prop_map(|uuid| Value::Uuid(uuid.into())),
    ]
}

/// Lists and maps of those, and, when `all`, tuples, sets and keys of any kind.
fn nested(scalar: impl Strategy<Value = Value> + 'static, all: bool) -> impl Strategy<Value = Value> {
    scalar.prop_recursive(4, 64, 8, move |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..8);
        let key = if all { inner.clone() } else { any::<String>().prop_map(Value::from).boxed() };
        let map = proptest::collection::vec((key, inner), 0..8).prop_map(|entries| Value::Map(entries.into()));
        let kinds = if all { 0..4 } else { 0..1 };
        prop_oneof![
            map,
            (kinds, list).prop_map(|(kind, items)| match kind {
                0 => Value::List(items.into()),
                1 => Value::Tuple(items.into()),
                2 => Value::Set(items.into()),
                _ => Value::FrozenSet(items.into()),
            })
        ]
    })
}

fn through(codec: &impl Codec, value: &Value) -> Value {
    let mut buffer = bytes::BytesMut::new();
    let mut out = Output::new(&mut buffer);
    codec.encode_return(value, &mut out).expect("the format carries it");
    let (text, shared) = (out.is_text(), out.take_shared());
    let body = Body { bytes: shared.unwrap_or_else(|| buffer.freeze()), text };
    let mut read = None;
    codec.decode_result(&body, &mut read).expect("it was just written");
    read.expect("a codec that succeeds fills the sink")
}

/// The debug text tells -0.0 from 0.0 and takes NaN for NaN.
fn same(left: &Value, right: &Value) -> Result<(), TestCaseError> {
    prop_assert_eq!(format!("{left:?}"), format!("{right:?}"));
    Ok(())
}

/// Reads `bytes` as everything that a node reads; the outcome is an error or a value, and no panic.
fn read_any_way(codec: &impl Codec, bytes: &[u8]) {
    for text in [false, true] {
        let body = Body { bytes: Bytes::copy_from_slice(bytes), text };
        let _ = codec.decode_args(&body, &mut DynArgs::default());
        let _ = codec.decode_args(&body, &mut Binding::<(Vec<(u8, String)>, Option<f32>)>::new("f", &["a", "b"]));
        let _ = codec.decode_result(&body, &mut None::<Value>);
        let _ = codec.decode_result(&body, &mut None::<Vec<()>>);
        let _ = codec.decode_result(&body, &mut None::<std::collections::HashMap<char, Result<i128, Vec<u8>>>>);
        let _ = codec.decode_error(&body);
    }
}

fn read_by_all(bytes: &[u8]) {
    let limits = ValueLimits::default().max_values(1 << 12);
    read_any_way(&Opaque::default(), bytes);
    read_any_way(&Json::new(limits), bytes);
    read_any_way(&Msgpack::new(limits), bytes);
    read_any_way(&Postcard::new(limits), bytes);
}

proptest! {
    #[test]
    fn json_carries(value in nested(json_scalar(), false)) {
        same(&through(&Json::default(), &value), &value)?;
    }

    #[test]
    fn msgpack_carries(value in nested(finite_scalar(), false)) {
        same(&through(&Msgpack::default(), &value), &value)?;
    }

    #[test]
    fn postcard_carries_all(value in nested(any_scalar(), true)) {
        same(&through(&Postcard::default(), &value), &value)?;
    }

    #[test]
    fn a_value_carries_all(value in nested(any_scalar(), true)) {
        same(&to_value(&value).expect("a value holds every value"), &value)?;
        same(&value.clone().into_typed().expect("and gives it back"), &value)?;
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        read_by_all(&bytes);
    }

    #[test]
    fn nothing_near_a_payload_panics(value in nested(finite_scalar(), true), at: usize, byte: u8, cut: usize) {
        let sent = DynArgs { positional: vec![value], keywords: vec![("b".to_owned(), 1.into())] };
        let mut bodies = Vec::new();
        let mut write = |codec: &dyn daffi_serde::Format| {
            let mut buffer = bytes::BytesMut::new();
            if codec.encode_args(&sent, &mut Output::new(&mut buffer)).is_ok() {
                bodies.push(buffer.to_vec());
            }
        };
        write(&Json::default());
        write(&Msgpack::default());
        write(&Postcard::default());
        for mut body in bodies {
            let len = body.len();
            body[at % len] = byte;
            read_by_all(&body);
            read_by_all(&body[..cut % len]);
        }
    }
}
