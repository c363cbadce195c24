//! Calls that waited, on their way to those who expose their callback by now.
//!
//! One task lets them go. It is told of each member that may take more than it did, whatever the
//! reason, and lets that member have what it takes of the lines that it is known to be awaited in,
//! one call of each in turn. So a call that goes costs the same however many members and lines
//! there are.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
};

use daffi_serde::RemoteError;
use daffi_wire::{Data, DataEnd};
use rustc_hash::FxHashMap;
use tokio::task::yield_now;

use super::{PatientCall, ready::Sign};
use crate::{
    conn::Class,
    keyed::Names,
    refusal::Refusal,
    router::{
        Peer, RouterShared,
        calls::delivering::{Fitting, fit, open},
    },
    session::{CallLine, Denied},
};

/// Calls that go to one member before others have their turn.
const AT_ONCE: usize = 16;

/// Lets calls go that wait, until the Router ends.
pub(crate) async fn release_waiting(shared: Arc<RouterShared>) {
    let mut releasing = Releasing::default();
    loop {
        tokio::select! {
            () = shared.server.life.cut.cancelled() => return,
            () = shared.waiting.ready.wait() => {}
        }
        loop {
            let signs = shared.waiting.ready.take();
            if !shared.waiting.any() {
                // Whoever takes more, or has left, is awaited by nobody.
                releasing = Releasing::default();
            }
            for sign in signs {
                releasing.heed(&shared, sign);
            }
            let Some(member) = releasing.next.pop_front() else { break };
            releasing.let_go_to(&shared, member);
            yield_now().await;
        }
    }
}

/// Whom calls wait for that left some of them where they are, or has not been asked.
#[derive(Debug, Default)]
struct Releasing {
    awaited: FxHashMap<u64, AwaitedMember>,
    /// Awaited members that may take some now.
    next: VecDeque<u64>,
}

#[derive(Debug)]
struct AwaitedMember {
    peer: Arc<Peer>,
    /// The lines in which it is awaited: its next call comes from the first.
    lines: VecDeque<CallLine>,
    known: Names<CallLine>,
    /// It stands among those who are next.
    is_next: bool,
}

impl Releasing {
    fn heed(&mut self, shared: &RouterShared, sign: Sign) {
        match sign {
            Sign::Exposes(peer) => {
                let lines = shared.lines_of(&peer);
                self.await_in(&peer, lines);
            }
            Sign::IsAwaited(peer, line) => self.await_in(&peer, [line]),
            Sign::TakesMore(member) => self.put_next(member),
            Sign::Left(member) => {
                let gone = self.awaited.remove(&member);
                for line in gone.into_iter().flat_map(|gone| gone.lines) {
                    self.await_another(shared, line, member);
                }
            }
        }
    }

    fn await_in(&mut self, peer: &Arc<Peer>, lines: impl IntoIterator<Item = CallLine>) {
        let member = self.awaited.entry(peer.id()).or_insert_with(|| AwaitedMember {
            peer: Arc::clone(peer),
            lines: VecDeque::new(),
            known: Names::default(),
            is_next: false,
        });
        for line in lines {
            if member.known.insert(line.clone()) {
                member.lines.push_back(line);
            }
        }
        self.put_next(peer.id());
    }

    /// Another than `but` is awaited in a line from now on, if somebody takes its calls: that one
    /// does no more. Of one that owes words a sign will come.
    fn await_another(&mut self, shared: &RouterShared, line: CallLine, but: u64) {
        let Some((_, able)) = shared.exposers.find(&line.method) else { return };
        let takes = |peer: &Peer| !peer.owed.is_any();
        let drawn = able.choose(line.level_four, but, || 0).filter(|drawn| takes(drawn));
        if let Some(other) = drawn.or_else(|| able.find(line.level_four, but, takes)) {
            self.await_in(other, [line]);
        }
    }

    fn put_next(&mut self, member: u64) {
        if let Some(awaited) = self.awaited.get_mut(&member)
            && !std::mem::replace(&mut awaited.is_next, true)
        {
            self.next.push_back(member);
        }
    }

    /// Lets some calls go to a member that is next.
    fn let_go_to(&mut self, shared: &RouterShared, id: u64) {
        let Some(member) = self.awaited.get_mut(&id) else { return };
        member.is_next = false;
        let (mut takes, mut given_up) = (true, Vec::new());
        for _ in 0..AT_ONCE {
            let Some(line) = member.lines.front() else { break };
            match shared.let_one_go(line, &member.peer) {
                Onward::Passed => member.lines.rotate_left(1),
                Onward::TakesNone => {
                    takes = false;
                    break;
                }
                ended @ (Onward::NoneLeft | Onward::Withdrawn) => {
                    member.known.remove(line);
                    let line = member.lines.pop_front();
                    given_up.extend(line.filter(|_| matches!(ended, Onward::Withdrawn)));
                }
            }
        }
        if member.lines.is_empty() {
            self.awaited.remove(&id);
        } else if takes {
            self.put_next(id);
        }
        for line in given_up {
            self.await_another(shared, line, id);
        }
    }
}

/// What became of a line where a member was to have its next call.
enum Onward {
    /// One call less waits there.
    Passed,
    /// The member takes none for now: a sign will come when it does.
    TakesNone,
    /// There is none for it.
    NoneLeft,
    /// It exposes the callback no more, has left, or owes words, maybe for ever: a sign will come
    /// if it takes calls again.
    Withdrawn,
}

/// What became of a call that was sent to a member.
enum Sent {
    Passed,
    /// Its caller sends it on anew: parts of it have to be put together.
    Anew,
    TakesNone,
    /// The member has left, or owes words.
    Left,
    Refused(RemoteError),
}

impl From<RemoteError> for Sent {
    fn from(error: RemoteError) -> Self {
        Self::Refused(error)
    }
}

impl RouterShared {
    /// The lines of what a member exposes. It is looked through whichever are fewer, its callbacks
    /// or the lines.
    fn lines_of(&self, peer: &Peer) -> Vec<CallLine> {
        let (exposed, waiting) = (peer.exposed_methods(), self.waiting.lock());
        let takes = |line: &CallLine| !line.level_four || peer.is_level_four();
        if exposed.len() > waiting.calls.lines().len() {
            let lines = waiting.calls.lines().filter(|line| takes(line) && exposed.contains(&line.method));
            return lines.cloned().collect();
        }
        let lines = exposed
            .iter()
            .flat_map(|method| [false, true].map(|level_four| CallLine { method: method.clone(), level_four }));
        lines.filter(|line| takes(line) && waiting.calls.has_line(line)).collect()
    }

    /// Lets the next call of a line go to a member, if it takes one.
    fn let_one_go(&self, line: &CallLine, to: &Arc<Peer>) -> Onward {
        let mut waiting = self.waiting.lock();
        let Some(key) = waiting.calls.next_of(line, to.id()) else { return Onward::NoneLeft };
        // As for calls that do not wait: either a member that withdraws sees that this goes to it
        // first, or this sees that it has withdrawn.
        let _promise = to.conn.promise_to_queue();
        fence(Ordering::SeqCst);
        if !to.is_named() || to.callback(&line.method).is_none() || to.owed.is_any() {
            return Onward::Withdrawn;
        }
        if to.conn.outbox.is_full() {
            return Self::await_room(to);
        }
        // When it has a place its `Load` gives a sign, and when it goes on its driver does.
        if to.conn.is_stopped() || to.conn.is_ending() || !to.load.has_place() {
            return Onward::TakesNone;
        }
        let Some(call) = waiting.calls.get_mut(key) else { return Onward::NoneLeft };
        match self.send_waited(line, to, call) {
            Sent::Passed => {
                to.load.take_place();
                drop(waiting.calls.take(key));
            }
            Sent::Anew => {
                call.sender.send_anew(key.1);
                waiting.calls.set_aside(key);
            }
            Sent::TakesNone => return Self::await_room(to),
            Sent::Left => return Onward::Withdrawn,
            Sent::Refused(error) => {
                let refused = waiting.calls.take(key);
                waiting.calls.put_last(line, key.0);
                drop(waiting);
                if let Some(call) = refused {
                    self.refuse_call(&call.sender.peer, key.1, "", &line.method, &error);
                }
                return Onward::Passed;
            }
        }
        waiting.calls.put_last(line, key.0);
        Onward::Passed
    }

    /// Sees to it that a sign comes when there is room in the outbox of the member, which was full:
    /// at once if it is not any more.
    fn await_room(to: &Peer) -> Onward {
        to.conn.ask_for_room();
        Onward::TakesNone
    }

    fn send_waited(&self, line: &CallLine, to: &Arc<Peer>, call: &PatientCall) -> Sent {
        let (me, id) = (&call.sender.peer, call.frame.header().id());
        if let Err(denied) = self.check_waited(call) {
            return Denied::into_error(denied).into();
        }
        if me.conn.outbox.is_full() {
            return Refusal::Overloaded.error(me.conn.outbox.crowd(&me.name)).into();
        }
        let mut frame = call.frame.clone().with_less_time(call.since.elapsed());
        let streams = match fit(self, me, to, &mut frame) {
            Ok(Fitting::AsItIs(streams)) => streams,
            Ok(Fitting::PutTogether(_)) => return Sent::Anew,
            Err(error) => return error.into(),
        };
        let no_room = || match to.conn.outbox.is_full() {
            true => Sent::TakesNone,
            // Not for what waits for it: it is the node that has no room, as for any other call.
            false => Refusal::Overloaded.error(to.conn.outbox.crowd(&to.name)).into(),
        };
        if !self.keep_in_step(me, to) {
            return no_room();
        }
        if !to.remember(&call.sender) {
            return Sent::Left;
        }
        let note = self.callbacks.begin_now(self.callbacks.find(&line.method, to));
        let number = match open(self, me, (to, note), (&frame, streams)) {
            Ok((number, _)) => number,
            // Since just now.
            Err(_) if to.owed.is_any() => return Sent::Left,
            Err(error) => return error.into(),
        };
        let frame = if number == id { frame } else { frame.with_id(number) };
        let forward = || to.conn.forward(Class::Request, &frame);
        // One of level 3 is not told that callers leave.
        let sent = if to.is_level_four() { me.voice.speak(forward) } else { Some(forward()) };
        let Some(sent) = sent else {
            // Its caller has left just now, and with it all its calls.
            return Sent::Passed;
        };
        if !matches!(sent, Ok(true)) {
            me.drop_call(number, to.id());
            return if sent.is_err() { Sent::Left } else { no_room() };
        }
        for data in &call.data {
            let Ok(item) = Data::read(data.clone()) else { continue };
            let ends = item.end == DataEnd::Direction;
            // What waits is within the first window.
            if let Ok(Some(passage)) = me.with_streams(|streams| streams.pass_item(id, item.cost(), ends)) {
                drop(me.queue_item(&to.conn, passage.id, (data, item.cost())));
            }
        }
        Sent::Passed
    }
}
