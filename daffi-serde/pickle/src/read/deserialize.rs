//! What a pickle has built, visited by the types that were asked for.

use std::borrow::Cow;

use daffi_serde::{
    Value,
    value::{ValueDeserializer, exact, tag, visit_kept_bytes, visit_octets},
};
use serde::{
    Deserializer,
    de::{Error, Unexpected, Visitor},
    forward_to_deserialize_any,
};

use super::{
    Loaded, TYPED_COST, VALUE_COST,
    access::{ElementAccess, EntryAccess, Exact, Variant},
    arena::{Items, Kind, Owned},
    int,
    scalar::{self, Scalar},
    slot::{Place, Slot},
};
use crate::{ReadError, known::Known, opcode as op};

/// Reads the value of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotDeserializer<'r, 'a> {
    loaded: &'r Loaded<'a>,
    slot: Slot,
    path: Option<&'r Path<'r>>,
    /// What each element is counted as.
    cost: usize,
}

/// The containers around a value, innermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'p> {
    slot: Slot,
    depth: usize,
    above: Option<&'p Self>,
}

/// What a slot holds.
pub(super) enum Content<'r, 'a> {
    Scalar(Scalar<'a>),
    Items(Kind, Items<'r>),
    Owned(&'r Owned),
}

impl<'r, 'a> SlotDeserializer<'r, 'a> {
    pub(super) const fn new(loaded: &'r Loaded<'a>, slot: Slot) -> Self {
        Self { loaded, slot, path: None, cost: TYPED_COST }
    }

    /// The deserializer of an element of this one.
    pub(super) const fn element(self, slot: Slot, path: &'r Path<'r>) -> Self {
        Self { slot, path: Some(path), ..self }
    }

    /// Opens the container that the slot is, with `values` in it.
    pub(super) fn open(&self, values: usize) -> Result<Path<'r>, ReadError> {
        let depth = self.path.map_or(0, |path| path.depth) + 1;
        let path = Path { slot: self.slot, depth, above: self.path };
        let limit = self.loaded.limits.max_depth;
        if depth > limit {
            return Err(path.cycle().unwrap_or(ReadError::Depth { limit }));
        }
        // Where a limit is met because a container holds itself, the error says that.
        self.loaded.count_at(values, self.cost).map_err(|error| path.cycle().unwrap_or(error))?;
        Ok(path)
    }

    /// The elements, if the slot is a container that was built.
    fn container(&self) -> Option<(Kind, Items<'r>)> {
        let Place::Node(node) = self.slot.place() else { return None };
        let arena = &self.loaded.arena;
        let kind = arena.kind(node);
        let holds_elements = !matches!(kind, Kind::Name | Kind::Owned | Kind::Skipped);
        holds_elements.then(|| (kind, arena.items(node, self.loaded.input)))
    }

    pub(super) fn content(&self) -> Result<Content<'r, 'a>, ReadError> {
        let arena = &self.loaded.arena;
        let node = match self.slot.place() {
            Place::Input(at) => return scalar::read(self.loaded.input, at, &self.loaded.work).map(Content::Scalar),
            Place::Node(node) => node,
        };
        match arena.kind(node) {
            Kind::Name => Err(ReadError::Name(arena.name(node).full_name().to_owned())),
            Kind::Skipped => Err(ReadError::Envelope("made of plain data alone")),
            Kind::Owned => Ok(Content::Owned(arena.owned(node))),
            kind => Ok(Content::Items(kind, arena.items(node, self.loaded.input))),
        }
    }

    fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str, ReadError> {
        self.loaded.take_room(bytes.len())?;
        std::str::from_utf8(bytes).map_err(|_| {
            let at = match self.slot.place() {
                Place::Input(at) | Place::Node(at) => at,
            };
            ReadError::Text { at }
        })
    }

    fn none(&self) -> Items<'r> {
        Items::none(self.loaded.input)
    }

    fn visit_scalar<V: Visitor<'a>>(self, scalar: Scalar<'a>, visitor: V) -> Result<V::Value, ReadError> {
        match scalar {
            Scalar::Null => visitor.visit_unit(),
            Scalar::Bool(value) => visitor.visit_bool(value),
            Scalar::Int(value) => visitor.visit_i64(value),
            Scalar::Float(value) => visitor.visit_f64(value),
            Scalar::Utf8(bytes) => visitor.visit_borrowed_str(self.utf8(bytes)?),
            Scalar::Text(text) => {
                self.loaded.take_room(text.len())?;
                match text {
                    Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                    Cow::Owned(text) => visitor.visit_string(text),
                }
            }
            Scalar::Data(data) => {
                self.loaded.take_room(data.len())?;
                visitor.visit_borrowed_bytes(data)
            }
            Scalar::Long(bytes) => match int::sign_extend(bytes) {
                Some(wide) => visit_wide(wide, visitor),
                None => self.visit_value(int::value(bytes), bytes.len(), visitor),
            },
            Scalar::Big(big) => {
                let bytes = usize::try_from(big.bits() / 8).unwrap_or(usize::MAX);
                self.visit_value(big.into(), bytes, visitor)
            }
            Scalar::EmptyTuple | Scalar::EmptyList | Scalar::EmptySet => self.visit_items(self.none(), visitor),
            Scalar::EmptyDict => self.visit_entries(self.none(), visitor),
        }
    }

    fn visit_value<V: Visitor<'a>>(self, value: Value, bytes: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.loaded.take_room(bytes)?;
        ValueDeserializer::new(value).deserialize_any(visitor)
    }

    fn visit_owned<V: Visitor<'a>>(self, owned: &Owned, visitor: V) -> Result<V::Value, ReadError> {
        match owned {
            Owned::Data(data) => {
                self.loaded.take_room(data.len())?;
                visitor.visit_bytes(data)
            }
            Owned::Value(value) => self.visit_value(value.clone(), boxed_bytes(value), visitor),
            other => Err(unfinished_error(other)),
        }
    }

    fn visit_leaf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_content(self.content()?, visitor)
    }

    /// Visits what is no container, whose content was read already.
    fn visit_content<V: Visitor<'a>>(self, content: Content<'r, 'a>, visitor: V) -> Result<V::Value, ReadError> {
        match content {
            Content::Scalar(scalar) => self.visit_scalar(scalar, visitor),
            Content::Owned(owned) => self.visit_owned(owned, visitor),
            Content::Items(..) => self.deserialize_any(visitor),
        }
    }

    /// Visits what is no container that was built, where a sequence is asked for: bytes are a
    /// sequence of numbers.
    fn visit_octets<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let content = self.content()?;
        let Some(data) = content.data() else { return self.visit_content(content, visitor) };
        self.loaded.take_room(data.len())?;
        visit_octets(data, visitor, || self.loaded.count_octet())
    }

    fn visit_items<V: Visitor<'a>>(self, items: Items<'r>, visitor: V) -> Result<V::Value, ReadError> {
        let path = self.open(items.len())?;
        let mut elements = ElementAccess::new(self, items, &path);
        let made = visitor.visit_seq(&mut elements)?;
        elements.end().map(|()| made)
    }

    fn visit_entries<V: Visitor<'a>>(self, items: Items<'r>, visitor: V) -> Result<V::Value, ReadError> {
        let path = self.open(items.len())?;
        let mut entries = EntryAccess::new(self, items, &path);
        let made = visitor.visit_map(&mut entries)?;
        entries.end().map(|()| made)
    }

    /// Visits any value as a [`Value`]: as the enum of [`exact`] for kinds that serde does not tell
    /// apart.
    fn visit_as_value<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.cost != VALUE_COST {
            // It is no part of another one.
            self.loaded.check_size(self.slot)?;
        }
        // Only containers are visited here, because this frame is on the stack once per level of
        // nesting.
        let this = Self { cost: VALUE_COST, ..self };
        match this.container() {
            Some((Kind::List, items)) => this.visit_items(items, visitor),
            Some((Kind::Dict, items)) => this.visit_entries(items, visitor),
            Some((kind, _)) => visitor.visit_enum(Exact::new(this, index_of(kind))),
            None => this.visit_leaf_as_value(visitor),
        }
    }

    fn visit_leaf_as_value<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let this = self;
        match this.content()? {
            Content::Items(..) => this.deserialize_any(visitor),
            Content::Scalar(Scalar::EmptyTuple) => visitor.visit_enum(Exact::new(this, exact::TUPLE)),
            Content::Scalar(Scalar::EmptySet) => visitor.visit_enum(Exact::new(this, exact::SET)),
            Content::Scalar(scalar @ (Scalar::Big(_) | Scalar::Long(_))) => this.visit_big(scalar, visitor),
            Content::Scalar(scalar) => this.visit_scalar(scalar, visitor),
            Content::Owned(Owned::Value(value)) => {
                this.loaded.take_room(boxed_bytes(value))?;
                ValueDeserializer::new(value.clone()).deserialize_newtype_struct(tag::VALUE, visitor)
            }
            Content::Owned(owned) => this.visit_owned(owned, visitor),
        }
    }

    fn visit_big<V: Visitor<'a>>(self, scalar: Scalar<'a>, visitor: V) -> Result<V::Value, ReadError> {
        let (value, bytes) = match scalar {
            Scalar::Long(bytes) => (int::value(bytes), bytes.len()),
            Scalar::Big(big) => (Value::from(big.clone()), usize::try_from(big.bits() / 8).unwrap_or(usize::MAX)),
            other => return self.visit_scalar(other, visitor),
        };
        // This counts the box around the number, too.
        self.loaded.take_room(bytes.saturating_add(32))?;
        ValueDeserializer::new(value).deserialize_newtype_struct(tag::VALUE, visitor)
    }
}

impl<'r, 'a: 'r> Content<'r, 'a> {
    /// The bytes that it is.
    fn data(&self) -> Option<&'r [u8]> {
        match self {
            Content::Scalar(Scalar::Data(data)) => Some(data),
            Content::Owned(Owned::Data(data)) => Some(data),
            _ => None,
        }
    }
}

impl Path<'_> {
    /// The error for a container that holds itself, if one on this path does. It is looked for only
    /// where a limit is met.
    fn cycle(&self) -> Option<ReadError> {
        let mut slots = Vec::new();
        let mut path = Some(self);
        while let Some(Self { slot, above, .. }) = path {
            slots.push(slot.word());
            path = *above;
        }
        let depth = slots.len();
        slots.sort_unstable();
        slots.dedup();
        (slots.len() < depth).then_some(ReadError::Cycle)
    }
}

fn index_of(kind: Kind) -> u32 {
    match kind {
        Kind::Tuple => exact::TUPLE,
        Kind::FrozenSet => exact::FROZEN_SET,
        _ => exact::SET,
    }
}

fn visit_wide<'de, V: Visitor<'de>>(wide: i128, visitor: V) -> Result<V::Value, ReadError> {
    match u64::try_from(wide) {
        Ok(value) => visitor.visit_u64(value),
        Err(_) => visitor.visit_i128(wide),
    }
}

/// What a value made by a constructor takes beside its place.
fn boxed_bytes(value: &Value) -> usize {
    match value {
        Value::Decimal(text) => text.len(),
        Value::DateTime(moment) => 64 + moment.zone.as_deref().map_or(0, str::len),
        Value::Time(_) | Value::Uuid(_) => 24,
        _ => 0,
    }
}

/// What is no value by itself.
fn unfinished_error(owned: &Owned) -> ReadError {
    match owned {
        Owned::Zone(..) => ReadError::Name(Known::TimeZone.full_name().to_owned()),
        Owned::NamedZone(..) => ReadError::Name(Known::ZoneInfo.full_name().to_owned()),
        _ => ReadError::Call(Known::Uuid.full_name()),
    }
}

impl<'a> Deserializer<'a> for SlotDeserializer<'_, 'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.container() {
            Some((Kind::Dict, items)) => self.visit_entries(items, visitor),
            Some((_, items)) => self.visit_items(items, visitor),
            // Whoever keeps what is there until it knows its type may be asked for a list later,
            // and a list goes to those who ask for bytes, too.
            None => {
                let content = self.content()?;
                let Some(data) = content.data() else { return self.visit_content(content, visitor) };
                self.loaded.take_room(data.len())?;
                visit_kept_bytes(data, visitor, || self.loaded.count_octet())
            }
        }
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.container() {
            Some(_) => self.deserialize_any(visitor),
            None => self.visit_leaf(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_bytes(visitor)
    }

    #[expect(clippy::cast_precision_loss, reason = "as serde does with smaller integers")]
    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.content()? {
            Content::Scalar(Scalar::Int(value)) => visitor.visit_f64(value as f64),
            Content::Scalar(Scalar::Long(bytes)) if bytes.len() <= 16 => match int::sign_extend(bytes) {
                Some(wide) => visitor.visit_f64(wide as f64),
                None => self.deserialize_any(visitor),
            },
            Content::Scalar(Scalar::Float(value)) => visitor.visit_f64(value),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.content()? {
            // Otherwise a String would take bytes that happen to be UTF-8.
            Content::Scalar(Scalar::Data(_)) | Content::Owned(Owned::Data(_)) => {
                Err(ReadError::invalid_type(Unexpected::Other("bytes"), &visitor))
            }
            Content::Scalar(scalar) => self.visit_scalar(scalar, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.slot.place() {
            Place::Input(at) if self.loaded.input.get(at) == Some(&op::NONE) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.container() {
            Some((Kind::Dict, items)) => self.visit_entries(items, visitor),
            Some((_, items)) => self.visit_items(items, visitor),
            None => self.visit_octets(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        match name {
            tag::VALUE => self.visit_as_value(visitor),
            tag::RAW_JSON => Err(ReadError::custom(tag::RAW_JSON_UNREAD)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.content()? {
            Content::Scalar(Scalar::Utf8(_) | Scalar::Text(_)) => visitor.visit_enum(Variant::new(self, None)),
            Content::Items(Kind::Dict, mut items) => match (items.len(), items.next(), items.next()) {
                (2, Some(variant), Some(content)) => {
                    let path = self.open(2)?;
                    visitor.visit_enum(Variant::new(self.element(variant, &path), Some(self.element(content, &path))))
                }
                (len, ..) => Err(ReadError::invalid_length(len / 2, &"a map of one entry: a variant")),
            },
            _ => Err(ReadError::invalid_type(Unexpected::Other("no variant"), &"the name of a variant, or a map")),
        }
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 unit unit_struct map struct
    }
}
