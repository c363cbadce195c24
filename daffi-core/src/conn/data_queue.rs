//! DATA that waits to be written to one peer, call by call.

use std::collections::VecDeque;

use bytes::Bytes;
use daffi_transport::OWN_FROM;
use daffi_wire::CallId;
use rustc_hash::FxHashMap;

/// What a queued frame takes beside its bytes.
pub(super) const FRAME_COST: usize = 48;

/// Whose DATA it is: the frames of one direction of one call keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DataKey {
    pub(crate) from: DataFrom,
    /// The call, by the number under which the peer knows it.
    pub(crate) id: CallId,
    /// Whether the caller sends it.
    pub(crate) from_caller: bool,
}

/// Where DATA comes from: what shares a number is told apart by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DataFrom {
    /// From the connection of this number, on its way to another.
    Conn(u64),
    /// From this node, for a call that it makes.
    Own,
    /// From this node, for a call of this caller: each caller counts its own calls.
    Served(u64),
}

/// Frames of many calls, which take turns.
#[derive(Debug, Default)]
pub(crate) struct DataQueue {
    calls: FxHashMap<DataKey, VecDeque<Bytes>>,
    /// The calls of which frames wait, each once.
    turns: VecDeque<DataKey>,
    /// Bytes that wait, with what the frames take beside them.
    held: usize,
    /// Bytes of this node's own calls.
    own_bytes: usize,
    frames: usize,
    /// All frames own their memory.
    is_compact: bool,
}

impl DataQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Memory for what waits. It is counted as any other, also that for which a window was taken
    /// from the budget: a call may end, and give that back, before its peer has taken the frames.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held
    }

    /// Bytes that wait of this node's own calls.
    pub(super) const fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    pub(super) const fn frames(&self) -> usize {
        self.frames
    }

    /// Puts a frame behind those of its call.
    pub(crate) fn push(&mut self, key: DataKey, frame: Bytes) {
        self.count(key, frame.len(), true);
        let waiting = self.calls.entry(key).or_default();
        if waiting.is_empty() {
            self.turns.push_back(key);
        }
        waiting.push_back(frame);
        self.is_compact = false;
    }

    /// Puts a frame that is to wait for long behind those of its call: it keeps no read buffer
    /// alive.
    pub(super) fn push_compact(&mut self, key: DataKey, frame: Bytes) {
        // The others were copied when they had to wait, and not again for each that comes.
        let was_compact = self.is_compact;
        self.push(key, own(frame));
        self.is_compact = was_compact;
    }

    /// Takes the next frame of the call whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let key = self.turns.pop_front()?;
        let waiting = self.calls.get_mut(&key)?;
        let frame = waiting.pop_front()?;
        if waiting.is_empty() {
            self.calls.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.count(key, frame.len(), false);
        Some(frame)
    }

    /// Whether something waits of a call from there.
    pub(crate) fn has_from(&self, from: DataFrom) -> bool {
        self.turns.iter().any(|key| key.from == from)
    }

    /// Drops what waits of one call.
    pub(crate) fn forget(&mut self, key: DataKey) {
        let Some(dropped) = self.calls.remove(&key) else { return };
        self.turns.retain(|other| *other != key);
        for frame in dropped {
            self.count(key, frame.len(), false);
        }
    }

    /// Drops what waits of all calls from there.
    pub(crate) fn forget_all(&mut self, from: DataFrom) {
        let gone: Vec<_> = self.calls.extract_if(|key, _| key.from == from).collect();
        if gone.is_empty() {
            return;
        }
        self.turns.retain(|key| key.from != from);
        for (key, frames) in gone {
            frames.iter().for_each(|frame| self.count(key, frame.len(), false));
        }
    }

    /// To be called when what waits has to wait for long: it keeps no read buffers alive.
    pub(super) fn compact(&mut self) {
        if std::mem::replace(&mut self.is_compact, true) {
            return;
        }
        for frame in self.calls.values_mut().flatten() {
            *frame = own(std::mem::take(frame));
        }
    }

    fn count(&mut self, key: DataKey, bytes: usize, comes: bool) {
        let add = |to: &mut usize, more: usize| *to = if comes { *to + more } else { *to - more };
        add(&mut self.frames, 1);
        add(&mut self.held, bytes + FRAME_COST);
        if !matches!(key.from, DataFrom::Conn(_)) {
            add(&mut self.own_bytes, bytes);
        }
    }
}

/// The frame in memory of its own; a large one owns about what it needs anyway.
fn own(frame: Bytes) -> Bytes {
    if frame.len() <= OWN_FROM { Bytes::copy_from_slice(&frame) } else { frame }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u16) -> DataKey {
        DataKey { from: DataFrom::Own, id: CallId(id), from_caller: false }
    }

    #[test]
    fn calls_take_turns_and_keep_their_order() {
        let mut queue = DataQueue::default();
        for frame in ["a1", "a2", "a3"] {
            queue.push(key(1), Bytes::from_static(frame.as_bytes()));
        }
        queue.push(key(2), Bytes::from_static(b"b1"));
        queue.push(DataKey { from: DataFrom::Conn(7), ..key(1) }, Bytes::from_static(b"c1"));
        assert_eq!((queue.own_bytes(), queue.frames()), (8, 5));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "a3"]);
        assert_eq!((queue.own_bytes(), queue.frames()), (0, 0));
        assert!(queue.calls.is_empty());
    }

    #[test]
    fn what_waits_for_long_is_copied_once() {
        let buffer = Bytes::from(vec![7; 100_000]);
        let mut queue = DataQueue::default();
        queue.push(key(1), buffer.slice(..10));
        queue.compact();
        queue.push_compact(key(2), buffer.slice(..10));
        assert!(buffer.is_unique());
        let place = |queue: &DataQueue| queue.calls[&key(1)][0].as_ptr();
        let before = place(&queue);
        queue.compact();
        assert_eq!(place(&queue), before);
    }

    #[test]
    fn a_call_that_has_ended_leaves_nothing() {
        let mut queue = DataQueue::default();
        queue.push(key(1), Bytes::from_static(b"a1"));
        queue.push(key(2), Bytes::from_static(b"b1"));
        queue.push(key(1), Bytes::from_static(b"a2"));
        queue.forget(key(1));
        queue.forget(key(3));
        assert_eq!((queue.pop(), queue.pop(), queue.is_empty()), (Some(Bytes::from_static(b"b1")), None, true));
        assert_eq!((queue.own_bytes(), queue.frames()), (0, 0));
    }

    #[test]
    fn what_comes_from_one_is_forgotten_and_nothing_else() {
        let mut queue = DataQueue::default();
        let of = |caller, id| DataKey { from: DataFrom::Served(caller), id: CallId(id), from_caller: false };
        for (caller, id) in [(1, 1), (2, 1), (1, 2), (1, 1)] {
            queue.push(of(caller, id), Bytes::copy_from_slice(format!("{caller}{id}").as_bytes()));
        }
        queue.forget(of(1, 2));
        assert_eq!((queue.frames(), queue.own_bytes()), (3, 6));
        assert!(queue.has_from(DataFrom::Served(1)) && !queue.has_from(DataFrom::Served(3)));
        queue.forget_all(DataFrom::Served(3));
        queue.forget_all(DataFrom::Served(1));
        assert_eq!((queue.frames(), queue.own_bytes()), (1, 2));
        assert!(!queue.has_from(DataFrom::Served(1)) && queue.has_from(DataFrom::Served(2)));
        assert_eq!((queue.pop().unwrap(), queue.pop()), (Bytes::from_static(b"21"), None));
    }
}
