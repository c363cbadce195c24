//! Seeds that read what self-describing formats put around the user's values: a list of positional
//! arguments, a map of keyword arguments, a list whose first element is the result
//! ([protocol, 7](daffi_wire::protocol#7)).

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{ArgsSink, ResultSink};

/// Reads a list as the positional arguments.
#[derive(Debug)]
pub struct ReadPositional<'a, S>(pub &'a mut S);

impl<'de, S: ArgsSink> DeserializeSeed<'de> for ReadPositional<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: ArgsSink> Visitor<'de> for ReadPositional<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of positional arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        struct One<'a, S> {
            sink: &'a mut S,
            index: usize,
        }
        impl<'de, S: ArgsSink> DeserializeSeed<'de> for One<'_, S> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                self.sink.positional(self.index, deserializer)
            }
        }
        let mut index = 0;
        while seq.next_element_seed(One { sink: &mut *self.0, index })?.is_some() {
            index += 1;
        }
        Ok(())
    }
}

/// Reads a map as the keyword arguments.
#[derive(Debug)]
pub struct ReadKeywords<'a, S>(pub &'a mut S);

impl<'de, S: ArgsSink> DeserializeSeed<'de> for ReadKeywords<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: ArgsSink> Visitor<'de> for ReadKeywords<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of keyword arguments")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        struct One<'a, S> {
            sink: &'a mut S,
            name: &'a str,
        }
        impl<'de, S: ArgsSink> DeserializeSeed<'de> for One<'_, S> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                self.sink.keyword(self.name, deserializer)
            }
        }
        while let Some(name) = map.next_key::<String>()? {
            map.next_value_seed(One { sink: &mut *self.0, name: &name })?;
        }
        Ok(())
    }
}

/// Reads a list whose first element is the result; the rest is skipped.
#[derive(Debug)]
pub struct ReadResult<'a, S>(pub &'a mut S);

impl<'de, S: ResultSink> DeserializeSeed<'de> for ReadResult<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: ResultSink> Visitor<'de> for ReadResult<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list that holds the result")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        struct One<'a, S>(&'a mut S);
        impl<'de, S: ResultSink> DeserializeSeed<'de> for One<'_, S> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                self.0.result(deserializer)
            }
        }
        seq.next_element_seed(One(self.0))?.ok_or_else(|| A::Error::invalid_length(0, &"one result"))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// UTF-8 as Python and JSON may hold it, where a lone surrogate stands for something that was no
/// text: each becomes one replacement character, and so does what is broken otherwise. This is for
/// text that is better read in part than not at all, such as that of an error.
///
/// ```
/// use daffi_serde::envelope::lossy_text;
/// assert_eq!(lossy_text(b"file \xed\xb3\xbf"), "file \u{fffd}");
/// ```
#[must_use]
pub fn lossy_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        let broken = chunk.invalid();
        rest = &rest[chunk.valid().len()..];
        let len = match rest {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            _ => broken.len(),
        };
        if len > 0 {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        rest = &rest[len..];
    }
    Cow::Owned(text)
}

/// Reads and drops a value: the part of an envelope that nobody asked for.
#[derive(Clone, Copy, Debug)]
pub struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_ignored_any(IgnoredAny).map(drop)
    }
}
