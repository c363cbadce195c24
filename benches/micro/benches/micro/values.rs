//! What the formats are measured with: small values, and ones of about 1 MiB.

use bytes::Bytes;
use daffi_serde::{Value, to_value};
use serde::{Deserialize, Serialize};

const MIB: usize = 1024 * 1024;

/// What an application might send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    id: u64,
    name: String,
    price: f64,
    active: bool,
}

pub(crate) fn pair() -> (i64, i64) {
    (3, 4)
}

pub(crate) fn record() -> Record {
    record_of(7)
}

fn record_of(n: u32) -> Record {
    Record {
        id: 1_000_000 + u64::from(n),
        name: format!("record number {n:05}"),
        price: f64::from(n) * 0.25,
        active: n.is_multiple_of(2),
    }
}

/// As MSGPACK about 1 MiB.
pub(crate) fn records() -> Vec<Record> {
    (0..16 * 1024).map(record_of).collect()
}

/// 1 MiB in memory, of all magnitudes.
pub(crate) fn integers() -> Vec<i64> {
    (0..MIB as u64 / 8).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n % 60)).cast_signed()).collect()
}

pub(crate) fn texts() -> Vec<String> {
    (0..16 * 1024).map(|n| format!("{n:064}")).collect()
}

pub(crate) fn text() -> String {
    "x".repeat(MIB)
}

pub(crate) fn word() -> String {
    "thirty-two bytes of a short text".to_owned()
}

pub(crate) fn bytes() -> Bytes {
    Bytes::from(vec![0xa5; MIB])
}

/// The value without its type.
pub(crate) fn to_untyped(value: impl Serialize) -> Value {
    to_value(&value).expect("plain data has a form without a type")
}
