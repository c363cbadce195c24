//! Types of the standard library and of crates that many have.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, LinkedList, VecDeque},
    marker::PhantomData,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::{NonZeroU8, Saturating, Wrapping},
    ops::{Bound, Range, RangeInclusive},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use daffi_serde::{Codec, Opaque};
use daffi_serde_json::Json;
use daffi_serde_msgpack::Msgpack;
use daffi_serde_pickle::Pickle;
use daffi_serde_postcard::Postcard;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use serde_json::value::RawValue;

use crate::{
    shapes,
    table::{Changed, NotWritten, Same, Table, read, refusal, written},
};

/// A float that is compared bit by bit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Bits<T>(T);

impl PartialEq for Bits<f32> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl PartialEq for Bits<f64> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

#[test]
fn numbers_at_their_bounds_come_back_bit_by_bit() {
    let mut table = Table::default();
    for value in [0.1_f32, -0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, f32::EPSILON, 16_777_217.0] {
        table.all(&format!("{value:e}_f32"), Bits(value));
    }
    for value in [0.1_f64, -0.0, f64::MIN_POSITIVE, f64::from_bits(1), f64::MAX, -1e300, 2_f64.powi(63), 2_f64.powi(64)]
    {
        table.all(&format!("{value:e}_f64"), Bits(value));
        table.all(&format!("a list of {value:e}_f64"), vec![Bits(value)]);
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        table.row(&format!("{value}_f32"), Bits(value), [NotWritten, Same, Same, Same]);
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        table.row(&format!("{value}_f64"), Bits(value), [NotWritten, Same, Same, Same]);
    }
    for value in [i64::MIN, -1, i64::MAX] {
        table.all(&format!("{value}_i64"), value);
    }
    for value in [i128::MIN, i64::MIN as i128 - 1, u64::MAX as i128 + 1, i128::MAX] {
        table.row(&format!("{value}_i128"), value, [Same, NotWritten, Same, Same]);
        table.row(&format!("{value}_i128 in a struct"), Wrapping(value), [Same, NotWritten, Same, Same]);
        table.row(&format!("{value}_i128 as a key"), BTreeMap::from([(value, 1)]), [Same, NotWritten, Same, Same]);
    }
    for value in [i128::from(i64::MIN), 0, i128::from(u64::MAX)] {
        table.all(&format!("{value}_i128"), value);
    }
    for value in [u128::MAX, 1 << 64, 1 << 127] {
        table.row(&format!("{value}_u128"), value, [Same, NotWritten, Same, Same]);
        table.row(&format!("{value}_u128 in an option"), Some(value), [Same, NotWritten, Same, Same]);
    }
    table.all("u64::MAX as u128", u128::from(u64::MAX));
    table.all("NonZeroU8", NonZeroU8::MAX);
    table.all("Option<NonZeroU8>", None::<NonZeroU8>);
    table.all("Wrapping", Wrapping(-1_i8));
    table.all("Saturating", Saturating(u64::MAX));
    table.check();
}

#[test]
fn text_comes_back() {
    let mut table = Table::default();
    for value in ['\0', 'a', '\u{7f}', '\u{ffff}', '\u{10000}', '🦀', char::MAX] {
        table.all(&format!("{value:?}"), value);
        table.all(&format!("{value:?} as a key"), BTreeMap::from([(value, value)]));
        table.all(&format!("{value:?} in text"), format!("a{value}b"));
    }
    table.all("empty text", String::new());
    table.all("empty text as a key", BTreeMap::from([(String::new(), 1)]));
    table.all("text of a number", "1".to_owned());
    table.all("text of a number as a key", BTreeMap::from([("1".to_owned(), 1)]));
    table.all("Cow<str>", Cow::<'static, str>::Borrowed("c"));
    table.all("Box<str>", Box::<str>::from("b"));
    table.all("PathBuf", PathBuf::from("/a/b c"));
    table.all("long text", "☃".repeat(100_000));
    table.check();
}

#[test]
fn bytes_come_back() {
    let mut table = Table::default();
    let bytes = [NotWritten, Same, Same, Same];
    table.row("ByteBuf", ByteBuf::from(b"\0\xff".to_vec()), bytes);
    table.row("empty ByteBuf", ByteBuf::new(), bytes);
    table.row("ByteArray", ByteArray::new([1_u8, 255]), bytes);
    table.row("Option<ByteBuf>", Some(ByteBuf::from(b"a".to_vec())), bytes);
    table.row("map of ByteBuf", BTreeMap::from([(ByteBuf::from(b"a".to_vec()), 1)]), bytes);
    table.all("Cow<[u8]>", Cow::<'static, [u8]>::Borrowed(b"\0\xff"));
    table.all("Box<[u8]>", Box::<[u8]>::from([0, 255]));
    table.all("VecDeque<u8>", VecDeque::from([0_u8, 255]));
    table.all("[u8; 0]", [0_u8; 0]);
    table.all("[u8; 32]", [255_u8; 32]);
    table.all("(u8, u8)", (0_u8, 255_u8));
    table.all("Vec<Option<u8>>", vec![Some(1_u8), None, Some(255)]);
    table.all("Vec<[u8; 2]>", vec![[1_u8, 2]; 3]);
    table.all("Vec<bool>", vec![true, false]);
    table.check();
}

#[test]
fn containers_come_back() {
    let mut table = Table::default();
    table.all("VecDeque", VecDeque::from([1, 2]));
    table.all("LinkedList", LinkedList::from([1, 2]));
    table.all("BTreeSet of text", BTreeSet::from(["a".to_owned()]));
    table.all("BinaryHeap", Compared(BinaryHeap::from([3, 1, 2])));
    table.all("Range", Range { start: 1, end: 5 });
    table.all("RangeInclusive", RangeInclusive::new(1, 5));
    table.all("Bound", (Bound::Included(1), Bound::<i32>::Unbounded));
    table.all("PhantomData", PhantomData::<u8>);
    table.all("Box of a list", Box::new(vec![1]));
    table.all("a list of units", vec![(); 3]);
    table.all("a list of no units", Vec::<()>::new());
    table.all("list of empty tuples", vec![((),); 2]);
    table.all("list of PhantomData", vec![PhantomData::<u8>; 3]);
    table.all("tuple of 12", (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    table.all("array of 32", [7_i64; 32]);
    let tuples = [NotWritten, NotWritten, Same, Same];
    table.row("map of (i32, i32)", BTreeMap::from([((1, -2), 3), ((4, 5), 6)]), tuples);
    table.row("map of [u8; 2]", BTreeMap::from([([1_u8, 2], 3)]), tuples);
    table.row("set of (i32, text)", BTreeSet::from([(1, "a".to_owned())]), [Same; 4]);
    table.all("map of Some", HashMap::from([(Some(1), 2)]));
    table.row("map of None", HashMap::from([(None::<i32>, 2)]), [NotWritten, Same, Same, Same]);
    table.row("map of Some and None", HashMap::from([(None, 1), (Some(2), 2)]), [NotWritten, Same, Same, Same]);
    table.row("map of floats", BTreeMap::from([(Ordered(1.5), 2)]), [Same; 4]);
    table.row("map of units", BTreeMap::from([((), 2)]), [NotWritten, Same, Same, Same]);
    let options = vec![None, Some(Some(1)), Some(None)];
    table.row("Vec<Option<Option>>", options, [Changed, Changed, Changed, Same]);
    table.all("Vec<Option<Option>> of all or nothing", vec![None, Some(Some(Some(1)))]);
    table.row("Some(unit struct)", Some(PhantomData::<u8>), [Changed, Changed, Changed, Same]);
    table.all("Ok", Ok::<i32, String>(1));
    table.all("Err", Err::<i32, String>("e".to_owned()));
    table.all("Ok(())", Ok::<(), String>(()));
    table.all("Err of data", Err::<(), Vec<u8>>(vec![0, 255]));
    table.all("Option<Result>", Some(Err::<Option<i32>, ()>(())));
    table.check();
}

/// What has no comparison of its own is compared by what it shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Compared<T>(T);

impl<T: std::fmt::Debug> PartialEq for Compared<T> {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ordered(f64);

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[test]
fn times_and_addresses_come_back() {
    let mut table = Table::default();
    table.all("Duration", Duration::new(u64::MAX, 999_999_999));
    table.all("SystemTime", SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 1));
    table.all("IpAddr 4", IpAddr::from([127, 0, 0, 1]));
    table.all("IpAddr 6", IpAddr::from(Ipv6Addr::LOCALHOST));
    table.all("SocketAddr", SocketAddr::from(([127, 0, 0, 1], 65535)));
    table.all("SocketAddr 6", SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    table.all("map of addresses", BTreeMap::from([(IpAddr::from([1, 2, 3, 4]), 5)]));
    table.all("Option<IpAddr>", Some(IpAddr::from([1, 2, 3, 4])));
    table.check();
}

#[derive(Debug, Serialize, Deserialize)]
struct Raw {
    id: u8,
    raw: Box<RawValue>,
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.raw.get()) == (other.id, other.raw.get())
    }
}

fn raw(json: &str) -> Raw {
    Raw { id: 1, raw: RawValue::from_string(json.to_owned()).unwrap() }
}

shapes! {
    struct Texts { json: String }
}

#[test]
fn text_of_json_is_carried_by_json_alone() {
    let mut table = Table::default();
    for json in
        [r#"{"b": [1,  2.50], "a": null}"#, "7", "1e400", "123456789012345678901234567890", "\"x\\u0000\"", "[]"]
    {
        table.row(json, raw(json), [Same, NotWritten, NotWritten, NotWritten]);
        table.row(&format!("{json} in a list"), vec![raw(json)], [Same, NotWritten, NotWritten, NotWritten]);
    }
    table.all("text of JSON as text", Texts { json: "{}".to_owned() });
    table.check();
    let value = raw("[1]");
    for error in [
        refusal(&Msgpack::default(), &value),
        refusal(&Pickle::default(), &value),
        refusal(&Postcard::default(), &value),
        refusal(&Opaque::default(), &value.raw),
        daffi_serde::to_value(&value).unwrap_err().to_string(),
    ] {
        assert!(error.contains("a RawValue of serde_json is text of JSON"), "{error}");
        assert!(error.contains("send what it holds"), "{error}");
    }
}

#[test]
fn text_of_json_is_read_from_json_alone() {
    fn error<C: Codec>(format: &C) -> String {
        read::<C, Box<RawValue>>(format, &written(format, &7)).unwrap_err().to_string()
    }
    let from_value = daffi_serde::from_value::<Box<RawValue>>(daffi_serde::Value::from(7)).unwrap_err();
    for error in [
        error(&Msgpack::default()),
        error(&Pickle::default()),
        error(&Postcard::default()),
        error(&Opaque::default()),
        from_value.to_string(),
    ] {
        assert!(error.contains("is read from JSON alone: take daffi's Value, or serde_json's"), "{error}");
    }
    let json = Json::default();
    assert_eq!(read::<_, Box<RawValue>>(&json, &written(&json, &vec![1, 2])).unwrap().get(), "[1,2]");
}
