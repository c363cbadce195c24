//! The connecting side of the handshake.

use std::io;

use bytes::{Buf, BytesMut};
use daffi_transport::{BoxFuture, ConnectError, Connector, Endpoint, EndpointError, Link, LinkConfig, PeerInfo, Phase};
use daffi_transport_tcp::{AddressOrder, TcpPath, check_to_connect, connect_stream_by};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::{
    Keepalive,
    address::Address,
    link::Upgraded,
    messages::Side,
    response::{self, Accepted, UpgradeError},
};

/// First room for the answer, in bytes.
const ANSWER_ROOM: usize = 1024;

/// Connects to `ws://host:port/path`, and with TLS settings to `wss://host:port/path`, resolving
/// the host anew each time.
///
/// Path and port may be left out; they are then `/`, and 80 or 443. Messages are sent whole, as
/// servers of daffi 3.0.1 need it.
#[derive(Clone, Debug)]
pub struct WsConnector {
    endpoint: Endpoint,
    keepalive: Keepalive,
    order: AddressOrder,
    #[cfg(feature = "tls")]
    tls: Option<daffi_transport_tls::ClientTls>,
}

impl WsConnector {
    /// A connector to that endpoint. What is wrong with it shows when connecting.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            keepalive: Keepalive::default(),
            order: AddressOrder::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets how a `wss://` server is verified. Without it, connecting to one is an error.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: daffi_transport_tls::ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets when a silent server is pinged and given up, if it says that it answers pings
    /// ([`PING_HEADER`](crate::PING_HEADER)).
    #[must_use]
    pub const fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    async fn open(self, config: LinkConfig) -> Result<Link, ConnectError> {
        let address = Address::of(&self.endpoint)?;
        if address.is_tls {
            let secured = self.tls_stream(&address).await;
            let (stream, mut peer, path) = secured.map_err(|error| error.of(&self.endpoint))?;
            peer.scheme = "wss";
            Ok(self.upgrade(stream, &address, peer, &config).await?.with_path(path))
        } else {
            let connected = connect_stream_by(&address.below()?, &self.order).await;
            let (stream, remote) = connected.map_err(|error| error.of(&self.endpoint))?;
            let path = TcpPath::of(&stream);
            let peer = PeerInfo::new("ws", remote.to_string());
            Ok(self.upgrade(stream, &address, peer, &config).await?.with_path(path))
        }
    }

    #[cfg(feature = "tls")]
    async fn tls_stream(
        &self,
        address: &Address<'_>,
    ) -> Result<(daffi_transport_tls::TlsStream, PeerInfo, TcpPath), ConnectError> {
        let Some(tls) = &self.tls else {
            let rule = "wss:// needs settings that say whom to trust";
            return Err(daffi_transport::EndpointError::new(&self.endpoint, rule).into());
        };
        let connector = daffi_transport_tls::TlsConnector::new(address.below()?, tls.clone()).order(self.order.clone());
        let (stream, peer) = connector.connect_stream().await?;
        let path = TcpPath::of(stream.tcp());
        Ok((stream, peer, path))
    }

    #[cfg(not(feature = "tls"))]
    async fn tls_stream(&self, _: &Address<'_>) -> Result<(tokio::io::DuplexStream, PeerInfo, TcpPath), ConnectError> {
        let rule = "wss:// needs the feature tls";
        Err(daffi_transport::EndpointError::new(&self.endpoint, rule).into())
    }

    async fn upgrade(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: &Address<'_>,
        peer: PeerInfo,
        config: &LinkConfig,
    ) -> Result<Link, ConnectError> {
        let failed = |error: io::Error| {
            // Whoever takes no WebSockets and closes with a part of the request unread resets the
            // connection.
            match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    ConnectError::failed(&self.endpoint, Phase::Opening, UpgradeError::Closed)
                }
                _ => ConnectError::failed(&self.endpoint, Phase::Opening, error),
            }
        };
        let (mut reader, mut writer) = split(stream);
        let key = generate_key();
        writer.write_all(request(address, &key).as_bytes()).await.map_err(failed)?;
        writer.flush().await.map_err(failed)?;

        let accept = derive_accept_key(key.as_bytes());
        let mut received = BytesMut::with_capacity(ANSWER_ROOM);
        let mut ended = false;
        let Accepted { size, answers_pings } = loop {
            match response::parse(&received, &accept, ended) {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => ended = reader.read_buf(&mut received).await.map_err(failed)? == 0,
                Err(error) => return Err(ConnectError::failed(&self.endpoint, Phase::Opening, error)),
            }
        };
        received.advance(size);
        let upgraded = Upgraded { reader: Box::new(reader), writer: Box::new(writer), received };
        Ok(upgraded.into_link(Side::Client, config, peer, answers_pings.then_some(self.keepalive)))
    }
}

fn request(address: &Address<'_>, key: &str) -> String {
    let Address { path, authority, .. } = address;
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
}

impl Connector for WsConnector {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        Box::pin(self.clone().open(*config))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn check(&self) -> Result<(), EndpointError> {
        let below = Address::of(&self.endpoint)?.below()?;
        check_to_connect(&below).map_err(|EndpointError { rule, .. }| EndpointError::new(&self.endpoint, rule))
    }

    fn give_way(&self) {
        self.order.give_way();
    }
}
