//! `[args, kwargs]`

use std::fmt;

use daffi_serde::{
    Args, ArgsSink, Keywords, Positional, ResultSink,
    envelope::{ReadKeywords, ReadPositional, ReadResult, Skip},
};
use serde::{
    Deserializer, Serialize,
    de::{DeserializeSeed, Error, SeqAccess, Visitor},
    ser::{SerializeMap, Serializer},
};

/// The body of a call.
pub(crate) const fn call<A: Args>(args: &A) -> (Positional<'_, A>, Keywords<'_, A>) {
    (Positional(args), Keywords(args))
}

/// The body of a reply.
pub(crate) const fn reply<T: Serialize>(result: &T) -> ((&T,), EmptyMap) {
    ((result,), EmptyMap)
}

pub(crate) struct EmptyMap;

impl Serialize for EmptyMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

/// Reads the arguments of a call.
pub(crate) struct ArgsPair<'a, S>(pub(crate) &'a mut S);

/// Reads the result of a call.
pub(crate) struct ResultPair<'a, S>(pub(crate) &'a mut S);

const PAIR: &str = "a pair of positional and keyword arguments";

macro_rules! pair {
    ($pair:ident, $sink:ident, args: $args:expr, kwargs: $kwargs:expr) => {
        impl<'de, S: $sink> DeserializeSeed<'de> for $pair<'_, S> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_tuple(2, self)
            }
        }

        impl<'de, S: $sink> Visitor<'de> for $pair<'_, S> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(PAIR)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
                let missing = |index| A::Error::invalid_length(index, &PAIR);
                seq.next_element_seed($args(&mut *self.0))?.ok_or_else(|| missing(0))?;
                seq.next_element_seed($kwargs(&mut *self.0))?.ok_or_else(|| missing(1))
            }
        }
    };
}

pair!(ArgsPair, ArgsSink, args: ReadPositional, kwargs: ReadKeywords);
pair!(ResultPair, ResultSink, args: ReadResult, kwargs: |_| Skip);
