//! Numbers that write themselves as structs: those of `serde_json` do once any crate of a build
//! turns on its feature `arbitrary_precision`, and decimals of other crates do likewise.

use std::fmt;

use num_bigint::BigInt;
use serde::{
    Serialize, Serializer,
    de::value::Error,
    ser::{Error as _, Impossible, SerializeStruct},
};

use super::tag;

/// A struct being written, or a number that looks like one.
///
/// A writer whose library knows nothing of such numbers has this as its
/// [`SerializeStruct`](Serializer::SerializeStruct), so that they are written as the integers or
/// floats that they are: integers exactly, or not at all where the format has none so wide; others
/// as the nearest float, as they are read from JSON. What is beyond the largest float is an error.
///
/// `S` is the writer, and `F` writes the fields of what is a struct.
#[expect(missing_debug_implementations, reason = "lives within one call")]
pub struct StructOrNumber<S, F>(Either<S, F>);

enum Either<S, F> {
    Struct(F),
    Number { serializer: S, number: Option<Number> },
}

impl<S: Serializer, F> StructOrNumber<S, F> {
    /// Begins what is called `name`; a struct by means of `begin`.
    ///
    /// # Errors
    /// The errors of `begin`; and one for text of JSON ([`tag::RAW_JSON`]), which would be a struct
    /// for its reader.
    pub fn new(serializer: S, name: &str, begin: impl FnOnce(S) -> Result<F, S::Error>) -> Result<Self, S::Error> {
        match name {
            tag::NUMBER => Ok(Self(Either::Number { serializer, number: None })),
            tag::RAW_JSON => Err(S::Error::custom(
                "a RawValue of serde_json is text of JSON, and as such in no other format: send what it holds \
                 (`serde_json::from_str::<serde_json::Value>(raw.get())`), or that text (`raw.get()`)",
            )),
            _ => begin(serializer).map(Self::of_struct),
        }
    }

    /// What is a struct, whatever its name.
    pub const fn of_struct(fields: F) -> Self {
        Self(Either::Struct(fields))
    }
}

impl<S: Serializer, F: SerializeStruct<Ok = S::Ok, Error = S::Error>> SerializeStruct for StructOrNumber<S, F> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        match &mut self.0 {
            Either::Struct(fields) => fields.serialize_field(key, value),
            Either::Number { number, .. } => {
                *number = Some(value.serialize(ReadDigits).map_err(S::Error::custom)?);
                Ok(())
            }
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        match &mut self.0 {
            Either::Struct(fields) => fields.skip_field(key),
            Either::Number { .. } => Ok(()),
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match self.0 {
            Either::Struct(fields) => fields.end(),
            Either::Number { serializer, number: Some(number) } => number.write(serializer),
            Either::Number { .. } => Err(S::Error::custom("a number without digits")),
        }
    }
}

/// What the digits of a number say.
#[derive(Debug, PartialEq)]
pub(crate) enum Number {
    Unsigned(u128),
    Signed(i128),
    Big(BigInt),
    Float(f64),
}

impl Number {
    /// Reads a number in the notation of JSON. `None` if it is none, or beyond the largest float.
    pub(crate) fn parse(digits: &str) -> Option<Self> {
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        // Words such as `inf` are floats for the parser.
        if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        // What is finite is of few digits, so that an integer of them is soon read.
        let float = digits.parse().ok().filter(|float: &f64| float.is_finite())?;
        if digits == "-0" || !unsigned.bytes().all(|digit| digit.is_ascii_digit()) {
            return Some(Self::Float(float));
        }
        digits
            .parse()
            .map(Self::Unsigned)
            .or_else(|_| digits.parse().map(Self::Signed))
            .or_else(|_| digits.parse().map(Self::Big))
            .ok()
    }

    /// Writes an integer as types of 64 bits do, so that it is read as those.
    fn write<S: Serializer>(self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unsigned(value) => match u64::try_from(value) {
                Ok(value) => serializer.serialize_u64(value),
                Err(_) => serializer.serialize_u128(value),
            },
            Self::Signed(value) => match i64::try_from(value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(value),
            },
            Self::Big(value) => super::serialize::serialize_big(&value, serializer),
            Self::Float(value) => serializer.serialize_f64(value),
        }
    }
}

/// How much of a number is shown in an error.
const SHOWN: usize = 50;

struct ReadDigits;

impl ReadDigits {
    fn no_digits<T>() -> Result<T, Error> {
        Err(Error::custom(format_args!(
            "what is called {} has something else than the digits of a number",
            tag::NUMBER
        )))
    }
}

impl Serializer for ReadDigits {
    type Ok = Number;
    type Error = Error;
    type SerializeSeq = Impossible<Number, Error>;
    type SerializeTuple = Impossible<Number, Error>;
    type SerializeTupleStruct = Impossible<Number, Error>;
    type SerializeTupleVariant = Impossible<Number, Error>;
    type SerializeMap = Impossible<Number, Error>;
    type SerializeStruct = Impossible<Number, Error>;
    type SerializeStructVariant = Impossible<Number, Error>;

    fn serialize_str(self, digits: &str) -> Result<Number, Error> {
        Number::parse(digits).ok_or_else(|| {
            let why = "is beyond what a float holds (1.8e308), or none at all: send it as text";
            if digits.len() > SHOWN {
                Error::custom(format_args!("a number of {} characters {why}", digits.len()))
            } else {
                Error::custom(format_args!("the number {digits} {why}"))
            }
        })
    }

    refuse_rest! {
        Self::no_digits();
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes none some unit unit_struct unit_variant newtype_struct
        newtype_variant seq tuple tuple_struct tuple_variant map struct struct_variant
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<Number, Error> {
        self.serialize_str(&value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, to_value};

    #[test]
    fn digits_are_read_as_the_numbers_they_are() {
        assert_eq!(Number::parse("0"), Some(Number::Unsigned(0)));
        assert_eq!(Number::parse("-7"), Some(Number::Signed(-7)));
        assert_eq!(Number::parse("2.50"), Some(Number::Float(2.5)));
        assert_eq!(Number::parse("1E2"), Some(Number::Float(100.0)));
        assert!(matches!(Number::parse("-0"), Some(Number::Float(zero)) if zero.is_sign_negative()));
        assert!(matches!(Number::parse(&"7".repeat(300)), Some(Number::Big(_))));
        for none in ["", "-", "inf", "-inf", "NaN", "+1", "--1", "1x", ".5", "1e999", &"9".repeat(400)] {
            assert_eq!(Number::parse(none), None, "{none}");
        }
    }

    struct Named<T>(T);

    impl<T: Serialize> Serialize for Named<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct(tag::NUMBER, 1)?;
            fields.serialize_field(tag::NUMBER, &self.0)?;
            fields.end()
        }
    }

    #[test]
    fn what_has_the_name_but_no_digits_is_an_error() {
        assert_eq!(to_value(&Named("2.5")), Ok(Value::Float(2.5)));
        assert_eq!(
            to_value(&Named('2')).unwrap_err().to_string(),
            format!("what is called {} has something else than the digits of a number", tag::NUMBER)
        );
        assert!(to_value(&Named("two")).unwrap_err().to_string().starts_with("the number two is"));
    }
}
