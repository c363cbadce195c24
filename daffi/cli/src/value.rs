//! Values as text: strict JSON for scripts, and nearly that for people.

use std::{
    borrow::Cow,
    collections::HashSet,
    io::{self, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use daffi::{Shown, Value};
use serde::{
    Deserialize, Serialize, Serializer,
    ser::{Error, SerializeMap},
};
use serde_json::value::RawValue;

use crate::escaped::{length, write_json};

/// The key under which JSON carries bytes, as base64.
pub(crate) const BYTES_KEY: &str = "$bytes";
/// The key under which JSON carries `nan`, `inf` and `-inf`.
pub(crate) const FLOAT_KEY: &str = "$float";
/// The key under which JSON carries a map in whose keys there are maps, as a list of pairs.
pub(crate) const MAP_KEY: &str = "$map";

/// A value as strict JSON. Tuples and sets are lists; dates, decimals and UUIDs text; keys that are
/// no text the text of their JSON; bytes `{"$bytes": base64}`; floats that JSON has not `{"$float":
/// "nan"}`. A map that would be taken for one of these, or would lose an entry, is `{"$map": [[key,
/// value]]}`. So is one with a map in one of its keys, which no Python has: as text, each level of
/// such keys would double what is below it.
pub(crate) struct Json<'a>(pub(crate) &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bytes(bytes) => serialize_tagged(BYTES_KEY, &BASE64_STANDARD.encode(bytes), serializer),
            Value::Float(value) if !value.is_finite() => {
                serialize_tagged(FLOAT_KEY, &value.to_string().to_lowercase(), serializer)
            }
            Value::Complex(real, imaginary) => {
                serializer.collect_seq([Value::Float(*real), Value::Float(*imaginary)].iter().map(Json))
            }
            Value::BigInt(digits) => {
                RawValue::from_string(digits.to_string()).map_err(S::Error::custom)?.serialize(serializer)
            }
            Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
                serializer.collect_seq(items.iter().map(Json))
            }
            Value::Map(entries) if needs_pairs(entries).map_err(S::Error::custom)? => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(MAP_KEY, &Pairs(entries))?;
                map.end()
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

/// The entries of a map, each a list of two.
struct Pairs<'a>(&'a [(Value, Value)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, value)| [Json(key), Json(value)]))
    }
}

fn serialize_tagged<S: Serializer>(key: &str, text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, text)?;
    map.end()
}

/// Strict JSON on one line.
pub(crate) fn strict(value: &Value) -> serde_json::Result<String> {
    serde_json::to_string(&Json(value))
}

/// Whether an object would say something else than this map.
fn needs_pairs(entries: &[(Value, Value)]) -> serde_json::Result<bool> {
    if let [(Value::Str(key), _)] = entries {
        return Ok([BYTES_KEY, FLOAT_KEY, MAP_KEY].contains(&&**key));
    }
    if entries.iter().any(|(key, _)| has_map(key)) {
        return Ok(true);
    }
    let mut names = HashSet::with_capacity(entries.len());
    for (key, _) in entries {
        let name = match key {
            Value::Str(name) => Cow::Borrowed(&**name),
            key => Cow::Owned(strict(key)?),
        };
        if !names.insert(name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a value is a map, or has one in it.
fn has_map(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            items.iter().any(has_map)
        }
        _ => false,
    }
}

/// Writes text as it is when that is one line, anything else as JSON on one line.
pub(crate) fn write_line(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match bare(value)? {
        Some(text) if Shown::new(&text).at_most(usize::MAX).is_plain() => out.write_all(text.as_bytes()),
        _ => Ok(write_json(&Json(value), false, out)?),
    }
}

/// Writes text as it is unless it has several lines, anything else as JSON on one line.
pub(crate) fn write_item(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match bare(value)? {
        Some(text) if !text.contains(['\n', '\r']) => out.write_all(text.as_bytes()),
        _ => Ok(write_json(&Json(value), false, out)?),
    }
}

/// Writes what a person reads: text as it is, anything else as JSON, on several lines when it is
/// wider than `width`, which is that of a terminal. Nothing steers that.
pub(crate) fn write_readable(value: &Value, width: Option<u16>, out: &mut impl Write) -> io::Result<()> {
    match (bare(value)?, width) {
        (Some(text), None) => out.write_all(text.as_bytes()),
        (Some(text), Some(_)) => write!(out, "{}", Shown::new(&text).at_most(usize::MAX).with_lines()),
        (None, None) => Ok(write_json(&Json(value), false, out)?),
        (None, Some(width)) => {
            let width = usize::from(width);
            let is_wider = length(&Json(value), width + 1) > width;
            Ok(write_json(&Json(value), is_wider, out)?)
        }
    }
}

/// The text of a value that needs no notation.
fn bare(value: &Value) -> serde_json::Result<Option<Cow<'_, str>>> {
    Ok(Some(match value {
        Value::Str(text) => Cow::Borrowed(text),
        Value::Float(value) if !value.is_finite() => Cow::Owned(value.to_string().to_lowercase()),
        Value::Date(_) | Value::Time(_) | Value::DateTime(..) | Value::Decimal(_) | Value::Uuid(_) => {
            // This value is text in JSON.
            Cow::Owned(String::deserialize(serde_json::to_value(Json(value))?)?)
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use daffi::value::Date;

    use super::*;

    #[test]
    fn strict_json_carries_everything() {
        let cases = [
            (Value::Null, "null"),
            (Value::from(u64::MAX), "18446744073709551615"),
            (Value::from(i128::MIN), "-170141183460469231731687303715884105728"),
            (Value::from(u128::MAX), "340282366920938463463374607431768211455"),
            (Value::Bytes(b"\0\xff".as_slice().into()), r#"{"$bytes":"AP8="}"#),
            (Value::Float(f64::NEG_INFINITY), r#"{"$float":"-inf"}"#),
            (Value::Float(f64::NAN), r#"{"$float":"nan"}"#),
            (Value::Complex(f64::NAN, 0.5), r#"[{"$float":"nan"},0.5]"#),
            (Value::Set(vec![1.into(), Value::Tuple(vec!["a".into()].into())].into()), r#"[1,["a"]]"#),
            (Value::from_iter([(1, "a"), (2, "b")]), r#"{"1":"a","2":"b"}"#),
            (Value::from_iter([("a", 1), ("a", 2)]), r#"{"$map":[["a",1],["a",2]]}"#),
            (Value::Decimal("1.50".into()), r#""1.50""#),
        ];
        for (value, json) in cases {
            assert_eq!(strict(&value).unwrap(), json);
        }
    }

    #[test]
    fn maps_as_keys_of_maps_cost_what_they_are_worth() {
        let nested = (0..100).fold(Value::Null, |key, _| Value::Map(vec![(key, 1.into())].into()));
        let json = strict(&nested).unwrap();
        assert!(json.starts_with(r#"{"$map":[[{"$map":[["#) && json.len() < 2000, "{} bytes", json.len());
        let in_a_list = Value::Map(vec![(Value::Tuple(vec![Value::Map(vec![].into())].into()), 1.into())].into());
        assert_eq!(strict(&in_a_list).unwrap(), r#"{"$map":[[[{}],1]]}"#);
    }

    #[test]
    fn people_read_text_bare_and_wide_values_on_lines() {
        let readable = |value: Value, width| {
            let mut text = Vec::new();
            write_readable(&value, width, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(readable("it's\n\u{1b}\u{202e}".into(), Some(80)), "it's\n\\u{1b}\\u{202e}");
        assert_eq!(readable("it's\u{1b}".into(), None), "it's\u{1b}");
        assert_eq!(readable(Date::new(2024, 2, 29).map(Value::Date).unwrap(), None), "2024-02-29");
        let list = || Value::from(vec!["some", "words"]);
        assert_eq!(readable(list(), Some(16)), r#"["some","words"]"#);
        assert_eq!(readable(list(), Some(15)), "[\n  \"some\",\n  \"words\"\n]");
        assert_eq!(readable(list(), None), r#"["some","words"]"#);
    }

    #[test]
    fn one_line_is_one_line() {
        let line = |value: Value| {
            let mut text = Vec::new();
            write_line(&value, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(line("plain".into()), "plain");
        assert_eq!(line("a\nb\u{9b}".into()), r#""a\nb\u009b""#);
        assert_eq!(line(Value::from(vec!["\u{9b}\u{2028}"])), r#"["\u009b\u2028"]"#);
        let item = |value: Value| {
            let mut text = Vec::new();
            write_item(&value, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(item("a\tb\u{9b}".into()), "a\tb\u{9b}");
        assert_eq!(item("a\nb".into()), r#""a\nb""#);
        assert_eq!(item(Value::from(vec!["a"])), r#"["a"]"#);
    }
}
