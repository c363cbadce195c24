//! Numbers with all their digits, where `serde_json` gives them.

use std::{fmt, sync::OnceLock};

use daffi_serde::{guard::Source, value::tag};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// Whether `serde_json` gives numbers as maps. Its feature `arbitrary_precision` makes it do so,
/// which any crate of a build may turn on, and no other is told.
pub(crate) fn numbers_are_maps() -> bool {
    static ARE_MAPS: OnceLock<bool> = OnceLock::new();
    *ARE_MAPS.get_or_init(|| serde_json::from_str("0.5").is_ok_and(|Probe(is_map)| is_map))
}

struct Probe(bool);

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhatComes;
        impl<'de> Visitor<'de> for WhatComes {
            type Value = Probe;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, _: f64) -> Result<Probe, E> {
                Ok(Probe(false))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Probe, A::Error> {
                Ok(Probe(true))
            }
        }
        deserializer.deserialize_any(WhatComes)
    }
}

/// A text in which numbers are told from maps that are written like them.
#[derive(Debug)]
pub(crate) struct Precise<'a>(pub(crate) &'a str);

impl Source for Precise<'_> {
    fn has_numbers_as_maps(&self) -> bool {
        true
    }

    fn is_number(&self, key: &str) -> bool {
        // A key of the payload is lent from there, or not lent.
        key == tag::NUMBER && !self.0.as_bytes().as_ptr_range().contains(&key.as_ptr())
    }
}
