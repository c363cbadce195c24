//! What leaves: one message per frame, control frames between them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut};
use daffi_transport::{Batch, LinkError};
use tokio::io::AsyncWrite;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use crate::{mask, messages::Side};

/// Bytes of messages that wait here at most: a frame that is larger is taken piece by piece, and
/// the rest of it waits where it is counted.
const FULL: usize = 64 * 1024;

/// Memory that is kept while nothing waits here, in bytes.
const KEPT: usize = 8 * 1024;

/// The longest reason in a close frame: what a control frame holds beside the code.
const MAX_REASON_BYTES: usize = 123;

/// What both halves of a link write to. Only one of them waits for the stream at a time.
pub(crate) struct Sink {
    io: Box<dyn AsyncWrite + Unpin + Send>,
    side: Side,
    /// Whole WebSocket frames, `sent` bytes of which have left.
    out: Vec<u8>,
    sent: usize,
    /// The message that has begun and is not whole in `out`: bytes still to come, and what to mask
    /// them with. Nothing else may be sent before they are.
    begun: Option<(usize, Option<[u8; 4]>)>,
    unflushed: bool,
    /// The payload of the last ping, unanswered. Earlier ones need no answer (RFC 6455, section
    /// 5.5.3).
    pong: Option<Box<[u8]>>,
    ping: bool,
    /// A close frame was written, and this is why.
    closed: Option<LinkError>,
    /// The writing half waits for the stream: it will be woken, and sends what is here.
    writer_waits: bool,
}

impl Sink {
    pub(crate) fn new(io: Box<dyn AsyncWrite + Unpin + Send>, side: Side) -> Self {
        Self {
            io,
            side,
            out: Vec::new(),
            sent: 0,
            begun: None,
            unflushed: false,
            pong: None,
            ping: false,
            closed: None,
            writer_waits: false,
        }
    }

    /// Why nothing can be sent any more.
    pub(crate) fn close_error(&self) -> Option<&LinkError> {
        self.closed.as_ref()
    }

    /// Bytes of memory that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.out.capacity()
    }

    /// Takes frames out of `batch`, for as long as not much waits. They are copied, and so can be
    /// masked.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        while self.out.len() - self.sent < FULL {
            let (rest, mask) = match self.begun.take() {
                Some(begun) => begun,
                None => {
                    self.put_controls();
                    let Some(length) = batch.frame_len() else { return };
                    (length, self.put_header(OpCode::Data(Data::Binary), length))
                }
            };
            let now = rest.min(FULL);
            self.put(batch.take(now), mask);
            if now < rest {
                self.begun = Some((rest - now, mask.map(|key| mask::rotate(key, now))));
            }
        }
    }

    pub(crate) fn answer_ping(&mut self, payload: &[u8]) {
        // It may wait for long, and would keep the read buffer that it came in alive.
        self.pong = Some(payload.into());
    }

    pub(crate) fn ping(&mut self) {
        self.ping = true;
    }

    /// Whether a ping is still here.
    pub(crate) fn holds_ping(&self) -> bool {
        self.ping || self.sent < self.out.len()
    }

    /// Sends a close frame as the last one, unless a message has to end first; `why` is what later
    /// writers are told. Only the first call counts.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, why: LinkError) {
        if self.closed.is_some() {
            return;
        }
        (self.pong, self.ping, self.closed) = (None, false, Some(why));
        if self.begun.is_some() {
            return;
        }
        let mut end = reason.len().min(MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let payload = [&u16::from(code).to_be_bytes()[..], &reason.as_bytes()[..end]].concat();
        self.put_whole(OpCode::Control(Control::Close), &payload[..]);
    }

    /// Writes all that is here, for the writing half. `flush`: it also flushes the stream below.
    pub(crate) fn poll_writer(&mut self, cx: &mut Context<'_>, flush: bool) -> Poll<io::Result<()>> {
        let written = if flush { self.poll_flush(cx) } else { self.poll_out(cx) };
        self.writer_waits = written.is_pending();
        written
    }

    /// Sends what the reading half put here, or sees to it that that is called again.
    pub(crate) fn see_to_controls(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.writer_waits {
            return Ok(());
        }
        match self.poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    /// Sends all that is here and ends the stream below.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.sent < self.out.len() {
                match ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.sent..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.sent += written,
                }
                self.unflushed = true;
            }
            self.sent = 0;
            self.out.clear();
            self.out.shrink_to(KEPT);
            self.put_controls();
            if self.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// What waits to be sent between two messages.
    fn put_controls(&mut self) {
        if self.begun.is_some() {
            return;
        }
        if let Some(payload) = self.pong.take() {
            self.put_whole(OpCode::Control(Control::Pong), &payload[..]);
        }
        if std::mem::take(&mut self.ping) {
            self.put_whole(OpCode::Control(Control::Ping), &[][..]);
        }
    }

    fn put_whole(&mut self, opcode: OpCode, payload: &[u8]) {
        let mask = self.put_header(opcode, payload.len());
        self.put(payload, mask);
    }

    /// Gives what the payload is to be masked with.
    fn put_header(&mut self, opcode: OpCode, length: usize) -> Option<[u8; 4]> {
        let mask = (self.side == Side::Client).then(rand::random);
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        header.format(length as u64, &mut self.out).expect("writing to a Vec cannot fail");
        mask
    }

    fn put(&mut self, payload: impl Buf, mask: Option<[u8; 4]>) {
        self.out.reserve(payload.remaining());
        let start = self.out.len();
        self.out.put(payload);
        if let Some(key) = mask {
            mask::apply(&mut self.out[start..], key);
        }
    }
}
