use std::{fmt, marker::PhantomData};

use serde::{Serialize, Serializer, ser::Error};

use super::{
    Rules,
    write_parts::{Part, WrittenSeq},
};
use crate::{
    Args, ArgsVisitor, Value, to_value,
    value::{ExactSerializer, StructOrNumber, show, tag},
};

/// A value that is written under the [`Rules`] of a format.
pub struct Guarded<'a, R, T: ?Sized> {
    value: &'a T,
    rules: PhantomData<R>,
}

impl<'a, R: Rules, T: ?Sized> Guarded<'a, R, T> {
    /// Writes `value` as it is, or not at all.
    pub const fn new(value: &'a T) -> Self {
        Self { value, rules: PhantomData }
    }
}

impl<R: Rules, T: ?Sized> fmt::Debug for Guarded<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {}", R::NAME)
    }
}

impl<R: Rules, T: Serialize + ?Sized> Serialize for Guarded<'_, R, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(WriteGuard::<R, S>::new(serializer))
    }
}

/// Arguments, each of which is written under the [`Rules`] of a format.
pub struct GuardedArgs<'a, R, A: ?Sized> {
    args: &'a A,
    rules: PhantomData<R>,
}

impl<'a, R: Rules, A: Args> GuardedArgs<'a, R, A> {
    /// Writes each argument as it is, or not at all.
    pub const fn new(args: &'a A) -> Self {
        Self { args, rules: PhantomData }
    }
}

impl<R: Rules, A: Args> fmt::Debug for GuardedArgs<'_, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} arguments for {}", self.args.positional_len() + self.args.keyword_len(), R::NAME)
    }
}

impl<R: Rules, A: Args> Args for GuardedArgs<'_, R, A> {
    fn positional_len(&self) -> usize {
        self.args.positional_len()
    }

    fn keyword_len(&self) -> usize {
        self.args.keyword_len()
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        struct Visitor<'a, R, V> {
            inner: &'a mut V,
            rules: PhantomData<R>,
        }
        impl<R: Rules, V: ArgsVisitor> ArgsVisitor for Visitor<'_, R, V> {
            type Error = V::Error;
            fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), V::Error> {
                self.inner.positional(&Guarded::<R, T>::new(value))
            }
            fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), V::Error> {
                self.inner.keyword(name, &Guarded::<R, T>::new(value))
            }
        }
        self.args.visit(&mut Visitor::<R, V> { inner: visitor, rules: PhantomData })
    }
}

/// A [`Serializer`] that refuses what its format would change silently. Most codecs use
/// [`Guarded`], which makes one.
#[derive(Clone, Copy, Debug)]
pub struct WriteGuard<R, S> {
    inner: S,
    rules: PhantomData<R>,
}

impl<R: Rules, S: Serializer> WriteGuard<R, S> {
    /// Writes to `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner, rules: PhantomData }
    }
}

/// A float that some formats have no form for, or `None`.
fn non_finite(value: f64) -> Option<&'static str> {
    match value {
        value if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

fn refuse_float<R: Rules, E: Error>(name: &str) -> E {
    E::custom(format_args!("{} has no {name}; MSGPACK and PICKLE carry it", R::NAME))
}

fn refuse_wide<R: Rules, E: Error>(value: impl fmt::Display) -> E {
    E::custom(format_args!("{value} is beyond 64 bits, where integers of {} end; JSON and PICKLE carry it", R::NAME))
}

macro_rules! pass_on {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method(self, $($arg: $ty),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($arg),*)
        }
    )*};
}

macro_rules! pass_on_part {
    ($($method:ident($($arg:ident: $ty:ty),*) -> $part:ident;)*) => {$(
        fn $method(self, $($arg: $ty),*) -> Result<Self::$part, S::Error> {
            self.inner.$method($($arg),*).map(Part::new)
        }
    )*};
}

impl<R: Rules, S: Serializer> Serializer for WriteGuard<R, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = WrittenSeq<R, S>;
    type SerializeTuple = Part<R, S::SerializeTuple>;
    type SerializeTupleStruct = Part<R, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Part<R, S::SerializeTupleVariant>;
    type SerializeMap = Part<R, S::SerializeMap>;
    type SerializeStruct = StructOrNumber<Self, Part<R, S::SerializeStruct>>;
    type SerializeStructVariant = Part<R, S::SerializeStructVariant>;

    pass_on! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_none();
        serialize_unit();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    pass_on_part! {
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant;
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        if R::WIDE_INTEGERS {
            return self.inner.serialize_i128(value);
        }
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.inner.serialize_i64(value),
            (_, Ok(value)) => self.inner.serialize_u64(value),
            _ => Err(refuse_wide::<R, _>(value)),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, S::Error> {
        if R::WIDE_INTEGERS {
            return self.inner.serialize_u128(value);
        }
        match u64::try_from(value) {
            Ok(value) => self.inner.serialize_u64(value),
            Err(_) => Err(refuse_wide::<R, _>(value)),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        match non_finite(value.into()) {
            Some(name) if !R::NON_FINITE => Err(refuse_float::<R, _>(name)),
            _ => self.inner.serialize_f32(value),
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        match non_finite(value) {
            Some(name) if !R::NON_FINITE => Err(refuse_float::<R, _>(name)),
            _ => self.inner.serialize_f64(value),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        if !R::BYTES {
            return Err(S::Error::custom(format_args!(
                "{} has no bytes ({} were given); MSGPACK, PICKLE and OPAQUE carry them",
                R::NAME,
                value.len()
            )));
        }
        self.inner.serialize_bytes(value)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Guarded::<R, T>::new(value))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        // Libraries differ in this (null, an empty list), and a unit struct is to be None
        // everywhere.
        if R::SELF_DESCRIBING { self.inner.serialize_unit() } else { self.inner.serialize_unit_struct(name) }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        match name {
            tag::VALUE if R::SELF_DESCRIBING => value.serialize(self),
            tag::VALUE => value.serialize(ExactSerializer::new(self.inner)),
            tag::BIG_INT => match tag::special(name, value) {
                Some(Value::BigInt(integer)) if !R::WIDE_INTEGERS => {
                    Err(refuse_wide::<R, _>(show(&Value::BigInt(integer))))
                }
                Some(Value::BigInt(integer)) => R::write_big_integer(&integer, self.inner),
                _ => Err(S::Error::custom("an integer that is none")),
            },
            tag::OCTETS if !R::BYTES => match to_value(value) {
                Ok(Value::Bytes(bytes)) => self.inner.collect_seq(bytes.iter()),
                _ => value.serialize(self),
            },
            _ => self.inner.serialize_newtype_struct(name, &Guarded::<R, T>::new(value)),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, &Guarded::<R, T>::new(value))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        let begin = |guard: Self| guard.inner.serialize_struct(name, len).map(Part::new);
        if name == tag::NUMBER && R::keeps_digits() || name == tag::RAW_JSON && R::RAW_JSON {
            return begin(self).map(StructOrNumber::of_struct);
        }
        StructOrNumber::new(self, name, begin)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        WrittenSeq::new(self.inner, len)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}
