//! What is read as another type than was sent: peers of another version, and those that lie.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    marker::PhantomData,
};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Body, Codec, Output, SerdeError, ValueLimits};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, Visitor},
};

use crate::{
    shapes,
    table::{NotRead, NotWritten, Same, Table, read, written},
};

shapes! {
    struct Nothing {}
    struct First { a: u8 }
    struct Second { a: u8, #[serde(default)] b: Option<u16>, #[serde(default = "seven")] c: u8 }
    struct Swapped { b: Option<u16>, #[serde(alias = "a")] first: u8, #[serde(default)] c: u8 }
    #[serde(deny_unknown_fields)]
    struct Exact { a: u8 }
    enum Few { A(u8), B }
    enum More { B, C, A(u8) }
}

const fn seven() -> u8 {
    7
}

/// What `sent` is for who reads a `T`, in formats that name fields and variants.
#[track_caller]
fn becomes<T: DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(sent: impl Serialize + 'static, expected: T) {
    fn check<C: Codec, T: DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(
        format: &C,
        sent: &(impl Serialize + 'static),
        expected: &T,
    ) {
        assert_eq!(&read::<C, T>(format, &written(format, sent)).unwrap(), expected, "{}", Codec::id(format));
    }
    check(&Json::default(), &sent, &expected);
    check(&Msgpack::default(), &sent, &expected);
    check(&Pickle::default(), &sent, &expected);
}

/// That who reads a `T` is told of an error, in every format.
#[track_caller]
fn refused<T: DeserializeOwned + std::fmt::Debug + 'static>(sent: impl Serialize + 'static) {
    #[track_caller]
    fn check<C: Codec, T: DeserializeOwned + std::fmt::Debug + 'static>(format: &C, sent: &(impl Serialize + 'static)) {
        let found = read::<C, T>(format, &written(format, sent));
        assert!(found.is_err(), "{}: {found:?}", Codec::id(format));
    }
    check::<_, T>(&Json::default(), &sent);
    check::<_, T>(&Msgpack::default(), &sent);
    check::<_, T>(&Pickle::default(), &sent);
    check::<_, T>(&Postcard::default(), &sent);
}

#[test]
fn fields_and_variants_are_found_by_their_names() {
    let second = Second { a: 1, b: Some(300), c: 9 };
    becomes(First { a: 1 }, Second { a: 1, b: None, c: 7 });
    becomes(second.clone(), First { a: 1 });
    becomes(second.clone(), Swapped { b: Some(300), first: 1, c: 9 });
    becomes(Few::A(1), More::A(1));
    becomes(vec![Few::B, Few::A(2)], vec![More::B, More::A(2)]);
    becomes(
        second.clone(),
        BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), Some(300)), ("c".to_owned(), Some(9))]),
    );
    becomes((1, 300, 9), second.clone());
    becomes(1_u8, Some(1_u8));
    becomes(1_u8, 1_i128);
    becomes(1_u8, 1.0);
    becomes('a', "a".to_owned());
    // Where nothing bears a name, too few or too many bytes are an error at least.
    let postcard = Postcard::default();
    read::<_, Second>(&postcard, &written(&postcard, &First { a: 1 })).unwrap_err();
    read::<_, First>(&postcard, &written(&postcard, &second)).unwrap_err();
    refused::<Exact>(second);
    read::<_, Few>(&Json::default(), &written(&Json::default(), &More::C)).unwrap_err();
    read::<_, Few>(&Msgpack::default(), &written(&Msgpack::default(), &More::C)).unwrap_err();
    read::<_, Few>(&Pickle::default(), &written(&Pickle::default(), &More::C)).unwrap_err();
}

#[test]
fn lists_of_another_length_are_refused() {
    refused::<(u8, u8)>((1_u8, 2_u8, 3_u8));
    refused::<(u8, u8, u8)>((1_u8, 2_u8));
    refused::<[u8; 2]>([1_u8, 2, 3]);
    refused::<[u8; 4]>([1_u8, 2, 3]);
    refused::<[u16; 2]>(vec![1_u16, 2, 3, 4]);
    refused::<(u8, (u8, u8))>((1_u8, (2_u8, 3_u8, 4_u8)));
    refused::<Vec<[u8; 2]>>(vec![[1_u8, 2, 3]]);
    refused::<()>((1_u8, 2_u8));
    refused::<u8>(256_u16);
    refused::<u8>(u64::MAX);
    refused::<char>("ab".to_owned());
    refused::<std::num::NonZeroU8>(0_u8);
}

/// An enum of so many variants that their numbers take more than a byte.
#[derive(Clone, Debug, PartialEq)]
struct Many(u32);

const MANY: usize = 300;

fn variants() -> &'static [&'static str] {
    static NAMES: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| (0..MANY).map(|at| &*Box::leak(format!("Variant{at}").into_boxed_str())).collect())
}

impl Serialize for Many {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_variant("Many", self.0, variants()[self.0 as usize], &self.0)
    }
}

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl<'de> DeserializeSeed<'de> for Number {
            type Value = u32;
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
                deserializer.deserialize_identifier(self)
            }
        }
        impl Visitor<'_> for Number {
            type Value = u32;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a variant")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u32, E> {
                u32::try_from(number).map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<u32, E> {
                let at = variants().iter().position(|variant| *variant == name);
                at.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| E::custom("no variant"))
            }
        }
        struct Choose;
        impl<'de> Visitor<'de> for Choose {
            type Value = Many;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("one of many")
            }
            fn visit_enum<A: serde::de::EnumAccess<'de>>(self, access: A) -> Result<Many, A::Error> {
                let (number, content) = access.variant_seed(Number)?;
                let held = serde::de::VariantAccess::newtype_variant::<u32>(content)?;
                if held == number { Ok(Many(number)) } else { Err(serde::de::Error::custom("another")) }
            }
        }
        deserializer.deserialize_enum("Many", variants(), Choose)
    }
}

#[test]
fn enums_of_hundreds_of_variants_come_back() {
    let mut table = Table::default();
    for number in [0, 127, 128, 255, 256, 299] {
        table.all(&format!("variant {number}"), Many(number));
        table.all(&format!("a list of variant {number}"), vec![Many(number); 3]);
    }
    table.check();
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Self>);

#[test]
fn what_is_nested_comes_back_as_deep_as_the_limit() {
    let nested = |levels: usize| (1..levels).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]));
    let mut table = Table::default();
    table.all("lists at the limit", nested(256));
    table.row("lists beyond it", nested(257), [NotRead, NotRead, NotWritten, NotRead]);
    let maps = |levels: usize| {
        (0..levels).fold(serde_json::json!(1), |inner, _| {
            serde_json::Value::Object([("a".to_owned(), inner)].into_iter().collect())
        })
    };
    table.row("maps at the limit", maps(256), [Same, Same, Same, NotRead]);
    table.row("maps beyond it", maps(257), [NotRead, NotRead, NotWritten, NotRead]);
    table.check();
}

/// The error for a payload that announces 2^32 - 1 elements.
fn announced<C: Codec, T: DeserializeOwned + std::fmt::Debug + 'static>(format: &C, payload: &'static [u8]) -> String {
    read::<C, T>(format, &Body::new(Bytes::from_static(payload))).unwrap_err().to_string()
}

#[test]
fn elements_that_take_no_bytes_are_counted() {
    let limits = ValueLimits::default().max_values(1000);
    let payload = b"\xff\xff\xff\xff\x0f";
    let postcard = Postcard::new(limits);
    for error in [
        announced::<_, Vec<()>>(&postcard, payload),
        announced::<_, HashSet<()>>(&postcard, payload),
        announced::<_, HashMap<(), PhantomData<u64>>>(&postcard, payload),
        announced::<_, Vec<Nothing>>(&postcard, payload),
    ] {
        assert!(error.contains("more than 1000 values"), "{error}");
    }
    let error = announced::<_, Vec<()>>(&Msgpack::new(limits), b"\x92\x91\xdd\xff\xff\xff\xff\xc0\x80");
    assert!(error.contains("4294967295 elements are announced, more than the payload has bytes for"), "{error}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Lent<'a> {
    text: &'a str,
    #[serde(borrow)]
    cow: Cow<'a, str>,
    #[serde(with = "serde_bytes", borrow)]
    data: Cow<'a, [u8]>,
    #[serde(borrow)]
    more: BTreeMap<&'a str, &'a [u8]>,
}

/// A sink that reads what borrows from its payload.
struct Borrows<'a>(&'a Lent<'a>);

impl daffi_serde::ResultSink for Borrows<'_> {
    fn result<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let read = Lent::deserialize(deserializer)?;
        if read == *self.0 { Ok(()) } else { Err(serde::de::Error::custom("changed")) }
    }
}

#[test]
fn what_is_lent_is_lent_from_the_payload() {
    let lent =
        Lent { text: "naïve", cow: "b".into(), data: b"\0\xff".into(), more: BTreeMap::from([("k", &b"\xff"[..])]) };
    fn check<C: Codec>(format: &C, lent: &Lent<'_>) -> Result<(), SerdeError> {
        let mut buffer = BytesMut::new();
        Codec::encode_result(format, lent, &mut Output::new(&mut buffer))?;
        Codec::decode_result(format, &Body::new(buffer), &mut Borrows(lent))
    }
    check(&Msgpack::default(), &lent).unwrap();
    check(&Pickle::default(), &lent).unwrap();
    check(&Postcard::default(), &lent).unwrap();
    assert!(check(&Json::default(), &lent).unwrap_err().to_string().contains("JSON has no bytes"));
    let text = "\u{1}";
    check(&Msgpack::default(), &Lent { text, cow: text.into(), data: b"".into(), more: BTreeMap::new() }).unwrap();
}
