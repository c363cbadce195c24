//! Maps whose keys are no text, read by types that ask what is there, where `serde_json` gives
//! numbers as maps.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
    marker::PhantomData,
    net::IpAddr,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Body, Codec, Format, Output, SerdeError, Value};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A map or a number: a type that asks what is there, as the one in serde's manual that is text or
/// a struct.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum MapOrNumber<K: Ord> {
    Map(BTreeMap<K, f64>),
    Number(f64),
}

impl<'de, K: Deserialize<'de> + Ord> Deserialize<'de> for MapOrNumber<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look<K>(PhantomData<K>);
        impl<'de, K: Deserialize<'de> + Ord> Visitor<'de> for Look<K> {
            type Value = MapOrNumber<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map or a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(MapOrNumber::Number(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(MapOrNumber::Number(number))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(MapOrNumber::Map)
            }
        }
        deserializer.deserialize_any(Look(PhantomData))
    }
}

fn through<C: Codec, T: Serialize + DeserializeOwned + 'static>(format: &C, value: &T) -> Result<T, SerdeError> {
    let mut buffer = BytesMut::new();
    Codec::encode_result(format, value, &mut Output::new(&mut buffer))?;
    let mut read = None::<T>;
    Codec::decode_result(format, &Body::new(buffer), &mut read)?;
    Ok(read.unwrap())
}

fn behind_a_pointer<T: Serialize + DeserializeOwned + 'static>(
    format: impl Format,
    value: &T,
) -> Result<T, SerdeError> {
    let format: Arc<dyn Format> = Arc::new(format);
    let mut buffer = BytesMut::new();
    format.encode_result(value, &mut Output::new(&mut buffer))?;
    let mut read = None::<T>;
    format.decode_result(&Body::new(buffer), &mut read)?;
    Ok(read.unwrap())
}

/// Both as what is asked for, and as what a type finds there.
#[track_caller]
fn come_back<K>(keys: impl IntoIterator<Item = K>)
where
    K: Serialize + DeserializeOwned + Ord + Clone + Debug + 'static,
{
    let map: BTreeMap<K, f64> = keys.into_iter().zip([0.5, 2.0, -3.25]).collect();
    let asked = MapOrNumber::Map(map.clone());
    for (format, map_found, found) in [
        ("JSON", through(&Json::default(), &map), through(&Json::default(), &asked)),
        ("JSON behind a pointer", behind_a_pointer(Json::default(), &map), behind_a_pointer(Json::default(), &asked)),
        ("MSGPACK", through(&Msgpack::default(), &map), through(&Msgpack::default(), &asked)),
        ("PICKLE", through(&Pickle::default(), &map), through(&Pickle::default(), &asked)),
    ] {
        assert_eq!(map_found.as_ref(), Ok(&map), "{format}");
        assert_eq!(found.as_ref(), Ok(&asked), "{format}");
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Id(u32);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    First,
    Second,
}

#[test]
fn integers() {
    come_back([-1_i64, 0, i64::MAX]);
    come_back([0_u8, 255]);
    come_back([u64::MAX]);
}

#[test]
fn bools() {
    come_back([false, true]);
}

#[test]
fn text() {
    come_back(["a".to_owned(), "$serde_json::private::Numbe".to_owned()]);
    come_back(["\u{1}\"".to_owned(), String::new()]);
    come_back(['x', '🦀']);
}

#[test]
fn named() {
    come_back([Name::First, Name::Second]);
    come_back([Id(7), Id(8)]);
    come_back([Some(1), Some(2)]);
    come_back([IpAddr::from([127, 0, 0, 1])]);
}

#[test]
fn bytes() {
    let map = BTreeMap::from([(Bytes::from_static(b"\0\xff"), 0.5), (Bytes::from_static(b"x"), 1.5)]);
    let asked = MapOrNumber::Map(map);
    assert_eq!(through(&Msgpack::default(), &asked).unwrap(), asked);
    assert_eq!(through(&Pickle::default(), &asked).unwrap(), asked);
    assert!(through(&Json::default(), &asked).unwrap_err().to_string().contains("JSON has no bytes"));
}

#[test]
fn a_key_of_bytes_is_read_from_text() {
    let body = Body::text(r#"{"args":[{"a":0.5}],"kwargs":{}}"#);
    let mut read = None::<MapOrNumber<Bytes>>;
    Codec::decode_result(&Json::default(), &body, &mut read).unwrap();
    assert_eq!(read, Some(MapOrNumber::Map(BTreeMap::from([(Bytes::from_static(b"a"), 0.5)]))));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(f64),
    Text(String),
}

#[test]
fn numbers_behind_a_pointer() {
    assert_eq!(behind_a_pointer(Json::default(), &Value::from(2.5)), Ok(Value::from(2.5)));
    assert_eq!(behind_a_pointer(Json::default(), &vec![0.5]), Ok(vec![0.5]));
    // What stands behind a pointer does not see that it is serde which asks.
    behind_a_pointer(Json::default(), &Untagged::Number(2.5)).unwrap_err();
    assert_eq!(through(&Json::default(), &Untagged::Number(2.5)), Ok(Untagged::Number(2.5)));
}
