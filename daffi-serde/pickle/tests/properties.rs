//! Any value survives a round trip; no input makes the reader panic.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use bytes::Bytes;
use daffi_serde::{
    Body, Codec, RemoteError, Value, ValueLimits,
    value::{Date, DateTime, Time, TimeDelta},
};
use daffi_serde_pickle::{Pickle, WriteError, from_slice, to_vec};
use num_bigint::BigInt;
use proptest::{collection::vec, prelude::*};

fn deltas() -> impl Strategy<Value = TimeDelta> {
    (-999_999_999..=999_999_999_i32, 0..86_400_u32, 0..1_000_000_u32)
        .prop_map(|(days, seconds, micros)| TimeDelta::new(days, seconds, micros).unwrap())
}

fn dates() -> impl Strategy<Value = Date> {
    (1..=9999_u16, 1..=12_u8, 1..=28_u8).prop_map(|(year, month, day)| Date::new(year, month, day).unwrap())
}

fn times() -> impl Strategy<Value = Time> {
    let offsets = proptest::option::of(
        (-86_399_999_999..86_400_000_000_i64).prop_map(|micros| TimeDelta::from_microseconds(micros.into()).unwrap()),
    );
    (0..24_u8, 0..60_u8, 0..60_u8, 0..1_000_000_u32, offsets).prop_map(|(hour, minute, second, micros, offset)| {
        let time = Time::new(hour, minute, second, micros).unwrap();
        offset.map_or(time, |offset| time.at_offset(offset).unwrap())
    })
}

/// Integers near every power of two.
fn ints() -> impl Strategy<Value = i128> {
    (0..127_u32, -2..=2_i128, any::<bool>()).prop_map(|(bit, near, negative)| {
        let int = (1_i128 << bit) + near;
        if negative { -int } else { int }
    })
}

fn leaves() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        ints().prop_map(Value::from),
        vec(any::<u8>(), 17..600).prop_map(|bytes| BigInt::from_signed_bytes_le(&bytes).into()),
        any::<f64>().prop_filter("equal to itself", |float| !float.is_nan()).prop_map(Value::Float),
        ".{0,300}".prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Bytes(bytes.into())),
        (-1e9..1e9, -1e9..1e9).prop_map(|(real, imaginary)| Value::Complex(real, imaginary)),
        dates().prop_map(Value::Date),
        times().prop_map(Value::from),
        (dates(), times()).prop_map(|(date, time)| DateTime::new(date, time).into()),
        deltas().prop_map(Value::TimeDelta),
        "-?[0-9]{1,9}(\\.[0-9]{1,9})?(E[+-][0-9]{1,3})?".prop_map(|text| Value::Decimal(text.into())),
        any::<u128>().prop_map(|uuid| Value::Uuid(uuid.into())),
    ]
}

/// The value, or what Python can hash in its place.
fn hashable(value: Value) -> Value {
    match value {
        Value::List(items) | Value::Tuple(items) => Value::Tuple(items.into_iter().map(hashable).collect()),
        Value::Set(items) => Value::FrozenSet(items),
        Value::Map(_) => Value::Null,
        other => other,
    }
}

fn values() -> impl Strategy<Value = Value> {
    leaves().prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(|items| Value::List(items.into())),
            vec(inner.clone(), 0..8).prop_map(|items| Value::Tuple(items.into())),
            vec(inner.clone().prop_map(hashable), 0..8).prop_map(|items| Value::Set(items.into())),
            vec(inner.clone().prop_map(hashable), 0..8).prop_map(|items| Value::FrozenSet(items.into())),
            vec((inner.clone().prop_map(hashable), inner), 0..8).prop_map(|entries| Value::Map(entries.into())),
        ]
    })
}

/// Opcodes and small operands, likelier to make sense than any bytes.
fn programs() -> impl Strategy<Value = Vec<u8>> {
    const STEPS: &[&[u8]] = &[
        b"(",
        b".",
        b"0",
        b"1",
        b"2",
        b"N",
        b"K\x07",
        b"I-5\n",
        b"F1.5\n",
        b"L99999999999999999999L\n",
        b")",
        b"]",
        b"}",
        b"\x8f",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x90",
        b"\x91",
        b"t",
        b"l",
        b"d",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x94",
        b"h\x00",
        b"h\x01",
        b"h\x02",
        b"q\x01",
        b"j\xff\xff\xff\xff",
        b"r\xff\xff\xff\xff",
        b"R",
        b"\x81",
        b"\x92",
        b"b",
        b"o",
        b"\x93",
        b"\x88",
        b"\x89",
        b"Vint\n",
        b"Vlatin1\n",
        b"\x8c\x01x",
        b"C\x04\x07\xe8\x02\x1d",
        b"\x8a\x01\xff",
        b"cbuiltins\nset\n",
        b"cbuiltins\nfrozenset\n",
        b"cbuiltins\nbytes\n",
        b"ccollections\nOrderedDict\n",
        b"cuuid\nUUID\n",
        b"cdatetime\ndate\n",
        b"cdatetime\ntimedelta\n",
        b"cdatetime\ntimezone\n",
        b"c_codecs\nencode\n",
        b"ccopyreg\n_reconstructor\n",
        b"cbuiltins\nobject\n",
        b"cos\nsystem\n",
        b"(ios\nsystem\n",
    ];
    vec(proptest::sample::select(STEPS), 0..60).prop_map(|steps| [&steps.concat()[..], b"."].concat())
}

/// Reads in all the ways there are. What is read must be written, too.
fn read_all_ways(pickle: &[u8]) {
    let limits = ValueLimits::default().max_values(10_000);
    let (format, body) = (Pickle::new(limits), Body::new(Bytes::copy_from_slice(pickle)));
    let read = format.read(&body.bytes);
    assert_eq!(read.is_ok(), from_slice::<Value>(pickle).is_ok());
    if let Ok(value) = read {
        // Nothing but a dict or list for a key, which Python would not have written, is not written
        // again.
        let written = to_vec(&value);
        assert!(matches!(written, Ok(_) | Err(WriteError::Unhashable { .. })), "{written:?}");
    }
    let _may_fail = format.decode_error(&body);
    let _may_fail = format.decode_result(&body, &mut None::<Value>);
    let _may_fail = format.decode_args(&body, &mut daffi_serde::Binding::<(Value, Value)>::new("f", &["a", "b"]));
}

proptest! {
    #[test]
    fn values_survive(value in values()) {
        let pickle = to_vec(&value).unwrap();
        prop_assert_eq!(from_slice::<Value>(&pickle).unwrap(), value);
    }

    #[test]
    fn errors_survive(class in ".{0,20}", module in ".{0,20}", message in ".{0,300}") {
        let error = RemoteError { class, module, message };
        let pickle = to_vec(&((&error,), std::collections::BTreeMap::<u8, u8>::new())).unwrap();
        prop_assert_eq!(Pickle::default().decode_error(&Body::new(pickle)), Ok(error));
    }

    #[test]
    fn bytes_do_not_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_all_ways(&bytes);
    }

    #[test]
    fn programs_do_not_panic(program in programs()) {
        read_all_ways(&program);
    }

    #[test]
    fn damaged_pickles_do_not_panic(line in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let lines: Vec<_> = include_str!("python/pickles.txt").lines().filter(|line| line.len() < 4000).collect();
        let (_, hex) = lines[line.index(lines.len())].rsplit_once(' ').unwrap();
        let mut pickle: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let at = at.index(pickle.len());
        pickle[at] = byte;
        read_all_ways(&pickle);
    }
}
