//! Names by which data that serde has no method for announces itself.
//!
//! A [`Value`] is written as `serialize_newtype_struct(VALUE, ..)` around its natural form, and
//! within that the kinds below as `serialize_newtype_struct(BIG_INT, ..)` and so on. Most formats
//! write a newtype struct as what it holds and never see the name. One with a form of its own for,
//! say, dates compares the name and asks [`special`] what it holds.

use num_bigint::BigInt;
use serde::Serialize;

use super::{Value, ValueSerializer};

/// Any [`Value`]; also the name it is read by.
pub const VALUE: &str = "$daffi::Value";
/// [`Value::BigInt`]: decimal text in human-readable formats; little-endian two's complement in others.
pub const BIG_INT: &str = "$daffi::BigInt";
/// [`Value::Decimal`]: its text.
pub const DECIMAL: &str = "$daffi::Decimal";
/// [`Value::Uuid`]: hyphenated text.
pub const UUID: &str = "$daffi::Uuid";
/// [`Value::Date`]: ISO 8601 text.
pub const DATE: &str = "$daffi::Date";
/// [`Value::Time`]: ISO 8601 text.
pub const TIME: &str = "$daffi::Time";
/// [`Value::DateTime`]: ISO 8601 text, joined by `T`.
pub const DATE_TIME: &str = "$daffi::DateTime";
/// [`Value::TimeDelta`]: seconds as a float in human-readable formats; days, seconds and microseconds in others.
pub const TIME_DELTA: &str = "$daffi::TimeDelta";
/// [`Value::Set`]: a sequence.
pub const SET: &str = "$daffi::Set";
/// [`Value::FrozenSet`]: a sequence.
pub const FROZEN_SET: &str = "$daffi::FrozenSet";
/// [`Value::Complex`]: a tuple of two floats.
pub const COMPLEX: &str = "$daffi::Complex";
/// A `Vec<u8>` given as an argument or result: bytes. A format without bytes may write a list of
/// numbers.
pub const OCTETS: &str = "$daffi::Octets";

/// A struct that is a number, its digits the text of its only field. `serde_json` writes its
/// numbers so in a build with its feature `arbitrary_precision`, and decimals of other crates can:
/// see [`StructOrNumber`](super::StructOrNumber).
pub const NUMBER: &str = "$serde_json::private::Number";

/// A struct that is text of JSON, of any value, in its only field: the `RawValue` of `serde_json`.
/// It asks for a newtype struct of this name when it is read. Formats other than JSON refuse both.
pub const RAW_JSON: &str = "$serde_json::private::RawValue";

/// What formats other than JSON answer to who asks for [`RAW_JSON`].
pub const RAW_JSON_UNREAD: &str =
    "text of JSON (serde_json's RawValue) is read from JSON alone: take daffi's Value, or serde_json's";

/// What a newtype struct of that name holds, when it is one of the kinds above that are a single
/// value: all but [`VALUE`], [`SET`], [`FROZEN_SET`] and [`OCTETS`], which a writer passes through
/// or writes element by element.
///
/// ```
/// use daffi_serde::value::{Date, Value, tag};
/// let Some(day) = Date::new(2024, 2, 29) else { unreachable!() };
/// assert_eq!(tag::special(tag::DATE, &day.to_string()), Some(Value::Date(day)));
/// assert_eq!(tag::special("Metres", &3), None);
/// ```
pub fn special<T: Serialize + ?Sized>(name: &str, content: &T) -> Option<Value> {
    // Every other newtype struct of every user passes here, so this leaves early.
    if !name.starts_with("$daffi::") {
        return None;
    }
    let content = || content.serialize(ValueSerializer::exact()).ok();
    let text = || match content()? {
        Value::Str(text) => Some(text),
        _ => None,
    };
    match name {
        BIG_INT => content()?.as_bytes().map(|bytes| BigInt::from_signed_bytes_le(bytes).into()),
        DECIMAL => text().map(Value::Decimal),
        UUID => parse_uuid(&text()?).map(|uuid| Value::Uuid(Box::new(uuid))),
        DATE => text()?.parse().ok().map(Value::Date),
        TIME => text()?.parse().ok().map(|time: super::Time| time.into()),
        DATE_TIME => text()?.parse().ok().map(|moment: super::DateTime| moment.into()),
        TIME_DELTA => content()?.into_typed::<(i32, u32, u32)>().ok().and_then(|(days, seconds, microseconds)| {
            super::TimeDelta::new(days, seconds, microseconds).map(Value::TimeDelta)
        }),
        COMPLEX => content()?.into_typed().ok().map(|(real, imaginary)| Value::Complex(real, imaginary)),
        _ => None,
    }
}

/// Reads 32 hexadecimal digits, with hyphens or without.
fn parse_uuid(text: &str) -> Option<u128> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let all = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u128::from_str_radix(&digits, 16).ok())?
}
