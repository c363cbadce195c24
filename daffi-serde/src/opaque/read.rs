use serde::{
    Deserializer,
    de::{Error as _, IntoDeserializer, Unexpected, Visitor, value::Error},
};

use crate::{
    Body, ValueLimits,
    buffered::{TooManyOctets, visit_kept_bytes, visit_octets},
    value::tag,
};

/// Reads a payload as whatever type asks for it.
#[derive(Clone, Copy)]
pub(super) struct OpaqueDeserializer<'de> {
    payload: Payload<'de>,
    limits: ValueLimits,
}

#[derive(Clone, Copy)]
enum Payload<'de> {
    Bytes(&'de [u8]),
    Text(&'de str),
}
use Payload::{Bytes, Text};

impl<'de> OpaqueDeserializer<'de> {
    /// Reads this payload, unless it is text that is not UTF-8.
    pub(super) fn new(body: &'de Body, limits: ValueLimits) -> Result<Self, Error> {
        if !body.text {
            return Ok(Self::of_bytes(&body.bytes, limits));
        }
        match std::str::from_utf8(&body.bytes) {
            Ok(text) => Ok(Self { payload: Text(text), limits }),
            Err(error) => Err(Error::custom(format_args!("text that is not UTF-8: {error}"))),
        }
    }

    /// Reads bytes.
    pub(super) const fn of_bytes(bytes: &'de [u8], limits: ValueLimits) -> Self {
        Self { payload: Bytes(bytes), limits }
    }

    /// Counts the elements that the bytes become. A payload is visited once, so that nothing else
    /// is counted with them.
    fn count_octets(self) -> impl FnMut() -> Result<(), Error> {
        let mut left = self.limits.max_values;
        move || match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                Ok(())
            }
            None => Err(Error::custom(TooManyOctets(self.limits.max_values))),
        }
    }

    const fn unexpected(self) -> Unexpected<'de> {
        match self.payload {
            Bytes(_) => Unexpected::Other("bytes, which are no text"),
            Text(text) => Unexpected::Str(text),
        }
    }

    /// The text, for types that are written as text.
    fn text<V: Visitor<'de>>(self, visitor: &V) -> Result<&'de str, Error> {
        match self.payload {
            Bytes(_) => Err(Error::invalid_type(self.unexpected(), visitor)),
            Text(text) => Ok(text),
        }
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.text(&visitor)?.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Error::invalid_value(self.unexpected(), &visitor)),
            }
        }
    )*};
}

macro_rules! containers {
    ($($method:ident($($ty:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $ty,)* visitor: V) -> Result<V::Value, Error> {
            match self.payload {
                // A list of `u8`.
                Bytes(bytes) => visit_octets(bytes, visitor, self.count_octets()),
                Text(_) => Err(no_container(&visitor)),
            }
        }
    )*};
}

fn no_container(expected: &dyn serde::de::Expected) -> Error {
    Error::custom(format_args!("text, expected {expected}; JSON, MSGPACK and PICKLE carry containers"))
}

impl<'de> Deserializer<'de> for OpaqueDeserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.payload {
            // Whoever keeps what is there may be asked for a list later.
            Bytes(bytes) => visit_kept_bytes(bytes, visitor, self.count_octets()),
            Text(text) => visitor.visit_borrowed_str(text),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.payload {
            Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Text(text) => visitor.visit_borrowed_str(text),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    numbers! {
        deserialize_i8 => visit_i8, deserialize_i16 => visit_i16, deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64, deserialize_i128 => visit_i128, deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16, deserialize_u32 => visit_u32, deserialize_u64 => visit_u64,
        deserialize_u128 => visit_u128, deserialize_f32 => visit_f32, deserialize_f64 => visit_f64
    }

    containers! {
        deserialize_seq();
        deserialize_tuple(usize);
        deserialize_tuple_struct(&'static str, usize);
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text(&visitor)? {
            "True" => visitor.visit_bool(true),
            "False" => visitor.visit_bool(false),
            _ => Err(Error::invalid_value(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.text(&visitor)?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.payload {
            Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Text(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.payload {
            Text("None") => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.payload {
            Text("None") | Bytes([]) => visitor.visit_unit(),
            _ => Err(Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            tag::VALUE => self.deserialize_identifier(visitor),
            tag::RAW_JSON => Err(Error::custom(tag::RAW_JSON_UNREAD)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = self.text(&visitor)?;
        visitor.visit_enum(variant.into_deserializer())
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.text(&visitor)?;
        Err(no_container(&visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }
}
