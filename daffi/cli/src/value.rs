//! Values as text: strict JSON for scripts, and nearly that for people.

use base64::{Engine, prelude::BASE64_STANDARD};
use daffi::Value;
use serde::{
    Deserialize, Serialize, Serializer,
    ser::{Error, SerializeMap},
};
use serde_json::value::RawValue;

use crate::output;

/// The key under which JSON carries bytes, as base64.
pub(crate) const BYTES_KEY: &str = "$bytes";
/// The key under which JSON carries `nan`, `inf` and `-inf`.
const FLOAT_KEY: &str = "$float";

/// A value as strict JSON. Tuples and sets are lists; dates, decimals and UUIDs text; keys that are no text the text of
/// their JSON; bytes `{"$bytes": base64}`; floats that JSON has not `{"$float": "nan"}`.
pub(crate) struct Json<'a>(pub(crate) &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bytes(bytes) => tagged(BYTES_KEY, &BASE64_STANDARD.encode(bytes), serializer),
            Value::Float(value) if !value.is_finite() => {
                tagged(FLOAT_KEY, &value.to_string().to_lowercase(), serializer)
            }
            Value::BigInt(digits) => {
                RawValue::from_string(digits.to_string()).map_err(S::Error::custom)?.serialize(serializer)
            }
            Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
                serializer.collect_seq(items.iter().map(Json))
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    match key {
                        Value::Str(key) => map.serialize_entry(key, &Json(value))?,
                        key => map.serialize_entry(&strict(key).map_err(S::Error::custom)?, &Json(value))?,
                    }
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn tagged<S: Serializer>(key: &str, text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, text)?;
    map.end()
}

/// Strict JSON on one line.
pub(crate) fn strict(value: &Value) -> serde_json::Result<String> {
    serde_json::to_string(&Json(value))
}

/// Text as it is when that is one line, anything else as JSON on one line.
pub(crate) fn one_line(value: &Value) -> serde_json::Result<String> {
    let text = readable(value, None)?;
    if text.contains(char::is_control) { strict(value) } else { Ok(text) }
}

/// What a person reads: text as it is, anything else as JSON, on several lines when it is wider than `width`, which is that
/// of a terminal.
pub(crate) fn readable(value: &Value, width: Option<u16>) -> serde_json::Result<String> {
    let text = match value {
        Value::Str(text) => text.clone(),
        Value::Float(value) if !value.is_finite() => value.to_string().to_lowercase(),
        Value::Date(_) | Value::Time(_) | Value::DateTime(..) | Value::Decimal(_) | Value::Uuid(_) => {
            // Text in JSON.
            String::deserialize(serde_json::to_value(Json(value))?)?
        }
        other => return laid_out(other, width).map(|json| output::escaped_json(&json).into_owned()),
    };
    Ok(if width.is_some() { output::displayable(&text).into_owned() } else { text })
}

fn laid_out(value: &Value, width: Option<u16>) -> serde_json::Result<String> {
    let line = strict(value)?;
    match width {
        Some(width) if line.chars().count() > usize::from(width) => serde_json::to_string_pretty(&Json(value)),
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use daffi::{Bytes, value::Date};

    use super::*;

    #[test]
    fn strict_json_carries_everything() {
        let cases = [
            (Value::Null, "null"),
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::from(i128::MIN), "-170141183460469231731687303715884105728"),
            (Value::from(u128::MAX), "340282366920938463463374607431768211455"),
            (Value::Bytes(Bytes::from_static(b"\0\xff")), r#"{"$bytes":"AP8="}"#),
            (Value::Float(f64::NEG_INFINITY), r#"{"$float":"-inf"}"#),
            (Value::Float(f64::NAN), r#"{"$float":"nan"}"#),
            (Value::Set(vec![1.into(), Value::Tuple(vec!["a".into()])]), r#"[1,["a"]]"#),
            (Value::from_iter([(1, "a"), (2, "b")]), r#"{"1":"a","2":"b"}"#),
            (Value::Decimal("1.50".into()), r#""1.50""#),
        ];
        for (value, json) in cases {
            assert_eq!(strict(&value).unwrap(), json);
        }
    }

    #[test]
    fn people_read_text_bare_and_wide_values_on_lines() {
        let readable = |value: Value, width| readable(&value, width).unwrap();
        assert_eq!(readable("it's\u{1b}".into(), Some(80)), "it's\\u{1b}");
        assert_eq!(readable("it's\u{1b}".into(), None), "it's\u{1b}");
        assert_eq!(readable(Date::new(2024, 2, 29).map(Value::Date).unwrap(), None), "2024-02-29");
        let list = || Value::from(vec!["some", "words"]);
        assert_eq!(readable(list(), Some(16)), r#"["some","words"]"#);
        assert_eq!(readable(list(), Some(15)), "[\n  \"some\",\n  \"words\"\n]");
        assert_eq!(readable(list(), None), r#"["some","words"]"#);
    }
}
