//! A Router's end of one connection.

use std::{
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::{Duration, Instant},
};

use daffi_wire::{Frame, Handshake, Kind, Level, Member, NodeName, Role, Shown};

use super::{
    Peer, RouterShared,
    calls::forward::Forwarder,
    flow::sender::Sender,
    members::{
        announcing::{Announcing, TooManyNewcomers, first_takes},
        suspects::Unheard,
        watching::Watching,
    },
    stats::counted::now,
    waiting::ready::Sign,
};
use crate::{
    conn::{Alive, Class, Conn, Handler, Ticket, Turn},
    error::{Disconnected, ProtocolError},
    events::MemberEvent,
    server::{OpeningId, Rights},
    session::{Hello, Joined, Membership, Updated, no_room_for_list, reply_to_member},
};

/// Nowait requests to one receiver of level 3 may together cost this fraction of the node's budget
/// until they are written.
const POOL: usize = 64;

/// After this time it is looked again whether calls are still on their way to a member that exposes
/// nothing any more.
const UNTIL_SENT: Duration = Duration::from_millis(1);

/// A member whose name passed to another.
struct Evicted {
    peer: Arc<Peer>,
    last_notices: Vec<Frame>,
    /// The others knew it.
    was_shown: bool,
}

pub(super) struct RouterHandler {
    shared: Arc<RouterShared>,
    conn: Arc<Conn>,
    opening: OpeningId,
    /// The member that this connection is, after its handshake.
    member: Option<Forwarder>,
    /// What it may do, until it is a member.
    rights: Rights,
    alive: Alive,
    announcing: Announcing,
    watching: Watching,
    /// Nothing came of this member behind its handshake.
    unheard: Option<Unheard>,
}

impl Handler for RouterHandler {
    const SERVES: bool = true;

    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        let kind = frame.kind();
        if self.unheard.is_some() {
            self.note_heard();
        }
        if kind == Kind::Handshake {
            self.handshake(frame);
            return Ok(());
        }
        match &mut self.member {
            Some(Forwarder { me, .. }) if kind == Kind::Watch => {
                self.watching.take(&self.shared, &me.peer, &frame, now());
                Ok(())
            }
            Some(member) => member.pass(frame, turn),
            None => Err(ProtocolError::BeforeHandshake(kind).into()),
        }
    }

    fn settle(&mut self, turn: &mut Turn) {
        turn.flush();
        if let Some(member) = &mut self.member {
            member.on_lost(turn);
        }
    }

    fn on_room(&mut self, turn: &mut Turn) {
        let Some(member) = &mut self.member else { return };
        if self.shared.tell_ends(&member.me.peer) {
            self.conn.ask_for_room();
        }
        member.me.peer.let_those_go_on_who_await_room();
        self.shared.waiting.note(|| Sign::TakesMore(self.conn.id));
        for id in member.me.take_anew() {
            let waited = self.shared.waiting.lock().calls.take((self.conn.id, id));
            if let Some(call) = waited
                && let Err(reason) = member.pass_waited(&call, turn)
            {
                self.conn.end(reason, false);
            }
        }
        self.settle(turn);
    }

    fn next_time(&self) -> Option<Instant> {
        let asked = self.unheard.as_ref().and_then(Unheard::next);
        [self.alive.next(), self.announcing.next(), asked].into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Instant, _: &mut Turn) -> Result<(), Disconnected> {
        if let Some(frame) = self.announcing.take_due(now) {
            self.announce(&frame, now);
        }
        if self.alive.on_time(&self.conn, now)? == Some(false) {
            self.shared.waiting.note(|| Sign::TakesMore(self.conn.id));
        }
        self.unheard.as_mut().map_or(Ok(()), |unheard| unheard.on_time(&self.conn, now))
    }

    fn is_open(&self) -> bool {
        self.member.is_some()
    }

    fn is_quiet(&self) -> bool {
        self.member.as_ref().is_none_or(|member| member.me.peer.open_calls() == 0)
    }

    fn farewell(&self) -> Option<Frame> {
        self.shared.server.farewell()
    }

    fn may_stop_reading(&self) -> bool {
        // A member's replies to the calls of others come on the same connection as its requests.
        false
    }

    fn unbounded_bytes(&self) -> usize {
        // A call that finds no room is refused. Who knows of credit waits for that.
        let inbound = &self.conn.inbound;
        if self.conn.level().at_least(Level::FOUR) { inbound.uncredited_bytes() } else { inbound.bytes() }
    }

    fn on_end(&mut self, reason: &Disconnected) {
        self.shared.server.finish_opening(self.opening);
        match &self.member {
            Some(Forwarder { me, .. }) => {
                self.shared.server.log_end(&self.conn, &me.peer.name, reason);
                let left = self.shared.remove_member(&me.peer);
                // Of one whose name passed on it was noted then.
                if left && me.peer.is_level_four() {
                    self.shared.suspects.note_end(&me.peer.name, &me.peer.first_word, now());
                }
            }
            None => {
                tracing::info!(conn = self.conn.id, peer = %self.conn.peer, %reason, "a connection ended before its handshake")
            }
        }
    }
}

impl RouterHandler {
    pub(super) fn new(shared: Arc<RouterShared>, conn: Arc<Conn>, opening: OpeningId) -> Self {
        let rights = Rights::new(Arc::clone(&conn));
        Self {
            shared,
            conn,
            opening,
            member: None,
            rights,
            alive: Alive::default(),
            announcing: Announcing::default(),
            watching: Watching::default(),
            unheard: None,
        }
    }

    /// The first frame came behind the handshake of this member.
    #[cold]
    fn note_heard(&mut self) {
        let (Some(unheard), Some(member)) = (self.unheard.take(), &mut self.member) else { return };
        self.shared.suspects.forget(&member.me.peer.name, &member.me.peer.first_word);
        if !unheard.is_shown() {
            self.shared.show(&member.me);
        }
    }

    /// The member as the others see it, once it has joined.
    #[cfg(test)]
    pub(super) fn peer(&self) -> Option<Arc<Peer>> {
        self.member.as_ref().map(|member| Arc::clone(&member.me.peer))
    }

    /// Handles a handshake: the first one joins, a later one waits for its time, and so does a
    /// first one that takes long to read.
    #[cold]
    fn handshake(&mut self, frame: Frame) {
        let (now, size) = (now(), frame.payload().len());
        let mut takes = Duration::ZERO;
        let due = if size > self.shared.server.config.limits.max_control_bytes {
            // It is refused by its length.
            None
        } else if self.member.is_some() {
            self.announcing.next_allowed(now)
        } else {
            takes = first_takes(size, frame.transmitter().len());
            if !takes.is_zero()
                && let Err(reason) = self.may_wait(&frame)
            {
                return self.shared.server.refuse_handshake(Role::Router, &self.conn, &frame, &reason);
            }
            match self.shared.newcomers.due(takes, self.announcing.turn(), now) {
                Ok(due) => due,
                Err(TooManyNewcomers) => {
                    let reason = "too many newcomers with long names or lists of callbacks wait; try again";
                    return self.shared.server.refuse_handshake(Role::Router, &self.conn, &frame, reason);
                }
            }
        };
        if let Some(due) = due {
            let counted = Ticket::new(Arc::clone(&self.conn), frame.as_bytes().len());
            return self.announcing.keep(frame, counted, due, takes);
        }
        self.announce(&frame, now);
    }

    /// Whether one for whom other newcomers have to wait may come at all, as far as that is known
    /// without reading its list. Who may not takes no turn from them.
    fn may_wait(&mut self, frame: &Frame) -> Result<(), String> {
        let server = &self.shared.server;
        let name = NodeName::new(frame.transmitter(), &server.config.limits).map_err(|error| error.to_string())?;
        server.guard.check_handshake(&mut self.rights, &name, std::iter::empty(), false)
    }

    fn announce(&mut self, frame: &Frame, now: Instant) {
        let shared = Arc::clone(&self.shared);
        if let Err(reason) = shared.members.lock().check_length(frame.transmitter(), frame.payload()) {
            return shared.server.refuse_handshake(Role::Router, &self.conn, frame, &reason.to_string());
        }
        let known = self.member.as_ref().map(|member| &member.me.peer.name);
        let Some(Hello { name, body, level }) = shared.server.hello(Role::Router, &self.conn, known, frame) else {
            return;
        };
        // Other names in the list would be names that this connection can't speak for.
        let Some(listed) = body.members.into_iter().find(|member| member.name == name) else {
            let reason = ProtocolError::NotAMember(name.to_string()).to_string();
            return shared.server.refuse_handshake(Role::Router, &self.conn, frame, &reason);
        };
        self.announcing.charge(frame.payload().len(), now);
        let (guard, is_known) = (&shared.server.guard, self.member.is_some());
        let rights = self.member.as_mut().map_or(&mut self.rights, Forwarder::rights_to_change);
        if let Err(reason) = guard.check_handshake(rights, &name, listed.methods.iter(), is_known) {
            return shared.server.refuse_handshake(Role::Router, &self.conn, frame, &reason);
        }
        let done = match &self.member {
            Some(Forwarder { me, .. }) => {
                let me = Arc::clone(&me.peer);
                let done = self.update(&me, listed.with_level(self.conn.level()), frame, now);
                if self.member.as_ref().is_some_and(|member| !member.has_current_rights()) {
                    // Whoever set another policy may have looked at what it exposed before.
                    shared.expel(&me);
                }
                done
            }
            None => self.join(listed.with_level(level), frame),
        };
        if let Err(reason) = done {
            shared.server.refuse_handshake(Role::Router, &self.conn, frame, &reason);
        }
    }

    /// Adds a member by its first handshake ([protocol, 5.3](daffi_wire::protocol#5.3): the order
    /// in which everybody hears of it).
    fn join(&mut self, member: Member, frame: &Frame) -> Result<(), String> {
        let shared = &self.shared;
        let (name, level) = (member.name.clone(), member.level);
        let me = Peer::new(
            name.clone(),
            Arc::clone(&self.conn),
            &member.methods,
            shared.server.config.budget_bytes / POOL,
            &shared.callbacks,
            &shared.waiting.ready,
        );
        let sender = Sender::new(Arc::clone(&me), shared, shared.server.config.limits);
        let (evicted, is_shown) = self.take_name(&sender, member, frame)?;
        let rights = std::mem::replace(&mut self.rights, Rights::new(Arc::clone(&self.conn)));
        if !rights.is_current(&shared.server.guard) {
            // Whoever set another policy may have looked through the members just before.
            shared.expel(&me);
        }
        self.member = Some(Forwarder::new(Arc::clone(shared), sender, rights));
        self.unheard = level.at_least(Level::FOUR).then(|| Unheard::new(&self.conn, is_shown, now()));
        self.alive.begin(&self.conn);
        shared.server.finish_opening(self.opening);
        shared.news.notify_one();
        if is_shown {
            shared.waiting.note(|| Sign::Exposes(Arc::clone(&me)));
        }
        if let Some(old) = evicted {
            shared.server.note_eviction();
            if is_shown && old.was_shown {
                shared.server.events.tell(MemberEvent::Evicted(name.to_string()));
            }
            self.end_evicted(&old.peer, &old.last_notices);
        }
        if shared.server.life.is_closing() {
            // `stop` may have looked through the members just before.
            self.conn.drain();
        }
        tracing::debug!(
            conn = self.conn.id,
            member = %Shown::name(&name),
            peer = %self.conn.peer,
            identity = %self.conn.identity(),
            ?level,
            is_shown,
            "a member joined"
        );
        if is_shown {
            shared.server.events.tell(MemberEvent::Added(name.to_string()));
        }
        Ok(())
    }

    /// Makes a member of one whose name may be had. Gives whom it took that from, and whether the
    /// others see it.
    fn take_name(
        &self,
        sender: &Arc<Sender>,
        member: Member,
        frame: &Frame,
    ) -> Result<(Option<Evicted>, bool), String> {
        let (shared, me, level) = (&self.shared, &sender.peer, member.level);
        let mut members = shared.members.lock();
        let holder = members.get(&me.name);
        // Nobody could find one that is not shown, so as to end it.
        let gives_way = holder.is_some_and(|holder| !holder.is_named());
        shared.server.check_name(&me.name, &self.conn, holder.map(|holder| &*holder.conn), gives_way)?;
        if let Some(holder) = holder.filter(|holder| holder.is_level_four()) {
            // A member that does not hear comes again before its last connection has ended.
            shared.suspects.note_end(&me.name, &holder.first_word, now());
        }
        let is_shown = !level.at_least(Level::FOUR) || !shared.suspects.has(&me.name);
        let watches_all = !level.at_least(Level::FOUR) || !Handshake::says(frame.method(), Handshake::WATCH_NONE);
        let list = if watches_all { members.reply_bytes() } else { 0 };
        if !self.conn.outbox.admits(Class::Answer, list) {
            // Others who do not take theirs are ended for that, so that one that comes again
            // finds room.
            return Err(no_room_for_list(list));
        }
        let join = if is_shown { Membership::join } else { Membership::join_unshown };
        let Joined { evicted } =
            join(&mut members, me.id(), member, Arc::clone(me), watches_all).map_err(|refused| refused.to_string())?;
        self.conn.set_level(level);
        me.note_asked(frame);
        if let Some((old, _)) = &evicted {
            me.traffic.take_over(&old.traffic);
        }
        let was_shown = evicted.as_ref().is_some_and(|(old, _)| old.is_named());
        if is_shown {
            let inherited = match &evicted {
                Some((old, _)) if was_shown => shared.close_calls(old),
                Some((old, _)) => {
                    // One that was not shown has inherited nothing.
                    drop(shared.close_calls(old));
                    shared.absent.lock().take(&me.name)
                }
                None => shared.absent.lock().take(&me.name),
            };
            shared.hand_on(inherited, sender);
        } else if let Some((old, _)) = &evicted {
            shared.leave_name(old);
        }
        // The answer is the first thing that a newcomer hears: before news, and before calls
        // find it in the table.
        let list = if watches_all { members.reply_to(&me.name, level) } else { members.reply_alone(&me.name) };
        self.answer(&me.name, frame, &list);
        me.note_told(members.end());
        if is_shown {
            shared.enter(sender);
        } else {
            shared.ask(me);
        }
        if let Some((old, _)) = &evicted {
            shared.withdraw(old);
            old.leave_table();
        }
        Ok((evicted.map(|(peer, last_notices)| Evicted { peer, last_notices, was_shown }), is_shown))
    }

    /// Ends the connection of a member whose name this one took, after its last notices.
    fn end_evicted(&self, old: &Peer, last: &[Frame]) {
        // A member that has just gone needs no word.
        drop(old.conn.notify(last));
        old.conn.end(Disconnected::Evicted, true);
        self.shared.end_calls_to(old, &old.callers());
    }

    /// Changes what a member exposes, as its second handshake says; 3.0.1 would evict it
    /// ([protocol, 5.4](daffi_wire::protocol#5.4) and [protocol, 12](daffi_wire::protocol#12)).
    fn update(&mut self, me: &Arc<Peer>, member: Member, frame: &Frame, now: Instant) -> Result<(), String> {
        let shared = &self.shared;
        let mut members = shared.members.lock();
        let list = members.reply_bytes();
        if !me.is_level_four() && !self.conn.outbox.admits(Class::Answer, list) {
            return Err(no_room_for_list(list));
        }
        if me.takes_news() {
            let before = members.tell_one(&me.name, me.id());
            me.tell(&before, members.end(), &shared.news);
        }
        let methods = member.methods.clone();
        match members.update(me.id(), member).map_err(|refused| refused.to_string())? {
            Updated::Gone => return Ok(()),
            Updated::Same => {}
            Updated::Changed => {
                shared.exposers.change(me, || me.expose(&methods));
                me.note_known(members.end());
                shared.news.notify_one();
            }
        }
        me.note_asked(frame);
        let level_four = me.is_level_four();
        let reply = if level_four { members.reply_alone(&me.name) } else { members.reply(Level::THREE) };
        drop(members);
        shared.waiting.note(|| Sign::Exposes(Arc::clone(me)));
        fence(Ordering::SeqCst);
        if me.exposed_methods().is_empty() {
            // What stands in line lies before the answer, as what was asked before does.
            me.let_line_go();
        }
        if me.is_level_four() && me.exposed_methods().is_empty() && self.conn.is_promised() {
            // It takes calls until it is answered, and some are still on their way to it.
            let counted = Ticket::new(Arc::clone(&self.conn), frame.as_bytes().len());
            self.announcing.keep(frame.clone(), counted, now + UNTIL_SENT, Duration::ZERO);
            return Ok(());
        }
        if !level_four {
            self.announcing.charge(reply.len(), now);
        }
        self.answer(&me.name, frame, &reply);
        Ok(())
    }

    fn answer(&self, name: &NodeName, request: &Frame, body: &[u8]) {
        let server = &self.shared.server;
        server.send(
            &self.conn,
            Class::Provoked,
            name,
            reply_to_member(request, self.conn.level(), body, &server.config.limits),
        );
    }
}
