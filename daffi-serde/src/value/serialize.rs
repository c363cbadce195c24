//! How a [`Value`] is written.

use num_bigint::BigInt;
use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeMap, SerializeTuple},
};

use super::{DateTime, TimeDelta, Value, decimal::is_decimal, display::show, tag};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(tag::VALUE, &Natural(self))
    }
}

/// The form that formats see which know nothing of values, with tags for those that do.
struct Natural<'a>(&'a Value);

impl Serialize for Natural<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::BigInt(value) => serialize_big(value, serializer),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Str(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::List(items) => serializer.collect_seq(items),
            Value::Tuple(items) => serialize_tuple(items, serializer),
            Value::Set(items) => serializer.serialize_newtype_struct(tag::SET, items),
            Value::FrozenSet(items) => serializer.serialize_newtype_struct(tag::FROZEN_SET, items),
            Value::Map(entries) => serialize_map(entries, serializer),
            Value::Complex(real, imaginary) => serializer.serialize_newtype_struct(tag::COMPLEX, &(*real, *imaginary)),
            // The fields of dates and times are anybody's to set.
            Value::Date(date) if !date.is_valid() => Err(S::Error::custom(not_in_calendar("date", date))),
            Value::Time(time) if !time.is_valid() => Err(S::Error::custom(not_in_calendar("time of day", time))),
            Value::DateTime(moment) if !(moment.date.is_valid() && moment.time.is_valid()) => {
                Err(S::Error::custom(not_in_calendar("date and time", moment)))
            }
            Value::TimeDelta(delta) if !delta.is_valid() => Err(S::Error::custom(not_in_calendar("timedelta", delta))),
            Value::Decimal(text) if !is_decimal(text) => {
                Err(S::Error::custom(format_args!("{} is no decimal number as Python prints it", show(&**text))))
            }
            Value::Date(date) => serializer.serialize_newtype_struct(tag::DATE, &date.to_string()),
            Value::Time(time) => serializer.serialize_newtype_struct(tag::TIME, &time.to_string()),
            Value::DateTime(moment) => serializer.serialize_newtype_struct(tag::DATE_TIME, &Moment(moment)),
            Value::TimeDelta(delta) => serializer.serialize_newtype_struct(tag::TIME_DELTA, &Seconds(*delta)),
            Value::Decimal(text) => serializer.serialize_newtype_struct(tag::DECIMAL, text),
            Value::Uuid(uuid) => serializer.serialize_newtype_struct(tag::UUID, &hyphenate(**uuid)),
        }
    }
}

/// Writes an integer in the narrowest of the forms that every format has, and in the widest that
/// only some have.
fn serialize_int<S: Serializer>(value: i128, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(value) = i64::try_from(value) {
        serializer.serialize_i64(value)
    } else if let Ok(value) = u64::try_from(value) {
        serializer.serialize_u64(value)
    } else {
        serializer.serialize_i128(value)
    }
}

/// A number that a user put into the wrong variant is written as the small one it is.
pub(super) fn serialize_big<S: Serializer>(value: &BigInt, serializer: S) -> Result<S::Ok, S::Error> {
    match i128::try_from(value) {
        Ok(value) => serialize_int(value, serializer),
        Err(_) => serializer.serialize_newtype_struct(tag::BIG_INT, &Digits(value)),
    }
}

fn serialize_tuple<S: Serializer>(items: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(items.len())?;
    items.iter().try_for_each(|item| tuple.serialize_element(item))?;
    tuple.end()
}

fn serialize_map<S: Serializer>(entries: &[(Value, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
    map.end()
}

fn not_in_calendar(what: &str, value: &impl std::fmt::Display) -> String {
    format!("{value} is no {what}: make it with `new`, which checks the calendar and the clock")
}

struct Digits<'a>(&'a BigInt);

impl Serialize for Digits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self.0)
        } else {
            serializer.serialize_bytes(&self.0.to_signed_bytes_le())
        }
    }
}

struct Moment<'a>(&'a DateTime);

impl Serialize for Moment<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The name of a zone is for formats that have room for it; those that others read as text
        // have not.
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.0.iso())
        } else {
            serializer.collect_str(self.0)
        }
    }
}

struct Seconds(TimeDelta);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_f64(self.0.as_secs_f64())
        } else {
            (self.0.days, self.0.seconds, self.0.microseconds).serialize(serializer)
        }
    }
}

/// `00112233-4455-6677-8899-aabbccddeeff`
pub(super) fn hyphenate(uuid: u128) -> String {
    let hex = format!("{uuid:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
