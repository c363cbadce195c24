//! One connection of a replay: items out, items in.

use std::{borrow::Cow, collections::HashMap, io};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Item, Stream, cut::Cutter};

pub(crate) struct Wire {
    stream: Option<Stream>,
    received: BytesMut,
    incoming: Cutter,
    outgoing: Cutter,
    /// Recorded numbers of calls, and those that the node uses instead.
    uuids: HashMap<u16, u16>,
    /// One end has ended the stream.
    ended: bool,
}

impl Wire {
    /// `to_server`: the node under test accepted the connection.
    pub(crate) fn new(stream: Stream, to_server: bool) -> Self {
        Self {
            stream: Some(stream),
            received: BytesMut::new(),
            incoming: Cutter::new(!to_server),
            outgoing: Cutter::new(to_server),
            uuids: HashMap::new(),
            ended: false,
        }
    }

    /// Sends an item. What the node does not take shows in what it answers.
    pub(crate) async fn send(&mut self, item: &Item) {
        let Some(stream) = &mut self.stream else { return };
        let bytes = match item {
            Item::End => {
                self.ended = true;
                let _gone = stream.shutdown().await;
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
            self.outgoing.upgraded();
        }
        let _gone = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        }
        .await;
    }

    /// Whether either end has ended the stream.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// The next item; `None` at the end of the stream. Cancel safe.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Item>> {
        let received = self.next().await;
        self.ended |= matches!(received, Ok(None));
        received
    }

    async fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some((item, used)) = self.incoming.cut(&self.received) {
                self.received.advance(used);
                return Ok(Some(item));
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.read_buf(&mut self.received).await {
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
    pub(crate) fn renumbered<'a>(&mut self, expected: &'a Item, got: &Item, free: bool) -> Cow<'a, Item> {
        let (Item::Frame(recorded), Item::Frame(came)) = (expected, got) else { return Cow::Borrowed(expected) };
        if !free || recorded.uuid == 0 || came.uuid == 0 {
            return Cow::Borrowed(expected);
        }
        let mut recorded = recorded.clone();
        recorded.uuid = *self.uuids.entry(recorded.uuid).or_insert(came.uuid);
        Cow::Owned(Item::Frame(recorded))
    }
}
