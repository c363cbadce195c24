//! What the handler of a connection puts off until the peer takes what waits for it.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use super::Conn;

/// It goes on when most of what waits has been taken.
const MOST: u8 = 1;
/// It goes on as soon as it is not much any more that waits: others go on then as well, and could
/// keep it from ever becoming little.
const SOME: u8 = 2;

/// For which room the handler waits. What it put off happens before the driver takes this, and so
/// before [`Handler::on_room`](super::Handler::on_room).
#[derive(Debug, Default)]
pub(super) struct RoomWanted(AtomicU8);

impl RoomWanted {
    pub(super) fn is_any(&self) -> bool {
        self.0.load(SeqCst) != 0
    }
}

impl Conn {
    /// The handler has something to send that can wait until the peer has taken most of what waits,
    /// and of DATA so much that those who can wait need not any more: the driver calls
    /// [`Handler::on_room`](super::Handler::on_room) then.
    pub(crate) fn ask_for_room(&self) {
        self.want_room(MOST);
    }

    /// The same, as soon as those who can wait need not any more.
    pub(crate) fn ask_for_some_room(&self) {
        self.want_room(SOME);
    }

    fn want_room(&self, which: u8) {
        if self.wants_room.0.fetch_or(which, SeqCst) & which == 0 {
            self.wake();
        }
    }

    /// Whether the handler wanted room and there is some. For the driver.
    pub(crate) fn take_room(&self) -> bool {
        if !self.wants_room.is_any() || self.outbox.holds_much() {
            return false;
        }
        let there_is = if self.outbox.bytes() <= self.outbox.account().own() { MOST | SOME } else { SOME };
        self.wants_room.0.fetch_and(!there_is, SeqCst) & there_is != 0
    }
}
