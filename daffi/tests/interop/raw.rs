//! Peers made by hand.

use std::io;

use bytes::BytesMut;
use daffi::{FormatId, Limits};
use daffi_wire::{CallId, Frame, FrameDecoder, Header, Kind, SYN};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::PATIENCE;

/// A connection on which every byte is ours.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: BytesMut,
}

/// One frame: its header, `transmitter|receiver|function`, its payload.
pub(crate) fn frame(header: Header, names: [&str; 3], body: &str) -> Vec<u8> {
    let [transmitter, receiver, function] = names;
    let frame = Frame::new(header, transmitter, receiver, function, body.as_bytes(), &Limits::default());
    frame.unwrap().as_bytes().to_vec()
}

/// A frame in JSON that wants an answer if that can be.
pub(crate) fn json(kind: Kind, id: u16, names: [&str; 3], body: &str) -> Vec<u8> {
    frame(Header::new(kind, CallId(id), FormatId::JSON, true, kind == Kind::Request), names, body)
}

/// The HANDSHAKE of a client of `node_type` that exposes `methods`, a JSON array or `null`.
pub(crate) fn handshake(node_type: &str, name: &str, methods: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"meta":{{"type":"{node_type}","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#
    );
    frame(Header::control(Kind::Handshake, CallId(1), true), [name, "", ""], &body)
}

pub(crate) fn hello(name: &str) -> Vec<u8> {
    handshake("client", name, "null")
}

impl Raw {
    pub(crate) async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // Each write leaves as a segment of its own.
        stream.set_nodelay(true).unwrap();
        Self { stream, read: BytesMut::new() }
    }

    /// A node that had its handshake answered.
    pub(crate) async fn join(address: &str, node_type: &str, name: &str, methods: &str) -> Self {
        let mut raw = Self::open(address).await;
        raw.must_send([&[&SYN[..], &handshake(node_type, name, methods)].concat()[..]]).await;
        let answer = raw.receive("a handshake").await.unwrap();
        assert_eq!((answer.kind(), answer.transmitter()), (Kind::Handshake, name));
        raw
    }

    /// Fails when the other end has closed already, which is its right here.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn must_send(&mut self, pieces: impl IntoIterator<Item = &[u8]>) {
        for piece in pieces {
            self.send(piece).await.unwrap();
            // Lets the service, which runs on these threads too, read the piece alone.
            tokio::task::yield_now().await;
        }
    }

    /// The next frame, or `None` when the other end has closed.
    pub(crate) async fn receive(&mut self, attack: &str) -> Option<Frame> {
        let mut decoder = FrameDecoder::new(Limits::default());
        let reading = async {
            loop {
                if let Some(frame) = decoder.decode(&mut self.read).unwrap() {
                    return Some(frame);
                }
                if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                    return None;
                }
            }
        };
        timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{attack}: neither answered nor closed"))
    }

    /// Handshake and call are answered.
    pub(crate) async fn is_served(&mut self, attack: &str) {
        let answer = self.receive(attack).await.unwrap_or_else(|| panic!("{attack}: closed instead of a handshake"));
        assert_eq!(answer.kind(), Kind::Handshake, "{attack}");
        let answer = self.receive(attack).await.unwrap_or_else(|| panic!("{attack}: closed instead of an answer"));
        assert_eq!(answer.payload(), br#"{"args":[7],"kwargs":{}}"#, "{attack}");
    }

    pub(crate) async fn is_closed(&mut self, attack: &str) {
        while let Some(frame) = self.receive(attack).await {
            assert_eq!(frame.kind(), Kind::Handshake, "{attack} was answered: {frame:?}");
        }
    }
}
