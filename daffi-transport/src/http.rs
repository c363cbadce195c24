//! The seam for what begins with an HTTP request: WebSocket.

use std::{fmt, io, net::IpAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{AcceptError, BoxFuture, Link, LinkConfig, PeerInfo};

/// How long an answer that refuses may take to reach the peer, until the connection is closed.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes links of connections whose first bytes are an HTTP request.
///
/// A listener of byte streams is given one and hands such connections over, so the crates of those
/// listeners know nothing of HTTP. `daffi-transport-ws` has the one for WebSocket.
pub trait HttpUpgrade: fmt::Debug + Send + Sync + 'static {
    /// Answers the request and makes the link, or refuses. It runs under the time limit of
    /// [`Pending::upgrade`].
    ///
    /// [`Pending::upgrade`]: crate::Pending::upgrade
    fn upgrade(&self, connection: HttpConnection) -> BoxFuture<'static, Result<Link, AcceptError>>;
}

/// An upgrade that a listener offers to one connection.
#[derive(Clone, Debug)]
pub struct HttpOffer {
    /// What makes the link.
    pub upgrade: Arc<dyn HttpUpgrade>,
    /// The connection's own address on this side, which tells how far the peer is away: a listener
    /// on all addresses is reached from this machine and from elsewhere. `None` when it is not
    /// known.
    pub local: Option<IpAddr>,
}

/// An accepted connection that begins with an HTTP request, of which nothing was handled.
pub struct HttpConnection {
    /// What the peer sends further.
    pub reader: Box<dyn AsyncRead + Unpin + Send>,
    /// The way to the peer.
    pub writer: Box<dyn AsyncWrite + Unpin + Send>,
    /// What was read already: some or all of the request, perhaps more.
    pub received: BytesMut,
    /// What the node asks of the link.
    pub config: LinkConfig,
    /// Who connects.
    pub peer: PeerInfo,
    /// The connection's own address on this side; `None` when it is not known.
    pub local: Option<IpAddr>,
}

impl HttpConnection {
    /// Answers with an error and closes, within [`REFUSAL_TIMEOUT`]. `status` is as in `403
    /// Forbidden`, each of `headers` a line without its end, `reason` a sentence for whoever reads
    /// the answer.
    ///
    /// What cannot be sent in that time is given up.
    ///
    /// # Panics
    /// On a runtime without time enabled.
    pub async fn refuse(mut self, status: &'static str, headers: &[&str], reason: String) -> AcceptError {
        let answered = timeout(REFUSAL_TIMEOUT, self.answer(status, headers, &reason)).await;
        drop(answered);
        AcceptError::HttpRefused { status, reason }
    }

    async fn answer(&mut self, status: &str, headers: &[&str], reason: &str) -> io::Result<()> {
        let mut answer = format!("HTTP/1.1 {status}\r\n");
        for header in headers {
            answer.push_str(header);
            answer.push_str("\r\n");
        }
        let length = reason.len() + 1;
        answer.push_str(&format!(
            "Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{reason}\n"
        ));
        self.writer.write_all(answer.as_bytes()).await?;
        self.writer.shutdown().await?;
        // Closing with unread bytes would reset the connection and destroy the answer.
        loop {
            self.received.clear();
            if self.reader.read_buf(&mut self.received).await? == 0 {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection").field("peer", &self.peer).field("local", &self.local).finish_non_exhaustive()
    }
}
