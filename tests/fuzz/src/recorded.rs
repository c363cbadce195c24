//! What nodes of 3.0.1 sent in the recorded sessions: inputs to begin with, and conversations to
//! fall into.

use std::sync::OnceLock;

use bytes::BytesMut;
use conformance::{Direction, Item};
use daffi_wire::{Frame, FrameDecoder, Limits};

/// Longer items are left out: they are long, and nothing else.
const LONGEST_ITEM: usize = 2_048;

/// What went over one connection in one direction, piece by piece.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) direction: Direction,
    pub(crate) upgraded: bool,
    pub(crate) items: Vec<Vec<u8>>,
}

/// All recorded conversations. A missing recording is no reason to test nothing: there are other
/// seeds.
pub(crate) fn conversations() -> &'static [Conversation] {
    static ALL: OnceLock<Vec<Conversation>> = OnceLock::new();
    ALL.get_or_init(|| {
        let sessions = conformance::recordings().expect("the recordings are in the tree");
        let mut all = Vec::new();
        for session in &sessions {
            for connection in session.connections() {
                for direction in [Direction::ToServer, Direction::ToClient] {
                    let upgraded = session.frames(connection, direction).any(|item| matches!(item, Item::Upgrade(_)));
                    let items: Vec<_> = session
                        .bytes(connection, direction)
                        .filter(|item| !item.is_empty() && item.len() <= LONGEST_ITEM)
                        .map(|item| item.to_vec())
                        .collect();
                    all.push(Conversation { direction, upgraded, items });
                }
            }
        }
        all.retain(|conversation| !conversation.items.is_empty());
        all
    })
}

/// Conversations in one direction over native connections.
pub(crate) fn native(direction: Direction) -> impl Iterator<Item = &'static Conversation> {
    conversations().iter().filter(move |conversation| !conversation.upgraded && conversation.direction == direction)
}

/// All frames that were recorded.
pub(crate) fn frames() -> impl Iterator<Item = Frame> {
    conversations()
        .iter()
        .flat_map(|conversation| &conversation.items)
        .filter_map(|item| FrameDecoder::new(Limits::default()).decode(&mut BytesMut::from(&item[..])).ok().flatten())
}

/// The item that two decisions choose.
pub(crate) fn item(direction: Direction, conversation: u16, item: u8) -> &'static [u8] {
    let count = native(direction).count();
    native(direction)
        .nth(usize::from(conversation) % count.max(1))
        .map_or(&[], |found| &found.items[usize::from(item) % found.items.len()])
}
