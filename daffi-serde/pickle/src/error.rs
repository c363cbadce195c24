use std::fmt;

use daffi_serde::{SerdeError, bound_reason};
use daffi_wire::FormatId;

/// Why a pickle was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input ends before the pickle does, or a length in it reaches beyond the input.
    #[error("the pickle is cut off: the opcode at byte {at} reaches beyond its end")]
    CutOff {
        /// Offset of the opcode.
        at: usize,
    },
    /// Input goes on behind the pickle.
    #[error("{bytes} bytes follow the end of the pickle")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// No protocol has this opcode.
    #[error("no opcode {opcode:#04x} (at byte {at})")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Its offset.
        at: usize,
    },
    /// A protocol from the future.
    #[error("pickle protocol {0} is not known: 0 to 5 are")]
    Protocol(u8),
    /// An opcode that does not fit what is before it or behind it.
    #[error("the pickle is broken at byte {at}: {what}")]
    Malformed {
        /// Offset of the opcode.
        at: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// A class or function that stands for no plain data.
    #[error(
        "PICKLE names {0}, which is not plain data, and nothing is imported or called: send plain data in its place"
    )]
    Name(String),
    /// A constructor of plain data, with arguments that Python does not write.
    #[error("the pickle calls {0} in a way that Python never writes")]
    Call(&'static str),
    /// A time of day in this zone, whose offset depends on the day: without one it says no time
    /// that anybody else can tell.
    #[error(
        "PICKLE has a time of day in the zone {0}, which has no offset from UTC without a day: send a datetime in its place, \
         or the time without a zone"
    )]
    TimeInZone(String),
    /// A reference to something outside of the pickle.
    #[error("the pickle refers to {0}, which is not plain data")]
    Outside(&'static str),
    /// Containers deeper than [`ValueLimits::max_depth`](daffi_serde::ValueLimits::max_depth).
    #[error("more than {limit} containers inside each other")]
    Depth {
        /// The limit.
        limit: usize,
    },
    /// More values than [`ValueLimits::max_values`](daffi_serde::ValueLimits::max_values), shared
    /// ones counted each time.
    #[error("more than {limit} values (max_values), counting shared ones each time")]
    Values {
        /// The limit.
        limit: usize,
    },
    /// As many elements of bytes that are read as a list, unless each takes the one byte it is.
    #[error(
        "more than {limit} values (max_values), each of them one byte of bytes: read those as Bytes, Vec<u8> or daffi's \
         Value, which count as one"
    )]
    Octets {
        /// The limit.
        limit: usize,
    },
    /// More memory than [a pickle of this length may take](crate#limits).
    #[error(
        "values that take more than {limit} bytes, which is 64 KiB and 24 times the length of the pickle; one that is \
         referred to twice becomes two: send copies less often, or send it in MSGPACK"
    )]
    Memory {
        /// The limit.
        limit: usize,
    },
    /// An input whose parts cannot be numbered.
    #[error("a pickle of {bytes} bytes; 2 GiB are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// An integer of more than [`MAX_INT_DIGITS`](crate::MAX_INT_DIGITS).
    #[error("an integer of {digits} decimal digits; {} are read", crate::MAX_INT_DIGITS)]
    IntDigits {
        /// The length of its text.
        digits: usize,
    },
    /// An integer of more than [`MAX_INT_BYTES`](crate::MAX_INT_BYTES).
    #[error("an integer of {bytes} bytes; {} are read", crate::MAX_INT_BYTES)]
    IntBytes {
        /// Its length.
        bytes: u64,
    },
    /// A float in more text than [`MAX_FLOAT_DIGITS`](crate::MAX_FLOAT_DIGITS).
    #[error("a float written in {digits} digits; {} are read", crate::MAX_FLOAT_DIGITS)]
    FloatDigits {
        /// The length of its text.
        digits: usize,
    },
    /// Text and numbers that are referred to again and again, and take [more
    /// work](crate#limits) each time than their pickle is worth.
    #[error(
        "text and numbers that take more than {limit} steps to read, which is 65536 and 32 times the length of the \
         pickle; what is referred to twice is read twice: send copies less often, or send it in MSGPACK"
    )]
    Work {
        /// The limit.
        limit: usize,
    },
    /// A container that holds itself.
    #[error("a container holds itself")]
    Cycle,
    /// Text with a lone surrogate, or that is not UTF-8.
    #[error("the text at byte {at} has a lone surrogate or is not UTF-8")]
    Text {
        /// Offset of the opcode.
        at: usize,
    },
    /// A payload that is a pickle, but not of arguments, a result or an error.
    #[error("the payload is not {0}")]
    Envelope(&'static str),
    /// Data that is not of the type asked for.
    #[error("{0}")]
    Type(String),
}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Type(bound_reason(message))
    }
}

impl From<ReadError> for SerdeError {
    fn from(error: ReadError) -> Self {
        Self::decode(FormatId::PICKLE, error)
    }
}

/// Why a value was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Containers deeper than [`ValueLimits::max_depth`](daffi_serde::ValueLimits::max_depth).
    #[error("more than {limit} containers inside each other")]
    Depth {
        /// The limit.
        limit: usize,
    },
    /// A value announced another number of elements than it wrote.
    #[error("{announced} elements were announced and {written} written")]
    Length {
        /// How many it announced.
        announced: usize,
        /// How many it wrote.
        written: usize,
    },
    /// Text that Python's `Decimal` does not print.
    #[error("{0:?} is no decimal number")]
    Decimal(String),
    /// A list, dict or set as a key of a dict or an element of a set. A Python node that reads such
    /// a pickle stops.
    #[error(
        "{kind} cannot be a key of a map or an element of a set: Python cannot hash it (the key is {}); tuples and frozen \
         sets can",
        key.as_deref().unwrap_or("not shown")
    )]
    Unhashable {
        /// What it is.
        kind: &'static str,
        /// The key or element, cut where it is long.
        key: Option<String>,
    },
    /// An integer of 2 GiB or more.
    #[error("an integer of {bytes} bytes")]
    IntBytes {
        /// Its length.
        bytes: usize,
    },
    /// The value refused to be written.
    #[error("{0}")]
    Value(String),
}

impl serde::ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(bound_reason(message))
    }
}

impl From<WriteError> for SerdeError {
    fn from(error: WriteError) -> Self {
        Self::encode(FormatId::PICKLE, error)
    }
}
