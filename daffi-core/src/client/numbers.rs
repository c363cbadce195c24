//! Call numbers of a connection, and those who wait for one.

use std::task::Waker;

use daffi_wire::{CallId, NodeName};

use super::{ClientConn, permit::rest_too_many};
use crate::error::CallError;

impl ClientConn {
    /// Takes a call number for a call to `receiver`, to be awaited at once by the task that `waker`
    /// wakes. `None`: all are in use, or nobody answers any more.
    pub(crate) fn take_number_now(&self, receiver: &NodeName, waker: &Waker) -> Option<CallId> {
        let id = {
            let session = &mut *self.session.lock();
            if session.rest_too_many(receiver).is_some() {
                return None;
            }
            session.in_flight.open(receiver, Some(waker))?
        };
        self.note_start(receiver);
        Some(id)
    }

    /// Takes a call number for a call to `receiver`; waits when all are in use. Whoever gets it
    /// gives it back. Cancel safe: dropped, it has taken none.
    pub(crate) async fn take_number(&self, receiver: &NodeName) -> Result<CallId, CallError> {
        let mut waited = false;
        loop {
            let freed = self.freed.notified();
            let (taken, more) = {
                let session = &mut *self.session.lock();
                let taken = match session.rest_too_many(receiver) {
                    Some(resting) => Err(rest_too_many(receiver, resting)),
                    None => Ok(session.in_flight.open(receiver, None)),
                };
                (taken, session.in_flight.has_free())
            };
            let taken = match taken {
                Ok(None) => self.end_error().map_or(Ok(None), Err),
                taken => taken,
            };
            if waited && (more || taken.is_err()) {
                // Several numbers may have become free under one notification, and who takes none
                // leaves it to the next.
                self.freed.notify_one();
            }
            if let Some(id) = taken? {
                self.note_start(receiver);
                return Ok(id);
            }
            freed.await;
            waited = true;
        }
    }

    /// Whether all call numbers are in use.
    pub(crate) fn is_full(&self) -> bool {
        self.session.lock().in_flight.is_full()
    }

    /// Wakes whoever waits when a number became free, of a table that was full before or not.
    /// Nobody waits for one of a table that was not: who takes one and leaves others wakes the
    /// next.
    pub(crate) fn on_number_free(&self, was_full: bool) {
        if was_full {
            self.freed.notify_one();
            self.ready.notify_waiters();
        }
    }
}
