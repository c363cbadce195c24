//! One connection of a replay: items out, items in.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    io,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Format, Frame, Item, Kind, Stream, cut::Cutter};

pub(super) struct Wire {
    stream: Stream,
    /// Bytes that are written at once.
    pieces: usize,
    received: BytesMut,
    incoming: Cutter,
    outgoing: Cutter,
    /// Recorded numbers of calls, and those that the node uses instead.
    uuids: HashMap<u16, u16>,
    /// One end has ended the stream.
    ended: bool,
    /// Something was sent of which nothing tells yet that it was handled.
    unconfirmed: bool,
    /// What came while something else was waited for.
    early: VecDeque<Item>,
}

/// The number of the question that a node is asked between two steps.
const QUESTION: u16 = 65_534;

impl Wire {
    /// `to_server`: the node under test accepted the connection.
    pub(super) fn new(stream: Stream, to_server: bool, pieces: usize) -> Self {
        Self {
            stream,
            pieces,
            received: BytesMut::new(),
            incoming: Cutter::new(!to_server),
            outgoing: Cutter::new(to_server),
            uuids: HashMap::new(),
            ended: false,
            unconfirmed: false,
            early: VecDeque::new(),
        }
    }

    /// Sends an item. What the node does not take shows in what it answers.
    pub(super) async fn send(&mut self, item: &Item) {
        self.unconfirmed = true;
        let bytes = match item {
            Item::End => {
                self.ended = true;
                let _gone = self.stream.shutdown().await;
                return;
            }
            Item::Frame(frame) if self.uuids.contains_key(&frame.uuid) => {
                let mut frame = frame.clone();
                frame.uuid = self.uuids[&frame.uuid];
                self.outgoing.wrap(&Item::Frame(frame))
            }
            item => self.outgoing.wrap(item),
        };
        if matches!(item, Item::Upgrade(_)) {
            // Both directions change over; the answer itself is an upgrade still.
            self.outgoing.on_upgrade();
        }
        let pieces = if matches!(item, Item::Syn(_)) { usize::MAX } else { self.pieces };
        for piece in bytes.chunks(pieces) {
            let written = async {
                self.stream.write_all(piece).await?;
                self.stream.flush().await
            };
            if written.await.is_err() {
                return;
            }
        }
    }

    /// Whether either end has ended the stream.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next item; `None` at the end of the stream. Cancel safe.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Item>> {
        if let Some(item) = self.early.pop_front() {
            return Ok(Some(item));
        }
        let received = self.next().await;
        self.ended |= matches!(received, Ok(None));
        received
    }

    /// The next item, with its items of a stream packed as in `expected`: those of further frames
    /// join it, those that are too many stay for the next.
    pub(super) async fn receive_packed_as(&mut self, expected: &Item) -> io::Result<Option<Item>> {
        let mut received = self.receive().await?;
        let Item::Frame(expected) = expected else { return Ok(received) };
        let Some(Item::Frame(got)) = &mut received else { return Ok(received) };
        if !expected.has_items() || !got.has_items() {
            return Ok(received);
        }
        let wanted = &expected.payload;
        while got.payload.len() < wanted.len() && wanted.starts_with(&got.payload) {
            match self.receive().await? {
                Some(Item::Frame(next)) if (Frame { payload: got.payload.clone(), ..*next.clone() }) == **got => {
                    got.payload = [&got.payload[..], &next.payload].concat().into();
                }
                // What came instead is the next step's, and this one differs.
                Some(other) => {
                    self.early.push_front(other);
                    break;
                }
                None => break,
            }
        }
        if got.payload.len() > wanted.len() && got.payload.starts_with(wanted) {
            let rest = got.payload.split_off(wanted.len());
            self.early.push_front(Item::Frame(Box::new(Frame { payload: rest, ..*got.clone() })));
        }
        Ok(received)
    }

    /// Waits until a client has handled all it was sent: it answers a call of a function that it
    /// does not have, and it reads in order. Nothing else of the protocol tells that an event has
    /// arrived.
    pub(super) async fn confirm(&mut self) -> io::Result<()> {
        if self.ended || !self.unconfirmed || !self.outgoing.is_open() {
            return Ok(());
        }
        self.unconfirmed = false;
        let question = Frame {
            uuid: QUESTION,
            kind: Kind::REQUEST,
            format: Format::JSON,
            is_bytes: false,
            wants_reply: true,
            parts: 1,
            little_endian: true,
            names: ["replay", "", "no function has this name"].map(str::to_owned),
            payload: Bytes::from_static(br#"{"args": [], "kwargs": {}}"#),
        };
        self.send(&Item::Frame(Box::new(question))).await;
        self.unconfirmed = false;
        loop {
            match self.next().await? {
                Some(Item::Frame(frame)) if (frame.uuid, frame.kind) == (QUESTION, Kind::ERROR) => return Ok(()),
                Some(item) => self.early.push_back(item),
                None => return Ok(()),
            }
        }
    }

    async fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some((item, used)) = self.incoming.cut(&self.received) {
                self.received.advance(used);
                return Ok(Some(item));
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) if self.received.is_empty() => return Ok(None),
                Ok(0) => {
                    let rest = self.received.split().freeze();
                    return Ok(Some(Item::Raw(rest)));
                }
                Ok(_) => {}
                // How a stream ends is its transport's matter.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The expected item with the number that the node uses in place of the recorded one.
    pub(super) fn renumber<'a>(&mut self, expected: &'a Item, got: &Item, free: bool) -> Cow<'a, Item> {
        let (Item::Frame(recorded), Item::Frame(came)) = (expected, got) else { return Cow::Borrowed(expected) };
        if !free || recorded.uuid == 0 || came.uuid == 0 {
            return Cow::Borrowed(expected);
        }
        let mut recorded = recorded.clone();
        recorded.uuid = *self.uuids.entry(recorded.uuid).or_insert(came.uuid);
        Cow::Owned(Item::Frame(recorded))
    }
}
