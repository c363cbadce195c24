//! Numbers of `serde_json`, written where they write themselves as structs, and read back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{collections::HashMap, fmt::Debug};

use bytes::BytesMut;
use daffi_serde::{Binding, Body, Codec, Opaque, Output, SerdeError, Value, args, to_value};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Number;

const PI: &str = "3.14159265358979323846264338327950288";
const WIDE: &str = "1180591620717411303424";

fn number(digits: &str) -> Number {
    digits.parse().unwrap()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn write<T: Serialize>(codec: &impl Codec, value: &T) -> Result<Body, SerdeError> {
    let mut buffer = BytesMut::new();
    codec.encode_result(value, &mut Output::new(&mut buffer))?;
    Ok(Body::new(buffer))
}

fn through<T: DeserializeOwned + 'static>(codec: &impl Codec, value: &impl Serialize) -> T {
    let mut read = None::<T>;
    codec.decode_result(&write(codec, value).unwrap(), &mut read).unwrap();
    read.unwrap()
}

#[track_caller]
fn refused(codec: &impl Codec, value: &impl Serialize, why: &str) {
    let error = write(codec, value).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

/// A number writes the very bytes that what it holds does.
#[track_caller]
fn alike<T: Serialize + Debug>(codec: &impl Codec, digits: &str, plain: T) {
    let written = write(codec, &number(digits)).unwrap();
    assert_eq!(written.bytes, write(codec, &plain).unwrap().bytes, "{digits} as {plain:?}");
}

fn numbers_are_plain(codec: &impl Codec) {
    alike(codec, "0", 0_u64);
    alike(codec, "7", 7_u64);
    alike(codec, "-7", -7_i64);
    alike(codec, "18446744073709551615", u64::MAX);
    alike(codec, "-9223372036854775808", i64::MIN);
    alike(codec, "2.5", 2.5);
    alike(codec, "1e3", 1000.0);
    alike(codec, "-0", -0.0);
    alike(codec, PI, std::f64::consts::PI);
    for digits in ["1e999", "-1e999", &"9".repeat(400)] {
        refused(codec, &number(digits), "beyond what a float holds");
    }
    let long = number(&"9".repeat(1_000_000));
    refused(codec, &long, "a number of 1000000 characters");
}

fn wide_numbers_are_plain(codec: &impl Codec) {
    alike(codec, WIDE, 1_u128 << 70);
    alike(codec, "-1180591620717411303424", -(1_i128 << 70));
    alike(codec, &u128::MAX.to_string(), u128::MAX);
}

const TREE: &str = r#"{"a":[1,-2,2.5,{"b":0.5}],"c":18446744073709551615,"d":null,"e":"2.5"}"#;

fn trees_keep_their_numbers(codec: &impl Codec) {
    assert_eq!(through::<serde_json::Value>(codec, &json(TREE)), json(TREE));
    assert_eq!(
        through::<Value>(codec, &json(TREE)).to_string(),
        "{'a': [1, -2, 2.5, {'b': 0.5}], 'c': 18446744073709551615, 'd': None, 'e': '2.5'}"
    );
    assert_eq!(through::<Vec<f64>>(codec, &json("[1, 2.5]")), [1.0, 2.5]);
    assert_eq!(through::<Value>(codec, &Some(number("2.5"))), Value::from(2.5));
    // Not bytes, which a list of `u8` may be.
    assert_eq!(through::<Value>(codec, &json("[1, 2]")), Value::from(vec![1, 2]));
    for digits in ["2.5", "7", "-7", "18446744073709551615"] {
        assert_eq!(through::<Number>(codec, &number(digits)).to_string(), digits);
    }
    let kept = Kept { id: 1, rest: HashMap::from([("x".to_owned(), json("[2.5]"))]) };
    assert_eq!(through::<Kept>(codec, &kept), kept);
    assert_eq!(through::<Value>(codec, &Tagged::Of(kept)).to_string(), "{'kind': 'Of', 'id': 1, 'x': [2.5]}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    id: u8,
    #[serde(flatten)]
    rest: HashMap<String, serde_json::Value>,
}

#[derive(Serialize)]
#[serde(tag = "kind")]
enum Tagged {
    Of(Kept),
}

fn arguments_are_written_alike(codec: &impl Codec) {
    let mut buffer = BytesMut::new();
    codec.encode_args(&args![number("2.5"), b = json("[7]")], &mut Output::new(&mut buffer)).unwrap();
    let mut call = Binding::<(Value, Value)>::new("f", &["a", "b"]);
    codec.decode_args(&Body::new(buffer), &mut call).unwrap();
    assert_eq!(call.finish(), Ok((2.5.into(), vec![7].into())));
}

fn numbers_are_keys(codec: &impl Codec) {
    let map = HashMap::from([(number("7"), number("2.5"))]);
    assert_eq!(through::<HashMap<u8, f64>>(codec, &map), HashMap::from([(7, 2.5)]));
}

#[test]
fn msgpack() {
    let codec = Msgpack::default();
    numbers_are_plain(&codec);
    trees_keep_their_numbers(&codec);
    arguments_are_written_alike(&codec);
    numbers_are_keys(&codec);
    refused(&codec, &number(WIDE), "1180591620717411303424 is beyond 64 bits, where integers of MSGPACK end");
    refused(&codec, &number(&"7".repeat(300)), "is beyond 64 bits");
}

#[test]
fn pickle() {
    let codec = Pickle::default();
    numbers_are_plain(&codec);
    wide_numbers_are_plain(&codec);
    trees_keep_their_numbers(&codec);
    arguments_are_written_alike(&codec);
    numbers_are_keys(&codec);
    assert_eq!(through::<Value>(&codec, &number(&"7".repeat(300))).to_string(), "7".repeat(300));
    assert_eq!(through::<i128>(&codec, &number(WIDE)), 1_i128 << 70);
}

#[test]
fn postcard() {
    let codec = Postcard::default();
    numbers_are_plain(&codec);
    wide_numbers_are_plain(&codec);
    numbers_are_keys(&codec);
    assert_eq!(through::<f64>(&codec, &number("2.5")), 2.5);
    assert_eq!(through::<(u8, Vec<f64>)>(&codec, &(7_u8, vec![number("2.5"), number(PI)])).1[1], std::f64::consts::PI);
    refused(&codec, &number(&"7".repeat(300)), "is beyond 128 bits");
}

#[test]
fn json_keeps_all_digits() {
    let codec = Json::default();
    trees_keep_their_numbers(&codec);
    arguments_are_written_alike(&codec);
    for digits in [PI, WIDE, "2.5", "-7"] {
        assert_eq!(through::<Number>(&codec, &number(digits)).to_string(), digits);
        let written = write(&codec, &number(digits)).unwrap();
        assert!(written.bytes.windows(digits.len()).any(|part| part == digits.as_bytes()));
    }
}

#[test]
fn opaque() {
    for (digits, text) in [("2.5", "2.5"), ("7", "7"), (WIDE, WIDE), ("1e3", "1000.0")] {
        assert_eq!(write(&Opaque::default(), &number(digits)).unwrap().bytes, text);
    }
    refused(&Opaque::default(), &number("1e999"), "beyond what a float holds");
}

#[test]
fn values() {
    assert_eq!(to_value(&json(TREE)).unwrap().into_typed::<serde_json::Value>().unwrap(), json(TREE));
    assert_eq!(to_value(&number("2.5")), Ok(Value::from(2.5)));
    assert_eq!(to_value(&number("7")), Ok(Value::Int(7)));
    assert_eq!(to_value(&number(WIDE)), Ok(Value::from(1_u128 << 70)));
    assert_eq!(to_value(&number(&"7".repeat(300))).unwrap().to_string(), "7".repeat(300));
    assert!(to_value(&number("1e999")).unwrap_err().to_string().contains("beyond what a float holds"));
}
