//! Numbers with all their digits, where `serde_json` gives them.

use std::{any::TypeId, fmt, sync::OnceLock};

use daffi_serde::guard::Source;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// Whether `serde_json` gives numbers as maps. Its feature `arbitrary_precision` makes it do so,
/// which any crate of a build may turn on, and no other is told.
pub(crate) fn numbers_are_maps() -> bool {
    map_of_numbers().is_some()
}

/// The type by which it gives them. `serde_json` does not name it.
fn map_of_numbers() -> Option<TypeId> {
    static MAP: OnceLock<Option<TypeId>> = OnceLock::new();
    *MAP.get_or_init(|| serde_json::from_str("0.5").ok().and_then(|Probe(map)| map))
}

struct Probe(Option<TypeId>);

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhatComes;
        impl<'de> Visitor<'de> for WhatComes {
            type Value = Probe;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, _: f64) -> Result<Probe, E> {
                Ok(Probe(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Probe, A::Error> {
                Ok(Probe(Some(typeid::of::<A>())))
            }
        }
        deserializer.deserialize_any(WhatComes)
    }
}

/// A text whose numbers are maps for `serde_json`.
#[derive(Debug)]
pub(crate) struct Precise;

impl Source for Precise {
    fn numbers_as_maps(&self) -> Option<TypeId> {
        map_of_numbers()
    }
}
