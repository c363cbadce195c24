//! Data without a Rust type.
//!
//! [`Value`] holds whatever a format can carry. [`to_value`] makes one of any serialisable value,
//! [`from_value`] makes a value of any type of it. In between stand the rules for writing and
//! reading it: [`tag`] for formats that tell more kinds of data apart than serde does, [`exact`]
//! for formats that describe nothing by themselves.

use num_bigint::BigInt;

mod access;
mod calendar;
mod decimal;
mod deserialize;
mod deserializer;
mod display;
pub mod exact;
mod from;
mod number;
mod serialize;
mod serializer;
pub mod tag;

#[cfg(test)]
mod tests;

pub use crate::buffered::{visit_kept_bytes, visit_octets};

pub use self::{
    calendar::{Date, DateTime, NotInCalendar, Time, TimeDelta},
    decimal::is_decimal,
    deserializer::{ValueDeserializer, from_value},
    display::show,
    exact::ExactSerializer,
    number::StructOrNumber,
    serializer::{ValueSerializer, to_value},
};

/// Any plain data that a format can carry, for callers and callbacks that have no type for it.
///
/// What PICKLE tells apart and other formats do not (tuples, sets, dates, decimals) travels in
/// those as their nearest form: a list, or text in ISO 8601 or decimal notation, or for
/// [`TimeDelta`] a number of seconds. Read back they are that form.
///
/// ```
/// use daffi_serde::Value;
///
/// let value = Value::from(vec![1, 2, 3]);
/// assert_eq!(value.to_string(), "[1, 2, 3]");
/// assert_eq!(value.into_typed::<Vec<u8>>(), Ok(vec![1, 2, 3]));
/// ```
///
/// It can be read by other libraries of serde too, and holds what those give it. `serde_json` gives
/// integers beyond 64 bits as floats, `123456789012345678901234567890` as `1.2345678901234568e29`
/// and without an error, unless the build has its feature `arbitrary_precision`. To read JSON of
/// one's own with all digits, turn that on, or take a type with room for them, `i128` for one. The
/// formats of daffi give a `Value` every integer as it is, in any build.
///
/// A value takes 24 bytes, and what it holds is boxed at exactly its size: a list of a million
/// small values takes 24 MB. `From` and `into` make the boxes, of `Vec`s and `String`s too.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Value {
    /// `None`, `null`, `()`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer within `i64`.
    Int(i64),
    /// An integer beyond that. `From` chooses between the two. Beyond 64 bits it is not for
    /// MSGPACK.
    BigInt(Box<BigInt>),
    /// A float, NaN and infinities included.
    Float(f64),
    /// Text.
    Str(Box<str>),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// A list.
    List(Box<[Self]>),
    /// A tuple.
    Tuple(Box<[Self]>),
    /// A set, in the order it travelled.
    Set(Box<[Self]>),
    /// A frozen set, in the order it travelled.
    FrozenSet(Box<[Self]>),
    /// A map with keys of any kind, in the order it travelled.
    Map(Box<[(Self, Self)]>),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// `datetime.date`.
    Date(Date),
    /// `datetime.time`.
    Time(Box<Time>),
    /// `datetime.datetime`.
    DateTime(Box<DateTime>),
    /// `datetime.timedelta`.
    TimeDelta(TimeDelta),
    /// `decimal.Decimal`, in the notation Python prints ([`is_decimal`]). Other text is not
    /// written.
    Decimal(Box<str>),
    /// `uuid.UUID`.
    Uuid(Box<u128>),
}

pub(crate) use self::{display::PythonFloat, number::Number};
