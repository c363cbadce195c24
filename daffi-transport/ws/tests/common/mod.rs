//! What the tests share: a listener that takes WebSockets, and a client made by hand.

#![allow(dead_code, clippy::unwrap_used, reason = "each test crate uses a part, and may panic")]

use std::{future::poll_fn, sync::Arc, time::Duration};

use daffi_transport::{AcceptError, Link, LinkConfig, Listener};
use daffi_transport_tcp::TcpListener;
use daffi_transport_ws::WebSockets;
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Nothing takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn frame(id: u16, size: usize) -> Frame {
    let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let header = Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true);
    Frame::new(header, "cli", "svc", "echo", &payload, &Limits::default()).unwrap()
}

/// A server that takes WebSockets, with limits small enough to be met.
pub(crate) struct Server {
    pub(crate) listener: TcpListener,
    pub(crate) config: LinkConfig,
}

impl Server {
    pub(crate) async fn new() -> Self {
        Self::taking(WebSockets::new()).await
    }

    pub(crate) async fn taking(sockets: WebSockets) -> Self {
        let listener = TcpListener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { listener: listener.with_http(Arc::new(sockets)), config: LinkConfig::default() }
    }

    pub(crate) fn address(&self) -> &str {
        self.listener.endpoint().address()
    }

    pub(crate) async fn accept(&mut self) -> Result<Link, AcceptError> {
        let pending = poll_fn(|cx| self.listener.poll_accept(cx, &self.config)).await.unwrap();
        timeout(PATIENCE, pending.upgrade()).await.expect("an upgrade ends")
    }

    /// A link and the hand-made client at its other end.
    pub(crate) async fn meet(&mut self) -> (Link, RawClient) {
        let mut client = RawClient::connect(self.address()).await;
        client.send(UPGRADE).await;
        let link = self.accept().await.unwrap();
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        (link, client)
    }
}

/// What is needed, and not a byte more.
pub(crate) const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: x\r\n\r\n";

/// [`UPGRADE`] with further headers, or another `Host`.
pub(crate) fn upgrade_with(headers: &str) -> Vec<u8> {
    let host = if headers.starts_with("Host:") { "" } else { "Host: 127.0.0.1\r\n" };
    let text = String::from_utf8_lossy(UPGRADE);
    text.replacen("Host: 127.0.0.1\r\n", &format!("{host}{headers}\r\n"), 1).into_bytes()
}

/// A frame of WebSocket, unmasked.
pub(crate) fn ws(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            bytes.push(126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) const BINARY: u8 = 0x82;
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

pub(crate) struct RawClient {
    pub(crate) stream: TcpStream,
}

impl RawClient {
    pub(crate) async fn connect(address: &str) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The head of an HTTP answer.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, self.stream.read_u8()).await.expect("an answer comes").unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// The next frame: first byte and payload. The server must not mask.
    pub(crate) async fn receive(&mut self) -> (u8, Vec<u8>) {
        let frame = async {
            let (first, length) = (self.stream.read_u8().await?, self.stream.read_u8().await?);
            let length = match length {
                126 => self.stream.read_u16().await?.into(),
                127 => self.stream.read_u64().await?,
                masked @ 128.. => panic!("a masked frame: {masked}"),
                length => length.into(),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await?;
            std::io::Result::Ok((first, payload))
        };
        timeout(PATIENCE, frame).await.expect("a frame comes").unwrap()
    }

    /// The code and reason of the close frame that comes next.
    pub(crate) async fn close_code(&mut self) -> (u16, String) {
        let (first, payload) = self.receive().await;
        assert_eq!(first, CLOSE, "{payload:?}");
        let (code, reason) = payload.split_first_chunk().unwrap();
        (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())
    }

    /// Waits until the server closed the connection.
    pub(crate) async fn await_close(&mut self) {
        let mut rest = Vec::new();
        let _reset = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the server closes");
        assert_eq!(rest, b"", "nothing comes behind a close frame");
    }

    /// The whole answer to a request that is refused.
    pub(crate) async fn answer(&mut self) -> String {
        let mut answer = String::new();
        timeout(PATIENCE, self.stream.read_to_string(&mut answer)).await.expect("the server closes").unwrap();
        answer
    }
}
