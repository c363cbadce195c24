//! The part of a serializer that refuses.

/// Methods of a [`Serializer`](serde::Serializer), `bool` for `serialize_bool` and so on, each of
/// which answers with an expression whatever it is given.
///
/// Each is named, so that none is refused unnoticed. The compiler misses what is left out, but for
/// `i128`, `u128` and `collect_str`, of which serde refuses the first two and makes text of the
/// last.
macro_rules! refuse_rest {
    ($refusal:expr; $($method:tt)+) => {
        $(refuse!($method: $refusal);)+
    };
}

/// One method of [`refuse_rest!`].
macro_rules! refuse {
    (bool: $refusal:expr) => { refuse!(@ serialize_bool(bool) -> Ok: $refusal); };
    (i8: $refusal:expr) => { refuse!(@ serialize_i8(i8) -> Ok: $refusal); };
    (i16: $refusal:expr) => { refuse!(@ serialize_i16(i16) -> Ok: $refusal); };
    (i32: $refusal:expr) => { refuse!(@ serialize_i32(i32) -> Ok: $refusal); };
    (i64: $refusal:expr) => { refuse!(@ serialize_i64(i64) -> Ok: $refusal); };
    (i128: $refusal:expr) => { refuse!(@ serialize_i128(i128) -> Ok: $refusal); };
    (u8: $refusal:expr) => { refuse!(@ serialize_u8(u8) -> Ok: $refusal); };
    (u16: $refusal:expr) => { refuse!(@ serialize_u16(u16) -> Ok: $refusal); };
    (u32: $refusal:expr) => { refuse!(@ serialize_u32(u32) -> Ok: $refusal); };
    (u64: $refusal:expr) => { refuse!(@ serialize_u64(u64) -> Ok: $refusal); };
    (u128: $refusal:expr) => { refuse!(@ serialize_u128(u128) -> Ok: $refusal); };
    (f32: $refusal:expr) => { refuse!(@ serialize_f32(f32) -> Ok: $refusal); };
    (f64: $refusal:expr) => { refuse!(@ serialize_f64(f64) -> Ok: $refusal); };
    (char: $refusal:expr) => { refuse!(@ serialize_char(char) -> Ok: $refusal); };
    (str: $refusal:expr) => { refuse!(@ serialize_str(&str) -> Ok: $refusal); };
    (bytes: $refusal:expr) => { refuse!(@ serialize_bytes(&[u8]) -> Ok: $refusal); };
    (none: $refusal:expr) => { refuse!(@ serialize_none() -> Ok: $refusal); };
    (some: $refusal:expr) => { refuse!(@ serialize_some<T>(&T) -> Ok: $refusal); };
    (unit: $refusal:expr) => { refuse!(@ serialize_unit() -> Ok: $refusal); };
    (unit_struct: $refusal:expr) => {
        refuse!(@ serialize_unit_struct(&'static str) -> Ok: $refusal);
    };
    (unit_variant: $refusal:expr) => {
        refuse!(@ serialize_unit_variant(&'static str, u32, &'static str) -> Ok: $refusal);
    };
    (newtype_struct: $refusal:expr) => {
        refuse!(@ serialize_newtype_struct<T>(&'static str, &T) -> Ok: $refusal);
    };
    (newtype_variant: $refusal:expr) => {
        refuse!(@ serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> Ok: $refusal);
    };
    (seq: $refusal:expr) => { refuse!(@ serialize_seq(Option<usize>) -> SerializeSeq: $refusal); };
    (tuple: $refusal:expr) => { refuse!(@ serialize_tuple(usize) -> SerializeTuple: $refusal); };
    (tuple_struct: $refusal:expr) => {
        refuse!(@ serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct: $refusal);
    };
    (tuple_variant: $refusal:expr) => {
        refuse!(@ serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant: $refusal);
    };
    (map: $refusal:expr) => { refuse!(@ serialize_map(Option<usize>) -> SerializeMap: $refusal); };
    (struct: $refusal:expr) => {
        refuse!(@ serialize_struct(&'static str, usize) -> SerializeStruct: $refusal);
    };
    (struct_variant: $refusal:expr) => {
        refuse!(@ serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant: $refusal);
    };
    (collect_str: $refusal:expr) => {
        fn collect_str<T: std::fmt::Display + ?Sized>(self, _: &T) -> Result<Self::Ok, Self::Error> {
            $refusal
        }
    };
    (@ $method:ident $(<$of:ident>)? ($($ty:ty),*) -> $ok:ident: $refusal:expr) => {
        fn $method$(<$of: serde::Serialize + ?Sized>)?(self, $(_: $ty),*) -> Result<Self::$ok, Self::Error> {
            $refusal
        }
    };
}
