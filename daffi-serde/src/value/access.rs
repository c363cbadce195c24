//! Questions to a [`Value`], and what it holds.

use num_traits::ToPrimitive;
use serde::de::{DeserializeOwned, value::Error};

use super::{Value, from_value};

impl Value {
    /// This value as a `T`, under no limits: see [`ValueDeserializer`](super::ValueDeserializer).
    ///
    /// # Errors
    /// When it is not one; the text names what it is and what was asked for.
    pub fn into_typed<T: DeserializeOwned>(self) -> Result<T, Error> {
        from_value(self)
    }

    /// Whether it is [`Null`](Self::Null).
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one of up to 128 bits.
    #[must_use]
    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some((*value).into()),
            Self::BigInt(value) => value.as_ref().try_into().ok(),
            _ => None,
        }
    }

    /// The integer, if it is one within `i64`.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one within `u64`.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i128()?.try_into().ok()
    }

    /// The number as a float: a float itself, or an integer, rounded where it must be.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "documented")]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            Self::BigInt(value) => value.to_f64(),
            _ => None,
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is bytes. Text is not.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of a list, a tuple or a set.
    #[must_use]
    pub fn as_items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) | Self::FrozenSet(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// What a map holds under a key of text.
    ///
    /// ```
    /// use daffi_serde::Value;
    /// let value: Value = [("host", "localhost")].into_iter().collect();
    /// assert_eq!(value.get("host").and_then(Value::as_str), Some("localhost"));
    /// assert_eq!(value.get("port"), None);
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.iter().find(|(known, _)| known.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// What it is, in one or two words for messages: `an integer`, `a list`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::BigInt(_) => "an integer beyond 64 bits",
            Self::Float(_) => "a float",
            Self::Str(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::FrozenSet(_) => "a frozen set",
            Self::Map(_) => "a map",
            Self::Complex(..) => "a complex number",
            Self::Date(_) => "a date",
            Self::Time(_) => "a time",
            Self::DateTime(_) => "a date and time",
            Self::TimeDelta(_) => "a length of time",
            Self::Decimal(_) => "a decimal",
            Self::Uuid(_) => "a UUID",
        }
    }
}
