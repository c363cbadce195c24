//! Keys that Python cannot hash.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible, SerializeSeq},
};

use super::{Rules, octets::as_octet};
use crate::value::{StructOrNumber, show};

/// Refuses a key that is a container, unless the format has such keys.
pub(super) fn check<R: Rules, K: Serialize + ?Sized, E: Error>(key: &K) -> Result<(), E> {
    if R::CONTAINERS_AS_KEYS {
        return Ok(());
    }
    match key.serialize(KindProbe) {
        Err(Unhashable::Container(kind)) => Err(E::custom(format_args!(
            "{kind} cannot be a key of a map in {}: Python cannot hash it (the key is {}); PICKLE carries tuples and frozen \
             sets as keys",
            R::NAME,
            show(key)
        ))),
        // Its writer says better what else is wrong with it.
        _ => Ok(()),
    }
}

/// A sequence of nothing but `u8` travels as bytes, which Python can hash.
struct OctetProbe {
    any: bool,
}

impl SerializeSeq for OctetProbe {
    type Ok = ();
    type Error = Unhashable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unhashable> {
        self.any = true;
        as_octet(value).map(drop).ok_or(Unhashable::Container("a list"))
    }

    fn end(self) -> Result<(), Unhashable> {
        if self.any { Ok(()) } else { Err(Unhashable::Container("a list")) }
    }
}

/// Finds out whether a value is a container, and writes nothing.
struct KindProbe;

#[derive(Debug)]
enum Unhashable {
    Container(&'static str),
    Other,
}

impl fmt::Display for Unhashable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no key")
    }
}

impl std::error::Error for Unhashable {}

impl Error for Unhashable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

macro_rules! scalars {
    ($($method:ident($($ty:ty),*);)*) => {$(
        #[inline]
        fn $method(self, $(_: $ty),*) -> Result<(), Unhashable> {
            Ok(())
        }
    )*};
}

impl Serializer for KindProbe {
    type Ok = ();
    type Error = Unhashable;
    type SerializeSeq = OctetProbe;
    type SerializeTuple = Impossible<(), Unhashable>;
    type SerializeTupleStruct = Impossible<(), Unhashable>;
    type SerializeTupleVariant = Impossible<(), Unhashable>;
    type SerializeMap = Impossible<(), Unhashable>;
    type SerializeStruct = StructOrNumber<Self, Impossible<(), Unhashable>>;
    type SerializeStructVariant = Impossible<(), Unhashable>;

    scalars! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    refuse_rest! {
        Err(Unhashable::Container("a tuple, which is a list there,"));
        tuple tuple_struct
    }

    refuse_rest! {
        Err(Unhashable::Container("a map"));
        newtype_variant tuple_variant map struct_variant
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeStruct, Unhashable> {
        StructOrNumber::new(self, name, |_| Err(Unhashable::Container("a map")))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<OctetProbe, Unhashable> {
        Ok(OctetProbe { any: false })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unhashable> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unhashable> {
        value.serialize(self)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), Unhashable> {
        Ok(())
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}
