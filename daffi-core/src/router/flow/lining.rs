//! How the requests of a member stand in the lines before those that it asks much of.

use std::sync::{Arc, Weak, atomic::Ordering};

use daffi_wire::{Frame, Ping, credit_cost};

use super::{RoutedFlow, held::HOLDING_COST, sender::Sender};
use crate::{
    conn::{Class, Turn},
    error::Disconnected,
    router::Peer,
    session::FairPlace,
};

/// The place of one sender in the line before one receiver, which it gives up when it is dropped.
#[derive(Debug)]
pub(crate) struct Lined {
    receiver: Weak<Peer>,
    place: FairPlace,
}

impl Lined {
    fn new(receiver: &Arc<Peer>) -> Self {
        Self { receiver: Arc::downgrade(receiver), place: FairPlace::default() }
    }

    fn leave(&mut self) {
        if let Some(receiver) = self.receiver.upgrade() {
            receiver.line.leave(&mut self.place);
        }
    }
}

impl Drop for Lined {
    fn drop(&mut self) {
        self.leave();
    }
}

/// By what requests go on that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoesBy {
    /// In the line before their receiver, if there is one.
    Line,
    /// Their sender is at the head of it: the first goes by that.
    Head,
    /// They go by credit alone, because they wait in no line.
    Credit,
}

impl Sender {
    /// Sends a call on that has to stand in line.
    #[cold]
    pub(crate) fn pass_in_line(
        self: &Arc<Self>,
        receiver: &Arc<Peer>,
        frame: &Frame,
        turn: &mut Turn,
    ) -> Result<(), String> {
        let bytes = frame.as_bytes().len();
        self.check_room_to_wait(receiver, bytes)?;
        let mut flows = self.flows.lock();
        let flow = match flows.get_mut(&receiver.id()) {
            Some(flow) => Some(flow),
            None => RoutedFlow::of_calls(self, receiver).map(|flow| flows.entry(receiver.id()).or_insert(flow)),
        };
        if let Some(flow) = flow {
            let lined = flow.lined.get_or_insert_with(|| Lined::new(receiver));
            let cost = credit_cost(bytes);
            if !flow.held.is_empty()
                || !receiver.line.pass(&receiver.conn, &mut lined.place, cost, || Arc::downgrade(self))
            {
                // What passed before goes before.
                turn.flush();
                if self.peer.voice.is_silent() {
                    // It would be let go behind the word that this member has left.
                    return Ok(());
                }
                let replaces = flow.held.push_call(self.held_frame(frame.clone()));
                self.held.fetch_add(usize::from(!replaces), Ordering::Relaxed);
                return Ok(());
            }
        }
        drop(flows);
        // If the receiver has just left the turn hears of it.
        let passes = turn.forward_call(&receiver.conn, &self.peer.voice, frame);
        receiver.line.mark_in(turn, &receiver.conn);
        if passes { Ok(()) } else { Err(receiver.conn.outbox.crowd(&receiver.name)) }
    }

    /// Whether there is room for a call of so many bytes that has to wait here, and then at
    /// `receiver`. The error says why there is none.
    pub(crate) fn check_room_to_wait(&self, receiver: &Peer, bytes: usize) -> Result<(), String> {
        if !receiver.conn.outbox.admits(Class::Request, bytes) {
            return Err(receiver.conn.outbox.crowd(&receiver.name));
        }
        let inbound = &self.peer.conn.inbound;
        if inbound.has_room_for_few() && inbound.account().admits(bytes + HOLDING_COST) {
            return Ok(());
        }
        let (waiting, frames, share) = (inbound.bytes(), inbound.frames(), inbound.account().share());
        Err(format!(
            "{frames} requests of {}, of {waiting} bytes, wait for their turns, and so would this one, of {bytes}; as \
             things stand {share} may be held of it",
            self.peer.name
        ))
    }

    /// Whether a nowait request of so many bytes and such a cost may pass now.
    pub(crate) fn nowait_may_go(
        self: &Arc<Self>,
        flow: &mut RoutedFlow,
        receiver: &Arc<Peer>,
        (bytes, cost): (usize, u64),
        turn: &mut Turn,
    ) -> bool {
        !receiver.is_level_four()
            || !self.peer.asking.is_much_nowait(flow.account.outstanding() + cost, bytes, turn)
            || self.may_go(&mut flow.lined, receiver, cost, &mut GoesBy::Line)
    }

    /// Whether a request of that cost may go. It is counted in the line, if there is one, or its
    /// sender has a place there.
    pub(crate) fn may_go(
        self: &Arc<Self>,
        lined: &mut Option<Lined>,
        receiver: &Arc<Peer>,
        cost: u64,
        by: &mut GoesBy,
    ) -> bool {
        match by {
            GoesBy::Credit => return true,
            GoesBy::Head => {
                *by = GoesBy::Line;
                if let Some(lined) = lined {
                    receiver.line.let_pass(&mut lined.place, cost);
                }
                return true;
            }
            GoesBy::Line if !receiver.is_level_four() || !receiver.line.is_for(self.peer.id()) => return true,
            GoesBy::Line => {}
        }
        let lined = lined.get_or_insert_with(|| Lined::new(receiver));
        receiver.line.pass(&receiver.conn, &mut lined.place, cost, || Arc::downgrade(self))
    }

    /// This member is at the head of the line before `receiver`, or there is no line any more.
    fn go_on(self: &Arc<Self>, receiver: &Arc<Peer>, by: GoesBy) {
        if let Some(flow) = self.flows.lock().get_mut(&receiver.id()) {
            if let Some(lined) = &mut flow.lined {
                lined.leave();
            }
            self.release(flow, receiver, by);
        }
    }

    /// This member has left: what of its nowait requests stands in line or waits for room goes on,
    /// as far as there is credit for it, before its receivers are told so. `find`: a member by its
    /// connection.
    pub(crate) fn leave_lines(self: &Arc<Self>, find: impl Fn(u64) -> Option<Arc<Peer>>) {
        for (receiver, flow) in self.flows.lock().iter_mut() {
            let lined = flow.lined.take();
            let awaits = flow.awaits_room && !flow.held.is_empty();
            let of_line = lined.as_ref().and_then(|lined| lined.receiver.upgrade());
            // Its place goes before what stands there does.
            drop(lined);
            if let Some(receiver) = of_line.or_else(|| awaits.then(|| find(*receiver)).flatten()) {
                self.let_go(flow, &receiver, GoesBy::Credit);
            }
        }
    }
}

impl Peer {
    /// All that stands in line before this member goes, as far as there is credit for it: it takes
    /// no further calls.
    pub(crate) fn let_line_go(self: &Arc<Self>) {
        for sender in self.callers() {
            sender.go_on(self, GoesBy::Credit);
        }
    }

    /// This member answers a question: it has read all that came before that.
    pub(crate) fn on_mark(self: &Arc<Self>, frame: &Frame) -> Result<(), Disconnected> {
        let Ping::Answers(token) = Ping::read(frame)? else { return Ok(()) };
        let let_go = self.line.on_mark(token);
        for sender in let_go.iter().filter_map(Weak::upgrade) {
            sender.go_on(self, GoesBy::Line);
        }
        while let Some(next) = self.line.next() {
            if let Some(sender) = next.upgrade() {
                sender.go_on(self, GoesBy::Head);
            }
        }
        self.line.mark(&self.conn);
        Ok(())
    }
}
