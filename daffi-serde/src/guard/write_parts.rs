use std::marker::PhantomData;

use serde::{
    Serialize, Serializer,
    ser::{
        Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{Guarded, Rules, keys, octets::as_octet};

/// A container being written, each element guarded.
#[expect(missing_debug_implementations, reason = "lives within one call")]
#[expect(unnameable_types, reason = "only the guard makes it")]
pub struct Part<R, S> {
    inner: S,
    rules: PhantomData<R>,
}

impl<R, S> Part<R, S> {
    pub(super) const fn new(inner: S) -> Self {
        Self { inner, rules: PhantomData }
    }
}

macro_rules! elements {
    ($($of:ident::$method:ident($($key:ident: $ty:ty)?) $(or $skip:ident)?;)*) => {$(
        impl<R: Rules, S: $of> $of for Part<R, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($key: $ty,)? value: &T) -> Result<(), S::Error> {
                self.inner.$method($($key,)? &Guarded::<R, T>::new(value))
            }

            $(fn $skip(&mut self, key: &'static str) -> Result<(), S::Error> {
                // Where nothing names a field, its reader takes the next one for it.
                if R::SELF_DESCRIBING { self.inner.$skip(key) } else { Err(skipped_error::<R, _>(key)) }
            })?

            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(key: &'static str) or skip_field;
    SerializeStructVariant::serialize_field(key: &'static str) or skip_field;
}

#[cold]
fn skipped_error<R: Rules, E: Error>(field: &str) -> E {
    E::custom(format_args!(
        "the field {field} is left out (`skip_serializing_if`), and in {} no field bears its name, so that its reader would \
         take the next one for it: send it always, or use JSON, MSGPACK or PICKLE",
        R::NAME
    ))
}

impl<R: Rules, S: SerializeMap> SerializeMap for Part<R, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        keys::check::<R, T, S::Error>(key)?;
        self.inner.serialize_key(&Guarded::<R, T>::new(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.inner.serialize_value(&Guarded::<R, T>::new(value))
    }

    fn serialize_entry<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Result<(), S::Error> {
        keys::check::<R, K, S::Error>(key)?;
        self.inner.serialize_entry(&Guarded::<R, K>::new(key), &Guarded::<R, T>::new(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

/// A sequence being written: a list, or bytes for as long as it holds nothing but `u8`.
#[expect(missing_debug_implementations, reason = "lives within one call")]
#[expect(unnameable_types, reason = "only the guard makes it")]
pub struct WrittenSeq<R, S: Serializer> {
    state: State<S>,
    rules: PhantomData<R>,
}

enum State<S: Serializer> {
    Octets {
        serializer: S,
        len: Option<usize>,
        octets: Vec<u8>,
    },
    List(S::SerializeSeq),
    /// The state between two others, which is seen only after an error.
    Broken,
}

impl<R: Rules, S: Serializer> WrittenSeq<R, S> {
    pub(super) fn new(serializer: S, len: Option<usize>) -> Result<Self, S::Error> {
        let state = if R::OCTETS_AS_BYTES {
            State::Octets { serializer, len, octets: Vec::new() }
        } else {
            State::List(serializer.serialize_seq(len)?)
        };
        Ok(Self { state, rules: PhantomData })
    }
}

impl<R: Rules, S: Serializer> SerializeSeq for WrittenSeq<R, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        if let State::Octets { len, octets, .. } = &mut self.state
            && let Some(octet) = as_octet(value)
        {
            if octets.is_empty() {
                octets.reserve_exact(len.unwrap_or(0));
            }
            octets.push(octet);
            return Ok(());
        }
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Octets { serializer, len, octets } => {
                let mut list = serializer.serialize_seq(len)?;
                octets.iter().try_for_each(|octet| list.serialize_element(octet))?;
                State::List(list)
            }
            state => state,
        };
        match &mut self.state {
            State::List(list) => list.serialize_element(&Guarded::<R, T>::new(value)),
            _ => Err(broken_error()),
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match self.state {
            State::Octets { serializer, octets, .. } if !octets.is_empty() => serializer.serialize_bytes(&octets),
            // Of an empty sequence nobody knows what it would have held.
            State::Octets { serializer, .. } => serializer.serialize_seq(Some(0))?.end(),
            State::List(list) => list.end(),
            State::Broken => Err(broken_error()),
        }
    }
}

#[cold]
fn broken_error<E: serde::ser::Error>() -> E {
    E::custom("a sequence goes on after an error")
}
