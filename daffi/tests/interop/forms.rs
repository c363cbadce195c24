//! Values as the control protocol of `peer.py` writes them.

use bytes::Bytes;
use daffi::Value;
use num_bigint::BigInt;
use serde_json::{Map, Value as Json, json};

use crate::exposed::hex;

/// The JSON form of a value.
pub(crate) fn to_form(value: &Value) -> Json {
    let all = |items: &[Value]| items.iter().map(to_form).collect::<Json>();
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!({"$int": value.to_string()}),
        Value::BigInt(value) => json!({"$int": value.to_string()}),
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Float(value) => json!({"$float": value.to_string()}),
        Value::Str(text) => json!(text),
        Value::Bytes(bytes) => json!({"$bytes": hex(bytes)}),
        Value::List(items) => all(items),
        Value::Tuple(items) => json!({"$tuple": all(items)}),
        Value::Set(items) => json!({"$set": all(items)}),
        Value::FrozenSet(items) => json!({"$frozenset": all(items)}),
        Value::Map(entries) => {
            json!({"$dict": entries.iter().map(|(key, value)| json!([to_form(key), to_form(value)])).collect::<Json>()})
        }
        Value::Complex(real, imaginary) => json!({"$complex": [real, imaginary]}),
        Value::Date(date) => json!({"$date": date.to_string()}),
        Value::Time(time) => json!({"$time": time.to_string()}),
        Value::DateTime(moment) => json!({"$datetime": moment.to_string()}),
        Value::TimeDelta(delta) => json!({"$timedelta": [delta.days, delta.seconds, delta.microseconds]}),
        Value::Decimal(text) => json!({"$decimal": text}),
        Value::Uuid(uuid) => json!({"$uuid": format!("{:032x}", **uuid)}),
        other => panic!("{other:?} has no form"),
    }
}

/// The value of a JSON form.
pub(crate) fn from_form(form: &Json) -> Value {
    match form {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i128() {
            Some(integer) => Value::from(integer),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(all(items).into()),
        Json::Object(entries) => match entries.iter().next() {
            Some((tag, body)) if tag.starts_with('$') => tagged(tag, body),
            _ => entries.iter().map(|(key, value)| (key.as_str(), from_form(value))).collect(),
        },
    }
}

fn all(items: &[Json]) -> Vec<Value> {
    items.iter().map(from_form).collect()
}

fn tagged(tag: &str, body: &Json) -> Value {
    let items = || all(body.as_array().unwrap());
    let text = || body.as_str().unwrap();
    let pairs = || body.as_array().unwrap().iter().map(|pair| (from_form(&pair[0]), from_form(&pair[1])));
    match tag {
        "$bytes" => unhex(text()).into(),
        "$tuple" => Value::Tuple(items().into()),
        "$set" => Value::Set(items().into()),
        "$frozenset" => Value::FrozenSet(items().into()),
        "$dict" => pairs().collect(),
        "$int" => Value::from(text().parse::<BigInt>().unwrap()),
        "$float" => Value::Float(text().parse().unwrap()),
        "$date" => Value::Date(text().parse().unwrap()),
        "$time" => Value::from(text().parse::<daffi::value::Time>().unwrap()),
        "$datetime" => Value::from(text().parse::<daffi::value::DateTime>().unwrap()),
        "$timedelta" => {
            let [days, seconds, microseconds] = [0, 1, 2].map(|at| body[at].as_i64().unwrap());
            let total = (i128::from(days) * 86_400 + i128::from(seconds)) * 1_000_000 + i128::from(microseconds);
            Value::TimeDelta(daffi::value::TimeDelta::from_microseconds(total).unwrap())
        }
        "$decimal" => Value::Decimal(text().into()),
        "$uuid" => Value::Uuid(Box::new(u128::from_str_radix(&text().replace('-', ""), 16).unwrap())),
        "$complex" => Value::Complex(body[0].as_f64().unwrap(), body[1].as_f64().unwrap()),
        // Kinds that Rust has no value for stay as they are, so that a comparison shows them.
        _ => Value::from_iter([(tag, body.to_string())]),
    }
}

fn unhex(text: &str) -> Bytes {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The fields of an object with these entries.
pub(crate) fn object(entries: &[(String, Value)]) -> Json {
    Json::Object(entries.iter().map(|(key, value)| (key.clone(), to_form(value))).collect::<Map<_, _>>())
}

/// A text that two values share exactly when they are alike: the order of sets does not count, and
/// NaN is NaN.
pub(crate) fn seen(value: &Value) -> String {
    let all = |items: &[Value]| items.iter().map(seen).collect::<Vec<_>>();
    let sorted = |items: &[Value]| {
        let mut all = all(items);
        all.sort();
        all
    };
    match value {
        Value::List(items) => format!("[{}]", all(items).join(", ")),
        Value::Tuple(items) => format!("({})", all(items).join(", ")),
        Value::Set(items) => format!("set{{{}}}", sorted(items).join(", ")),
        Value::FrozenSet(items) => format!("frozenset{{{}}}", sorted(items).join(", ")),
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", seen(key), seen(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => format!("{other:?}"),
    }
}
