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

/// Turns of calls that were forgotten, which stay beside as many others.
const STALE_TURNS: usize = 64;

/// Frames of many calls, which take turns.
#[derive(Debug, Default)]
pub(crate) struct DataQueue {
    calls: FxHashMap<DataKey, CallFrames>,
    /// The calls of which frames wait, each once, by their keys and marks. Those of which nothing
    /// waits any more are passed over, so that forgetting one costs the same with many as with few.
    turns: VecDeque<(DataKey, u64)>,
    /// Tells the turn of a call from an earlier one of its key.
    last_mark: u64,
    /// From where something waits, and of how many calls.
    sources: FxHashMap<DataFrom, usize>,
    /// Bytes that wait, with what the frames take beside them.
    held: usize,
    /// Bytes of this node's own calls.
    own_bytes: usize,
    frames: usize,
    /// All frames own their memory.
    is_compact: bool,
}

/// What waits of one call.
#[derive(Debug)]
struct CallFrames {
    mark: u64,
    frames: VecDeque<DataFrame>,
    /// What all of them cost of the window of their direction.
    cost: u64,
}

#[derive(Debug)]
struct DataFrame {
    bytes: Bytes,
    /// What it costs of the window of its direction.
    cost: u64,
}

impl DataQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
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

    /// What that costs of the window of its direction which waits of one call.
    pub(super) fn waiting_cost(&self, key: DataKey) -> u64 {
        self.calls.get(&key).map_or(0, |waiting| waiting.cost)
    }

    /// Puts a frame of such a cost behind those of its call.
    pub(crate) fn push(&mut self, key: DataKey, bytes: Bytes, cost: u64) {
        self.count(key, bytes.len(), true);
        let waiting = self.calls.entry(key).or_insert_with(|| {
            self.last_mark += 1;
            self.turns.push_back((key, self.last_mark));
            *self.sources.entry(key.from).or_default() += 1;
            CallFrames { mark: self.last_mark, frames: VecDeque::new(), cost: 0 }
        });
        waiting.cost = waiting.cost.saturating_add(cost);
        waiting.frames.push_back(DataFrame { bytes, cost });
        self.is_compact = false;
    }

    /// Puts a frame that is to wait for long behind those of its call: it keeps no read buffer
    /// alive.
    pub(super) fn push_compact(&mut self, key: DataKey, bytes: Bytes, cost: u64) {
        // The others were copied when they had to wait, and not again for each that comes.
        let was_compact = self.is_compact;
        self.push(key, own(bytes), cost);
        self.is_compact = was_compact;
    }

    /// Takes the next frame of the call whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        loop {
            let (key, mark) = self.turns.pop_front()?;
            let Some(waiting) = self.calls.get_mut(&key).filter(|waiting| waiting.mark == mark) else { continue };
            let Some(DataFrame { bytes, cost }) = waiting.frames.pop_front() else { continue };
            waiting.cost = waiting.cost.saturating_sub(cost);
            if waiting.frames.is_empty() {
                self.calls.remove(&key);
                self.note_ended(key.from, 1);
            } else {
                self.turns.push_back((key, mark));
            }
            self.count(key, bytes.len(), false);
            return Some(bytes);
        }
    }

    /// Whether something waits of a call from there.
    pub(crate) fn has_from(&self, from: DataFrom) -> bool {
        self.sources.contains_key(&from)
    }

    /// Drops what waits of one call.
    pub(crate) fn forget(&mut self, key: DataKey) {
        let Some(dropped) = self.calls.remove(&key) else { return };
        dropped.frames.iter().for_each(|frame| self.count(key, frame.bytes.len(), false));
        self.note_ended(key.from, 1);
        self.forget_turns();
    }

    /// Drops what waits of all calls from there.
    pub(crate) fn forget_all(&mut self, from: DataFrom) {
        if !self.has_from(from) {
            return;
        }
        let gone: Vec<_> = self.calls.extract_if(|key, _| key.from == from).collect();
        self.note_ended(from, gone.len());
        for (key, dropped) in gone {
            dropped.frames.iter().for_each(|frame| self.count(key, frame.bytes.len(), false));
        }
        self.forget_turns();
    }

    /// Nothing waits any more of so many calls from there.
    fn note_ended(&mut self, from: DataFrom, calls: usize) {
        if let Some(left) = self.sources.get_mut(&from) {
            *left = left.saturating_sub(calls);
            if *left == 0 {
                self.sources.remove(&from);
            }
        }
    }

    /// Keeps no more turns of which nothing waits than of others, and a few.
    fn forget_turns(&mut self) {
        if self.turns.len() > 2 * self.calls.len() + STALE_TURNS {
            let calls = &self.calls;
            self.turns.retain(|(key, mark)| calls.get(key).is_some_and(|waiting| waiting.mark == *mark));
        }
    }

    /// To be called when what waits has to wait for long: it keeps no read buffers alive.
    pub(super) fn compact(&mut self) {
        if std::mem::replace(&mut self.is_compact, true) {
            return;
        }
        for frame in self.calls.values_mut().flat_map(|waiting| &mut waiting.frames) {
            frame.bytes = own(std::mem::take(&mut frame.bytes));
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
            queue.push(key(1), Bytes::from_static(frame.as_bytes()), 1);
        }
        queue.push(key(2), Bytes::from_static(b"b1"), 1);
        queue.push(DataKey { from: DataFrom::Conn(7), ..key(1) }, Bytes::from_static(b"c1"), 1);
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
        queue.push(key(1), buffer.slice(..10), 1);
        queue.compact();
        queue.push_compact(key(2), buffer.slice(..10), 1);
        assert!(buffer.is_unique());
        let place = |queue: &DataQueue| queue.calls[&key(1)].frames[0].bytes.as_ptr();
        let before = place(&queue);
        queue.compact();
        assert_eq!(place(&queue), before);
    }

    #[test]
    fn a_call_that_has_ended_leaves_nothing() {
        let mut queue = DataQueue::default();
        queue.push(key(1), Bytes::from_static(b"a1"), 1);
        queue.push(key(2), Bytes::from_static(b"b1"), 1);
        queue.push(key(1), Bytes::from_static(b"a2"), 1);
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
            queue.push(of(caller, id), Bytes::copy_from_slice(format!("{caller}{id}").as_bytes()), 1);
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

    #[test]
    fn what_waits_of_a_call_is_known_by_its_cost() {
        let mut queue = DataQueue::default();
        queue.push(key(1), Bytes::from_static(b"a1"), 300);
        queue.push(key(1), Bytes::from_static(b"a2"), 20);
        queue.push(key(2), Bytes::from_static(b"b1"), 7);
        assert_eq!((queue.waiting_cost(key(1)), queue.waiting_cost(key(2)), queue.waiting_cost(key(3))), (320, 7, 0));
        queue.pop();
        assert_eq!(queue.waiting_cost(key(1)), 20, "what is taken is about to be written");
        queue.forget(key(1));
        assert_eq!(queue.waiting_cost(key(1)), 0);
    }

    /// The turn of a call that was forgotten is none for the next of its key, and such turns do not
    /// heap up before a peer that takes nothing.
    #[test]
    fn who_begins_and_gives_up_has_one_turn_and_makes_no_heap() {
        let mut queue = DataQueue::default();
        for n in 0..10_000 {
            queue.push(key(1), Bytes::from_static(b"a"), 1);
            queue.push(key(2 + n % 300), Bytes::from_static(b"b"), 1);
            queue.forget(key(1));
            assert!(queue.turns.len() <= 2 * queue.calls.len() + STALE_TURNS + 1);
        }
        queue.forget_all(DataFrom::Own);
        assert!(queue.is_empty() && queue.turns.len() <= STALE_TURNS && queue.sources.is_empty());
        for frame in ["a1", "a2", "a3"] {
            queue.push(key(1), Bytes::from_static(frame.as_bytes()), 1);
        }
        queue.push(key(2), Bytes::from_static(b"b1"), 1);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
        assert!(queue.turns.is_empty());
    }
}
