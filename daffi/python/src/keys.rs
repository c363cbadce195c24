//! Keys of dicts and elements of sets that a peer chose.
//!
//! Python finds a key by its hash. Those of text and bytes nobody outside of the process knows, but
//! those of numbers, and of tuples of them, anybody can compute: a dict of many keys that all have
//! one hash takes a time that grows with the square of their number, under Python's lock. So they
//! are counted before they are put in.

use std::collections::HashMap;

use daffi_serde::Value;
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::values::to_python;

/// Keys of one hash that a dict or set may have. It is two that honest ones have, -1 and -2, and a
/// few by chance.
const MOST_ALIKE: u32 = 32;

/// Integers up to here have hashes of their own.
const MODULUS: u64 = (1 << 61) - 1;

/// How many keys of one dict or set have which hash.
#[derive(Debug)]
pub(crate) struct Hashes {
    /// `None` where there are so few keys that none of this matters.
    alike: Option<HashMap<isize, u32>>,
}

impl Hashes {
    /// For so many keys.
    pub(crate) fn of(keys: usize) -> Self {
        Self { alike: (keys > MOST_ALIKE as usize).then(HashMap::new) }
    }

    /// Makes the object of one of them, and counts it.
    ///
    /// # Errors
    /// A `ValueError` when too many have its hash; a `TypeError` when it has none.
    pub(crate) fn key<'py>(&mut self, py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
        let Some(alike) = self.alike.as_mut().filter(|_| can_be_alike(value)) else { return to_python(py, value) };
        let key = to_python(py, value)?;
        let keys = alike.entry(key.hash()?).or_insert(0);
        *keys += 1;
        if *keys > MOST_ALIKE {
            return Err(PyValueError::new_err(format!(
                "a dict or set with more than {MOST_ALIKE} keys of one hash, which Python tells apart slowly; one of them is \
                 {}: send such keys as text, or in a list",
                value.kind()
            )));
        }
        Ok(key)
    }
}

/// Whether there are many values of this kind with the hash of this one, and they can be computed.
/// Of floats there are about forty.
const fn can_be_alike(value: &Value) -> bool {
    match value {
        Value::Int(integer) => integer.unsigned_abs() >= MODULUS,
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::Str(_) | Value::Bytes(_) | Value::Date(_) => false,
        _ => true,
    }
}
