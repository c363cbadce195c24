use std::collections::{BTreeMap, BTreeSet, VecDeque};

use daffi_serde::{
    Value, ValueLimits,
    value::{Date, DateTime, Time, TimeDelta},
};
use serde::{Serialize, Serializer, ser::SerializeTuple};
use serde_bytes::Bytes as SerdeBytes;

use crate::{Pickle, WriteError, to_vec};

/// What lies between the protocol and the end.
fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let pickle = to_vec(value).unwrap();
    let body = pickle.strip_prefix(b"\x80\x04").and_then(|rest| rest.strip_suffix(b"."));
    body.expect("a protocol and an end").to_vec()
}

#[test]
fn scalars() {
    assert_eq!(encode(&()), b"N");
    assert_eq!(encode(&None::<u8>), b"N");
    assert_eq!(encode(&Some(true)), b"\x88");
    assert_eq!(encode(&false), b"\x89");
    assert_eq!(encode(&1.5_f32), b"G\x3f\xf8\0\0\0\0\0\0");
    assert_eq!(encode(&'é'), b"\x8c\x02\xc3\xa9");
    assert_eq!(encode("text"), b"\x8c\x04text");
    assert_eq!(encode(&"x".repeat(256))[..6], *b"X\0\x01\0\0x");
    assert_eq!(encode(SerdeBytes::new(b"\xff")), b"C\x01\xff");
    assert_eq!(encode(SerdeBytes::new(&[7; 256]))[..6], *b"B\0\x01\0\0\x07");
}

#[test]
fn integers_take_the_shortest_form() {
    for (value, pickle) in [
        (0, &b"K\0"[..]),
        (255, b"K\xff"),
        (256, b"M\0\x01"),
        (65_536, b"J\0\0\x01\0"),
        (-1, b"J\xff\xff\xff\xff"),
        (i64::from(i32::MIN), b"J\0\0\0\x80"),
        (i64::from(i32::MIN) - 1, b"\x8a\x05\xff\xff\xff\x7f\xff"),
        (1 << 31, b"\x8a\x05\0\0\0\x80\0"),
        (i64::MAX, b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"),
        (i64::MIN, b"\x8a\x08\0\0\0\0\0\0\0\x80"),
    ] {
        assert_eq!(encode(&value), pickle, "{value}");
        assert_eq!(encode(&i128::from(value)), pickle, "{value}");
        assert_eq!(encode(&Value::Int(value)), pickle, "{value}");
    }
    assert_eq!(encode(&u64::MAX), b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0");
    assert_eq!(encode(&u128::MAX), [&b"\x8a\x11"[..], &[0xff; 16], b"\0"].concat());
    assert_eq!(encode(&i128::MIN), [&b"\x8a\x10"[..], &[0; 15], b"\x80"].concat());
    assert_eq!(encode(&Value::from(u128::MAX)), encode(&u128::MAX));
}

#[test]
fn containers() {
    assert_eq!(encode(&Vec::<i32>::new()), b"]");
    assert_eq!(encode(&vec![1, 2]), b"](K\x01K\x02e");
    assert_eq!(encode(&(1,)), b"K\x01\x85");
    assert_eq!(encode(&(1, 2)), b"K\x01K\x02\x86");
    assert_eq!(encode(&(1, 2, 3)), b"K\x01K\x02K\x03\x87");
    assert_eq!(encode(&(1, 2, 3, 4)), b"(K\x01K\x02K\x03K\x04t");
    assert_eq!(encode(&[(); 0]), b")");
    assert_eq!(encode(&BTreeMap::<u8, u8>::new()), b"}");
    assert_eq!(encode(&BTreeMap::from([(1, 2)])), b"}(K\x01K\x02u");
    assert_eq!(encode(&Value::Set(vec![].into())), b"\x8f");
    assert_eq!(encode(&Value::Set(vec![1.into()].into())), b"\x8f(K\x01\x90");
    assert_eq!(encode(&Value::FrozenSet(vec![].into())), b"(\x91");
    let pair = Value::Tuple(vec![1.into(), Value::FrozenSet(vec![].into())].into());
    assert_eq!(encode(&Value::FrozenSet(vec![pair].into())), b"(K\x01(\x91\x86\x91");
}

#[test]
fn structs_and_enums() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Newtype(u8);
    #[derive(Serialize)]
    struct Pair(u8, u8);
    #[derive(Serialize)]
    struct Named {
        a: u8,
    }
    #[derive(Serialize)]
    enum Enum {
        Unit,
        Newtype(u8),
        Tuple(u8, u8),
        Struct { a: u8 },
    }
    assert_eq!(encode(&Unit), b"N");
    assert_eq!(encode(&Newtype(1)), b"K\x01");
    assert_eq!(encode(&Pair(1, 2)), b"K\x01K\x02\x86");
    assert_eq!(encode(&Named { a: 1 }), b"}(\x8c\x01aK\x01u");
    assert_eq!(encode(&Enum::Unit), b"\x8c\x04Unit");
    assert_eq!(encode(&Enum::Newtype(1)), b"}\x8c\x07NewtypeK\x01s");
    assert_eq!(encode(&Enum::Tuple(1, 2)), b"}\x8c\x05TupleK\x01K\x02\x86s");
    assert_eq!(encode(&Enum::Struct { a: 1 }), b"}\x8c\x06Struct}(\x8c\x01aK\x01us");
}

/// Pins the names that the compiler gives to what serde writes a `Vec<u8>` and a slice as.
#[test]
fn octets_in_a_row_are_bytes() {
    #[derive(Serialize)]
    struct Inside<'a> {
        octets: Vec<u8>,
        slice: &'a [u8],
        boxed: Box<[u8]>,
    }
    assert_eq!(encode(&vec![1_u8, 2]), b"C\x02\x01\x02");
    assert_eq!(encode(&[1_u8, 2][..]), b"C\x02\x01\x02");
    let inside = Inside { octets: vec![1], slice: &[2], boxed: [3].into() };
    assert_eq!(encode(&inside), b"}(\x8c\x06octetsC\x01\x01\x8c\x05sliceC\x01\x02\x8c\x05boxedC\x01\x03u");
    assert_eq!(encode(&vec![0_u8; 300])[..5], *b"B\x2c\x01\0\0");
    // Other collections and other numbers are what they were.
    assert_eq!(encode(&[1_u8, 2]), b"K\x01K\x02\x86");
    assert_eq!(encode(&vec![1_i8]), b"](K\x01e");
    assert_eq!(encode(&VecDeque::from([1_u8])), b"](K\x01e");
    assert_eq!(encode(&BTreeSet::from([1_u8])), b"](K\x01e");
}

#[test]
fn constructors() {
    let date = Date::new(2024, 2, 29).unwrap();
    let time = Time::new(1, 2, 3, 4).unwrap();
    let name = |module: &str, name: &str| {
        let len = |text: &str| u8::try_from(text.len()).unwrap();
        [b"\x8c", &[len(module)], module.as_bytes(), b"\x8c", &[len(name)], name.as_bytes(), b"\x93\x94"].concat()
    };
    let call = |module: &str, callable: &str, args: &[u8]| [&name(module, callable), args, b"R"].concat();
    for (value, pickle) in [
        (Value::Complex(1.0, 0.0), call("builtins", "complex", b"G\x3f\xf0\0\0\0\0\0\0G\0\0\0\0\0\0\0\0\x86")),
        (Value::Decimal("1.5".into()), call("decimal", "Decimal", b"\x8c\x031.5\x85")),
        (Value::Date(date), call("datetime", "date", b"C\x04\x07\xe8\x02\x1d\x85")),
        (Value::from(time), call("datetime", "time", b"C\x06\x01\x02\x03\0\0\x04\x85")),
        (
            Value::from(DateTime::new(date, time)),
            call("datetime", "datetime", b"C\x0a\x07\xe8\x02\x1d\x01\x02\x03\0\0\x04\x85"),
        ),
        (
            Value::TimeDelta(TimeDelta::new(-1, 2, 3).unwrap()),
            call("datetime", "timedelta", b"J\xff\xff\xff\xffK\x02K\x03\x87"),
        ),
        (Value::Uuid(Box::new(5)), [&name("uuid", "UUID")[..], b")\x81}\x8c\x03intK\x05sb"].concat()),
    ] {
        assert_eq!(encode(&value), pickle, "{value:?}");
    }
    // The second time, a name is a number.
    let twice = Value::from(vec![Value::Date(date), Value::Date(date)]);
    let first = call("datetime", "date", b"C\x04\x07\xe8\x02\x1d\x85");
    assert_eq!(encode(&twice), [b"](", &first[..], b"h\0C\x04\x07\xe8\x02\x1d\x85Re"].concat());
}

#[test]
fn what_is_not_written() {
    /// Announces two elements, writes one.
    struct Short;
    impl Serialize for Short {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element(&1)?;
            tuple.end()
        }
    }
    assert_eq!(to_vec(&Short), Err(WriteError::Length { announced: 2, written: 1 }));
    let decimal = to_vec(&Value::Decimal("1_0".into())).unwrap_err();
    assert_eq!(decimal.to_string(), "'1_0' is no decimal number as Python prints it");

    let shallow = Pickle::new(ValueLimits::default().max_depth(2));
    let mut out = bytes::BytesMut::new();
    assert_eq!(shallow.write(&vec![vec![1]], &mut out), Ok(()));
    assert_eq!(shallow.write(&vec![vec![vec![1]]], &mut out), Err(WriteError::Depth { limit: 2 }));
    let deep = (0..100_000).fold(Value::Null, |value, _| Value::List(vec![value].into()));
    assert_eq!(to_vec(&deep), Err(WriteError::Depth { limit: 256 }));
    // Its drop would recurse.
    std::mem::forget(deep);
}
