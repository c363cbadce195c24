use std::{any::TypeId, cell::Cell, fmt, marker::PhantomData};

use serde::de::Error;

use super::{ReadGuard, Rules, Source};
use crate::{ValueLimits, buffered::TooManyOctets, value::tag};

/// What was counted while one payload is read. All guards of a payload share one.
#[derive(Debug)]
pub struct Watch<'a> {
    limits: ValueLimits,
    /// Levels of the payload that are not the user's: the list of arguments, for one.
    envelope: usize,
    values_left: Cell<usize>,
    places_left: Cell<usize>,
    breach: Cell<Option<Breach>>,
    source: Option<&'a dyn Source>,
    numbers_as_maps: Option<TypeId>,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug)]
enum Breach {
    Depth(usize),
    Values(usize),
    Octets(TooManyOctets),
    /// A type asks a format that does not say so what is there.
    Undescribed(&'static str),
    RawJson,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth(limit) => write!(f, "nested deeper than {limit} levels (max_depth)"),
            Self::Values(limit) => write!(f, "more than {limit} values (max_values)"),
            Self::Octets(too_many) => too_many.fmt(f),
            Self::RawJson => f.write_str(tag::RAW_JSON_UNREAD),
            Self::Undescribed(format) => write!(
                f,
                "the type asks what is there, which {format} does not say (an internally or adjacently tagged or untagged \
                 enum, `flatten`, serde_json's Value): use JSON, MSGPACK or PICKLE, or \
                 daffi's Value at both ends"
            ),
        }
    }
}

/// Where in the nesting a guard stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Depth {
    containers: usize,
    /// Containers, and what nests without being one: `Some` and newtype variants, which a format
    /// may spend nothing or one byte on.
    all: usize,
}

impl<'a> Watch<'a> {
    /// Reads a payload of `len` bytes under `limits`. In a format that describes itself all
    /// containers together may announce no more elements than that. Where the length of the payload
    /// is not known, `limits.max_values` is in its place.
    #[must_use]
    pub const fn new(limits: ValueLimits, len: usize) -> Self {
        Self {
            limits,
            envelope: 0,
            values_left: Cell::new(limits.max_values),
            places_left: Cell::new(len),
            breach: Cell::new(None),
            source: None,
            numbers_as_maps: None,
        }
    }

    /// Asks `source` what the format's library leaves unsaid.
    #[must_use]
    pub fn with_source(mut self, source: &'a dyn Source) -> Self {
        self.source = Some(source);
        self.numbers_as_maps = source.numbers_as_maps();
        self
    }

    /// Allows `levels` more, and as many values as they are made of: for what a format puts around
    /// the user's values.
    #[must_use]
    pub fn with_envelope(mut self, levels: usize) -> Self {
        self.envelope = levels;
        self.values_left = Cell::new(self.limits.max_values.saturating_add(levels * 2));
        self
    }

    /// Guards a deserializer.
    pub const fn guard<R: Rules, D>(&self, deserializer: D) -> ReadGuard<'_, R, D> {
        ReadGuard { inner: deserializer, watch: self, depth: Depth { containers: 0, all: 0 }, rules: PhantomData }
    }

    /// The rule or limit that was broken, in words, for formats whose errors keep no text.
    #[must_use]
    pub fn breach(&self) -> Option<String> {
        self.breach.get().map(|breach| breach.to_string())
    }

    /// A container opens.
    pub(super) fn enter<E: Error>(&self, depth: Depth) -> Result<Depth, E> {
        let next = Depth { containers: depth.containers + 1, all: depth.all + 1 };
        self.check(next)
    }

    /// A `Some` or a newtype variant opens.
    pub(super) fn wrap<E: Error>(&self, depth: Depth) -> Result<Depth, E> {
        self.check(Depth { all: depth.all + 1, ..depth })
    }

    fn check<E: Error>(&self, depth: Depth) -> Result<Depth, E> {
        let limit = self.limits.max_depth.saturating_add(self.envelope);
        // A list of enums or of options nests twice per level, and ends in one more.
        if depth.containers > limit || depth.all > limit.saturating_mul(2).saturating_add(1) {
            return Err(self.breach_error(Breach::Depth(self.limits.max_depth)));
        }
        Ok(depth)
    }

    /// Counts one value that is about to be read. Guards do so for what containers hold; a format
    /// that reads its arguments one by one does so for each.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn count<E: Error>(&self) -> Result<(), E> {
        self.count_or(Breach::Values)
    }

    /// Counts one of the elements that bytes become.
    pub(super) fn count_octet<E: Error>(&self) -> Result<(), E> {
        self.count_or(|limit| Breach::Octets(TooManyOctets(limit)))
    }

    #[inline]
    fn count_or<E: Error>(&self, breach: impl FnOnce(usize) -> Breach) -> Result<(), E> {
        match self.values_left.get().checked_sub(1) {
            Some(left) => self.values_left.set(left),
            None => return Err(self.breach_error(breach(self.limits.max_values))),
        }
        Ok(())
    }

    /// How much of an announced length may be made room for: in all containers together, one value
    /// per byte of the payload. In formats whose values take a byte each, to announce more is not
    /// to be able to keep it.
    pub(super) fn grant<R: Rules, E: Error>(
        &self,
        announced: Option<usize>,
        values_each: usize,
    ) -> Result<Option<usize>, E> {
        let Some(announced) = announced else { return Ok(None) };
        let values = announced.saturating_mul(values_each);
        let granted = values.min(self.places_left.get());
        if R::SELF_DESCRIBING && granted < values {
            return Err(E::custom(format_args!(
                "{announced} elements are announced, more than the payload has bytes for"
            )));
        }
        self.places_left.set(self.places_left.get() - granted);
        Ok(Some(granted / values_each))
    }

    /// The digits of the number that was read last, where the library rounded an integer.
    pub(super) fn rounded_integer(&self) -> Option<&'a str> {
        self.source?.rounded_integer()
    }

    /// The maps that are numbers.
    pub(super) const fn numbers_as_maps(&self) -> Option<TypeId> {
        self.numbers_as_maps
    }

    /// Whether `bytes` stand in the payload as text, which they are not.
    pub(super) fn is_broken_text(&self, bytes: &[u8]) -> bool {
        self.source.is_some_and(|source| source.is_text(bytes)) && std::str::from_utf8(bytes).is_err()
    }

    /// A type asks what is there, and the format does not say.
    #[cold]
    pub(super) fn undescribed_error<R: Rules, E: Error>(&self) -> E {
        self.breach_error(Breach::Undescribed(R::NAME))
    }

    /// A type asks for text of JSON, which the format does not hold.
    #[cold]
    pub(super) fn raw_json<E: Error>(&self) -> E {
        self.breach_error(Breach::RawJson)
    }

    #[cold]
    fn breach_error<E: Error>(&self, breach: Breach) -> E {
        self.breach.set(Some(breach));
        E::custom(breach)
    }
}
