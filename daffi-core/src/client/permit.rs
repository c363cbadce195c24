//! Room for a call that is still to be made.

use std::{pin::pin, sync::Arc};

use daffi_wire::NodeName;

use super::{ClientConn, ClientCore};
use crate::{conn::Class, error::CallError};

/// Room for one call on a connection: a call number is kept for it, and the outbox had room.
///
/// Dropped, it gives the number back: just before the call is made, or because it will not be.
#[derive(Debug)]
pub(crate) struct Permit(Arc<ClientConn>);

impl Permit {
    /// Keeps a number. `None`: all are in use.
    fn take(conn: &Arc<ClientConn>) -> Option<Self> {
        conn.session.lock().in_flight.reserve().then(|| Self(Arc::clone(conn)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let was_full = {
            let in_flight = &mut self.0.session.lock().in_flight;
            let was_full = !in_flight.has_free();
            in_flight.release();
            was_full
        };
        self.0.on_number_free(was_full);
    }
}

impl ClientCore {
    /// Room for a call on the connection of this moment, if there are both.
    pub(crate) fn permit_now(&self) -> Option<Permit> {
        let current = self.current();
        let conn = &current.as_ref()?.conn;
        if conn.conn.outbox.is_full() { None } else { Permit::take(conn) }
    }

    /// Waits for a connection and for room on it. Cancel safe.
    ///
    /// Whoever waits here may not look for long, so it takes no wake-up from those who wait to make
    /// a call.
    ///
    /// # Errors
    /// The errors of a node that has ended.
    pub(crate) async fn permit(&self) -> Result<Permit, CallError> {
        loop {
            let conn = self.connection(true).await?;
            let mut freed = pin!(conn.ready.notified());
            freed.as_mut().enable();
            if conn.conn.outbox.is_full() {
                conn.conn.outbox.room(Class::Own, 0).await;
            } else if let Some(permit) = Permit::take(&conn) {
                return Ok(permit);
            } else {
                freed.await;
            }
        }
    }
}

/// The error of a call to a receiver of which too many numbers rest.
#[cold]
pub(super) fn rest_too_many(receiver: &NodeName, resting: usize) -> CallError {
    CallError::Overloaded(format!(
        "{resting} calls to {receiver} that were given up still wait for its answers; more call numbers are kept for other \
         members"
    ))
}
