//! A peer that speaks by hand.

use std::{
    future::{Future, poll_fn},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use daffi_transport::{Batch, Connector, Endpoint, Link, LinkConfig, Listener, mem::MemConnector};
use daffi_wire::{
    CallId, Data, DataEnd, Extensions, FormatId, Frame, FrameWriter, Handshake, Header, Kind, Level, Limits, Ping,
    StreamFlags,
};
use tokio::time::timeout;

/// A REQUEST with these extensions before its payload. `names`: of caller, receiver and callback.
pub(crate) fn request(id: u16, names: [&str; 3], said: &Extensions, body: &str) -> Frame {
    saying(Header::new(Kind::Request, CallId(id), FormatId::JSON, true, true), names, said, body)
}

/// A REQUEST that wants no answer, with these extensions.
pub(crate) fn nowait(names: [&str; 3], said: &Extensions, body: &str) -> Frame {
    saying(Header::new(Kind::Request, CallId::NONE, FormatId::JSON, true, false), names, said, body)
}

fn saying(header: Header, names: [&str; 3], said: &Extensions, body: &str) -> Frame {
    let ([from, to, method], limits) = (names, Limits::default());
    let mut bytes = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut bytes, from, to, method).unwrap();
    writer.extensions(said);
    writer.body().extend_from_slice(body.as_bytes());
    writer.finish(header, 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// The first frame of a body of `total` bytes.
pub(crate) fn first(kind: Kind, id: u16, [from, to, method]: [&str; 3], total: usize, part: &[u8]) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, from, to, method).unwrap();
    writer.body_total(total as u64);
    writer.body().extend_from_slice(part);
    writer.finish(Header::new(kind, CallId(id), FormatId::JSON, true, kind == Kind::Request), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// Says that results follow.
pub(crate) fn begins(id: CallId, [from, to]: [&str; 2]) -> Frame {
    let (mut bytes, limits) = (BytesMut::new(), Limits::default());
    let mut writer = FrameWriter::begin(&mut bytes, from, to, "f").unwrap();
    let follow = StreamFlags { items_follow: true, takes_results: false };
    writer.extensions(&Extensions::builder().stream(follow).build().unwrap());
    writer.finish(Header::new(Kind::Response, id, FormatId::JSON, false, false), 0, &limits).unwrap();
    Frame::from_message(bytes.freeze(), &limits).unwrap()
}

/// A part of a body, or of items.
pub(crate) fn data(id: u16, from_caller: bool, [from, to]: [&str; 2], end: DataEnd, bytes: &[u8]) -> Frame {
    let data = Data { id: CallId(id), from_caller, end, packed: false, bytes: Bytes::copy_from_slice(bytes) };
    data.frame(from, to, &Limits::default()).unwrap()
}

/// A handshake. `methods`: the JSON of the list; `says`: the function section.
pub(crate) fn handshake(name: &str, node_type: &str, methods: &str, says: &str) -> Frame {
    let body = format!(
        r#"{{"meta":{{"type":"{node_type}","error":null}},"members":[{{"name":"{name}","methods":{methods}}}]}}"#
    );
    let header = Header::control(Kind::Handshake, CallId(1), true);
    Frame::new(header, name, "", says, body.as_bytes(), &Limits::default()).unwrap()
}

/// A peer that has shaken hands. `methods`: the JSON of the list.
pub(crate) async fn raw(at: &Endpoint, name: &str, node_type: &str, methods: &str) -> Peer {
    let mut peer = Peer::connect(at).await;
    peer.hello_with(name, node_type, methods).await;
    peer
}

pub(crate) async fn send(peer: &mut Peer, frame: &Frame) {
    peer.send_bytes(frame.as_bytes()).await;
}

/// A Service by hand that exposes `f`, of level 4: its end of the next connection.
pub(crate) async fn accept(listener: &mut dyn Listener) -> Peer {
    accept_as(listener, "service/4").await
}

/// The same of a node of this type.
pub(crate) async fn accept_as(listener: &mut dyn Listener, node_type: &str) -> Peer {
    let pending = poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap();
    let mut peer = Peer(pending.upgrade().await.unwrap());
    let hello = peer.receive().await.unwrap();
    let list =
        format!(r#"{{"meta":{{"type":"{node_type}","error":null}},"members":[{{"name":"svc","methods":["f"]}}]}}"#);
    let [from, to, says] = [hello.transmitter(), hello.receiver(), hello.method()];
    let answer = Frame::new(hello.header(), from, to, says, list.as_bytes(), &Limits::default()).unwrap();
    peer.send_bytes(answer.as_bytes()).await;
    peer.0.reader.set_level(Level::FOUR);
    peer
}

/// The next frame that is about a call, but for CREDIT.
pub(crate) async fn next_of_a_call(peer: &mut Peer) -> Option<Frame> {
    loop {
        let frame = soon(peer.receive()).await?;
        if !matches!(frame.kind(), Kind::Handshake | Kind::Events | Kind::Ping | Kind::Credit) {
            return Some(frame);
        }
    }
}

/// Waits until the server has handled all that this peer sent. What comes until then is dropped.
pub(crate) async fn handled(peer: &mut Peer) {
    let asked = *b"handled?";
    send(peer, &Ping::Asks(asked).frame()).await;
    loop {
        let frame = soon(peer.receive()).await.expect("it is there");
        if frame.kind() == Kind::Ping && matches!(Ping::read(&frame), Ok(Ping::Answers(told)) if told == asked) {
            return;
        }
    }
}

/// Ends the test in place of waiting for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it ends")
}

/// A peer that writes frames by hand.
pub(crate) struct Peer(pub(crate) Link);

impl Peer {
    pub(crate) async fn connect(at: &Endpoint) -> Self {
        Self(MemConnector::new(at.clone()).connect(&LinkConfig::default()).await.unwrap())
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let mut batch = Batch::new();
        batch.push(bytes, None);
        while batch.has_remaining() {
            // The other end may have closed already.
            if poll_fn(|cx| self.0.writer.poll_write(cx, &mut batch)).await.is_err() {
                return;
            }
        }
    }

    pub(crate) async fn send(&mut self, kind: Kind, id: u16, from: &str, method: &str, body: &str) {
        let header = Header::new(kind, CallId(id), FormatId::JSON, true, true);
        let frame = Frame::new(header, from, "svc", method, body.as_bytes(), &Limits::default()).unwrap();
        self.send_bytes(frame.as_bytes()).await;
    }

    pub(crate) async fn send_to(&mut self, kind: Kind, id: u16, names: [&str; 3], body: &str, wants_reply: bool) {
        let header = Header::new(kind, CallId(id), FormatId::JSON, true, wants_reply);
        let [from, to, method] = names;
        let frame = Frame::new(header, from, to, method, body.as_bytes(), &Limits::default()).unwrap();
        self.send_bytes(frame.as_bytes()).await;
    }

    pub(crate) async fn hello(&mut self, name: &str) -> Handshake {
        self.hello_with(name, "client", "null").await
    }

    /// `methods`: the JSON of the list.
    pub(crate) async fn hello_with(&mut self, name: &str, node_type: &str, methods: &str) -> Handshake {
        self.hello_saying(name, node_type, methods, "").await
    }

    /// `says`: the function section.
    pub(crate) async fn hello_saying(&mut self, name: &str, node_type: &str, methods: &str, says: &str) -> Handshake {
        let hello = handshake(name, node_type, methods, says);
        self.send_bytes(hello.as_bytes()).await;
        let answer = self.receive().await.expect("an answer to the handshake");
        assert_eq!(answer.header(), hello.header(), "the header is copied");
        if node_type.ends_with("/4") {
            self.0.reader.set_level(Level::FOUR);
        }
        Handshake::parse(answer.payload(), &Limits::default()).unwrap()
    }

    /// The payload of the next frame, which must be of this kind.
    pub(crate) async fn expect(&mut self, kind: Kind) -> String {
        let frame = self.receive().await.expect("a frame");
        let text = String::from_utf8_lossy(frame.payload()).into_owned();
        assert_eq!(frame.kind(), kind, "{frame:?}: {text}");
        text
    }

    /// The end of a connection of level 4 to a server that stops in order, and nothing else.
    pub(crate) async fn sees_a_farewell(&mut self) {
        for event in ["stopping", "stopped"] {
            let frame = self.receive().await.expect("an event before the end");
            let text = String::from_utf8_lossy(frame.payload()).into_owned();
            assert!(frame.kind() == Kind::Events && text.contains(&format!("\"{event}\"")), "{text}");
        }
        assert!(self.receive().await.is_none());
    }

    /// The next frame, or `None` at the end.
    pub(crate) async fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.0.reader.next_frame().unwrap() {
                return Some(frame);
            }
            match poll_fn(|cx| self.0.reader.poll_fill(cx, 1 << 16)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
