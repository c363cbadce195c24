//! Values as recordings write them: JSON, and `{"$bytes": "00ff"}` for what JSON cannot carry, as
//! in `daffi/tests/python/README.md`.

use daffi_serde::{
    Value,
    value::{DateTime, Time, TimeDelta},
};
use num_bigint::BigInt;
use serde_json::{Map, Value as Json, json};

use crate::text::payload::{digest, hex, unhex};

/// Longer bytes and texts are written as their digest.
const MOST_BYTES: usize = 1024;
const MOST_TEXT: usize = 64 * 1024;

/// The form of a value.
#[must_use]
pub fn to_form(value: &Value) -> Json {
    let all = |items: &[Value]| items.iter().map(to_form).collect::<Json>();
    let sorted = |items: &[Value]| {
        let mut items: Vec<_> = items.iter().collect();
        items.sort_by_cached_key(ToString::to_string);
        items.into_iter().map(to_form).collect::<Json>()
    };
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::BigInt(big) => match value.as_u64() {
            Some(value) => json!(value),
            None => json!({"$int": big.to_string()}),
        },
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Float(value) => json!({"$float": value.to_string().to_lowercase()}),
        Value::Str(text) if text.chars().count() > MOST_TEXT => digest_form("str", text.as_bytes()),
        Value::Str(text) => json!(text),
        Value::Bytes(bytes) if bytes.len() > MOST_BYTES => digest_form("bytes", bytes),
        Value::Bytes(bytes) => json!({"$bytes": hex(bytes)}),
        Value::List(items) => all(items),
        Value::Tuple(items) => json!({"$tuple": all(items)}),
        Value::Set(items) => json!({"$set": sorted(items)}),
        Value::FrozenSet(items) => json!({"$frozenset": sorted(items)}),
        Value::Map(entries) => {
            let plain = entries.iter().map(|(key, value)| match key {
                Value::Str(key) if !key.starts_with('$') => Some((key.to_string(), to_form(value))),
                _ => None,
            });
            match plain.collect::<Option<Map<_, _>>>() {
                Some(object) => Json::Object(object),
                None => {
                    let pairs = entries.iter().map(|(key, value)| json!([to_form(key), to_form(value)]));
                    json!({"$dict": pairs.collect::<Json>()})
                }
            }
        }
        Value::Complex(real, imaginary) => json!({"$complex": [real, imaginary]}),
        Value::Date(date) => json!({"$date": date.to_string()}),
        Value::Time(time) => json!({"$time": time.to_string()}),
        Value::DateTime(moment) => json!({"$datetime": moment.to_string()}),
        Value::TimeDelta(delta) => json!({"$timedelta": [delta.days, delta.seconds, delta.microseconds]}),
        Value::Decimal(text) => json!({"$decimal": text}),
        Value::Uuid(_) => json!({"$uuid": value.to_string()}),
        other => json!({"$object": other.to_string()}),
    }
}

fn digest_form(kind: &str, bytes: &[u8]) -> Json {
    json!({"$sha256": digest(bytes), "len": bytes.len(), "type": kind})
}

/// The value of a form.
///
/// # Errors
/// What is wrong with it.
pub fn from_form(form: &Json) -> Result<Value, String> {
    Ok(match form {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i128(), number.as_f64()) {
            (Some(integer), _) => Value::from(integer),
            (_, Some(float)) => Value::Float(float),
            _ => return Err(format!("{number} is out of range")),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(all(items)?.into()),
        Json::Object(entries) => match entries.iter().next() {
            Some((tag, body)) if tag.starts_with('$') => {
                read_tagged(tag, body).map_err(|why| format!("{form}: {why}"))?
            }
            _ => entries
                .iter()
                .map(|(key, value)| Ok((Value::from(key.as_str()), from_form(value)?)))
                .collect::<Result<Vec<_>, String>>()
                .map(|entries| Value::Map(entries.into()))?,
        },
    })
}

fn all(items: &[Json]) -> Result<Vec<Value>, String> {
    items.iter().map(from_form).collect()
}

fn read_tagged(tag: &str, body: &Json) -> Result<Value, String> {
    let items = || all(body.as_array().ok_or("not a list")?);
    let text = || body.as_str().ok_or("not a text");
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    Ok(match tag {
        "$bytes" => Value::Bytes(unhex(text()?)?.into()),
        "$repeat" | "$repeat_text" => {
            let (what, times) = (body[0].as_str().ok_or("not a text")?, body[1].as_u64().ok_or("not a number")?);
            let times = usize::try_from(times).map_err(|error| wrong(&error))?;
            if tag == "$repeat" { Value::Bytes(unhex(what)?.repeat(times).into()) } else { what.repeat(times).into() }
        }
        "$tuple" => Value::Tuple(items()?.into()),
        "$set" => Value::Set(items()?.into()),
        "$frozenset" => Value::FrozenSet(items()?.into()),
        "$dict" => {
            let pairs = body.as_array().ok_or("not a list")?;
            let pair = |pair: &Json| Ok((from_form(&pair[0])?, from_form(&pair[1])?));
            Value::Map(pairs.iter().map(pair).collect::<Result<_, String>>()?)
        }
        "$int" => Value::from(text()?.parse::<BigInt>().map_err(|error| wrong(&error))?),
        "$float" => Value::Float(text()?.parse().map_err(|_| "not a float")?),
        "$date" => Value::Date(text()?.parse().map_err(|_| "not a date")?),
        "$time" => Value::from(text()?.parse::<Time>().map_err(|_| "not a time")?),
        "$datetime" => Value::from(text()?.parse::<DateTime>().map_err(|_| "not a date and time")?),
        "$timedelta" => {
            let [days, seconds, micros] = [0, 1, 2].map(|at| body[at].as_i64().unwrap_or_default());
            let total = (i128::from(days) * 86_400 + i128::from(seconds)) * 1_000_000 + i128::from(micros);
            Value::TimeDelta(TimeDelta::from_microseconds(total).ok_or("out of range")?)
        }
        "$decimal" => Value::Decimal(text()?.to_owned().into()),
        "$uuid" => {
            let uuid = u128::from_str_radix(&text()?.replace('-', ""), 16).map_err(|error| wrong(&error))?;
            Value::Uuid(uuid.into())
        }
        "$complex" => {
            let part = |at: usize| body[at].as_f64().ok_or("not a number");
            Value::Complex(part(0)?, part(1)?)
        }
        _ => return Err("unknown form".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_survive() {
        for form in [
            json!([null, true, -7, u64::MAX, 0.5, "text", {"a": [1]}, {"$bytes": "00ff"}]),
            json!({"$tuple": [1, {"$set": [1, 2]}, {"$int": "1606938044258990275541962092341162602522202993782792835301376"}]}),
            json!({"$dict": [[1, "one"], [{"$tuple": [1, 2]}, null]]}),
            json!([{"$date": "2024-02-29"}, {"$decimal": "1.50"}, {"$complex": [1.5, -2.0]}, {"$float": "nan"}]),
            json!({"$uuid": "12345678-1234-5678-1234-567812345678"}),
        ] {
            assert_eq!(to_form(&from_form(&form).unwrap()), form);
        }
    }
}
