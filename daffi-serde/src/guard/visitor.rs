use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{EnumAccess, Error, MapAccess, SeqAccess, Unexpected, Visitor},
};

use num_bigint::BigInt;

use super::{
    ReadGuard, Rules, Watch,
    access::{WatchedEnum, WatchedMap, WatchedSeq},
    watch::Depth,
};
use crate::{
    buffered::{visit_kept_bytes, visit_octets},
    value::{Value, ValueDeserializer, tag},
};

/// What a type asked for, as far as it changes what is done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whatever is there, for a type that keeps it until it knows what to make of it: serde's own
    /// buffers (tagged and untagged enums, `flatten`), `serde_json::Value`.
    Any,
    /// Whatever is there, as a [`Value`].
    Value,
    Text,
    Bytes,
    List,
    Newtype,
    Other,
}

/// A visitor whose containers are counted.
pub(super) struct Watched<'a, R, V> {
    pub(super) visitor: V,
    pub(super) watch: &'a Watch<'a>,
    pub(super) depth: Depth,
    pub(super) asked: Asked,
    pub(super) rules: PhantomData<R>,
}

impl<'a, R: Rules, V> Watched<'a, R, V> {
    fn guard<D>(watch: &'a Watch<'a>, depth: Depth, inner: D) -> ReadGuard<'a, R, D> {
        ReadGuard { inner, watch, depth, rules: PhantomData }
    }
}

impl<'de, R: Rules, V: Visitor<'de>> Watched<'_, R, V> {
    /// Bytes, wherever they are held.
    fn octets<E: Error>(self, bytes: &[u8], visit: impl FnOnce(V) -> Result<V::Value, E>) -> Result<V::Value, E> {
        match self.asked {
            // A String would take bytes that happen to be UTF-8.
            Asked::Text => Err(E::invalid_type(Unexpected::Other("bytes"), &self.visitor)),
            Asked::List => visit_octets(bytes, self.visitor, || self.watch.count_octet()),
            Asked::Any => visit_kept_bytes(bytes, self.visitor, || self.watch.count_octet()),
            _ => visit(self.visitor),
        }
    }

    /// A map that is one.
    pub(super) fn visit_entries<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let depth = self.watch.enter(self.depth)?;
        let places = self.watch.grant::<R, _>(inner.size_hint(), 2)?;
        self.visitor.visit_map(WatchedMap::<R, A> { inner, watch: self.watch, depth, places, rules: PhantomData })
    }

    /// An integer that the library gave as a float, with the digits it has in the payload.
    #[cold]
    pub(super) fn wide_integer<E: Error>(self, digits: &str) -> Result<V::Value, E> {
        let big: BigInt = digits.parse().map_err(|_| E::custom(format_args!("{digits} is no integer")))?;
        match self.asked {
            Asked::Value => {
                ValueDeserializer::<E>::new(Value::from(big)).deserialize_newtype_struct(tag::VALUE, self.visitor)
            }
            _ => Err(E::custom(format_args!(
                "{digits} is an integer beyond 64 bits, for which what takes whatever is there (a tagged or untagged enum, \
                 `flatten`, serde_json's Value) has no place: outside of such read it as daffi's Value, i128, u128 or f64"
            ))),
        }
    }
}

/// Below this a library gives integers as such; it may round those beyond to floats.
const TWO_TO_THE_63: f64 = 9_223_372_036_854_775_808.0;

macro_rules! pass_on {
    ($($method:ident: $ty:ty;)*) => {$(
        fn $method<E: Error>(self, value: $ty) -> Result<V::Value, E> {
            self.visitor.$method(value)
        }
    )*};
}

impl<'de, R: Rules, V: Visitor<'de>> Visitor<'de> for Watched<'_, R, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    pass_on! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_char: char;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
    }

    // Who keeps what is there knows octets by these widths.
    fn visit_i16<E: Error>(self, value: i16) -> Result<V::Value, E> {
        self.visitor.visit_i64(value.into())
    }

    fn visit_i32<E: Error>(self, value: i32) -> Result<V::Value, E> {
        self.visitor.visit_i64(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        if matches!(self.asked, Asked::Any | Asked::Value)
            && value.abs() >= TWO_TO_THE_63
            && let Some(digits) = self.watch.rounded_integer()
        {
            return self.wide_integer(digits);
        }
        self.visitor.visit_f64(value)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<V::Value, E> {
        self.octets(bytes, |visitor| visitor.visit_bytes(bytes))
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<V::Value, E> {
        // Who asks for bytes is given those of text, too.
        if self.asked != Asked::Bytes && self.watch.is_broken_text(bytes) {
            return Err(E::custom(format_args!("text of {} that is not UTF-8", R::NAME)));
        }
        self.octets(bytes, |visitor| visitor.visit_borrowed_bytes(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<V::Value, E> {
        match self.asked {
            Asked::Text | Asked::List | Asked::Any => self.visit_bytes(&bytes),
            _ => self.visitor.visit_byte_buf(bytes),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let depth = self.watch.wrap(self.depth)?;
        self.visitor.visit_some(Self::guard(self.watch, depth, inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        if self.asked != Asked::Newtype {
            // Where nobody asked for one, formats use it for their extensions.
            return Err(D::Error::custom(format_args!("extension types of {} are not read", R::NAME)));
        }
        self.visitor.visit_newtype_struct(Self::guard(self.watch, self.depth, inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let depth = self.watch.enter(self.depth)?;
        let places = self.watch.grant::<R, _>(inner.size_hint(), 1)?;
        self.visitor.visit_seq(WatchedSeq::<R, A> { inner, watch: self.watch, depth, places, rules: PhantomData })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        if self.watch.numbers_as_maps().is_some() && matches!(self.asked, Asked::Any | Asked::Value) {
            return self.visit_map_or_number(inner);
        }
        self.visit_entries(inner)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let (watch, depth) = (self.watch, self.depth);
        self.visitor.visit_enum(WatchedEnum::<R, A> { inner, watch, depth, rules: PhantomData })
    }
}
