//! Calls of which the arguments are still put together, because their receiver is of 3.0.1.

use std::sync::Arc;

use daffi_wire::{CallId, Frame, NodeName};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::{data::Gathering, keyed::TableRoom};

/// A call that its receiver has not got: some of its arguments are still to come.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The connection of the receiver.
    pub(crate) receiver: u64,
    /// The receiver as frames about the call name it: unnamed where the Router chose it.
    pub(crate) to: NodeName,
    /// When its caller gives it up, as it said with its call.
    pub(crate) deadline: Option<Instant>,
    pub(crate) body: Arc<Gathering>,
}

/// What a part that comes belongs to.
#[derive(Debug)]
pub(crate) struct UploadPart {
    pub(crate) body: Arc<Gathering>,
    pub(crate) deadline: Option<Instant>,
}

impl Upload {
    fn is_chosen(&self) -> bool {
        self.to.is_empty()
    }
}

/// The uploads of one member, by its number of the call.
///
/// Each is closed by whoever takes it out, once that holds no lock: others may have its room.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    calls: FxHashMap<CallId, Upload>,
    room: TableRoom,
    closed: bool,
}

impl Uploads {
    /// Adds one. `Err`: the connection has ended.
    pub(crate) fn add(&mut self, id: CallId, upload: Upload) -> Result<(), Upload> {
        if self.closed {
            return Err(upload);
        }
        debug_assert!(!self.calls.contains_key(&id), "an earlier one of that number was taken out");
        self.calls.insert(id, upload);
        self.room.note(self.calls.capacity());
        Ok(())
    }

    /// The one that a frame of the caller is about.
    pub(crate) fn of(&self, frame: &Frame) -> Option<UploadPart> {
        let upload = self.calls.get(&frame.header().id()).filter(|upload| frame.is_to(&upload.to))?;
        Some(UploadPart { body: Arc::clone(&upload.body), deadline: upload.deadline })
    }

    /// Takes the call of that number out.
    pub(crate) fn take(&mut self, id: CallId) -> Option<Upload> {
        let taken = self.calls.remove(&id);
        if self.calls.is_empty() {
            // One busy moment must not stay with the connection for its life.
            (self.calls, self.room) = (FxHashMap::default(), TableRoom::default());
        }
        taken
    }

    /// Takes the call of that number out if `body` is what is put together for it.
    pub(crate) fn take_body(&mut self, id: CallId, body: &Gathering) -> Option<Upload> {
        let is_it = self.calls.get(&id).is_some_and(|upload| std::ptr::eq(&*upload.body, body));
        if is_it { self.take(id) } else { None }
    }

    /// The receiver of these calls has left: takes those out that were for nobody else.
    pub(crate) fn take_receiver(&mut self, receiver: u64) -> Vec<(CallId, Upload)> {
        let are_for_it = self.calls.iter().filter(|(_, upload)| upload.receiver == receiver && !upload.is_chosen());
        let mut ids: Vec<_> = are_for_it.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.take(id).map(|upload| (id, upload))).collect()
    }

    /// The connection has ended: takes all out, and takes no more.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = Upload> + use<> {
        (self.closed, self.room) = (true, TableRoom::default());
        std::mem::take(&mut self.calls).into_values()
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The memory of this table. What came is counted where it lies.
    pub(crate) fn held_bytes(&self) -> usize {
        self.room.bytes::<(CallId, Upload)>()
    }
}
