//! Byte streams as links: the codec on top of anything that reads and writes bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use daffi_wire::{DecodeError, Foreign, Frame, FrameDecoder, Level, Opening, SYN};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::{
    AcceptError, Batch, HttpConnection, HttpOffer, Link, LinkConfig, LinkError, LinkReader, LinkWriter, PeerInfo,
    Phase, ReadBuffer,
};

/// Room for the first bytes of a connection.
const OPENING_ROOM: usize = 8 * 1024;

/// Most slices given to one vectored write.
const SLICES: usize = 64;

impl Link {
    /// A link over two halves of a byte stream. `received` was read from it already; `opening` goes
    /// out before the first frame.
    pub fn from_stream(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        config: &LinkConfig,
        peer: PeerInfo,
        received: BytesMut,
        opening: Bytes,
    ) -> Self {
        let decoder = FrameDecoder::new(config.limits);
        // An accepting side has looked at the first bytes already.
        let unheard = !opening.is_empty();
        let reader = StreamReader { io: reader, buffer: ReadBuffer::new(received), decoder, unheard };
        Self::new(reader, StreamWriter { io: writer, opening }, peer)
    }

    /// Makes the connecting side of a link: the SYN goes out with the first frame.
    pub fn connect_over(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        config: &LinkConfig,
        peer: PeerInfo,
    ) -> Self {
        Self::from_stream(reader, writer, config, peer, BytesMut::new(), Bytes::from_static(&SYN))
    }

    /// Makes the accepting side of a link: it reads the opening bytes first. An HTTP request is
    /// refused with a sentence.
    ///
    /// # Errors
    /// [`AcceptError`] when the peer closes early, or speaks another protocol.
    ///
    /// # Panics
    /// When it has to refuse on a runtime without time enabled.
    pub async fn accept_over(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        config: &LinkConfig,
        peer: PeerInfo,
    ) -> Result<Self, AcceptError> {
        Self::accept_or_upgrade(reader, writer, config, peer, None).await
    }

    /// Makes the accepting side of a link, and hands what begins with an HTTP request to what the
    /// listener offers.
    ///
    /// # Errors
    /// [`AcceptError`] when the peer closes early, speaks another protocol, or its upgrade fails.
    ///
    /// # Panics
    /// When it has to refuse on a runtime without time enabled.
    pub async fn accept_or_upgrade(
        mut reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        config: &LinkConfig,
        peer: PeerInfo,
        http: Option<HttpOffer>,
    ) -> Result<Self, AcceptError> {
        let (opening, mut received) = read_opening(&mut reader).await?;
        match opening {
            Opening::Native => {
                received.advance(SYN.len());
                return Ok(Self::from_stream(reader, writer, config, peer, received, Bytes::new()));
            }
            Opening::Http | Opening::Foreign(Foreign::Http) => {}
            Opening::Foreign(foreign) => return Err(AcceptError::Foreign(foreign)),
        }
        let (reader, writer) = (Box::new(reader), Box::new(writer));
        let (upgrade, local) = http.map(|offer| (offer.upgrade, offer.local)).unzip();
        let connection = HttpConnection { reader, writer, received, config: *config, peer, local: local.flatten() };
        match (opening, upgrade) {
            (Opening::Http, Some(upgrade)) => upgrade.upgrade(connection).await,
            (Opening::Http, None) => {
                let reason = "this port speaks daffi, and WebSocket is not offered here";
                Err(connection.refuse("400 Bad Request", &[], reason.to_owned()).await)
            }
            _ => {
                let reason = "this port speaks daffi, not HTTP";
                Err(connection.refuse("400 Bad Request", &[], reason.to_owned()).await)
            }
        }
    }
}

/// Reads until the first bytes tell what the peer speaks; they stay in the buffer.
///
/// # Errors
/// [`AcceptError`] when the stream fails or ends before that.
pub async fn read_opening(reader: &mut (impl AsyncRead + Unpin)) -> Result<(Opening, BytesMut), AcceptError> {
    let mut received = BytesMut::with_capacity(OPENING_ROOM);
    loop {
        if let Some(opening) = Opening::classify(&received) {
            return Ok((opening, received));
        }
        let read = match reader.read_buf(&mut received).await {
            // It does not matter how the peer closes.
            Ok(0) | Err(_) if received.is_empty() => return Err(AcceptError::Silent),
            Ok(read) => read,
            Err(error) => return Err(AcceptError::failed(Phase::Opening, error)),
        };
        if read == 0 {
            let text = format!("the peer closed after {} of {} opening bytes", received.len(), Opening::LEN);
            return Err(AcceptError::failed(Phase::Opening, io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
    }
}

struct StreamReader<R> {
    io: R,
    buffer: ReadBuffer,
    decoder: FrameDecoder,
    /// Nothing has come from the peer yet that is a frame.
    unheard: bool,
}

impl<R> StreamReader<R> {
    /// Names the protocol of a peer that was taken for a daffi server. No server's first frame
    /// begins like these: the third byte of a handshake or an event is another.
    fn check_foreign(&self) -> Result<(), LinkError> {
        match self.unheard.then(|| Foreign::recognise(&self.buffer.bytes)).flatten() {
            Some(foreign) => Err(LinkError::Foreign(foreign)),
            None => Ok(()),
        }
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> LinkReader for StreamReader<R> {
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<usize, LinkError>> {
        let missing = self.decoder.missing_bytes(self.buffer.buffered_bytes());
        let read = ready!(self.buffer.poll_read(Pin::new(&mut self.io), cx, missing, limit))?;
        self.check_foreign()?;
        if read == 0 {
            self.decoder.finish(self.buffer.buffered_bytes())?;
        }
        Poll::Ready(Ok(read))
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, LinkError> {
        if self.buffer.is_large() {
            let whole = self.buffer.take_large();
            return Ok(whole.map(|large| self.decoder.decode_whole(large.into_bytes())).transpose()?);
        }
        if self.buffer.bytes.is_empty() {
            return Ok(None);
        }
        let frame = self.decoder.decode(&mut self.buffer.bytes)?;
        self.unheard &= frame.is_none();
        if frame.is_none() {
            let buffered = self.buffer.buffered_bytes();
            self.buffer.expect(buffered + self.decoder.missing_bytes(buffered));
        }
        Ok(frame)
    }

    fn set_level(&mut self, level: Level) {
        self.decoder.set_level(level);
    }

    fn buffered_bytes(&self) -> usize {
        self.buffer.buffered_bytes()
    }

    fn held_bytes(&self) -> usize {
        self.buffer.held_bytes()
    }

    fn growth(&self) -> usize {
        self.buffer.growth(self.decoder.missing_bytes(self.buffer.buffered_bytes()))
    }

    fn missing_bytes(&self) -> Option<usize> {
        Some(self.decoder.missing_bytes(self.buffer.buffered_bytes()))
    }

    fn compact(&mut self) {
        self.buffer.compact();
    }
}

struct StreamWriter<W> {
    io: W,
    opening: Bytes,
}

impl<W: AsyncWrite + Unpin> StreamWriter<W> {
    fn poll_write_pieces(&mut self, cx: &mut Context<'_>, batch: &Batch) -> Poll<io::Result<usize>> {
        let mut slices = [io::IoSlice::new(&[]); SLICES];
        let head = usize::from(!self.opening.is_empty());
        slices[0] = io::IoSlice::new(&self.opening);
        let used = head + batch.chunks_vectored(&mut slices[head..]);
        Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..used])
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> LinkWriter for StreamWriter<W> {
    fn poll_write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<usize, LinkError>> {
        let before = batch.remaining();
        while batch.has_remaining() {
            let written = match batch.whole() {
                // One piece goes the shorter way, through the system too.
                Some(one) if self.opening.is_empty() => Pin::new(&mut self.io).poll_write(cx, one),
                _ => self.poll_write_pieces(cx, batch),
            };
            let written = match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if batch.remaining() < before => break,
                Poll::Pending => return Poll::Pending,
            };
            let opening = written.min(self.opening.len());
            self.opening.advance(opening);
            batch.advance(written - opening);
        }
        Poll::Ready(Ok(before - batch.remaining()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Pin::new(&mut self.io).poll_flush(cx).map_err(LinkError::from)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Pin::new(&mut self.io).poll_shutdown(cx).map_err(LinkError::from)
    }
}

impl From<DecodeError> for AcceptError {
    fn from(error: DecodeError) -> Self {
        Self::failed(Phase::Opening, error)
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{CallId, Header, Kind};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use super::*;
    use crate::OWN_FROM;

    #[tokio::test]
    async fn a_server_that_speaks_another_protocol_is_named() {
        for (answer, foreign) in
            [(&b"\x15\x03\x03\x00\x02\x02\x32"[..], Foreign::Tls), (b"HTTP/1.1 400 Bad Request\r\n\r\n", Foreign::Http)]
        {
            let (ours, mut theirs) = duplex(1024);
            theirs.write_all(answer).await.unwrap();
            let (reader, writer) = split(ours);
            let mut link = Link::connect_over(reader, writer, &LinkConfig::default(), PeerInfo::new("tcp", "test"));
            let error = link.receive().await.unwrap_err();
            assert!(matches!(error, LinkError::Foreign(seen) if seen == foreign), "{error}");
        }
    }

    #[tokio::test]
    async fn http_gets_an_answer_of_its_kind() {
        for (request, says) in
            [("GET / HTTP/1.1\r\n\r\n", "WebSocket is not offered"), ("POST / HTTP/1.1\r\n", "not HTTP")]
        {
            let (ours, mut theirs) = duplex(1024);
            theirs.write_all(request.as_bytes()).await.unwrap();
            let (reader, writer) = split(ours);
            let peer = PeerInfo::new("tcp", "test");
            let accepted =
                tokio::spawn(async { Link::accept_over(reader, writer, &LinkConfig::default(), peer).await });
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains(says), "{answer}");
            drop(theirs);
            let error = accepted.await.unwrap().unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn large_frames_come_whole_among_small_ones_and_leave_nothing_behind() {
        let limits = LinkConfig::default().limits;
        let frame = |bytes: usize| {
            let header = Header::control(Kind::Events, CallId::NONE, false);
            Frame::new(header, "", "", "", &vec![7; bytes], &limits).unwrap()
        };
        let frames: Vec<_> = [10, OWN_FROM, 0, 3 * OWN_FROM, OWN_FROM - 20, 5].map(frame).into();
        let (ours, mut theirs) = duplex(100 * 1024);
        let sent: Vec<u8> = frames.iter().flat_map(|frame| frame.as_bytes().to_vec()).collect();
        let sending = tokio::spawn(async move { theirs.write_all(&sent).await });
        let (reader, writer) = split(ours);
        let config = LinkConfig::default();
        let peer = PeerInfo::new("tcp", "test");
        let mut link = Link::from_stream(reader, writer, &config, peer, BytesMut::new(), Bytes::new());
        for frame in frames {
            assert_eq!(link.receive().await.unwrap(), Some(frame));
        }
        sending.await.unwrap().unwrap();
        assert_eq!((link.receive().await.unwrap(), link.reader.buffered_bytes()), (None, 0));
        assert!(link.reader.held_bytes() <= 2 * OWN_FROM, "{}", link.reader.held_bytes());
    }

    #[tokio::test]
    async fn a_stream_that_ends_inside_a_large_frame_is_torn() {
        let (ours, mut theirs) = duplex(1024 * 1024);
        let header = Header::control(Kind::Events, CallId::NONE, false);
        let frame = Frame::new(header, "", "", "", &vec![7; 8 * OWN_FROM], &LinkConfig::default().limits).unwrap();
        theirs.write_all(&frame.as_bytes()[..300_000]).await.unwrap();
        drop(theirs);
        let (reader, writer) = split(ours);
        let mut link = Link::connect_over(reader, writer, &LinkConfig::default(), PeerInfo::new("tcp", "test"));
        let error = link.receive().await.unwrap_err();
        let need = frame.as_bytes().len();
        assert_eq!(link.reader.missing_bytes(), Some(need - 300_000));
        assert!(
            matches!(error, LinkError::Protocol(DecodeError::Truncated { have: 300_000, need: n }) if n == need),
            "{error:?}"
        );
    }
}
