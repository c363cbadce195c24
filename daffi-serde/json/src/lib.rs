//! The JSON payload format of daffi.
//!
//! Arguments are `{"args": [...], "kwargs": {...}}`, a result is the first of `args`
//! ([protocol, 7](daffi_wire::protocol#7)): what every node of a daffi network can read, a browser
//! included. Take the facade crate `daffi` to call and serve; take this one alone to read or write
//! such payloads yourself, in a proxy or a test.
//!
//! ```
//! use bytes::BytesMut;
//! use daffi_serde::{ArgsSink, Binding, Body, Codec, Output, args};
//! use daffi_serde_json::Json;
//!
//! let json = Json::default();
//! let mut buffer = BytesMut::new();
//! json.encode_args(&args![3, b = 4], &mut Output::new(&mut buffer))?;
//! assert_eq!(buffer, r#"{"args":[3],"kwargs":{"b":4}}"#);
//!
//! let mut call = Binding::<(i64, i64)>::new("add", &["a", "b"]);
//! json.decode_args(&Body::text(buffer.freeze()), &mut call)?;
//! assert_eq!(call.finish(), Ok((3, 4)));
//! # Ok::<(), daffi_serde::SerdeError>(())
//! ```
//!
//! # What JSON has not
//!
//! NaN, infinities and bytes are errors that name a format which carries them; a `Vec<u8>` is a
//! list of numbers.
//!
//! Integers of up to 128 bits are read and written as `i128` and `u128`, and those of up to
//! [`MAX_INT_DIGITS`] as a [`Value`](daffi_serde::Value), in which an integer stays one with all
//! its digits, and a float stays a float. Other types that take whatever is there have no place for
//! an integer beyond 64 bits (serde's own buffers for tagged and untagged enums and for `flatten`,
//! `serde_json::Value`): for them it is an error.
//!
//! All this holds as well where a crate of the build turns on `arbitrary_precision` of
//! `serde_json`, with which that gives most numbers as maps of a key of its own. Types that know
//! such maps are given them, with all digits: `serde_json::Value` and `Number`, decimals of other
//! crates. So are all others that take whatever is there and are not of serde or of this project: a
//! visitor of numbers alone that asks by `deserialize_any` gets a map then, as of `serde_json`; and
//! so do serde's own buffers where this format stands behind a pointer (`dyn Format`), so that they
//! read no float there.
//!
//! Keys of maps are text. Integers and truth values as keys are read back from it by a map of such
//! keys, but for one in serde's buffers (`flatten`, tagged and untagged enums), which make no
//! number of text: that is an error of its reader, of `serde_json` as well. There take `String`
//! keys, or another format.
//!
//! `serde_json`'s `RawValue` is written as it is, and read as what stands there. Other formats
//! refuse it.
//!
//! Text with a lone surrogate, which Python can send as `"\ud800"`, is no text in Rust, and an
//! error; only in the texts of an exception it is read as a replacement character, so that class
//! and message arrive.

mod envelope;
mod precise;
mod tracked;

use daffi_serde::{
    Args, ArgsSink, Body, Codec, Output, ResultSink, SerdeError, ValueLimits,
    erased::{ErasedArgsSink, ErasedResultSink, SinkRef},
    guard::{Guarded, GuardedArgs, Rules, Watch},
};
use daffi_wire::FormatId;
use num_bigint::BigInt;
use serde::{Serialize, Serializer, de::DeserializeSeed, ser::Error as _};
use serde_json::value::RawValue;

use crate::{
    envelope::{ArgsObject, Call, Reply, ResultObject},
    precise::{Precise, numbers_are_maps},
    tracked::{Tracked, has_long_number},
};

/// Decimal digits that an integer may have. One with more may be larger than any float, and JSON's
/// readers stop there.
pub const MAX_INT_DIGITS: usize = 308;

/// The JSON format. `Default` has the default [`ValueLimits`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Json {
    limits: ValueLimits,
}

impl Json {
    /// Reads payloads under `limits`.
    #[must_use]
    pub const fn new(limits: ValueLimits) -> Self {
        Self { limits }
    }

    fn write<T: Serialize>(value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        serde_json::to_writer(out.writer(), value).map_err(|error| match error.to_string() {
            text if text == KEY_ERROR => SerdeError::encode(FormatId::JSON, format_args!("{text}; {OTHERS}")),
            text => SerdeError::encode(FormatId::JSON, text),
        })?;
        out.mark_text();
        Ok(())
    }

    fn watch(&self, text: &str) -> Watch<'static> {
        Watch::new(self.limits, text.len()).with_envelope(2)
    }

    fn read<'de>(&self, text: &'de str, seed: impl DeserializeSeed<'de, Value = ()>) -> Result<(), SerdeError> {
        let (json, watch) = (serde_json::Deserializer::from_str(text), self.watch(text));
        if numbers_are_maps() {
            return Self::run(json, text, &watch.with_source(&Precise), seed);
        }
        Self::run(json, text, &watch, seed)
    }

    /// Reads a payload in which there may be integers that `serde_json` rounds. This is slow and
    /// rare, so it goes through pointers rather than being compiled for each type.
    fn read_tracked<'de>(&self, text: &'de str, seed: impl DeserializeSeed<'de, Value = ()>) -> Result<(), SerdeError> {
        let tracked = Tracked::new(text);
        let watch = self.watch(text).with_source(&tracked);
        Self::run(serde_json::Deserializer::from_reader(&tracked), text, &watch, seed)
    }

    fn run<'de, R: serde_json::de::Read<'de>>(
        mut json: serde_json::Deserializer<R>,
        text: &str,
        watch: &Watch<'_>,
        seed: impl DeserializeSeed<'de, Value = ()>,
    ) -> Result<(), SerdeError> {
        // Its limit is fixed at 128 levels; ours is the user's.
        json.disable_recursion_limit();
        let read = seed.deserialize(watch.guard::<JsonRules, _>(&mut json)).and_then(|()| json.end());
        read.map_err(|error| match number_of_python(&error, text) {
            Some(number) => SerdeError::decode(
                FormatId::JSON,
                format_args!("JSON has no {number}; MSGPACK and PICKLE carry it: {error}"),
            ),
            None => SerdeError::decode(FormatId::JSON, error),
        })
    }
}

/// Whether there may be integers in `text` that `serde_json` rounds.
fn may_round(text: &str) -> bool {
    has_long_number(text) && !numbers_are_maps()
}

fn text(bytes: &[u8]) -> Result<&str, SerdeError> {
    std::str::from_utf8(bytes).map_err(|error| SerdeError::decode(FormatId::JSON, format_args!("not UTF-8: {error}")))
}

/// What `serde_json` says of a map whose keys are no text, and what to add.
const KEY_ERROR: &str = "key must be a string";
const OTHERS: &str =
    "MSGPACK has keys that are numbers or bytes, PICKLE tuples as well; every format has a list of pairs";

/// The word that stopped the reader, when it is one that Python's JSON has for a number.
fn number_of_python(error: &serde_json::Error, text: &str) -> Option<&'static str> {
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    let rest = line.get(error.column().checked_sub(1)?..)?;
    ["NaN", "Infinity"].into_iter().find(|word| rest.starts_with(word))
}

/// What JSON has.
#[derive(Debug)]
struct JsonRules;

impl Rules for JsonRules {
    const NAME: &'static str = "JSON";
    const NON_FINITE: bool = false;
    const BYTES: bool = false;
    const RAW_JSON: bool = true;

    fn keeps_digits() -> bool {
        numbers_are_maps()
    }

    fn write_big_integer<S: Serializer>(integer: &BigInt, serializer: S) -> Result<S::Ok, S::Error> {
        let text = integer.to_string();
        let digits = text.trim_start_matches('-').len();
        if digits > MAX_INT_DIGITS {
            return Err(S::Error::custom(format_args!(
                "an integer of {digits} digits; those of JSON have at most {MAX_INT_DIGITS}, PICKLE carries larger ones"
            )));
        }
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Codec for Json {
    fn id(&self) -> FormatId {
        FormatId::JSON
    }

    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Self::write(&Call::new(&GuardedArgs::<JsonRules, A>::new(args)), out)
    }

    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Self::write(&Reply::new(&Guarded::<JsonRules, T>::new(value)), out)
    }

    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        let text = text(&body.bytes)?;
        if may_round(text) {
            let sink: &mut dyn ErasedArgsSink = sink;
            return self.read_tracked(text, ArgsObject(&mut SinkRef(sink)));
        }
        self.read(text, ArgsObject(sink))
    }

    fn decode_bound(&self, len: usize) -> usize {
        self.limits.decode_bound(len)
    }

    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.decode_item(&body.bytes, sink)
    }

    fn decode_item<S: ResultSink>(&self, item: &[u8], sink: &mut S) -> Result<(), SerdeError> {
        let text = text(item)?;
        if may_round(text) {
            let sink: &mut dyn ErasedResultSink = sink;
            return self.read_tracked(text, ResultObject(&mut SinkRef(sink)));
        }
        self.read(text, ResultObject(sink))
    }
}

#[cfg(test)]
mod tests;
