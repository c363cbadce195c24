//! Cuts messages and control frames out of bytes, with no socket and no clock.

use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use daffi_transport::{LargeBuffer, ReadBuffer};
use tokio::io::AsyncRead;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use crate::mask;

/// The longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_BYTES: usize = 125;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What a peer sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole message; text and binary are not told apart.
    Message(Bytes),
    Ping(Bytes),
    Pong,
    /// The peer's code, if it gives one, and its reason.
    Close(Option<CloseCode>, String),
}

/// A rule that the peer broke, and the code to close with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: CloseCode,
    pub(crate) rule: String,
}

fn violation(rule: impl Into<String>) -> Violation {
    Violation { code: CloseCode::Protocol, rule: rule.into() }
}

/// Bytes of a peer that are not a whole message yet.
#[derive(Debug)]
pub(crate) struct Messages {
    side: Side,
    /// Most bytes of one message.
    limit: usize,
    buffer: ReadBuffer,
    /// The header whose payload is at the front of the buffer, and the payload's length.
    head: Option<(FrameHeader, usize)>,
    /// The fragments so far of an unfinished message.
    message: Option<Vec<u8>>,
}

/// The payload of one WebSocket frame.
enum MessagePayload {
    Small(BytesMut),
    Large(LargeBuffer),
}

impl MessagePayload {
    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(bytes) => bytes,
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Small(bytes) => bytes.freeze(),
            Self::Large(bytes) => bytes.into_bytes(),
        }
    }
}

impl Messages {
    pub(crate) fn new(side: Side, limit: usize, received: BytesMut) -> Self {
        Self { side, limit, buffer: ReadBuffer::new(received), head: None, message: None }
    }

    /// Reads once. `Ok(0)`: the stream ended.
    pub(crate) fn poll_read(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.buffer.poll_read(io, cx, self.missing_bytes(), limit)
    }

    fn missing_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, |(_, length)| length.saturating_sub(self.buffer.buffered_bytes()))
    }

    /// Forgets all that was read.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        (self.head, self.message) = (None, None);
    }

    /// Bytes that were read and are no whole message yet.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.buffered_bytes() + self.message.as_ref().map_or(0, Vec::len)
    }

    /// Bytes of memory that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.held_bytes() + self.message.as_ref().map_or(0, Vec::capacity)
    }

    /// Is called when what was read has to wait.
    pub(crate) fn compact(&mut self) {
        self.buffer.compact();
    }

    /// Bytes by which the next read may raise [`held_bytes`](Self::held_bytes).
    pub(crate) fn growth(&self) -> usize {
        let read = self.buffer.growth(self.missing_bytes());
        let joined = self.message.as_ref().map_or(0, |message| {
            let whole = message.len() + self.buffer.held_bytes() + read;
            let capacity =
                if whole > message.capacity() { whole.max(2 * message.capacity()) } else { message.capacity() };
            capacity - message.capacity()
        });
        read + joined
    }

    /// Whether what was read ends between two messages.
    pub(crate) fn is_between(&self) -> bool {
        self.buffer.buffered_bytes() == 0 && self.head.is_none() && self.message.is_none()
    }

    /// What comes next. `Ok(None)`: read more.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            let (header, length) = match self.head.take() {
                Some(head) => head,
                None => match self.parse_head()? {
                    Some(head) => head,
                    None => return Ok(None),
                },
            };
            let Some(mut payload) = self.take(length) else {
                self.head = Some((header, length));
                return Ok(None);
            };
            if let Some(key) = header.mask {
                mask::apply(payload.bytes(), key);
            }
            match header.opcode {
                OpCode::Control(control) => return event(control, payload.freeze()).map(Some),
                OpCode::Data(_) => {
                    if let Some(message) = self.join(payload, header.is_final) {
                        return Ok(Some(Event::Message(message)));
                    }
                }
            }
        }
    }

    /// The payload at the front, if it is whole.
    fn take(&mut self, length: usize) -> Option<MessagePayload> {
        if self.buffer.is_large() {
            return self.buffer.take_large().map(MessagePayload::Large);
        }
        if self.buffer.bytes.len() < length {
            self.buffer.expect(length);
            return None;
        }
        Some(MessagePayload::Small(self.buffer.bytes.split_to(length)))
    }

    /// The next header, checked: whatever it announces may arrive.
    fn parse_head(&mut self) -> Result<Option<(FrameHeader, usize)>, Violation> {
        let mut cursor = Cursor::new(&self.buffer.bytes);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|error| violation(error.to_string()))?
        else {
            return Ok(None);
        };
        let size = usize::try_from(cursor.position()).expect("a header has at most 14 bytes");
        self.buffer.bytes.advance(size);

        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(violation("reserved bits are set, and no extension was agreed"));
        }
        if self.side == Side::Client && header.mask.is_some() {
            return Err(violation("a server must not mask what it sends"));
        }
        let before = self.message.as_ref().map_or(0, Vec::len);
        let limit = match (header.opcode, &self.message) {
            (OpCode::Control(_), _) if !header.is_final => return Err(violation("a control frame must be whole")),
            (OpCode::Control(_), _) if length > MAX_CONTROL_BYTES as u64 => {
                let rule = format!("a control frame of {length} bytes, the limit is {MAX_CONTROL_BYTES}");
                return Err(violation(rule));
            }
            (OpCode::Control(_), _) => MAX_CONTROL_BYTES,
            (OpCode::Data(Data::Continue), None) => return Err(violation("a continuation of nothing")),
            (OpCode::Data(Data::Continue), Some(_)) | (OpCode::Data(_), None) => self.limit - before,
            (OpCode::Data(_), Some(_)) => return Err(violation("a message begins inside another one")),
        };
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(Some((header, length))),
            _ => {
                let size = length.saturating_add(before as u64);
                let rule = format!("a message of {size} bytes announced, the limit is {}", self.limit);
                Err(Violation { code: CloseCode::Size, rule })
            }
        }
    }

    fn join(&mut self, mut payload: MessagePayload, is_final: bool) -> Option<Bytes> {
        let Some(mut message) = self.message.take() else {
            if is_final {
                return Some(payload.freeze());
            }
            self.message = Some(payload.bytes().to_vec());
            return None;
        };
        message.extend_from_slice(payload.bytes());
        if !is_final {
            self.message = Some(message);
            return None;
        }
        // A message that is kept owns about what it needs.
        message.shrink_to_fit();
        Some(message.into())
    }
}

fn event(control: Control, payload: Bytes) -> Result<Event, Violation> {
    match control {
        Control::Ping => Ok(Event::Ping(payload)),
        Control::Pong => Ok(Event::Pong),
        Control::Close => close(&payload),
        Control::Reserved(code) => Err(violation(format!("unknown control frame {code}"))),
    }
}

fn close(payload: &[u8]) -> Result<Event, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(Event::Close(None, String::new()))
        } else {
            Err(violation("a close code of one byte"))
        };
    };
    let code = CloseCode::from(u16::from_be_bytes(*code));
    if !code.is_allowed() {
        return Err(violation(format!("close code {code} must not be sent")));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Event::Close(Some(code), reason.to_owned())),
        Err(_) => Err(Violation { code: CloseCode::Invalid, rule: "a close reason that is not UTF-8".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10;

    fn all(side: Side, bytes: &[u8]) -> (Vec<Event>, Option<Violation>) {
        let mut whole = Messages::new(side, LIMIT, BytesMut::from(bytes));
        let (mut events, mut broken) = (Vec::new(), None);
        loop {
            match whole.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(violation) => {
                    broken = Some(violation);
                    break;
                }
            }
        }
        // Byte by byte it must be the same.
        let mut pieces = Messages::new(side, LIMIT, BytesMut::new());
        let mut again = Vec::new();
        'bytes: for byte in bytes {
            pieces.buffer.bytes.extend_from_slice(&[*byte]);
            loop {
                match pieces.next() {
                    Ok(Some(event)) => again.push(event),
                    Ok(None) => break,
                    Err(violation) => {
                        assert_eq!(Some(&violation), broken.as_ref());
                        break 'bytes;
                    }
                }
            }
        }
        assert_eq!(events, again);
        (events, broken)
    }

    fn message(text: &'static str) -> Event {
        Event::Message(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn fragments_are_joined_around_control_frames() {
        let (events, broken) = all(Side::Server, b"\x02\x02he\x89\x01p\x00\x01l\x8a\x00\x80\x02lo");
        assert_eq!(events, [Event::Ping(Bytes::from_static(b"p")), Event::Pong, message("hello")]);
        assert_eq!(broken, None);
    }

    #[test]
    fn masked_and_unmasked_text_and_binary_are_one() {
        let masked = b"\x82\x83\x01\x02\x03\x04\x60\x60\x60\x81\x83\x00\x00\x00\x00\xff\xfeA\x82\x00";
        let (events, broken) = all(Side::Server, masked);
        let text = Event::Message(Bytes::from_static(b"\xff\xfeA"));
        assert_eq!(events, [message("abc"), text, message("")]);
        assert_eq!(broken, None);
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        use CloseCode::{Invalid, Protocol, Size};
        let long = [&b"\x89\x7e\x00\x7e"[..], &[0; 126]].concat();
        let cases: [(&[u8], CloseCode, &str); 13] = [
            (b"\xc2\x00", Protocol, "reserved bits"),
            (b"\x83\x00", Protocol, "invalid opcode: 3"),
            (b"\x8b\x00", Protocol, "invalid opcode: 11"),
            (b"\x09\x00", Protocol, "must be whole"),
            (&long, Protocol, "126 bytes, the limit is 125"),
            (b"\x80\x00", Protocol, "continuation of nothing"),
            (b"\x02\x01a\x82\x01b", Protocol, "inside another"),
            (b"\x82\x0b", Size, "11 bytes announced, the limit is 10"),
            (b"\x02\x06aaaaaa\x80\x05", Size, "11 bytes announced, the limit is 10"),
            (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", Size, "the limit is 10"),
            (b"\x88\x01\x03", Protocol, "one byte"),
            (b"\x88\x02\x03\xed", Protocol, "1005 must not be sent"),
            (b"\x88\x03\x03\xe8\xff", Invalid, "not utf-8"),
        ];
        for (bytes, code, rule) in cases {
            let (_, broken) = all(Side::Server, bytes);
            let broken = broken.unwrap_or_else(|| panic!("{bytes:x?} breaks no rule"));
            assert_eq!(broken.code, code, "{bytes:x?}");
            assert!(broken.rule.to_lowercase().contains(rule), "{bytes:x?}: {}", broken.rule);
        }
        assert!(all(Side::Client, b"\x82\x80").1.is_none(), "the header is not whole");
        assert!(all(Side::Client, b"\x82\x80abcd").1.unwrap().rule.contains("must not mask"));
    }

    #[test]
    fn a_close_has_a_code_or_none() {
        let (events, _) = all(Side::Client, b"\x88\x00\x88\x04\x0f\xa0hi");
        assert_eq!(
            events,
            [Event::Close(None, String::new()), Event::Close(Some(CloseCode::Library(4000)), "hi".into())]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            all(Side::Server, &bytes);
            all(Side::Client, &bytes);
        }
    }
}
