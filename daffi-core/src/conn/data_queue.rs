//! DATA that waits to be written to one peer, call by call.

use std::collections::VecDeque;

use bytes::Bytes;
use daffi_transport::OWN_FROM;
use daffi_wire::CallId;
use rustc_hash::FxHashMap;

/// Whose DATA it is: the frames of one direction of one call keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DataKey {
    /// The connection that it came on. `None`: this node's own.
    pub(crate) from: Option<u64>,
    /// The call, by the number under which the peer knows it.
    pub(crate) id: CallId,
    /// Whether the caller sends it.
    pub(crate) from_caller: bool,
}

/// Frames of many calls, which take turns.
#[derive(Debug, Default)]
pub(super) struct DataQueue {
    calls: FxHashMap<DataKey, VecDeque<Bytes>>,
    /// The calls of which frames wait, each once.
    turns: VecDeque<DataKey>,
    /// Bytes of this node's own calls.
    own_bytes: usize,
    frames: usize,
}

impl DataQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Bytes that wait of this node's own calls. What it passes on for others was taken from the
    /// budget when their window was granted.
    pub(super) const fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    pub(super) const fn frames(&self) -> usize {
        self.frames
    }

    /// Puts a frame behind those of its call.
    pub(super) fn push(&mut self, key: DataKey, frame: Bytes) {
        self.count(key, frame.len(), true);
        let waiting = self.calls.entry(key).or_default();
        if waiting.is_empty() {
            self.turns.push_back(key);
        }
        waiting.push_back(frame);
    }

    /// Takes the next frame of the call whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
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

    /// Drops what waits of one call.
    pub(super) fn forget(&mut self, key: DataKey) {
        let Some(dropped) = self.calls.remove(&key) else { return };
        self.turns.retain(|other| *other != key);
        for frame in dropped {
            self.count(key, frame.len(), false);
        }
    }

    /// To be called when what waits has to wait for long: it keeps no read buffers alive.
    pub(super) fn compact(&mut self) {
        for frame in self.calls.values_mut().flatten().filter(|frame| frame.len() <= OWN_FROM) {
            *frame = Bytes::copy_from_slice(frame);
        }
    }

    fn count(&mut self, key: DataKey, bytes: usize, comes: bool) {
        let add = |to: &mut usize, more: usize| *to = if comes { *to + more } else { *to - more };
        add(&mut self.frames, 1);
        if key.from.is_none() {
            add(&mut self.own_bytes, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u16) -> DataKey {
        DataKey { from: None, id: CallId(id), from_caller: false }
    }

    #[test]
    fn calls_take_turns_and_keep_their_order() {
        let mut queue = DataQueue::default();
        for frame in ["a1", "a2", "a3"] {
            queue.push(key(1), Bytes::from_static(frame.as_bytes()));
        }
        queue.push(key(2), Bytes::from_static(b"b1"));
        queue.push(DataKey { from: Some(7), ..key(1) }, Bytes::from_static(b"c1"));
        assert_eq!((queue.own_bytes(), queue.frames()), (8, 5));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "a3"]);
        assert_eq!((queue.own_bytes(), queue.frames()), (0, 0));
        assert!(queue.calls.is_empty());
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
}
