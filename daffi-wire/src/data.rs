//! DATA: a part of a large body, or items of a stream, in either direction of an open call (level
//! 4).

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{BodyError, CallId, EncodeError, Extensions, Frame, Header, Kind, Limits, StreamFlags, data_cost, varint};

/// The most bytes that one DATA frame carries, so that a small call never waits behind more.
pub const MAX_DATA_BYTES: usize = 256 * 1024;

/// What a DATA frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataEnd {
    /// Nothing: further parts of the same item follow.
    Nothing,
    /// One item, or with [`packed`](Data::packed) several.
    Item,
    /// This direction of the call. From the callee that is the end of the call. A frame that
    /// carries bytes ends their item too; one without ends nothing but the direction.
    Direction,
}

/// What a DATA frame says about the call with the number of its header. `return_result` is the
/// direction: 1 from the caller, 0 from the callee.
///
/// ```
/// use daffi_wire::{CallId, Data, DataEnd, Limits};
/// let data = Data { id: CallId(7), from_caller: true, end: DataEnd::Item, packed: false, bytes: "an item".into() };
/// let frame = data.frame("caller", "worker", &Limits::default())?;
/// assert_eq!(Data::read(frame)?, data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The call.
    pub id: CallId,
    /// Whether the caller sends it, rather than the callee.
    pub from_caller: bool,
    /// What it ends.
    pub end: DataEnd,
    /// Whether it carries several whole items, each behind its length, as [`PackedItems`] reads
    /// them.
    pub packed: bool,
    /// What it carries, at most [`MAX_DATA_BYTES`].
    pub bytes: Bytes,
}

/// The bits of `msg_parts`.
const END_OF_ITEM: u8 = 1;
const END_OF_DIRECTION: u8 = 2;
const PACKED: u8 = 4;

impl Data {
    /// What it costs of the window of its direction; the same at every hop. A frame that carries
    /// nothing and only ends its direction costs nothing.
    #[must_use]
    pub fn cost(&self) -> u64 {
        if self.bytes.is_empty() && self.end == DataEnd::Direction { 0 } else { data_cost(self.bytes.len()) }
    }

    /// The header alone, for a frame whose payload is written elsewhere.
    #[must_use]
    pub const fn header(&self) -> Header {
        let end = match self.end {
            DataEnd::Nothing => 0,
            DataEnd::Item => END_OF_ITEM,
            // It ends the item of its bytes, and there is none where the bytes are of a body.
            DataEnd::Direction => END_OF_DIRECTION,
        };
        Header::data(self.id, self.from_caller, end | if self.packed { PACKED } else { 0 })
    }

    /// The frame that says so, with a copy of the bytes.
    ///
    /// # Errors
    /// [`EncodeError`] when the names do not fit, or the bytes are more than [`MAX_DATA_BYTES`].
    pub fn frame(&self, from: &str, to: &str, limits: &Limits) -> Result<Frame, EncodeError> {
        let size = self.bytes.len();
        if size > MAX_DATA_BYTES {
            return Err(EncodeError::FrameTooLarge { size, limit: MAX_DATA_BYTES });
        }
        Frame::new(self.header(), from, to, "", &self.bytes, limits)
    }

    /// What a DATA frame says. The bytes are not copied.
    ///
    /// # Errors
    /// [`BodyError`] when it is no DATA frame, belongs to no call, carries too much, or says that
    /// whole items follow each other and that none of them ends.
    pub fn read(frame: Frame) -> Result<Self, BodyError> {
        let (kind, header) = (frame.kind(), frame.header());
        if kind != Kind::Data {
            return Err(BodyError::Kind(kind));
        }
        if header.id() == CallId::NONE {
            return Err(BodyError::NoCall(kind));
        }
        let (parts, bytes) = (header.parts(), frame.into_payload());
        if bytes.len() > MAX_DATA_BYTES {
            return Err(BodyError::TooLarge { what: "data", size: bytes.len(), limit: MAX_DATA_BYTES });
        }
        let end = match (parts & END_OF_DIRECTION != 0, parts & END_OF_ITEM != 0) {
            (true, _) => DataEnd::Direction,
            (false, true) => DataEnd::Item,
            (false, false) => DataEnd::Nothing,
        };
        let packed = parts & PACKED != 0;
        if packed && end == DataEnd::Nothing {
            return Err(BodyError::Packed("items that do not end"));
        }
        Ok(Self { id: header.id(), from_caller: header.wants_reply(), end, packed, bytes })
    }
}

/// What of a call passes in DATA, as one of its frames says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InData {
    /// What streams beside this frame.
    pub stream: StreamFlags,
    /// The bytes of DATA that may come in the other direction before there is credit for more.
    pub window: Option<u32>,
    /// All bytes of a body whose first part this frame holds.
    pub body: Option<u64>,
}

impl InData {
    /// As these extensions say.
    #[must_use]
    pub const fn of(said: &Extensions) -> Self {
        Self { stream: said.stream(), window: said.window(), body: said.body() }
    }
}

/// The items of a DATA frame that carries several, each behind its length.
///
/// ```
/// use bytes::BytesMut;
/// use daffi_wire::PackedItems;
/// let mut packed = BytesMut::new();
/// PackedItems::put(&mut packed, b"one");
/// PackedItems::put(&mut packed, b"");
/// let items: Result<Vec<_>, _> = PackedItems::new(packed.freeze()).collect();
/// assert_eq!(items?, ["one".as_bytes(), b""]);
/// # Ok::<(), daffi_wire::BodyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedItems(Bytes);

impl PackedItems {
    /// The items in these bytes.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Appends one item and its length.
    pub fn put(to: &mut BytesMut, item: &[u8]) {
        varint::put(to, item.len());
        to.put_slice(item);
    }

    /// The bytes that an item of so many takes with its length.
    #[must_use]
    #[inline]
    pub const fn cost(item: usize) -> usize {
        varint::size(item) + item
    }

    /// Puts the length before an item that was written where it travels, behind one byte that was
    /// left for it: the byte and the item are all that stands in `to` from `at` on.
    ///
    /// # Panics
    /// When there is no such byte.
    #[inline]
    pub fn put_length(to: &mut BytesMut, at: usize) {
        match u8::try_from(to.len() - at - 1) {
            Ok(short @ 0..=0x7f) => to[at] = short,
            _ => Self::put_longer(to, at),
        }
    }

    /// Puts a length there that takes more than one byte.
    fn put_longer(to: &mut BytesMut, at: usize) {
        let length = to.len() - at - 1;
        let mut head = BytesMut::new();
        varint::put(&mut head, length);
        to.put_bytes(0, head.len() - 1);
        to.copy_within(at + 1..at + 1 + length, at + head.len());
        to[at..at + head.len()].copy_from_slice(&head);
    }

    /// Where the item lies whose length stands at `at`. `None`: `packed` ends there.
    ///
    /// # Errors
    /// [`BodyError`] when no length stands there, or the item is cut short.
    #[inline]
    pub fn place(packed: &[u8], at: usize) -> Result<Option<Range<usize>>, BodyError> {
        let rest = packed.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some((length, of_length)) = varint::read(rest) else {
            return Err(BodyError::Packed("a length that is cut short or not minimal"));
        };
        if length > rest.len() - of_length {
            return Err(BodyError::Packed("an item that is cut short"));
        }
        let begin = at + of_length;
        Ok(Some(begin..begin + length))
    }
}

impl Iterator for PackedItems {
    type Item = Result<Bytes, BodyError>;

    /// The next item. After an error nothing follows.
    fn next(&mut self) -> Option<Self::Item> {
        match Self::place(&self.0, 0) {
            Ok(place) => place.map(|place| {
                self.0.advance(place.start);
                Ok(self.0.split_to(place.len()))
            }),
            Err(error) => {
                self.0.clear();
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FormatId;

    fn data(end: DataEnd, packed: bool) -> Data {
        Data { id: CallId(7), from_caller: false, end, packed, bytes: Bytes::from_static(b"\x01x") }
    }

    #[test]
    fn the_bytes_of_data() {
        let frame = data(DataEnd::Item, false).frame("a", "b", &Limits::default()).unwrap();
        assert_eq!(&frame.as_bytes()[..], b"\x07\0\x47\x06\0\0\x08\0\x81a|b|\x01x");
        let frame = data(DataEnd::Direction, true).frame("a", "b", &Limits::default()).unwrap();
        assert_eq!(frame.as_bytes()[8], 0x86);
    }

    #[test]
    fn the_end_of_a_direction_says_of_no_item_that_it_ends() {
        for bytes in [&b""[..], b"the last part of a body"] {
            let end = Data { bytes: Bytes::from_static(bytes), ..data(DataEnd::Direction, false) };
            assert_eq!(end.header().parts(), END_OF_DIRECTION);
            // Older nodes write both.
            let both = Header::data(end.id, false, END_OF_ITEM | END_OF_DIRECTION);
            let both = Frame::new(both, "a", "b", "", bytes, &Limits::default()).unwrap();
            assert_eq!(Data::read(both).unwrap(), end);
        }
    }

    #[test]
    fn data_is_read_as_it_was_written() {
        for (end, packed) in
            [(DataEnd::Nothing, false), (DataEnd::Item, false), (DataEnd::Item, true), (DataEnd::Direction, true)]
        {
            let data = data(end, packed);
            assert_eq!(Data::read(data.frame("a", "b", &Limits::default()).unwrap()).unwrap(), data);
        }
    }

    #[test]
    fn what_is_no_data_is_refused() {
        let limits = Limits::default();
        let none = Data { id: CallId::NONE, ..data(DataEnd::Item, false) }.frame("a", "b", &limits).unwrap();
        assert!(matches!(Data::read(none), Err(BodyError::NoCall(Kind::Data))));
        let endless = data(DataEnd::Nothing, true).frame("a", "b", &limits).unwrap();
        assert!(matches!(Data::read(endless), Err(BodyError::Packed(_))));
        let much = Data { bytes: vec![0; MAX_DATA_BYTES + 1].into(), ..data(DataEnd::Item, false) };
        assert!(matches!(much.frame("a", "b", &limits), Err(EncodeError::FrameTooLarge { limit: MAX_DATA_BYTES, .. })));
        let much = Frame::new(much.header(), "a", "b", "", &much.bytes, &limits).unwrap();
        assert!(matches!(Data::read(much), Err(BodyError::TooLarge { limit: MAX_DATA_BYTES, .. })));
        let other = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true);
        let other = Frame::new(other, "a", "b", "", b"", &limits).unwrap();
        assert!(matches!(Data::read(other), Err(BodyError::Kind(Kind::Request))));
    }

    #[test]
    fn an_item_written_in_its_place_is_what_it_would_have_been() {
        for size in [0, 1, 127, 128, 16_383, 16_384, 100_000] {
            let item: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
            let (mut put, mut written) = (BytesMut::from("\x01a"), BytesMut::from("\x01a"));
            PackedItems::put(&mut put, &item);
            written.put_u8(0xff);
            written.extend_from_slice(&item);
            PackedItems::put_length(&mut written, 2);
            assert!(put == written, "{size}");
            let place = PackedItems::place(&written, 2).unwrap().unwrap();
            assert!(written[place.clone()] == item[..]);
            assert_eq!(PackedItems::place(&written, place.end).unwrap(), None);
        }
    }

    #[test]
    fn items_that_lie_about_their_length_end_the_reading() {
        for bytes in [&b"\x02x"[..], b"\x80\x00", b"\xff", b"\xff\xff\xff\xff\x01"] {
            let mut items = PackedItems::new(Bytes::copy_from_slice(bytes));
            assert!(matches!(items.next(), Some(Err(BodyError::Packed(_)))), "{bytes:?}");
            assert!(items.next().is_none());
        }
    }
}
