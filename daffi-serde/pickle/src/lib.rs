//! The PICKLE payload format of daffi: plain data only, read without executing anything.
//!
//! A pickle is a program. Python runs it, and so runs whatever a stranger wrote into it. This crate
//! runs a small part of it, that which makes data: `None`, truth values, numbers, text, bytes,
//! lists, tuples, dicts and sets, and a fixed table of constructors (`complex`, `OrderedDict`,
//! `date`, `time`, `datetime`, `timedelta`, `Decimal`, `UUID`, and what older protocols write for
//! bytes and sets). Anything else is refused by its name; nothing is imported or called.
//!
//! It reads protocols 0 to 5 and writes protocol 4, which every Python since 3.4 reads.
//!
//! # When to use it
//!
//! With the `daffi` crate a feature brings it along. By itself it is useful wherever pickles of
//! plain data are exchanged with Python, above all when they come from somebody you do not trust.
//!
//! ```
//! use daffi_serde::Value;
//! use daffi_serde_pickle::{ReadError, from_slice, to_vec};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Order {
//!     item: String,
//!     count: u32,
//! }
//!
//! // pickle.dumps({"item": "tea", "count": 3})
//! let pickle = b"\x80\x04\x95\x1a\0\0\0\0\0\0\0}\x94(\x8c\x04item\x94\x8c\x03tea\x94\x8c\x05count\x94K\x03u.";
//! let order: Order = from_slice(pickle)?;
//! assert_eq!(order, Order { item: "tea".into(), count: 3 });
//!
//! // A struct is a dict for Python.
//! assert_eq!(from_slice::<Order>(&to_vec(&order)?)?, order);
//!
//! // What has no type here is a `Value`.
//! let value: Value = from_slice(b"\x80\x04]\x94(K\x01N\x88e.")?;
//! assert_eq!(value.to_string(), "[1, None, True]");
//!
//! // pickle.loads would run the shell command.
//! let refused = from_slice::<Value>(b"cos\nsystem\n(S'echo boo'\ntR.").unwrap_err();
//! assert_eq!(refused, ReadError::Name("os.system".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What becomes what
//!
//! | Rust | Python |
//! |---|---|
//! | `()`, `None`, unit struct | `None` |
//! | struct, map | dict |
//! | tuple, tuple struct, array | tuple |
//! | sequence | list |
//! | `Vec<u8>`, `[u8]`, what calls `serialize_bytes` | bytes |
//! | enum | `'Unit'`, `{'Newtype': value}`, `{'Tuple': (..)}`, `{'Struct': {..}}` |
//! | special kinds of [`Value`](daffi_serde::Value) | set, frozenset, complex, date, Decimal, UUID, ... |
//!
//! When a pickle is read, a bytearray is bytes and an `OrderedDict` a dict. A `datetime` in a
//! `ZoneInfo` has the offset of that moment and the name of its zone; it is written with a fixed
//! offset of that name. A key that a dict of a hostile pickle holds twice is kept twice. A
//! `Vec<u8>` within a structure that was erased (`dyn Format`) is a list of numbers, since nothing
//! tells it from other sequences there. A timezone by itself is refused, and so is a `time` in a
//! zone whose offset depends on the day (`time(12, tzinfo=ZoneInfo("Europe/Berlin"))`).
//!
//! # Limits
//!
//! Neither time nor memory nor depth of the call stack are at the mercy of the input:
//!
//! - [`ValueLimits`](daffi_serde::ValueLimits) bounds depth and number of values. A value that is
//!   referred to twice becomes two equal ones and counts twice. A container that holds itself is
//!   refused.
//! - What a pickle builds and what is made of it takes at most
//!   [`decode_bound`](daffi_serde::ValueLimits::decode_bound): 64 KiB and 24 times its length. Only
//!   what is referred to many times, or many tuples of one small value, comes near it.
//! - Text and bytes stay in the input until a type asks for them. An argument that nobody takes is
//!   not built.
//! - Reading text and decimal numbers of old protocols and finding zones by their names takes at
//!   most 65 536 steps and 32 times the length of the pickle, where a step is about a byte that is
//!   looked at: what is referred to again and again is read each time.
//! - Integers have at most [`MAX_INT_BYTES`] or, as text, [`MAX_INT_DIGITS`], and floats as text
//!   [`MAX_FLOAT_DIGITS`].
//! - A length is compared with the input that is left before memory is taken for it.
//!
//! # Map
//!
//! [`from_slice`] and [`to_vec`] read and write single values. [`Pickle`] does the same with
//! limits, and is the [`Codec`](daffi_serde::Codec) of daffi. [`ReadError`] and [`WriteError`] say
//! what can go wrong.

mod codec;
mod envelope;
mod error;
mod known;
mod opcode;
mod read;
mod within;
mod write;

use serde::{Deserialize, Serialize};

pub use crate::{
    codec::Pickle,
    error::{ReadError, WriteError},
};

/// Decimal digits that an integer written as text may have, as in CPython: reading them takes
/// quadratic time.
pub const MAX_INT_DIGITS: usize = 4300;

/// Bytes that a float written as text may have: more than all digits of the largest one, of which
/// Python writes at most 24 bytes.
pub const MAX_FLOAT_DIGITS: usize = 400;

/// Bytes that an integer may have: far more than any key of RSA has, and still quick to print.
pub const MAX_INT_BYTES: usize = 4096;

/// Reads a pickle of any protocol with the default limits.
///
/// ```
/// // pickle.dumps((1, 2), protocol=1)
/// let pair: (u8, u8) = daffi_serde_pickle::from_slice(b"(K\x01K\x02tq\x00.")?;
/// assert_eq!(pair, (1, 2));
/// # Ok::<(), daffi_serde_pickle::ReadError>(())
/// ```
///
/// # Errors
/// [`ReadError`] for what is no pickle of plain data, breaks a limit, or is no `T`.
pub fn from_slice<'de, T: Deserialize<'de>>(pickle: &'de [u8]) -> Result<T, ReadError> {
    Pickle::default().read_as(pickle)
}

/// Writes a pickle that every Python since 3.4 reads.
///
/// ```
/// assert_eq!(daffi_serde_pickle::to_vec(&(1, "a"))?, b"\x80\x04K\x01\x8c\x01a\x86.");
/// # Ok::<(), daffi_serde_pickle::WriteError>(())
/// ```
///
/// # Errors
/// [`WriteError`] for what is too deep, or refuses to be written.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, WriteError> {
    let mut out = bytes::BytesMut::new();
    Pickle::default().write(value, &mut out)?;
    Ok(out.into())
}
