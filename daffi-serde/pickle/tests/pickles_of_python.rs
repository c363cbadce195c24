//! What CPython 3.9 to 3.13 writes, in every protocol, is read as the same value.
//! `python/pickles.py` made the tables.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use bytes::Bytes;
use daffi_serde::{
    Body, Codec, RemoteError, Value,
    value::{DateTime, Time, TimeDelta},
};
use daffi_serde_pickle::{Pickle, from_slice, to_vec};

const PICKLES: &str = include_str!("python/pickles.txt");
const ERRORS: &str = include_str!("python/errors.txt");

/// Name, protocol and pickle of each line.
fn lines(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str, Bytes)> {
    table.lines().map(|line| {
        let [name, protocol, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not three columns: {line}")
        };
        let octets = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        (name, protocol, octets.collect())
    })
}

fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    items.into_iter().collect()
}

fn tuple<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Tuple(items.into_iter().map(Into::into).collect())
}

fn map<K: Into<Value>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
    entries.into_iter().collect()
}

fn ints(items: impl IntoIterator<Item = i128>) -> Vec<Value> {
    items.into_iter().map(Value::from).collect()
}

fn big(text: &str) -> Value {
    Value::from(text.parse::<num_bigint::BigInt>().unwrap())
}

fn bytes(octets: impl AsRef<[u8]>) -> Value {
    Value::Bytes(octets.as_ref().into())
}

fn date(text: &str) -> Value {
    Value::Date(text.parse().unwrap())
}

fn time(text: &str) -> Value {
    Value::from(text.parse::<Time>().unwrap())
}

fn date_time(text: &str) -> Value {
    Value::from(text.parse::<DateTime>().unwrap())
}

fn delta(days: i32, seconds: u32, microseconds: u32) -> Value {
    Value::TimeDelta(TimeDelta::new(days, seconds, microseconds).unwrap())
}

fn expected(name: &str) -> Value {
    let nothing = || Vec::<Value>::new();
    let octets = (0..=255).collect::<Vec<u8>>();
    match name {
        "none" => Value::Null,
        "bools" => list([true, false]),
        "ints" => {
            list(ints([0, 1, -1, 255, 256, -256, 65535, 65536, 2147483647, 2147483648, -2147483648, -2147483649]))
        }
        "longs" => {
            let mut longs = ints([i64::MAX.into(), i64::MIN.into(), 1 << 63, 1 << 64, i128::MAX, i128::MIN]);
            longs.push(big("170141183460469231731687303715884105728"));
            longs.push(big("-170141183460469231731687303715884105729"));
            Value::List(longs.into())
        }
        "huge" => {
            let power = num_bigint::BigInt::from(2).pow(3000);
            list([Value::from(power.clone()), Value::from(-power)])
        }
        "floats" => list([0.0, -1.5, 1e300, 5e-324, f64::INFINITY, f64::NEG_INFINITY]),
        "minus_zero" => Value::Float(-0.0),
        "text" => list(["", "plain", "é", "€", "😀", "a\\b\nc\r\0\x1a\\u0041", &"x".repeat(300)]),
        "bytes" => list([bytes(""), bytes("plain"), bytes(octets), bytes("\n\\".repeat(200))]),
        "bytearrays" => list([bytes(""), bytes("plain"), bytes(octets)]),
        "lists" => list([list(nothing()), list([1]), list([1, 2]), list([list(nothing())]), list(0..1001)]),
        "tuples" => list([
            tuple(nothing()),
            tuple([1]),
            tuple([1, 2]),
            tuple([1, 2, 3]),
            tuple([1, 2, 3, 4]),
            tuple([tuple(nothing())]),
        ]),
        "dicts" => list([
            Value::Map(vec![].into()),
            map([("a", 1)]),
            map([("a", 1), ("b", 2)]),
            map([(1, map([(2, Value::Map(vec![].into()))]))]),
            map([(Value::Tuple(vec![1.into(), "x".into()].into()), ())]),
        ]),
        "sets" => list([Value::Set(vec![].into()), Value::Set(ints([1]).into()), Value::Set(ints([1, 2]).into())]),
        "frozensets" => list([
            Value::FrozenSet(vec![].into()),
            Value::FrozenSet(ints([1]).into()),
            Value::FrozenSet(ints([1, 2]).into()),
        ]),
        "shared" => list([list([1]), list([1]), tuple([list([1]), list([1])])]),
        "ordered_dicts" => list([Value::Map(vec![].into()), map([("b", 1), ("a", 2)])]),
        "complexes" => list([Value::Complex(1.0, 2.0), Value::Complex(-0.0, -0.5)]),
        "decimals" => {
            list(["0", "-1.50", "1E+28", "NaN", "-Infinity", "sNaN12"].map(|text| Value::Decimal(text.into())))
        }
        "dates" => list(["0001-01-01", "2024-02-29", "9999-12-31"].map(date)),
        "times" => list(["00:00:00", "01:02:03.000004", "23:59:59.999999", "10:10:10", "01:00:00+00:00"].map(time)),
        "date_times" => list(
            [
                "0001-01-01T00:00:00",
                "9999-12-31T23:59:59.999999",
                "2024-02-29T01:02:03.000004",
                "2024-12-29T10:00:00",
                "2024-02-29T00:00:00+00:00",
                "2024-02-29T00:00:00+05:30[IST]",
                "2024-02-29T00:00:00-01:00:01.000001",
            ]
            .map(date_time),
        ),
        "time_deltas" => list([
            delta(0, 0, 0),
            delta(-1, 86_399, 999_999),
            delta(999_999_999, 86_399, 999_999),
            delta(-999_999_999, 0, 0),
        ]),
        "uuids" => list(
            [0, 5, 1 << 127, u128::MAX, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, 7]
                .map(|uuid| Value::Uuid(uuid.into())),
        ),
        "call" => tuple([tuple([3.into(), Value::from("four")]), map([("five", 5)])]),
        "result" => tuple([tuple([3]), Value::Map(vec![].into())]),
        "repeated" => {
            let (day, one) = (date("2024-02-29"), Value::Decimal("1".into()));
            list([day.clone(), day, one.clone(), one])
        }
        other => panic!("no expectation for {other}"),
    }
}

#[test]
fn every_protocol_is_read() {
    for (name, protocol, pickle) in lines(PICKLES) {
        let read =
            Pickle::default().read(&pickle).unwrap_or_else(|error| panic!("{name}, protocol {protocol}: {error}"));
        match read {
            Value::Float(float) if name == "nan" => assert!(float.is_nan()),
            Value::Float(float) => assert!(float == 0.0 && float.is_sign_negative(), "{name}, protocol {protocol}"),
            read => assert_eq!(read, expected(name), "{name}, protocol {protocol}"),
        }
    }
}

#[test]
fn what_was_read_is_written_and_read_again() {
    for (name, protocol, pickle) in lines(PICKLES).filter(|(name, ..)| *name != "nan") {
        let value: Value = from_slice(&pickle).unwrap();
        let again: Value = from_slice(&to_vec(&value).unwrap()).unwrap();
        assert_eq!(again, value, "{name}, protocol {protocol}");
    }
}

#[test]
fn every_cut_is_an_error() {
    for (name, protocol, pickle) in lines(PICKLES).filter(|(name, ..)| *name != "lists") {
        for len in 0..pickle.len() {
            assert!(Pickle::default().read(&pickle.slice(..len)).is_err(), "{name}, protocol {protocol}, {len} bytes");
        }
    }
}

#[test]
fn errors_with_and_without_a_traceback() {
    let mut seen = 0;
    for (name, protocol, pickle) in lines(ERRORS) {
        let body = Body::new(pickle.clone());
        let error =
            Pickle::default().decode_error(&body).unwrap_or_else(|e| panic!("{name}, protocol {protocol}: {e}"));
        assert_eq!(error, RemoteError::new("ValueError", "bad"));
        let as_result = Pickle::default().decode_result(&body, &mut None::<RemoteError>);
        match name {
            "none" => assert_eq!(as_result, Ok(())),
            _ => assert!(as_result.unwrap_err().to_string().contains("tblib."), "{name}, protocol {protocol}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
}
