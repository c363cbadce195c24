//! Reads JSON as it was written: no number loses a digit, and what `--json` prints is taken back.

use std::{collections::HashSet, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use daffi::{Shown, Value};
use num_bigint::BigInt;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::value::{BYTES_KEY, FLOAT_KEY, MAP_KEY, strict};

/// Why a text is not a value.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// It is no JSON.
    Json(serde_json::Error),
    /// It is JSON, and means nothing.
    Value(String),
    /// A number in it is beyond those of 64 bits: which, and how the infinite one is written.
    Beyond { number: String, infinite: &'static str },
    /// It is an object with the key of a tag, and means nothing: what it is, and how a map with
    /// that key is written.
    Tag { what: String, instead: String },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Value(what) => what.fmt(f),
            Self::Beyond { number, infinite } => write!(
                f,
                "the number {} is beyond those of 64 bits; the infinite one is {infinite}",
                Shown::new(number).at_most(SHOWN)
            ),
            Self::Tag { what, instead } => write!(f, "{what}; a map with that key is {instead}"),
        }
    }
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// Levels of lists and objects, as many as formats carry.
const DEPTH: usize = 256;

/// Bytes of a value that are repeated in an error.
const SHOWN: usize = 128;

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<Value, ParseError> {
    // The whole is checked first, and its places are those that errors name.
    value(serde_json::from_str(text)?, DEPTH)
}

/// Reads one level, and those in it, up to `depth` of them. Each is read from the text again: few
/// have many.
fn value(raw: &RawValue, depth: usize) -> Result<Value, ParseError> {
    let text = raw.get();
    let deeper = || depth.checked_sub(1).ok_or_else(|| ParseError::Value(format!("more than {DEPTH} levels deep")));
    match text.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let depth = deeper()?;
            items.into_iter().map(|item| value(item, depth)).collect::<Result<_, _>>().map(Value::List)
        }
        Some(b'{') => object(serde_json::from_str::<Entries<'_>>(text)?.0, deeper()?),
        Some(b'-' | b'0'..=b'9') => number(text),
        Some(b'"') => Ok(Value::Str(serde_json::from_str(text)?)),
        _ => Ok(serde_json::from_str::<Option<bool>>(text)?.map_or(Value::Null, Value::from)),
    }
}

fn number(text: &str) -> Result<Value, ParseError> {
    if text.contains(['.', 'e', 'E']) {
        return match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(ParseError::Beyond {
                number: text.to_owned(),
                infinite: if text.starts_with('-') { r#"{"$float": "-inf"}"# } else { r#"{"$float": "inf"}"# },
            }),
        };
    }
    match text.parse::<i128>() {
        Ok(number) => Ok(number.into()),
        Err(_) => text.parse::<BigInt>().map(Value::from).map_err(|error| ParseError::Value(error.to_string())),
    }
}

fn object(entries: Vec<(String, &RawValue)>, depth: usize) -> Result<Value, ParseError> {
    if let [(key, only)] = &entries[..] {
        let tagged = match key.as_str() {
            BYTES_KEY => bytes(only),
            FLOAT_KEY => float(only),
            MAP_KEY => match pairs(only) {
                Ok(pairs) => return map(pairs, depth),
                Err(what) => Err(what),
            },
            _ => return plain(entries, depth),
        };
        return tagged.or_else(|what| {
            let map = Value::Map(vec![(Value::Str(key.clone().into()), value(only, depth)?)].into());
            let instead = strict(&map)?;
            // A long one says how as well.
            let instead = if instead.len() <= SHOWN { instead } else { format!(r#"{{"{MAP_KEY}": [["{key}", ..]]}}"#) };
            Err(ParseError::Tag { what: format!("{key}: {what}"), instead })
        });
    }
    plain(entries, depth)
}

fn plain(entries: Vec<(String, &RawValue)>, depth: usize) -> Result<Value, ParseError> {
    let mut keys = HashSet::new();
    if let Some((key, _)) = entries.iter().find(|(key, _)| !keys.insert(key)) {
        let key = Shown::new(key).at_most(SHOWN);
        return Err(ParseError::Value(format!("the key \"{key}\" is given twice, and a map has each once")));
    }
    let entries = entries.into_iter().map(|(key, raw)| Ok((Value::Str(key.into()), value(raw, depth)?)));
    entries.collect::<Result<_, _>>().map(Value::Map)
}

fn bytes(raw: &RawValue) -> Result<Value, String> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| "text in base64 is expected".to_owned())?;
    let bytes = BASE64_STANDARD.decode(text);
    bytes.map(|bytes| Value::Bytes(bytes.into())).map_err(|error| format!("not base64: {error}"))
}

fn float(raw: &RawValue) -> Result<Value, String> {
    match raw.get() {
        r#""nan""# => Ok(Value::Float(f64::NAN)),
        r#""inf""# => Ok(Value::Float(f64::INFINITY)),
        r#""-inf""# => Ok(Value::Float(f64::NEG_INFINITY)),
        other => Err(format!(r#""nan", "inf" or "-inf" is expected, not {}"#, Shown::new(other).at_most(SHOWN))),
    }
}

fn pairs(raw: &RawValue) -> Result<Vec<[&RawValue; 2]>, String> {
    serde_json::from_str(raw.get()).map_err(|_| "a list of pairs is expected".to_owned())
}

fn map(pairs: Vec<[&RawValue; 2]>, depth: usize) -> Result<Value, ParseError> {
    let entries = pairs.into_iter().map(|[key, held]| Ok((value(key, depth)?, value(held, depth)?)));
    entries.collect::<Result<_, _>>().map(Value::Map)
}

/// The entries of an object in their order.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_taken_back() {
        let values = [
            Value::Null,
            Value::from(vec![1, 2]),
            Value::Float(f64::NEG_INFINITY),
            Value::Float(6.02e23),
            Value::Float(1e300),
            Value::from(i128::MIN),
            Value::from(u128::MAX),
            "a\u{9b}\"".into(),
            Value::Bytes(b"\0\xff".as_slice().into()),
            Value::Map(vec![("b".into(), 1.into()), ("a".into(), Value::Null)].into()),
            Value::Map(vec![(Value::Map(vec![].into()), 1.into())].into()),
            // These look like what stands for something else.
            Value::Map(vec![("$bytes".into(), "AAE=".into())].into()),
            Value::Map(vec![("$float".into(), "nan".into())].into()),
            Value::Map(vec![("$map".into(), Value::List(vec![Value::from(vec![1, 2])].into()))].into()),
            Value::Map(vec![("$map".into(), Value::Map(vec![("$map".into(), 1.into())].into()))].into()),
            Value::Map(vec![("$bytes".into(), 1.into()), ("a".into(), 1.into())].into()),
            // As text both keys are one.
            Value::Map(vec![(1.into(), "a".into()), ("1".into(), "b".into())].into()),
        ];
        for value in values {
            assert_eq!(parse(&strict(&value).unwrap()).unwrap(), value);
        }
        assert!(matches!(parse(r#"{"$float": "nan"}"#), Ok(Value::Float(nan)) if nan.is_nan()));
    }

    #[test]
    fn no_number_loses_a_digit() {
        let digits = "1606938044258990275541962092341162602522202993782792835301377";
        assert_eq!(strict(&parse(digits).unwrap()).unwrap(), digits);
        assert_eq!(parse("18446744073709551616").unwrap(), Value::from(1_i128 << 64));
        assert!(parse("1e999").unwrap_err().to_string().contains("1e999"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels| parse(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        assert!(nested(DEPTH).is_ok());
        for deep in [DEPTH + 1, 100_000] {
            assert_eq!(nested(deep).unwrap_err().to_string(), "more than 256 levels deep");
        }
    }
}
