//! Who waits until it is not much any more that waits to be written to a receiver.
//!
//! Credit bounds what one sender has on its way to one receiver by what that says it has worked
//! off. Of many senders together, and of a receiver whose word is not true, it bounds nothing: so
//! what has credit goes only while the receiver takes what waits for it. What it does not take
//! stays counted for who sent it.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{RoutedFlow, lining::GoesBy, sender::Sender};
use crate::router::Peer;

/// The senders whose requests wait for room before one receiver, in the order in which they came to
/// that. Each flow has one place.
#[derive(Debug, Default)]
pub(crate) struct RoomLine(Mutex<VecDeque<Weak<Sender>>>);

impl RoomLine {
    fn add(&self, sender: &Arc<Sender>) {
        let mut waiting = self.0.lock();
        if waiting.len() == waiting.capacity() {
            // Of those that have gone at most as many are remembered as of others.
            waiting.retain(|other| other.strong_count() > 0);
        }
        waiting.push_back(Arc::downgrade(sender));
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn take_first(&self) -> Option<Weak<Sender>> {
        self.0.lock().pop_front()
    }
}

impl Sender {
    /// Whether a request of that cost finds room before `receiver`. If not, its flow, which
    /// `awaits_room` then, goes on when there is some.
    ///
    /// What goes by [`GoesBy::Credit`] may not wait for long, and has the whole share of the
    /// receiver, as calls have. So has what is left of a member that has gone, which nothing but
    /// what lies in outboxes keeps. All else of a flow that waits does so until it has its turn:
    /// whoever has requests before the receiver hears first that one was written, and would leave
    /// nothing to the others.
    pub(crate) fn finds_room(
        self: &Arc<Self>,
        awaits_room: &mut bool,
        receiver: &Arc<Peer>,
        (cost, by): (u64, GoesBy),
    ) -> bool {
        let by = if self.peer.voice.is_silent() { GoesBy::Credit } else { by };
        if *awaits_room && by != GoesBy::Credit {
            return false;
        }
        let outbox = &receiver.conn.outbox;
        let finds = !outbox.holds_much()
            || by == GoesBy::Credit && outbox.account().admits(usize::try_from(cost).unwrap_or(usize::MAX));
        if !finds && !std::mem::replace(awaits_room, true) {
            receiver.room.add(self);
            // Behind that: whoever makes room either finds this member in line or is asked after
            // it.
            receiver.conn.ask_for_some_room();
        }
        finds
    }

    /// Tells this member what it may send, if it counts that and `receiver` takes what it sent.
    pub(crate) fn tell_newest(self: &Arc<Self>, flow: &mut RoutedFlow, receiver: &Arc<Peer>) {
        // Else it is told when there is room: nothing more is to come before that.
        if self.peer.is_level_four() && flow.is_announced && !flow.awaits_room {
            self.tell(flow, receiver);
        }
    }

    /// There is room before `receiver`.
    fn on_room_at(self: &Arc<Self>, receiver: &Arc<Peer>) {
        if let Some(flow) = self.flows.lock().get_mut(&receiver.id()) {
            flow.awaits_room = false;
            self.release(flow, receiver, GoesBy::Line);
            self.tell_newest(flow, receiver);
        }
    }
}

impl Peer {
    /// It is not much any more that waits for this member: those go on whose requests waited for
    /// that, one after another, as far as there is room.
    pub(crate) fn let_those_go_on_who_await_room(self: &Arc<Self>) {
        // Whoever finds too little stands in line anew, behind the others.
        for _ in 0..self.room.len() {
            if self.conn.outbox.holds_much() {
                break;
            }
            if let Some(sender) = self.room.take_first().and_then(|next| next.upgrade()) {
                sender.on_room_at(self);
            }
        }
        if self.room.len() > 0 {
            self.conn.ask_for_some_room();
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
