//! JSON payloads, read where `serde_json` gives numbers as maps.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{collections::BTreeMap, fmt::Debug};

use daffi_serde::{Binding, Body, Codec, SerdeError, Value, ValueLimits};
use daffi_serde_json::Json;
use serde::{Deserialize, de::DeserializeOwned};

fn read_with<T: DeserializeOwned + 'static>(json: &Json, result: &str) -> Result<T, SerdeError> {
    let body = Body::text(format!(r#"{{"args":[{result}],"kwargs":{{}}}}"#));
    let mut read = None::<T>;
    Codec::decode_result(json, &body, &mut read)?;
    Ok(read.unwrap())
}

fn read<T: DeserializeOwned + 'static>(result: &str) -> T {
    read_with(&Json::default(), result).unwrap()
}

#[track_caller]
fn same<T: DeserializeOwned + PartialEq + Debug + 'static>(result: &str, expected: impl Into<T>) {
    assert_eq!(read::<T>(result), expected.into(), "{result}");
}

#[test]
fn the_feature_is_on() {
    let number: serde_json::Number = serde_json::from_str("0.10000000000000000000000000000000001").unwrap();
    assert_eq!(number.to_string(), "0.10000000000000000000000000000000001");
}

#[test]
fn numbers_stay_numbers_in_values() {
    for (text, float) in
        [("2.5", 2.5), ("1e3", 1000.0), ("-0.0", -0.0), ("1E-2", 0.01), ("1e300", 1e300), ("-2.5e+1", -25.0)]
    {
        same::<Value>(text, float);
    }
    let zero = read::<Value>("-0");
    assert!(matches!(zero, Value::Float(zero) if zero == 0.0 && zero.is_sign_negative()), "{zero}");
    same::<Value>("18446744073709551615", u64::MAX);
    same::<Value>("-9223372036854775808", i64::MIN);
    same::<Value>("-9223372036854775809", i128::from(i64::MIN) - 1);
    same::<Value>("1180591620717411303424", 1_u128 << 70);
    same::<Value>("-1180591620717411303424", -(1_i128 << 70));
    let long = "7".repeat(300);
    assert_eq!(read::<Value>(&long).to_string(), long);
    let list = read::<Value>("[2.5, {\"a\": 0.5, \"b\": [1.25]}, [], {}]");
    assert_eq!(list.to_string(), "[2.5, {'a': 0.5, 'b': [1.25]}, [], {}]");
    same::<Option<Value>>("0.5", Some(Value::from(0.5)));
    same::<Vec<f64>>("[1, 2.5]", [1.0, 2.5]);
    same::<i128>("1180591620717411303424", 1_i128 << 70);
}

#[test]
fn arguments_are_read_alike() {
    let body = Body::text(r#"{"args":[2.5],"kwargs":{"b":{"c":0.5}}}"#);
    let mut call = Binding::<(Value, Value)>::new("f", &["a", "b"]);
    Codec::decode_args(&Json::default(), &body, &mut call).unwrap();
    assert_eq!(call.finish(), Ok((2.5.into(), Value::from_iter([("c", 0.5)]))));
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(f64),
    Named { x: f64 },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Point { x: f64, any: Value },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    id: f64,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[test]
fn numbers_stay_numbers_in_what_serde_keeps() {
    same::<Untagged>("2.5", Untagged::Number(2.5));
    same::<Untagged>(r#"{"x": 2.5}"#, Untagged::Named { x: 2.5 });
    same::<Tagged>(r#"{"x": 2.5, "kind": "Point", "any": [0.5]}"#, Tagged::Point { x: 2.5, any: vec![0.5].into() });
    same::<Flat>(r#"{"id": 0.5, "a": 2.5}"#, Flat { id: 0.5, rest: [("a".to_owned(), 2.5.into())].into() });
    let error = read_with::<Untagged>(&Json::default(), "1180591620717411303424").unwrap_err().to_string();
    assert!(error.contains("1180591620717411303424 is an integer beyond 64 bits"), "{error}");
}

#[test]
fn types_that_keep_all_digits_get_them() {
    let digits = "3.14159265358979323846264338327950288";
    assert_eq!(read::<serde_json::Number>(digits).to_string(), digits);
    assert_eq!(read::<serde_json::Value>(&format!("[{digits}]")).to_string(), format!("[{digits}]"));
    assert_eq!(read::<serde_json::Value>("1180591620717411303424").to_string(), "1180591620717411303424");
}

#[test]
fn a_map_that_is_written_like_a_number_is_a_map() {
    for key in ["$serde_json::private::Number", "\\u0024serde_json::private::Number"] {
        let map = read::<Value>(&format!(r#"{{"{key}": "2.5"}}"#));
        assert_eq!(map, Value::from_iter([("$serde_json::private::Number", "2.5")]));
    }
}

#[test]
fn limits_are_those_of_numbers() {
    for text in ["1e999", "-1e999", &"9".repeat(400)] {
        let error = read_with::<Value>(&Json::default(), text).unwrap_err().to_string();
        assert!(error.contains("number out of range"), "{error}");
    }
    let flat = Json::new(ValueLimits::default().max_depth(1).max_values(3));
    assert_eq!(read_with::<Value>(&flat, "[2.5, 0.5]").unwrap().to_string(), "[2.5, 0.5]");
    assert!(read_with::<Value>(&flat, "[[2.5]]").unwrap_err().to_string().contains("max_depth"));
    assert!(read_with::<Value>(&flat, "[2.5, 0.5, 1.5, 3.5]").unwrap_err().to_string().contains("max_values"));
}

/// Where none of the formats stands between.
#[test]
fn a_value_that_serde_json_reads_by_itself_has_numbers() {
    for digits in ["123456789012345678901234567890", "-7", "18446744073709551615", "2.5", "1e300"] {
        let direct = serde_json::from_str::<Value>(&format!("[{digits}]")).unwrap();
        assert_eq!(direct, read::<Value>(&format!("[{digits}]")), "{digits}");
    }
    let map = serde_json::from_str::<Value>(r#"{"a": {"b": 0.5}}"#).unwrap();
    assert_eq!(map.to_string(), "{'a': {'b': 0.5}}");
    assert!(serde_json::from_str::<Value>("1e999").is_err());
}
