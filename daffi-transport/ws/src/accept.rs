//! The accepting side of the handshake.

use std::{io, net::IpAddr, sync::Arc};

use bytes::Buf;
use daffi_transport::{AcceptError, BoxFuture, HttpConnection, HttpUpgrade, Link, Phase};
use daffi_wire::Shown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Keepalive, Origin, OriginError,
    link::Upgraded,
    messages::Side,
    request::{self, UpgradeRefusal, UpgradeRequest},
    response,
};

/// Takes WebSockets on a listener of another transport: give it to `with_http` of a TCP or TLS
/// listener.
#[derive(Clone, Debug, Default)]
pub struct WebSockets {
    origins: Arc<Vec<Origin>>,
    keepalive: Keepalive,
}

impl WebSockets {
    /// Takes WebSockets from programs, and from pages that are at home: see
    /// [`allow_origin`](Self::allow_origin).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets pages of this origin in, too. May be called several times.
    ///
    /// Browsers let any page connect to any host, and tell the page's origin. Without this, a
    /// request without origin is accepted (it comes from no page), a page from loopback over a
    /// connection that arrives on a loopback address, and over any other connection a page from the
    /// host that the request is for, if that is an address, or the connection is TLS. All else is
    /// answered with 403: without TLS a stranger's page may have its name resolve to this host.
    ///
    /// What counts is the address on which the connection arrives and not where the listener
    /// listens: on 0.0.0.0 a page of a stranger whose name resolves to 127.0.0.1 asks for its own
    /// host.
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        Arc::make_mut(&mut self.origins).push(origin);
        self
    }

    /// Sets when silent peers are pinged and given up.
    #[must_use]
    pub const fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    fn check_origin(
        &self,
        request: &UpgradeRequest,
        local: Option<IpAddr>,
        over_tls: bool,
    ) -> Result<(), UpgradeRefusal> {
        for text in &request.origins {
            let origin: Result<Origin, OriginError> = text.parse();
            let is_welcome = origin
                .as_ref()
                .is_ok_and(|origin| self.origins.contains(origin) || origin.is_at_home(local, over_tls, &request.host));
            if !is_welcome {
                let seen = origin.map_or_else(|_| format!("\"{}\"", Shown::new(text)), |origin| origin.to_string());
                let reason = format!(
                    "pages of the origin {seen} may not connect here; the option --allow-origin {seen}, or allow_origin() \
                     of the server, lets them"
                );
                return Err(UpgradeRefusal { status: "403 Forbidden", headers: &[], reason });
            }
        }
        Ok(())
    }

    async fn accept(self, mut connection: HttpConnection) -> Result<Link, AcceptError> {
        let failed = |error: io::Error| AcceptError::failed(Phase::Opening, error);
        let checked = loop {
            match request::parse(&mut connection.received) {
                Ok(Some((size, request))) => {
                    let over_tls = connection.peer.scheme == "tls";
                    break self.check_origin(&request, connection.local, over_tls).map(|()| (size, request));
                }
                Ok(None) => {}
                Err(refusal) => break Err(refusal),
            }
            if connection.reader.read_buf(&mut connection.received).await.map_err(failed)? == 0 {
                let text = "the peer closed before its request for a WebSocket was whole";
                return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
        };
        let (size, request) = match checked {
            Ok(checked) => checked,
            Err(UpgradeRefusal { status, headers, reason }) => {
                return Err(connection.refuse(status, headers, reason).await);
            }
        };
        let HttpConnection { reader, mut writer, mut received, config, mut peer, .. } = connection;
        writer.write_all(response::accepting(&request.accept).as_bytes()).await.map_err(failed)?;
        writer.flush().await.map_err(failed)?;
        received.advance(size);
        peer.scheme = if peer.scheme == "tls" { "wss" } else { "ws" };
        Ok(Upgraded { reader, writer, received }.into_link(Side::Server, &config, peer, Some(self.keepalive)))
    }
}

impl HttpUpgrade for WebSockets {
    fn upgrade(&self, connection: HttpConnection) -> BoxFuture<'static, Result<Link, AcceptError>> {
        Box::pin(self.clone().accept(connection))
    }
}
