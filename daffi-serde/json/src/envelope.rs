//! `{"args": [...], "kwargs": {...}}`

use std::{fmt, marker::PhantomData};

use daffi_serde::{
    Args, ArgsSink, Keywords, Positional, ResultSink,
    envelope::{ReadKeywords, ReadPositional, ReadResult, Skip},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
    ser::{SerializeMap, Serializer},
};

/// The body of a call.
#[derive(Serialize)]
#[serde(bound = "A: Args")]
pub(crate) struct Call<'a, A> {
    args: Positional<'a, A>,
    kwargs: Keywords<'a, A>,
}

impl<'a, A> Call<'a, A> {
    pub(crate) const fn new(args: &'a A) -> Self {
        Self { args: Positional(args), kwargs: Keywords(args) }
    }
}

/// The body of a reply.
#[derive(Serialize)]
pub(crate) struct Reply<'a, T> {
    args: [&'a T; 1],
    kwargs: EmptyMap,
}

impl<'a, T> Reply<'a, T> {
    pub(crate) const fn new(result: &'a T) -> Self {
        Self { args: [result], kwargs: EmptyMap }
    }
}

struct EmptyMap;

impl Serialize for EmptyMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

/// Reads the arguments of a call.
pub(crate) struct ArgsObject<'a, S>(pub(crate) &'a mut S);

/// Reads the result of a call.
pub(crate) struct ResultObject<'a, S>(pub(crate) &'a mut S);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Args,
    Kwargs,
    #[serde(other)]
    Other,
}

/// Which keys were found. Both must be there, once each.
#[derive(Default)]
struct Seen<E> {
    args: bool,
    kwargs: bool,
    error: PhantomData<E>,
}

impl<E: Error> Seen<E> {
    fn see(&mut self, key: &Key) -> Result<(), E> {
        let (seen, name) = match key {
            Key::Args => (&mut self.args, "args"),
            Key::Kwargs => (&mut self.kwargs, "kwargs"),
            Key::Other => return Ok(()),
        };
        if std::mem::replace(seen, true) { Err(E::duplicate_field(name)) } else { Ok(()) }
    }

    fn both(self) -> Result<(), E> {
        match self {
            Self { args: false, .. } => Err(E::missing_field("args")),
            Self { kwargs: false, .. } => Err(E::missing_field("kwargs")),
            _ => Ok(()),
        }
    }
}

macro_rules! object {
    ($object:ident, $sink:ident, args: $args:expr, kwargs: $kwargs:expr) => {
        impl<'de, S: $sink> DeserializeSeed<'de> for $object<'_, S> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de, S: $sink> Visitor<'de> for $object<'_, S> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"an object with "args" and "kwargs""#)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                let mut seen = Seen { args: false, kwargs: false, error: PhantomData };
                while let Some(key) = map.next_key::<Key>()? {
                    seen.see(&key)?;
                    match key {
                        Key::Args => map.next_value_seed($args(&mut *self.0))?,
                        Key::Kwargs => map.next_value_seed($kwargs(&mut *self.0))?,
                        Key::Other => map.next_value_seed(Skip)?,
                    }
                }
                seen.both()
            }
        }
    };
}

object!(ArgsObject, ArgsSink, args: ReadPositional, kwargs: ReadKeywords);
object!(ResultObject, ResultSink, args: ReadResult, kwargs: |_| Skip);
