//! All calls of one member, and what belongs to them: what is about a call ends with it.

use std::sync::Arc;

use daffi_wire::{CallId, Frame};

use super::{
    beginning::ResultsWord,
    streams::{NoStreamRoom, ResultsGo, RoutedStreams, StaleData, StreamEnds},
    uploads::{Upload, UploadPart, Uploads},
};
use crate::{
    data::Gathering,
    session::{CallNote, OpenCalls},
};

/// The calls that a member made: those that are open, what passes of them in parts, what is put
/// together of their answers, and those of which the arguments have not all come.
///
/// Each way in which a call ends is one function here, which ends all that belongs to it. What
/// waits of it in DATA is forgotten before this is unlocked: [`take_stale`](Self::take_stale). What
/// was put together of it is closed once this is not locked any more:
/// [`take_ended`](Self::take_ended).
#[derive(Debug, Default)]
pub(crate) struct MemberCalls {
    open: OpenCalls,
    /// The calls of which a part passes in DATA. They take their windows from the budget
    /// themselves.
    streams: RoutedStreams,
    uploads: Uploads,
    ended: Vec<Arc<Gathering>>,
}

/// A call to which a reply came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompletedCall {
    /// The caller's number.
    pub(crate) id: CallId,
    /// What was noted of it, unless its caller gave it up before.
    pub(crate) note: Option<CallNote>,
    /// A part of it passed in DATA.
    pub(crate) streamed: bool,
}

/// Calls to a receiver that left, by their caller's numbers.
#[derive(Debug, Default)]
pub(crate) struct LostCalls {
    /// Calls for which the caller waits.
    pub(crate) open: Vec<CallId>,
    /// Calls that never went.
    pub(crate) uploads: Vec<CallId>,
}

impl MemberCalls {
    pub(crate) const fn open(&self) -> &OpenCalls {
        &self.open
    }

    pub(crate) const fn open_mut(&mut self) -> &mut OpenCalls {
        &mut self.open
    }

    pub(crate) const fn streams_mut(&mut self) -> &mut RoutedStreams {
        &mut self.streams
    }

    /// A newer call is about to be opened under this number: nothing more passes of an older one.
    pub(crate) fn make_way(&mut self, id: CallId) {
        if !self.streams.is_empty() {
            self.streams.give_up(id);
        }
        if self.uploads.len() > 0 {
            self.ended.extend(self.uploads.take(id).map(|upload| upload.body));
        }
    }

    /// The caller waits no more for the call of that number, if there is one.
    pub(crate) fn give_up(&mut self, id: CallId) {
        self.open.give_up(id);
        self.make_way(id);
    }

    /// Gives up a call that `receiver` knows under this number, and whose answer cannot be passed
    /// on. `body`: only if that is what is put together of it. Gives the caller's number.
    pub(crate) fn give_up_answer(&mut self, number: CallId, receiver: u64, body: Option<&Gathering>) -> Option<CallId> {
        if body.is_some_and(|body| !self.streams.joins(number, receiver, body)) {
            return None;
        }
        let (id, _) = self.open.caller_of(number, receiver)?;
        self.give_up(id);
        Some(id)
    }

    /// Completes a call when the last word of `receiver` about it came. `None`: nobody waits for
    /// it.
    pub(crate) fn complete(&mut self, number: CallId, receiver: u64) -> Option<CompletedCall> {
        let mut streamed = false;
        if !self.streams.is_empty() && self.streams.is_of(number, receiver) {
            streamed = self.streams.passes(number);
            self.streams.end(number);
        }
        self.open.complete_noted(number, receiver).map(|(id, note)| CompletedCall { id, note, streamed })
    }

    /// What the word of `receiver` that results follow is to the call that it knows under this
    /// number: an end only where the caller waits and takes none.
    pub(crate) fn results_word(&self, number: CallId, receiver: u64) -> ResultsWord {
        match self.streams.results_of(number, receiver) {
            ResultsGo::In(format) => ResultsWord::Passes(format),
            ResultsGo::Unasked if self.open.caller_of(number, receiver).is_some() => ResultsWord::Ends,
            ResultsGo::Nowhere | ResultsGo::Unasked => ResultsWord::Nowhere,
        }
    }

    /// The rest of a large answer follows, in parts for the caller. Gives the caller's number of a
    /// call that waits for it; `None`: nobody does, or it was said before.
    pub(crate) fn begin_answer(
        &mut self,
        number: CallId,
        ends: StreamEnds<'_>,
    ) -> Result<Option<CallId>, (CallId, NoStreamRoom)> {
        let Some((id, is_awaited)) = self.open.caller_of(number, ends.1.id) else { return Ok(None) };
        let begun = self.streams.begin_answer((id, number), ends, is_awaited);
        begun.map(|is_first| (is_first && is_awaited).then_some(id)).map_err(|no_room| (id, no_room))
    }

    /// Whether a large answer of `receiver` may be put together for the caller: that waits for it,
    /// and it was not said before.
    pub(crate) fn may_join(&self, number: CallId, receiver: u64) -> bool {
        self.open.caller_of(number, receiver).is_some_and(|(_, waits)| waits) && !self.streams.is_of(number, receiver)
    }

    /// A large answer is put together for the caller from now on, if it [may](Self::may_join) be.
    pub(crate) fn join(&mut self, number: CallId, receiver: u64, body: Arc<Gathering>) -> bool {
        match self.open.caller_of(number, receiver) {
            Some((id, true)) if !self.streams.is_of(number, receiver) => {
                self.streams.join((id, number), receiver, body);
                true
            }
            _ => {
                self.ended.push(body);
                false
            }
        }
    }

    /// The arguments of a call are put together from now on. `false`: the connection has ended.
    pub(crate) fn upload(&mut self, id: CallId, upload: Upload) -> bool {
        self.give_up(id);
        let refused = self.uploads.add(id, upload).err();
        let added = refused.is_none();
        self.ended.extend(refused.map(|upload| upload.body));
        added
    }

    /// What is put together of the call that a frame of the caller is about.
    pub(crate) fn upload_of(&self, frame: &Frame) -> Option<UploadPart> {
        self.uploads.of(frame)
    }

    /// These arguments have come, or come no more. `false`: the call has ended before.
    pub(crate) fn end_upload(&mut self, id: CallId, body: &Gathering) -> bool {
        let upload = self.uploads.take_body(id, body);
        let was_there = upload.is_some();
        self.ended.extend(upload.map(|upload| upload.body));
        was_there
    }

    /// Ends the calls to a receiver that left.
    pub(crate) fn end_receiver(&mut self, receiver: u64) -> LostCalls {
        let (mut uploads, ended) = (Vec::new(), &mut self.ended);
        for (id, Upload { body, .. }) in self.uploads.take_receiver(receiver) {
            ended.push(body);
            uploads.push(id);
        }
        self.streams.end_receiver(receiver);
        LostCalls { open: self.open.end_receiver(receiver), uploads }
    }

    /// The connection has ended. Gives what receivers may still answer to its name.
    pub(crate) fn close(&mut self) -> OpenCalls {
        self.ended.extend(self.uploads.close().map(|upload| upload.body));
        self.streams.close();
        self.open.close()
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.uploads.is_closed()
    }

    /// DATA that has to be forgotten because its call has ended, since this was asked last.
    #[inline]
    pub(crate) fn take_stale(&mut self) -> Option<Vec<StaleData>> {
        self.streams.take_stale()
    }

    /// What was put together of calls that have ended since this was asked last: to be closed
    /// without a lock.
    #[inline]
    pub(crate) fn take_ended(&mut self) -> Option<Vec<Arc<Gathering>>> {
        if let Some(ended) = self.streams.take_ended() {
            self.ended.extend(ended);
        }
        (!self.ended.is_empty()).then(|| std::mem::take(&mut self.ended))
    }

    /// The memory of these tables.
    pub(crate) fn held_bytes(&self) -> usize {
        self.open.held_bytes() + self.streams.held_bytes() + self.uploads.held_bytes()
    }
}

#[cfg(test)]
#[path = "member_calls_tests.rs"]
mod tests;
