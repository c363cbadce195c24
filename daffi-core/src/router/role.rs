//! A Router's end of one connection.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use daffi_serde::RemoteError;
use daffi_wire::{CallId, EncodeError, Frame, Kind, Member, NodeName, Role as NodeRole, credit_amount};

use super::{Peer, Shared};
use crate::{
    Disconnected, MemberEvent, ProtocolError,
    conn::{Conn, Role, Turn},
    refusal::Refusal,
    server::{Hello, Opening, handshake_reply},
    session::{IDS, Joined},
};

pub(super) struct RouterRole {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    opening: Opening,
    /// This connection as a member, after its handshake.
    me: Option<Arc<Peer>>,
}

impl Role for RouterRole {
    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        let kind = frame.kind();
        if kind == Kind::Handshake {
            self.handshake(&frame);
            return Ok(());
        }
        let Some(me) = &self.me else { return Err(ProtocolError::BeforeHandshake(kind).into()) };
        match kind {
            Kind::Request => self.request(me, frame, turn),
            Kind::Response | Kind::Error => self.reply(me, &frame, turn),
            Kind::Credit if me.is_level_four() => return self.credit(me, &frame),
            _ => return Err(ProtocolError::Direction(kind).into()),
        }
        Ok(())
    }

    fn settle(&mut self, turn: &mut Turn) {
        turn.flush();
        let Some(me) = &self.me else { return };
        for (receiver, mut frames) in turn.take_lost() {
            while let Some(frame) = frames.next_frame() {
                self.lost(me, receiver, frame);
            }
        }
    }

    fn is_open(&self) -> bool {
        self.me.is_some()
    }

    fn may_stop_reading(&self) -> bool {
        // A member's replies to the calls of others come on the same connection as its requests.
        false
    }

    fn ended(&mut self, reason: &Disconnected) {
        self.shared.server.opened(self.opening);
        match &self.me {
            Some(me) => {
                self.shared.server.log_end(&me.name, reason);
                self.shared.left(me);
            }
            None => tracing::info!(peer = %self.conn.peer, %reason, "a connection ended before its handshake"),
        }
    }
}

impl RouterRole {
    pub(super) const fn new(shared: Arc<Shared>, conn: Arc<Conn>, opening: Opening) -> Self {
        Self { shared, conn, opening, me: None }
    }

    /// Forwards a request, or answers it with an error.
    fn request(&self, me: &Arc<Peer>, frame: Frame, turn: &mut Turn) {
        let table = self.shared.table.load();
        let receiver = match self.route(me, &table, &frame) {
            Ok(receiver) => receiver,
            Err(error) => return self.refuse(me, &frame, &error),
        };
        self.shared.keep_in_step(me, receiver);
        if frame.header().wants_reply() {
            return self.call(me, receiver, &frame, turn);
        }
        // Behind the calls that are gathered for the same receiver.
        turn.flush();
        if me.pass_nowait(receiver, frame).is_err() {
            self.drop_nowait(me, &receiver.name, "it has just left");
        }
    }

    /// Who gets a request; else why nobody does.
    fn route<'t>(&self, me: &Peer, table: &'t super::Table, frame: &Frame) -> Result<&'t Arc<Peer>, RemoteError> {
        let (header, method) = (frame.header(), frame.method());
        if !frame.is_from(&me.name) {
            let text = format!("this connection is {:?} and cannot speak for {:?}", me.name, frame.transmitter());
            return Err(RemoteError::new("PermissionError", text));
        }
        if self.shared.server.is_stopping() {
            return Err(RemoteError::new(
                "RuntimeError",
                format!("the router {} is stopping", self.shared.server.name),
            ));
        }
        let not_found = |text| Err(Refusal::ReceiverNotFound.error(text));
        let Some(receiver) = table.get(frame.receiver()) else {
            return not_found(format!("{:?} is not a member of this router", frame.receiver()));
        };
        if !receiver.exposes(method) {
            return not_found(format!("{} exposes no callback {method:?}", receiver.name));
        }
        if header.wants_reply() && header.id() == CallId::NONE {
            // It ends the process of a 3.0.1 worker (protocol notes, section 10).
            return Err(RemoteError::new("ValueError", "a call that wants an answer cannot have the number 0"));
        }
        let format = header.format(me.conn.level());
        if !receiver.conn.level().at_least(format.min_level()) {
            let text = format!("{} is a daffi 3.0.1 node and cannot read {format}", receiver.name);
            return Err(Refusal::FormatUnsupported.error(text));
        }
        Ok(receiver)
    }

    fn call(&self, me: &Arc<Peer>, receiver: &Arc<Peer>, frame: &Frame, turn: &mut Turn) {
        let id = frame.header().id();
        // Open before it is sent: the answer may be quick. When the receiver ends, its outbox is closed before its calls are
        // ended, so either that ends this call or the queueing fails, of which `settle` hears.
        let Some(number) = me.open_call(id, receiver) else {
            let error = Refusal::Overloaded.error(format!("all {IDS} call numbers of {} are in use", me.name));
            return self.shared.refuse(me, id, &receiver.name, frame.method(), &error);
        };
        let passed = if number == id {
            me.pass_call(receiver, frame, turn)
        } else {
            me.pass_call(receiver, &frame.renumbered(number), turn)
        };
        if passed {
            return;
        }
        let (waiting, config) = (receiver.conn.outbox.bytes(), &self.shared.server.config);
        let error = Refusal::Overloaded.error(format!(
            "{waiting} bytes wait to be taken by {}, the limit is {} for each member and {} for all together",
            receiver.name, config.outbox_bytes, config.unwritten_bytes
        ));
        if me.complete_call(number, receiver.id()).is_some() {
            self.shared.refuse(me, id, &receiver.name, frame.method(), &error);
        }
    }

    /// A frame could not be queued: the connection it was for had ended.
    fn lost(&self, me: &Peer, receiver: u64, frame: Bytes) {
        let Ok(frame) = Frame::from_message(frame, &self.shared.server.config.limits) else { return };
        if frame.kind() != Kind::Request {
            // A caller that has just gone needs no answer.
            return;
        }
        // The calls of that receiver may have been ended before this one was opened.
        if let Some(id) = me.complete_call(frame.header().id(), receiver) {
            let error = Refusal::ReceiverGone.error(format!("{} has just left", frame.receiver()));
            self.shared.refuse(me, id, frame.receiver(), frame.method(), &error);
        }
    }

    fn refuse(&self, me: &Peer, frame: &Frame, error: &RemoteError) {
        if frame.header().wants_reply() {
            self.shared.refuse(me, frame.header().id(), frame.receiver(), frame.method(), error);
        } else {
            self.drop_nowait(me, frame.receiver(), &error.message);
        }
    }

    fn drop_nowait(&self, me: &Peer, receiver: &str, reason: &str) {
        self.shared.counters.dropped_requests.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(sender = %me.name, receiver, reason, "dropped a nowait request");
    }

    /// Passes a reply on if it is the one that its receiver waits for.
    fn reply(&self, me: &Peer, frame: &Frame, turn: &mut Turn) {
        let table = self.shared.table.load();
        let number = frame.header().id();
        if frame.is_from(&me.name) {
            match table.get(frame.receiver()) {
                Some(caller) => {
                    turn.promise(&caller.conn);
                    if let Some(id) = caller.complete_call(number, me.id()) {
                        self.shared.keep_in_step(me, caller);
                        return if id == number {
                            turn.forward(&caller.conn, frame);
                        } else {
                            turn.forward(&caller.conn, &frame.renumbered(id));
                        };
                    }
                }
                None => self.shared.absent.lock().complete(frame.receiver(), number, me.id()),
            }
        }
        self.shared.counters.dropped_replies.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(from = %me.name, to = frame.receiver(), "dropped a reply that matches no open call");
    }

    /// A level 4 receiver takes more nowait requests of one sender.
    fn credit(&self, me: &Arc<Peer>, frame: &Frame) -> Result<(), Disconnected> {
        let amount = credit_amount(&frame.payload_bytes())?;
        let table = self.shared.table.load();
        if let Some(sender) = table.get(frame.receiver())
            && frame.is_from(&me.name)
        {
            sender.granted(me, amount);
            if sender.is_level_four() {
                drop(sender.conn.forward(frame));
            }
        }
        Ok(())
    }

    fn handshake(&mut self, frame: &Frame) {
        let shared = Arc::clone(&self.shared);
        let known = self.me.as_ref().map(|me| &me.name);
        let Some(Hello { name, body, level }) = shared.server.hello(NodeRole::Router, &self.conn, known, frame) else {
            return;
        };
        // Other names in the list would be names that this connection can't speak for.
        let Some(listed) = body.members.into_iter().find(|member| member.name == name) else {
            let reason = ProtocolError::NotAMember(name.to_string()).to_string();
            return shared.server.refuse(NodeRole::Router, &self.conn, frame, &reason);
        };
        let done = match &self.me {
            Some(me) => self.update(me, Member { level: me.conn.level(), ..listed }, frame),
            None => self.join(Member { level, ..listed }, frame),
        };
        if let Err(error) = done {
            shared.server.refuse(
                NodeRole::Router,
                &self.conn,
                frame,
                &format!("the list of all members would not fit: {error}"),
            );
        }
    }

    /// The first handshake (protocol notes, section 5.3: the order in which everybody hears of it).
    fn join(&mut self, member: Member, frame: &Frame) -> Result<(), EncodeError> {
        let shared = &self.shared;
        let (name, level) = (member.name.clone(), member.level);
        self.conn.set_level(level);
        let me = Peer::new(name.clone(), Arc::clone(&self.conn), &member.methods, shared.server.config.limits);
        let evicted = {
            let mut members = shared.members.lock();
            let Joined { evicted } = members.join(me.id(), member, Arc::clone(&me))?;
            me.inherit(match &evicted {
                Some((old, _)) => old.close_calls(),
                None => shared.absent.lock().take(&name),
            });
            // The answer is the first thing that a newcomer hears: before news, and before calls find it in the table.
            self.answer(&name, frame, &members.reply(level));
            me.was_told(members.end());
            shared.enter(&me);
            evicted
        };
        self.me = Some(Arc::clone(&me));
        shared.server.opened(self.opening);
        shared.news.notify_one();
        if let Some((old, last)) = evicted {
            // One that has just gone needs no word.
            drop(old.conn.send_all(&last));
            old.conn.end(Disconnected::Evicted, true);
            shared.end_calls_to(&old);
            shared.server.events.tell(MemberEvent::Evicted(name.to_string()));
        }
        if shared.server.is_stopping() {
            // `stop` may have looked through the members just before.
            self.conn.drain();
        }
        tracing::debug!(member = %name, peer = %self.conn.peer, ?level, "a member joined");
        shared.server.events.tell(MemberEvent::Added(name.to_string()));
        Ok(())
    }

    /// A second handshake changes what the member exposes; 3.0.1 would evict it (protocol notes, sections 5.4 and 12).
    fn update(&self, me: &Arc<Peer>, member: Member, frame: &Frame) -> Result<(), EncodeError> {
        let shared = &self.shared;
        let mut members = shared.members.lock();
        let methods = member.methods.clone();
        let Some(before) = members.update(me.id(), member)? else { return Ok(()) };
        me.expose(&methods);
        drop(self.conn.send_all(&before));
        self.answer(&me.name, frame, &members.reply(self.conn.level()));
        me.was_told(members.end());
        drop(members);
        shared.news.notify_one();
        Ok(())
    }

    fn answer(&self, name: &NodeName, request: &Frame, body: &[u8]) {
        let server = &self.shared.server;
        server.send(&self.conn, name, handshake_reply(request, body, &server.config.limits));
    }
}
