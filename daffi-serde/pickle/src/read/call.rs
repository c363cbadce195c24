//! The constructors of plain data, called as Python's pickles call them.

use daffi_serde::{
    Value,
    value::{DateTime, Time, TimeDelta, is_decimal},
};

use super::{
    arena::{Elements, Kind, Owned},
    calendar, int,
    machine::Machine,
    scalar::Scalar,
    slot::{Place, Slot},
    text::latin1,
    zone,
};
use crate::{ReadError, known::Known, opcode as op};

/// What looking up a zone may take: its file may have to be read.
const STEPS_PER_ZONE: usize = 1024;

impl Machine<'_> {
    /// What `callable(*args)` makes; nothing is ever called.
    pub(super) fn call(&mut self, callable: Slot, args: Slot) -> Result<Slot, ReadError> {
        let Some(name) = self.name_of(callable) else {
            return match callable {
                _ if self.skips(callable) => self.arena.add_skipped(),
                _ => Err(self.malformed_error("it calls what is no name")),
            };
        };
        let is_list = self.kind_of(args) == Some(Kind::List);
        let args = self.sequence(args).filter(|_| !is_list);
        let args = args.ok_or_else(|| self.malformed_error("arguments are no tuple"))?;
        // No constructor takes more than four.
        let mut places = [callable; 4];
        let count = args.len();
        let made = match places.get_mut(..count) {
            Some(places) => {
                places.iter_mut().zip(args).for_each(|(place, arg)| *place = arg);
                self.construct(name, places)?
            }
            None => None,
        };
        match made {
            Some(slot) => Ok(slot),
            None if self.skipping() => self.arena.add_skipped(),
            // It is known as a base of others. An object of it alone is a thing of Python's.
            None if name == Known::Object => Err(ReadError::Name(name.full_name().to_owned())),
            None => Err(ReadError::Call(name.full_name())),
        }
    }

    /// Makes what `name` is called for, or gives `None` when these are not the arguments that
    /// Python writes.
    fn construct(&mut self, name: Known, args: &[Slot]) -> Result<Option<Slot>, ReadError> {
        let owned = match (name, args) {
            (Known::Bytes | Known::ByteArray, []) => Some(Owned::Data(Box::default())),
            // Bytes are never changed here, so two names for the same ones do no harm.
            (Known::Bytes | Known::ByteArray, [data]) if self.is_data(*data) => return Ok(Some(*data)),
            (Known::ByteArray | Known::Encode, [text, encoding]) => self.encode(*text, *encoding)?,
            (Known::Set, []) => return self.arena.add_empty(Kind::Set).map(Some),
            (Known::FrozenSet, []) => return self.copy_to_new(Kind::FrozenSet, &[]).map(Some),
            (Known::Set | Known::FrozenSet, [items]) => {
                let Some(items) = self.copy_items(*items)? else { return Ok(None) };
                let kind = if name == Known::Set { Kind::Set } else { Kind::FrozenSet };
                return self.copy_to_new(kind, &items).map(Some);
            }
            (Known::OrderedDict, []) => return self.arena.add_empty(Kind::Dict).map(Some),
            (Known::Reconstructor, [class, ..]) if self.skips(*class) => return self.arena.add_skipped().map(Some),
            (Known::Uuid, []) => Some(Owned::BlankUuid),
            (Known::Reconstructor, [class, base, state])
                if self.name_of(*class) == Some(Known::Uuid)
                    && self.name_of(*base) == Some(Known::Object)
                    && matches!(self.scalar(*state), Some(Scalar::Null)) =>
            {
                Some(Owned::BlankUuid)
            }
            (Known::GetAttr, [class, attribute])
                if self.name_of(*class) == Some(Known::ZoneInfo)
                    && self.text(*attribute).as_deref() == Some("_unpickle") =>
            {
                return self.arena.add_name(Known::UnpickleZone).map(Some);
            }
            (Known::TimeZone, [delta, name @ ..]) if name.len() < 2 => self.zone(*delta, name.first())?,
            (Known::UnpickleZone | Known::ZoneInfo, [name, ..]) => self.zone_of_name(*name)?,
            (Known::PytzUtc, []) => Some(Owned::Zone(TimeDelta::default(), None)),
            (Known::PytzZone, [name] | [name, _, _, _]) => self.pytz(*name, &args[1..])?,
            (Known::Decimal, [text]) => self.decimal(*text)?,
            (Known::Time, [state, zone @ ..]) => self.time(*state, zone)?.map(|time| Owned::Value(time.into())),
            _ => self.plain(name, args).map(Owned::Value),
        };
        owned.map(|owned| self.arena.add_owned(owned)).transpose()
    }

    fn plain(&self, name: Known, args: &[Slot]) -> Option<Value> {
        match (name, args) {
            (Known::Complex, [real, imaginary]) => Some(Value::Complex(self.float(*real)?, self.float(*imaginary)?)),
            (Known::Date, [state]) => calendar::date(self.state(*state)?).map(Value::Date),
            (Known::DateTime, [state, zone @ ..]) => {
                let (date, time, second) = calendar::date_time(self.state(*state)?)?;
                let moment = match zone.first().and_then(|zone| self.owned(*zone)) {
                    Some(Owned::NamedZone(name, zone)) => zone::at(date, time, second, name, zone.as_ref()),
                    Some(Owned::Zone(_, Some(name))) => DateTime::new(date, self.at_zone(time, zone)?).in_zone(&**name),
                    _ => DateTime::new(date, self.at_zone(time, zone)?),
                };
                Some(moment.into())
            }
            (Known::TimeDelta, [days, seconds, micros]) => {
                let [days, seconds, micros] = [self.int(*days)?, self.int(*seconds)?, self.int(*micros)?];
                let delta = TimeDelta::new(days.try_into().ok()?, seconds.try_into().ok()?, micros.try_into().ok()?);
                delta.map(Value::TimeDelta)
            }
            _ => None,
        }
    }

    /// Gives the bytes that `text` stands for in Latin-1, which is how protocols 0 to 2 write
    /// bytes. Python spells the name of that encoding in two ways.
    fn encode(&mut self, text: Slot, encoding: Slot) -> Result<Option<Owned>, ReadError> {
        let (Some(text), Some("latin1" | "latin-1")) = (self.text(text), self.text(encoding).as_deref()) else {
            return Ok(None);
        };
        // The same text may be the argument of many calls, each of which copies it.
        self.arena.take_room(text.len())?;
        Ok(latin1(&text).map(|data| Owned::Data(data.into())))
    }

    fn decimal(&mut self, text: Slot) -> Result<Option<Owned>, ReadError> {
        let Some(text) = self.text(text) else { return Ok(None) };
        self.arena.take_room(text.len())?;
        Ok(is_decimal(&text).then(|| Owned::Value(Value::Decimal(text.into()))))
    }

    /// Copies what a set is made of. The same list may be copied again and again, into room that is
    /// counted.
    fn copy_items(&mut self, items: Slot) -> Result<Option<Vec<Slot>>, ReadError> {
        let Some(count) = self.sequence(items).map(|items| items.len()) else { return Ok(None) };
        self.arena.take_room(count * size_of::<Slot>())?;
        Ok(self.sequence(items).map(Iterator::collect))
    }

    fn copy_to_new(&mut self, kind: Kind, slots: &[Slot]) -> Result<Slot, ReadError> {
        let elements = Elements { slots, run: false };
        if kind == Kind::FrozenSet {
            return self.arena.add_fixed(kind, elements);
        }
        let set = self.arena.add_empty(kind)?;
        if let Place::Node(node) = set.place() {
            self.arena.extend(node, elements)?;
        }
        Ok(set)
    }

    fn is_data(&self, slot: Slot) -> bool {
        let opcode = self.opcode_of(slot);
        matches!(opcode, Some(op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8))
            || matches!(self.owned(slot), Some(Owned::Data(_)))
    }

    fn float(&self, slot: Slot) -> Option<f64> {
        match self.scalar(slot)? {
            Scalar::Float(float) => Some(float),
            _ => None,
        }
    }

    /// The state of a `datetime` object: bytes, or the same as Latin-1 text where Python 2 wrote
    /// it.
    fn state<const N: usize>(&self, slot: Slot) -> Option<[u8; N]> {
        if let Some(Owned::Data(data)) = self.owned(slot) {
            return data.as_ref().try_into().ok();
        }
        match self.scalar(slot)? {
            Scalar::Data(data) => data.try_into().ok(),
            // A character takes up to two bytes, so longer text cannot be one.
            Scalar::Utf8(bytes) if bytes.len() <= 2 * N => latin1(std::str::from_utf8(bytes).ok()?)?.try_into().ok(),
            Scalar::Text(text) if text.len() <= 2 * N => latin1(&text)?.try_into().ok(),
            _ => None,
        }
    }

    /// A time of day. In a zone whose offset depends on the day it has none, as in Python, and no
    /// place for the name of the zone.
    fn time(&self, state: Slot, zone: &[Slot]) -> Result<Option<Time>, ReadError> {
        let Some(time) = self.state(state).and_then(calendar::time) else { return Ok(None) };
        match zone.first().and_then(|zone| self.owned(*zone)) {
            Some(Owned::NamedZone(name, zone)) => match zone.as_ref().and_then(zone::only_offset) {
                Some(offset) => Ok(time.at_offset(offset)),
                None if self.skipping() => Ok(None),
                None => Err(ReadError::TimeInZone(name.to_string())),
            },
            _ => Ok(self.at_zone(time, zone)),
        }
    }

    /// A time of day at a zone of a fixed offset.
    fn at_zone(&self, time: Time, zone: &[Slot]) -> Option<Time> {
        match zone {
            [] => Some(time),
            [zone] => match self.owned(*zone)? {
                Owned::Zone(offset, _) => time.at_offset(*offset),
                _ => None,
            },
            _ => None,
        }
    }

    fn zone(&mut self, delta: Slot, name: Option<&Slot>) -> Result<Option<Owned>, ReadError> {
        let Some(Owned::Value(Value::TimeDelta(offset))) = self.owned(delta) else { return Ok(None) };
        let offset = *offset;
        let name = name.and_then(|name| self.text(*name)).filter(|name| zone::is_name(name));
        self.arena.take_room(name.as_ref().map_or(0, |name| name.len()))?;
        Ok(Some(Owned::Zone(offset, name.map(Into::into))))
    }

    fn zone_of_name(&mut self, name: Slot) -> Result<Option<Owned>, ReadError> {
        let Some(name) = self.text(name).filter(|name| zone::is_name(name)) else { return Ok(None) };
        self.arena.take_room(name.len())?;
        self.work.take(STEPS_PER_ZONE)?;
        let zone = zone::find(&name);
        Ok(Some(Owned::NamedZone(name.into(), zone)))
    }

    /// A zone of the package pytz, with the offset in seconds that it has at the moment it is
    /// written for.
    fn pytz(&mut self, name: Slot, offset: &[Slot]) -> Result<Option<Owned>, ReadError> {
        match offset.first().map(|seconds| self.int(*seconds)) {
            None => self.zone_of_name(name),
            Some(seconds) => {
                let offset = seconds.and_then(|s| TimeDelta::from_microseconds(i128::from(s) * 1_000_000));
                Ok(offset.map(|offset| Owned::Zone(offset, None)))
            }
        }
    }

    /// Gives the object on top of the stack its state: the number of a UUID.
    pub(super) fn build(&mut self, object: Slot, state: Slot) -> Result<(), ReadError> {
        if self.skips(object) {
            return Ok(());
        }
        let (Place::Node(node), Some(Owned::BlankUuid)) = (object.place(), self.owned(object)) else {
            return Err(self.malformed_error("it gives a state to what has none"));
        };
        let uuid = self.uuid(state).ok_or(ReadError::Call(Known::Uuid.full_name()))?;
        *self.arena.owned_mut(node) = Owned::Value(Value::Uuid(Box::new(uuid)));
        Ok(())
    }

    /// `{'int': number}`, with `is_safe` where the operating system vouched for the UUID.
    fn uuid(&self, state: Slot) -> Option<u128> {
        let mut items = self.dict(state).filter(|items| items.len() <= 4)?;
        let mut uuid = None;
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            match &*self.text(key)? {
                "int" => uuid = Some(self.wide(value)?),
                "is_safe" => {}
                _ => return None,
            }
        }
        uuid
    }

    fn wide(&self, slot: Slot) -> Option<u128> {
        match self.scalar(slot)? {
            Scalar::Int(int) => int.try_into().ok(),
            Scalar::Long([bytes @ .., 0]) if bytes.len() == 16 => Some(u128::from_le_bytes(bytes.try_into().ok()?)),
            Scalar::Long(bytes) => int::sign_extend(bytes)?.try_into().ok(),
            Scalar::Big(big) => u128::try_from(&big).ok(),
            _ => None,
        }
    }
}
