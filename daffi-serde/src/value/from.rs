//! Common types as a [`Value`].

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use bytes::Bytes;
use num_bigint::BigInt;

use super::{Date, DateTime, Time, TimeDelta, Value};

macro_rules! from {
    ($($ty:ty: $value:ident => $made:expr;)*) => {$(
        impl From<$ty> for Value {
            fn from($value: $ty) -> Self {
                $made
            }
        }
    )*};
}

from! {
    (): _unit => Self::Null;
    bool: value => Self::Bool(value);
    i8: value => Self::Int(value.into());
    i16: value => Self::Int(value.into());
    i32: value => Self::Int(value.into());
    i64: value => Self::Int(value);
    isize: value => (value as i128).into();
    usize: value => (value as u128).into();
    i128: value => i64::try_from(value).map_or_else(|_| Self::BigInt(Box::new(value.into())), Self::Int);
    u8: value => Self::Int(value.into());
    u16: value => Self::Int(value.into());
    u32: value => Self::Int(value.into());
    u64: value => i128::from(value).into();
    u128: value => i64::try_from(value).map_or_else(|_| Self::BigInt(Box::new(value.into())), Self::Int);
    BigInt: value => i64::try_from(&value).map_or_else(|_| Self::BigInt(Box::new(value)), Self::Int);
    f32: value => Self::Float(value.into());
    f64: value => Self::Float(value);
    char: value => Self::Str(value.encode_utf8(&mut [0; 4]).into());
    &str: value => Self::Str(value.into());
    String: value => Self::Str(value.into());
    Box<str>: value => Self::Str(value);
    Cow<'_, str>: value => Self::Str(value.into());
    Bytes: value => Self::Bytes(Vec::from(value).into());
    Date: value => Self::Date(value);
    Time: value => Self::Time(Box::new(value));
    DateTime: value => Self::DateTime(Box::new(value));
    TimeDelta: value => Self::TimeDelta(value);
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A list. For bytes use [`Bytes`].
impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

/// A list.
impl<T: Into<Self>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// A map.
impl<K: Into<Self>, V: Into<Self>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<K: Into<Self>, V: Into<Self>, S> From<HashMap<K, V, S>> for Value {
    fn from(map: HashMap<K, V, S>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Into<Self>, V: Into<Self>> From<BTreeMap<K, V>> for Value {
    fn from(map: BTreeMap<K, V>) -> Self {
        map.into_iter().collect()
    }
}

impl<T: Into<Self>, S> From<HashSet<T, S>> for Value {
    fn from(set: HashSet<T, S>) -> Self {
        Self::Set(set.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>> From<BTreeSet<T>> for Value {
    fn from(set: BTreeSet<T>) -> Self {
        Self::Set(set.into_iter().map(Into::into).collect())
    }
}
