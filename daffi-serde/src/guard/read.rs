use std::marker::PhantomData;

use serde::{Deserializer, de::Visitor};

use super::{
    Rules, Watch,
    visitor::{Asked, Watched},
    watch::Depth,
};
use crate::value::{exact, tag};

/// A [`Deserializer`] that counts what it reads. Made by [`Watch::guard`].
#[derive(Debug)]
pub struct ReadGuard<'a, R, D> {
    pub(super) inner: D,
    pub(super) watch: &'a Watch<'a>,
    pub(super) depth: Depth,
    pub(super) rules: PhantomData<R>,
}

impl<'a, R: Rules, D> ReadGuard<'a, R, D> {
    fn split<V>(self, asked: Asked, visitor: V) -> (D, Watched<'a, R, V>) {
        let Self { inner, watch, depth, rules } = self;
        (inner, Watched { visitor, watch, depth, asked, rules })
    }
}

macro_rules! pass_on {
    ($($method:ident($($arg:ident: $ty:ty),*) as $asked:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, D::Error> {
            let (inner, visitor) = self.split(Asked::$asked, visitor);
            inner.$method($($arg,)* visitor)
        }
    )*};
}

macro_rules! lists {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, D::Error> {
            let (inner, visitor) = self.split(Asked::List, visitor);
            if R::LISTS_AS_ANY { inner.deserialize_any(visitor) } else { inner.$method($($arg,)* visitor) }
        }
    )*};
}

/// Methods that only a format can answer whose bytes say what they are.
macro_rules! described {
    ($($method:ident as $asked:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            if !R::SELF_DESCRIBING {
                return Err(self.watch.undescribed_error::<R, _>());
            }
            let (inner, visitor) = self.split(Asked::$asked, visitor);
            inner.$method(visitor)
        }
    )*};
}

macro_rules! numbers {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            let (inner, visitor) = self.split(Asked::Other, visitor);
            if R::NUMBERS_AS_ANY { inner.deserialize_any(visitor) } else { inner.$method(visitor) }
        }
    )*};
}

impl<'de, R: Rules, D: Deserializer<'de>> Deserializer<'de> for ReadGuard<'_, R, D> {
    type Error = D::Error;

    pass_on! {
        deserialize_str() as Text;
        deserialize_string() as Text;
        deserialize_bytes() as Bytes;
        deserialize_byte_buf() as Bytes;
        deserialize_option() as Other;
        deserialize_unit() as Other;
        deserialize_unit_struct(name: &'static str) as Other;
        deserialize_map() as Other;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) as Other;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) as Other;
    }

    lists! {
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
    }

    described! {
        deserialize_any as Any;
        deserialize_identifier as Other;
        deserialize_ignored_any as Other;
    }

    numbers! {
        deserialize_bool, deserialize_i8, deserialize_i16, deserialize_i32, deserialize_i64, deserialize_u8,
        deserialize_u16, deserialize_u32, deserialize_u64, deserialize_f32, deserialize_f64
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.split(Asked::Text, visitor);
        if R::CHARS_AS_TEXT { inner.deserialize_str(visitor) } else { inner.deserialize_char(visitor) }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.split(Asked::Other, visitor);
        // A library without wide integers may still have a form of its own for them: rmp-serde
        // reads -1 as u128::MAX.
        if R::WIDE_INTEGERS { inner.deserialize_i128(visitor) } else { inner.deserialize_any(visitor) }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.split(Asked::Other, visitor);
        if R::WIDE_INTEGERS { inner.deserialize_u128(visitor) } else { inner.deserialize_any(visitor) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        match name {
            tag::VALUE if R::SELF_DESCRIBING => {
                let (inner, visitor) = self.split(Asked::Value, visitor);
                inner.deserialize_any(visitor)
            }
            tag::VALUE => self.deserialize_enum(exact::NAME, exact::VARIANTS, visitor),
            tag::RAW_JSON if !R::RAW_JSON => Err(self.watch.raw_json()),
            _ => {
                let (inner, visitor) = self.split(Asked::Newtype, visitor);
                inner.deserialize_newtype_struct(name, visitor)
            }
        }
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}
