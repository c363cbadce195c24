//! One value, whose bytes are known from first to last.

use daffi_serde::guard::Watch;
use postcard::{Deserializer, Error, de_flavors::Slice};
use serde::de::Visitor;

use crate::PostcardRules;

/// Reads the value that all of `bytes` are.
///
/// # Errors
/// What `take` says, and bytes after the end of the value.
pub(crate) fn read<'de>(
    bytes: &'de [u8],
    watch: &Watch,
    take: impl FnOnce(Argument<'_, 'de>) -> Result<(), Error>,
) -> Result<(), Problem> {
    let mut reader = Deserializer::from_bytes(bytes);
    let mut skipped = false;
    take(Argument { reader: &mut reader, watch, skipped: &mut skipped })?;
    let rest = reader.finalize()?;
    if skipped || rest.is_empty() { Ok(()) } else { Err(Problem::Rest(rest.len())) }
}

/// Why a payload could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{}{}", .0, advice(.0))]
    Postcard(Error),
    #[error("{0} bytes after the end: it is of another type than is asked for")]
    Rest(usize),
    #[error("{0} bytes after the arguments")]
    RestOfCall(usize),
    #[error("argument {which} is not of the type asked for: {rest} bytes after its end")]
    RestOfArgument { which: String, rest: usize },
    #[error("{0} is cut short")]
    Short(&'static str),
    #[error("a name is not UTF-8")]
    Name,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Postcard(error)
    }
}

/// What postcard's own words mean for whoever reads them: it keeps none of those of types.
const fn advice(error: &Error) -> &'static str {
    match error {
        Error::DeserializeUnexpectedEnd => {
            ": it is cut short, or of another type than is asked for, which POSTCARD does not say; read the type that was \
             written (a Value only where a Value was written)"
        }
        Error::DeserializeBadVarint
        | Error::DeserializeBadBool
        | Error::DeserializeBadChar
        | Error::DeserializeBadUtf8
        | Error::DeserializeBadOption
        | Error::DeserializeBadEnum
        | Error::DeserializeBadEncoding => {
            ": it is of another type than is asked for, which POSTCARD does not say; read the type that was written (a Value \
             only where a Value was written)"
        }
        Error::SerdeDeCustom => {
            ": the type refused what it read, in words that POSTCARD does not keep, or it is of another type than is asked \
             for, which POSTCARD does not say"
        }
        _ => "",
    }
}

impl Problem {
    /// The same problem, of one argument among others.
    pub(crate) fn of(self, which: impl FnOnce() -> String) -> Self {
        match self {
            Self::Rest(rest) => Self::RestOfArgument { which: which(), rest },
            other => other,
        }
    }
}

/// A value's deserializer. Unlike postcard's own it can skip the value, since its length is known.
pub(crate) struct Argument<'a, 'de> {
    reader: &'a mut Deserializer<'de, Slice<'de>>,
    watch: &'a Watch<'a>,
    skipped: &'a mut bool,
}

macro_rules! pass_on {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, Error> {
            self.watch.guard::<PostcardRules, _>(self.reader).$method($($arg,)* visitor)
        }
    )*};
}

impl<'de> serde::Deserializer<'de> for Argument<'_, 'de> {
    type Error = Error;

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.skipped = true;
        visitor.visit_unit()
    }

    pass_on! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
