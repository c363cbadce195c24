//! CPython reads what this crate writes. Needs a Python 3: `python3`, or the program that
//! `DAFFI_PYTHON` names.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

use bytes::BytesMut;
use daffi_serde::{
    Codec, DynArgs, Output, RemoteError, Value,
    value::{Date, DateTime, Time, TimeDelta},
};
use daffi_serde_pickle::{Pickle, to_vec};
use serde::Serialize;

/// Pickles, each with a Python expression for what it must be.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T, expression: &str) {
        self.pickle(&to_vec(value).unwrap(), expression);
    }

    fn pickle(&mut self, pickle: &[u8], expression: &str) {
        for octet in pickle {
            self.0.push_str(&format!("{octet:02x}"));
        }
        self.0.push_str(&format!("\t{expression}\n"));
    }

    fn check(self) {
        let python = std::env::var("DAFFI_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/loads.py");
        let child = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child
            .unwrap_or_else(|error| panic!("this test needs {python} ({error}); set DAFFI_PYTHON to another Python 3"));
        child.stdin.take().unwrap().write_all(self.0.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn rust_types() {
    #[derive(Serialize)]
    enum Enum {
        Unit,
        Newtype(u8),
        Tuple(u8, u8),
        Struct { a: u8 },
    }
    #[derive(Serialize)]
    struct Order {
        item: &'static str,
        octets: Vec<u8>,
        nothing: Option<u8>,
    }

    let mut lines = Lines::default();
    lines.value(&(), "None");
    lines.value(&(true, false), "(True, False)");
    lines.value(&(1, "two", 3.5, 'c'), "(1, 'two', 3.5, 'c')");
    lines.value(&vec![vec![0; 0], vec![1], vec![1, 2]], "[[], [1], [1, 2]]");
    lines.value(&(0..3000).collect::<Vec<u32>>(), "list(range(3000))");
    lines.value(&BTreeMap::from([((1, 2), "a"), ((3, 4), "b")]), "{(1, 2): 'a', (3, 4): 'b'}");
    lines.value(&[Enum::Unit, Enum::Newtype(1)], "('Unit', {'Newtype': 1})");
    lines.value(&[Enum::Tuple(1, 2), Enum::Struct { a: 1 }], "({'Tuple': (1, 2)}, {'Struct': {'a': 1}})");
    let order = Order { item: "tea", octets: vec![0, 255], nothing: None };
    lines.value(&order, r"{'item': 'tea', 'octets': b'\x00\xff', 'nothing': None}");
    lines.value(&"é€😀\0\n".repeat(100), r"'é€😀\0\n' * 100");
    lines.value(&vec![7_u8; 70_000], r"b'\x07' * 70000");
    for power in 0..128 {
        let base = 1_u128 << power;
        lines.value(&[base - 1, base], &format!("(2**{power} - 1, 2**{power})"));
    }
    for power in 0..127 {
        let base = 1_i128 << power;
        lines.value(&[-base - 1, -base, 1 - base], &format!("(-2**{power} - 1, -2**{power}, 1 - 2**{power})"));
    }
    lines.value(&[u128::MAX], "(2**128 - 1,)");
    lines.value(&[i128::MIN], "(-2**127,)");
    lines.value(&[f64::INFINITY, -0.0, 5e-324], "(float('inf'), -0.0, 5e-324)");
    lines.check();
}

#[test]
fn values() {
    let date = Value::Date(Date::new(2024, 2, 29).unwrap());
    let moment = |offset: Option<i128>| {
        let time = Time::new(1, 2, 3, 4).unwrap();
        let offset = offset.map(|micros| TimeDelta::from_microseconds(micros).unwrap());
        offset.map_or(time, |offset| time.at_offset(offset).unwrap())
    };
    let date_time = |offset| Value::from(DateTime::new(Date::new(9999, 12, 31).unwrap(), moment(offset)));

    let mut lines = Lines::default();
    lines.value(&Value::from(vec![date.clone(), date]), "[datetime.date(2024, 2, 29)] * 2");
    lines.value(&Value::from(moment(None)), "datetime.time(1, 2, 3, 4)");
    lines.value(&Value::from(moment(Some(0))), "datetime.time(1, 2, 3, 4, datetime.timezone.utc)");
    lines.value(&date_time(None), "datetime.datetime(9999, 12, 31, 1, 2, 3, 4)");
    lines.value(
        &date_time(Some(-60_000_000)),
        "datetime.datetime(9999, 12, 31, 1, 2, 3, 4, datetime.timezone(datetime.timedelta(minutes=-1)))",
    );
    lines.value(&Value::TimeDelta(TimeDelta::from_microseconds(-1).unwrap()), "datetime.timedelta(microseconds=-1)");
    lines.value(&Value::Decimal("-1.50".into()), "decimal.Decimal('-1.50')");
    lines.value(&Value::Uuid(Box::new(u128::MAX)), "uuid.UUID(int=2**128 - 1)");
    lines.value(&Value::Uuid(Box::new(5)), "uuid.UUID(int=5)");
    lines.value(&Value::Complex(1.5, -0.0), "complex(1.5, -0.0)");
    lines.value(&Value::Set(vec![].into()), "set()");
    lines.value(&Value::Set(vec![1.into()].into()), "{1}");
    lines.value(&Value::FrozenSet(vec![].into()), "frozenset()");
    lines.value(&Value::FrozenSet(vec![Value::Tuple(vec![].into())].into()), "frozenset([()])");
    lines.value(&Value::Map(vec![(Value::Null, Value::Tuple(vec![1.into()].into()))].into()), "{None: (1,)}");
    for power in [128, 1000, 3000] {
        let big = num_bigint::BigInt::from(2).pow(power);
        lines.value(&Value::from(big.clone()), &format!("2**{power}"));
        lines.value(&Value::from(-big), &format!("-2**{power}"));
    }
    lines.check();
}

#[test]
fn payloads() {
    let args = DynArgs {
        positional: vec![1.into(), "two".into(), Value::Null, Value::Uuid(Box::new(5))],
        keywords: vec![("b".into(), Value::Uuid(Box::new(5))), ("c".into(), Value::from(vec![1]))],
    };
    let mut lines = Lines::default();
    for (len, expression) in [(0, "()"), (1, "(1,)"), (2, "(1, 'two')"), (3, "(1, 'two', None)")] {
        let args = DynArgs { positional: args.positional[..len].to_vec(), keywords: vec![] };
        let mut buffer = BytesMut::new();
        Codec::encode_args(&Pickle::default(), &args, &mut Output::new(&mut buffer)).unwrap();
        lines.pickle(&buffer, &format!("({expression}, {{}})"));
    }
    let mut buffer = BytesMut::new();
    Codec::encode_args(&Pickle::default(), &args, &mut Output::new(&mut buffer)).unwrap();
    lines.pickle(&buffer, "((1, 'two', None, uuid.UUID(int=5)), {'b': uuid.UUID(int=5), 'c': [1]})");

    let mut buffer = BytesMut::new();
    let error = RemoteError::new("ValueError", "bad");
    Codec::encode_result(&Pickle::default(), &error, &mut Output::new(&mut buffer)).unwrap();
    lines.pickle(&buffer, "((('ValueError', 'builtins', 'bad', None),), {})");
    lines.check();
}
