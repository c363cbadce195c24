//! TLS as a byte stream.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use daffi_transport::{AcceptError, BoxFuture, Movable, PeerInfo, Phase};
use daffi_transport_tcp::movable;
use rustls::CommonState;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsStream as Inner};

use crate::{TlsError, names::names};

/// An established TLS connection.
///
/// What was written leaves with a flush. Shutting down sends `close_notify` and then ends the TCP
/// stream. A peer that ends the TCP stream without `close_notify` is an end of stream here, not an
/// error: every process that just ends does so, and a protocol of frames sees by itself when
/// something is missing.
pub struct TlsStream(Inner<Movable<TcpStream>>);

impl TlsStream {
    pub(crate) fn new(stream: impl Into<Inner<Movable<TcpStream>>>) -> Self {
        Self(stream.into())
    }

    /// The TCP stream below.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        self.0.get_ref().0.get_ref()
    }

    /// The certificate of the peer, if it showed one.
    pub(crate) fn peer_certificate(&self) -> Option<Vec<u8>> {
        let (_, session): (_, &CommonState) = self.0.get_ref();
        session.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, session) = self.0.get_ref();
        f.debug_struct("TlsStream").field("version", &session.protocol_version()).finish_non_exhaustive()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll_read(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            result => result.map_err(TlsError::name_error),
        })
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// An accepted connection that has yet to shake hands. Dropping it closes the connection.
pub struct TlsHandshake {
    /// Who connects; its certificate is not known yet.
    pub peer: PeerInfo,
    accept: BoxFuture<'static, Result<TlsStream, AcceptError>>,
}

impl TlsHandshake {
    pub(crate) fn new(peer: PeerInfo, stream: TcpStream, acceptor: TlsAcceptor) -> Self {
        Self { peer, accept: Box::pin(shake_hands(stream, acceptor)) }
    }

    /// Shakes hands. Gives the stream, and the peer with its certificate, if the listener asked for
    /// one.
    ///
    /// Not cancel safe: a dropped handshake closes the connection.
    ///
    /// # Errors
    /// [`AcceptError::Failed`] with a [`TlsError`]; [`AcceptError::Silent`] for a peer that closes
    /// before it says anything.
    pub async fn complete(self) -> Result<(TlsStream, PeerInfo), AcceptError> {
        let stream = self.accept.await?;
        let mut peer = self.peer;
        peer.certificate = stream.peer_certificate();
        peer.certificate_names = peer.certificate.as_deref().map(names).unwrap_or_default();
        Ok((stream, peer))
    }
}

async fn shake_hands(stream: TcpStream, acceptor: TlsAcceptor) -> Result<TlsStream, AcceptError> {
    // However it closes.
    if stream.peek(&mut [0]).await.unwrap_or(0) == 0 {
        return Err(AcceptError::Silent);
    }
    let accepted = acceptor.accept(movable(stream)).await;
    accepted.map(TlsStream::new).map_err(|error| AcceptError::failed(Phase::Tls, TlsError::of(error, None)))
}

impl fmt::Debug for TlsHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsHandshake").field("peer", &self.peer).finish_non_exhaustive()
    }
}
