//! A WebSocket after its handshake as a link.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use daffi_transport::{Batch, Link, LinkConfig, LinkError, LinkWriter, PeerInfo};
use daffi_wire::Header;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    keepalive::{Keepalive, PingPulse},
    messages::{Messages, Side},
    reader::Reader,
    sink::Sink,
};

/// Both halves of a stream whose handshake is over, and what was read behind it.
pub(crate) struct Upgraded {
    pub(crate) reader: Box<dyn AsyncRead + Unpin + Send>,
    pub(crate) writer: Box<dyn AsyncWrite + Unpin + Send>,
    pub(crate) received: BytesMut,
}

impl Upgraded {
    /// Makes the link. `keepalive`: `None` where the peer must not be pinged.
    pub(crate) fn into_link(
        self,
        side: Side,
        config: &LinkConfig,
        peer: PeerInfo,
        keepalive: Option<Keepalive>,
    ) -> Link {
        let limits = config.limits.clamp();
        let messages = Messages::new(side, limits.max_frame_bytes.saturating_add(Header::LEN), self.received);
        let sink = Arc::new(Mutex::new(Sink::new(self.writer, side)));
        let reader = Reader::new(self.reader, limits, messages, Arc::clone(&sink), keepalive.map(PingPulse::new));
        Link::new(reader, Writer(sink), peer)
    }
}

struct Writer(Arc<Mutex<Sink>>);

impl LinkWriter for Writer {
    fn poll_write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<usize, LinkError>> {
        let mut sink = self.0.lock();
        if let Some(why) = sink.close_error() {
            return Poll::Ready(Err(why.clone()));
        }
        ready!(sink.poll_writer(cx, false))?;
        let before = batch.remaining();
        sink.take(batch);
        match sink.poll_writer(cx, false) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            // What does not leave now leaves with the next call, or with a flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(before - batch.remaining())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.lock().poll_writer(cx, true).map_err(LinkError::from)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut sink = self.0.lock();
        // The TCP stream is not ended: proxies take that for the end of both directions.
        sink.close(CloseCode::Normal, "", io::Error::from(io::ErrorKind::BrokenPipe).into());
        sink.poll_writer(cx, true).map_err(LinkError::from)
    }

    fn held_bytes(&self) -> usize {
        self.0.lock().held_bytes()
    }
}
