//! What stands between a format's library and the data of strangers, for use by every
//! [`Codec`](crate::Codec).
//!
//! [`ReadGuard`] wraps a `Deserializer`. It counts depth and values against
//! [`ValueLimits`](crate::ValueLimits), keeps announced lengths from reserving memory, and reads
//! bytes where a list of numbers is asked for. [`Guarded`] wraps a value that is to be written. It
//! turns what the library would change silently into an error that names a format which carries it.
//! What a format has and has not is said once, in its [`Rules`]; what its library does not say of
//! what it read is looked up in the payload, its [`Source`].
//!
//! ```
//! use daffi_serde::{Value, ValueLimits, guard::{Guarded, Rules, Watch}};
//! use serde::Deserialize;
//!
//! struct Json;
//! impl Rules for Json {
//!     const NAME: &'static str = "JSON";
//!     const NON_FINITE: bool = false;
//! }
//!
//! let watch = Watch::new(ValueLimits::default().max_depth(2), 7);
//! let mut json = serde_json::Deserializer::from_str("[[[1]]]");
//! let error = Value::deserialize(watch.guard::<Json, _>(&mut json)).unwrap_err();
//! assert!(error.to_string().starts_with("nested deeper than 2 levels"));
//!
//! let error = serde_json::to_string(&Guarded::<Json, _>::new(&[f64::NAN])).unwrap_err();
//! assert_eq!(error.to_string(), "JSON has no NaN; MSGPACK and PICKLE carry it");
//! ```

mod access;
mod keys;
mod number;
pub(crate) mod octets;
mod read;
mod source;
mod visitor;
mod watch;
mod write;
mod write_parts;

use num_bigint::BigInt;
use serde::{Serializer, ser::Error};

use crate::value::{self, Value};

pub use self::{
    read::ReadGuard,
    source::Source,
    watch::Watch,
    write::{Guarded, GuardedArgs, WriteGuard},
};

/// What a format has. The defaults are those of a format that has everything but integers beyond
/// 128 bits.
pub trait Rules: 'static {
    /// The format's name in messages.
    const NAME: &'static str;
    /// Whether its bytes say what they are. In one that does not, [`Value`] is
    /// written as an enum.
    const SELF_DESCRIBING: bool = true;
    /// Whether it has NaN and infinities.
    const NON_FINITE: bool = true;
    /// Whether it has bytes. In one that has not, a `Vec<u8>` is a list and anything else made of
    /// bytes an error.
    const BYTES: bool = true;
    /// Whether it has integers between 64 and 128 bits.
    const WIDE_INTEGERS: bool = true;
    /// Whether whatever is there is read where a number is asked for. This is for libraries whose
    /// message is better then.
    const NUMBERS_AS_ANY: bool = false;
    /// Whether whatever is there is read where a list is asked for. This is for libraries that give
    /// bytes as a list then, which nobody could tell from one that was sent as such.
    const LISTS_AS_ANY: bool = false;
    /// Whether text is read where a char is asked for. This is for libraries that take the first
    /// char of a longer text.
    const CHARS_AS_TEXT: bool = false;
    /// Whether keys of maps may be lists or maps. Where a Python node reads them as such, it stops:
    /// it cannot hash them.
    const CONTAINERS_AS_KEYS: bool = true;
    /// Whether sequences that hold nothing but `u8` are written as bytes.
    const OCTETS_AS_BYTES: bool = false;
    /// Whether the format's library writes text of JSON
    /// ([`tag::RAW_JSON`](crate::value::tag::RAW_JSON)) as what it says, and reads it as that text.
    /// By default the guard refuses it.
    const RAW_JSON: bool = false;

    /// Whether the format's library writes a struct of the name
    /// [`tag::NUMBER`](crate::value::tag::NUMBER) as the number that it is, with all its digits. By
    /// default the guard writes it, as an integer or the nearest float.
    fn keeps_digits() -> bool {
        false
    }

    /// Writes an integer beyond 128 bits, for which serde has no method. A format that has such
    /// integers does it by means of its own library; by default they are refused.
    ///
    /// # Errors
    /// What the serializer says; and always, unless the format has such integers.
    fn write_big_integer<S: Serializer>(integer: &BigInt, serializer: S) -> Result<S::Ok, S::Error> {
        let _unused = serializer;
        Err(S::Error::custom(format_args!(
            "{} is beyond 128 bits, and integers of {} are not; JSON and PICKLE carry it",
            value::show(&Value::from(integer.clone())),
            Self::NAME
        )))
    }
}
