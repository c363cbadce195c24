//! Whose large bodies are put together now, and whose wait for room.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::Entry},
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use daffi_wire::{BODY_PART_BYTES, NodeName};
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::Instant};

use super::{Account, Budget, Charge, slow_peer::PaceWatch};
use crate::keyed::{ByName, ByNumber};

/// Bodies of one member that are put together at once.
const AT_ONCE: usize = 4;

/// Of those who wait for room, so many are looked at when a body ends; the others when the next
/// does, or with all.
const AT_AN_END: usize = 16;

/// Members for whom the line keeps room when it is empty.
const KEPT: usize = 64;

/// How often those who wait are looked at, beside each end of a body.
const LOOK: Duration = Duration::from_secs(1);

/// So much else may come over its connection for each open body that this brings, until something
/// of one has to come again: senders take turns, in which those that wait for room have first
/// parts, and a part counts once all of it is there.
const LEEWAY: usize = 4 * BODY_PART_BYTES;

/// A body that brings so much makes up for one look at which it was excused.
const MAKES_UP: usize = 16 * 1024;

/// Whose bodies they are: those of one member over one connection, arguments apart from results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Whose {
    pub(crate) conn: u64,
    pub(crate) name: NodeName,
    pub(crate) are_results: bool,
}

/// A body that waits for its room.
pub(crate) trait TakesRoom: fmt::Debug + Send + Sync {
    /// It has the room from now on.
    fn on_room(&self);

    /// Bytes that came so far, and how often this end did not read what its sender may have sent.
    fn progress(&self) -> BodyProgress;

    /// It is to end: it comes more slowly than a peer has to send what it began.
    fn on_lost(&self);
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyProgress {
    pub(crate) bytes: usize,
    pub(crate) holds: u64,
    /// Bytes that came over its connection, of whatever.
    pub(crate) read: u64,
}

/// The bodies of a node that are put together, and those that wait for room.
///
/// Room for all of a body is taken from the budget before its sender is let send more than a first
/// window, so that none stops half-way for want of it. One body at a time has the *reserve* in the
/// place of room in the budget: of several that find none each has its turn. A body that has its
/// room must come at the pace of an unfinished frame, and while others find no room at that of one
/// in their way: who goes silent in the middle keeps nobody out for long.
///
/// What begins or ends costs about the same with many in the line as with few: only those who have
/// one of their member's places are looked at, and of them only a few at a time.
#[derive(Debug, Default)]
pub(crate) struct BodyLine(Mutex<Bodies>);

#[derive(Debug, Default)]
struct Bodies {
    last: u64,
    /// The bodies that have no room yet, in the order in which they came.
    waiting: BTreeMap<u64, Body>,
    /// The waiting ones that have a place of their member, and begin once they find room.
    ready: BTreeSet<u64>,
    open: BTreeMap<u64, OpenBody>,
    /// The open one that has the reserve.
    reserve: Option<u64>,
    members: ByName<Whose, MemberBodies>,
    /// How many of the open ones come over each connection.
    senders: ByNumber<u64, usize>,
    /// The last of those that are ready that was looked at in turn.
    looked_at: u64,
    /// Somebody looks at those who wait, now and then.
    is_watched: bool,
    #[cfg(test)]
    looks: usize,
}

/// The bodies of one member.
#[derive(Debug, Default)]
struct MemberBodies {
    /// How many are open or ready.
    placed: usize,
    /// The ones that wait for a place: there are none while one is free.
    others: BTreeSet<u64>,
}

#[derive(Debug)]
struct Body {
    whose: Whose,
    /// The connection over which it comes.
    from: u64,
    bytes: usize,
    account: Arc<Account>,
    takes: Weak<dyn TakesRoom>,
}

/// A body that has its room.
#[derive(Debug)]
struct OpenBody {
    body: Body,
    room: Room,
    watch: PaceWatch,
    seen: Option<BodyProgress>,
    /// Bytes of others that still count as if they were its own.
    leeway: usize,
    /// How often it was excused for not being read although others waited for what it has.
    excused: u32,
}

#[derive(Debug)]
enum Room {
    Charged(#[expect(dead_code, reason = "dropped when the body has ended")] Charge),
    Reserve,
}

/// A place in the line, and then the room. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct BodyPlace {
    budget: Arc<Budget>,
    id: u64,
}

impl BodyPlace {
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for BodyPlace {
    fn drop(&mut self) {
        let (ended, chance) = self.budget.bodies.0.lock().remove(self.id);
        // Without the lock, as all that others do in turn.
        drop(ended);
        look_after(&self.budget, chance);
    }
}

/// A body that has ended, and its room if it had some.
type EndedBody = (Option<Body>, Option<OpenBody>);

/// A body that finds no room: its account, and the bytes that it wants.
type LacksRoom = (Arc<Account>, usize);

/// Who may begin now that something has changed.
#[derive(Clone, Copy, Debug)]
struct Chance {
    /// This one first, if it is ready.
    first: Option<u64>,
    /// And so many others, whoever's turn it is.
    others: usize,
}

impl Whose {
    /// Whether it is another member's.
    fn is_other(&self, other: &Self) -> bool {
        (self.conn, &self.name) != (other.conn, &other.name)
    }
}

impl Body {
    /// Whether others find as much room after it as it takes, as after many small steps.
    fn fits(&self) -> bool {
        self.account.held_bytes().saturating_add(self.bytes) <= self.account.share_after(self.bytes)
    }
}

impl Bodies {
    fn add(&mut self, body: Body) -> u64 {
        self.last += 1;
        let id = self.last;
        let member = self.members.entry(body.whose.clone()).or_default();
        if member.placed < AT_ONCE {
            member.placed += 1;
            self.ready.insert(id);
        } else {
            member.others.insert(id);
        }
        self.waiting.insert(id, body);
        id
    }

    /// One less comes over its connection.
    fn forget_sender(&mut self, from: u64) {
        if let Entry::Occupied(mut sender) = self.senders.entry(from) {
            *sender.get_mut() -= 1;
            if *sender.get() == 0 {
                sender.remove();
            }
        }
    }

    /// Takes a body out. Gives it, and who may begin in its place.
    fn remove(&mut self, id: u64) -> (EndedBody, Option<Chance>) {
        if let Some(open) = self.open.remove(&id) {
            if self.reserve == Some(id) {
                self.reserve = None;
            }
            self.forget_sender(open.body.from);
            let first = self.free_place(&open.body.whose);
            return ((None, Some(open)), Some(Chance { first, others: AT_AN_END }));
        }
        let Some(body) = self.waiting.remove(&id) else { return ((None, None), None) };
        let first = if self.ready.remove(&id) {
            self.free_place(&body.whose)
        } else {
            if let Some(member) = self.members.get_mut(&body.whose) {
                member.others.remove(&id);
            }
            None
        };
        ((Some(body), None), first.map(|id| Chance { first: Some(id), others: 0 }))
    }

    /// One of a member's places is free: the next of it has that, if there is one.
    fn free_place(&mut self, whose: &Whose) -> Option<u64> {
        let Entry::Occupied(mut member) = self.members.entry(whose.clone()) else { return None };
        let next = member.get_mut().others.pop_first();
        match next {
            Some(next) => {
                self.ready.insert(next);
            }
            None => {
                member.get_mut().placed -= 1;
                if member.get().placed == 0 {
                    member.remove();
                }
            }
        }
        if self.members.is_empty() && self.members.capacity() > KEPT {
            // One busy moment must not stay with the node for its life.
            self.members = ByName::default();
            self.senders = ByNumber::default();
        }
        next
    }

    /// The next that may begin, with its room.
    fn take_next(&mut self, chance: &mut Chance) -> Option<Weak<dyn TakesRoom>> {
        if self.reserve.is_none()
            && let Some(first) = self.ready.first()
        {
            return self.begin(*first);
        }
        let mut refused = None;
        let found = self.find(chance, &mut refused);
        if let Some((account, bytes)) = refused {
            // It has the reserve in time: only who holds more than it wants takes its part.
            let wanted = account.held_bytes().saturating_add(bytes);
            account.budget().note_refusal(wanted, Instant::now().into_std());
        }
        self.begin(found?)
    }

    /// One that finds room in the budget, and of the first that does not its account and bytes.
    fn find(&mut self, chance: &mut Chance, refused: &mut Option<LacksRoom>) -> Option<u64> {
        let first = chance.first.take().filter(|first| self.ready.contains(first));
        if let Some(first) = first
            && self.finds_room(first, refused)
        {
            return Some(first);
        }
        chance.others = chance.others.min(self.ready.len());
        while chance.others > 0 {
            chance.others -= 1;
            let next = self.ready.range(self.looked_at + 1..).next().or_else(|| self.ready.first());
            self.looked_at = *next?;
            if self.finds_room(self.looked_at, refused) {
                return Some(self.looked_at);
            }
        }
        None
    }

    fn finds_room(&mut self, id: u64, refused: &mut Option<LacksRoom>) -> bool {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let Some(body) = self.waiting.get(&id) else { return false };
        let fits = body.fits();
        if !fits {
            refused.get_or_insert_with(|| (Arc::clone(&body.account), body.bytes));
        }
        fits
    }

    /// Gives a body that is ready its room, or else the reserve.
    fn begin(&mut self, id: u64) -> Option<Weak<dyn TakesRoom>> {
        self.ready.remove(&id);
        let body = self.waiting.remove(&id)?;
        let room = if body.fits() {
            Room::Charged(body.account.charge(body.bytes))
        } else {
            self.reserve = Some(id);
            Room::Reserve
        };
        let takes = Weak::clone(&body.takes);
        let watch = PaceWatch::for_reading(body.account.budget().patience(), true);
        *self.senders.entry(body.from).or_default() += 1;
        let leeway = leeway(&self.senders, body.from);
        self.open.insert(id, OpenBody { body, room, watch, seen: None, leeway, excused: 0 });
        Some(takes)
    }

    /// Looks after the bodies that are open, and gives them with whether each comes too slowly.
    /// `late`: what came of them may lie unread, because this process has not come to it. Whoever
    /// drops them must hold no lock: it may be the last who knows them.
    fn look_after_open(&mut self, late: bool) -> Vec<(Arc<dyn TakesRoom>, bool)> {
        let is_awaited = self.reserve.is_some_and(|holder| self.is_awaited(holder));
        let senders = &self.senders;
        let looks = self.open.values_mut().filter_map(|open| {
            let leeway = leeway(senders, open.body.from);
            open.look(is_awaited && open.has_reserve(), leeway, late)
        });
        looks.collect()
    }

    /// Whether a body of another member could begin if it had the reserve of this one. Those that
    /// wait for a place of their own member do not wait for that.
    fn is_awaited(&self, holder: u64) -> bool {
        let Some(holder) = self.open.get(&holder) else { return false };
        // No member has more of them.
        let mut first = self.ready.iter().take(2 * AT_ONCE).filter_map(|id| self.waiting.get(id));
        first.any(|body| body.whose.is_other(&holder.body.whose))
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }
}

/// What else may come over this connection before something of a body that it brings has to come.
fn leeway(senders: &ByNumber<u64, usize>, from: u64) -> usize {
    senders.get(&from).map_or(0, |bodies| bodies.saturating_mul(LEEWAY))
}

impl OpenBody {
    fn has_reserve(&self) -> bool {
        matches!(self.room, Room::Reserve)
    }

    /// Gives the body, and whether it comes too slowly. `in_the_way`: another waits for the reserve
    /// that it has; `leeway`: what else may come before something of it does; `late`: its time
    /// begins anew.
    fn look(&mut self, in_the_way: bool, leeway: usize, late: bool) -> Option<(Arc<dyn TakesRoom>, bool)> {
        let takes = self.body.takes.upgrade()?;
        let (at, now) = (Instant::now().into_std(), takes.progress());
        let before = self.seen.replace(now).unwrap_or(BodyProgress { bytes: 0, ..now });
        let own = now.bytes - before.bytes;
        // A byte now and then is not worth what a part is.
        let earned = own.saturating_mul(leeway / BODY_PART_BYTES);
        self.leeway = self.leeway.saturating_add(earned).min(leeway);
        let others = usize::try_from(now.read - before.read).unwrap_or(usize::MAX).saturating_sub(own);
        let others = others.min(self.leeway);
        self.leeway -= others;
        let account = &self.body.account;
        let is_pressed = in_the_way || account.budget().presses(account.held_bytes(), at);
        if late || now.holds != before.holds && self.is_excused(is_pressed) {
            // What is not read does not have to come.
            self.watch.rest();
        }
        self.excused = self.excused.saturating_sub(u32::try_from(own / MAKES_UP).unwrap_or(u32::MAX));
        self.watch.moves(own.saturating_add(others));
        let kept = self.watch.wait(&self.body.account, in_the_way, at, None);
        Some((takes, kept.is_err()))
    }

    /// Whether it may rest because it is not read. While others lack what it has it may for as long
    /// as peers have patience in all, or its sender could see to it that it never has to come.
    fn is_excused(&mut self, is_pressed: bool) -> bool {
        if !is_pressed {
            return true;
        }
        self.excused = self.excused.saturating_add(1);
        LOOK.saturating_mul(self.excused) <= self.body.account.budget().patience()
    }
}

/// Takes a place in the line of this budget for a body of so many bytes of a peer with this
/// account, which comes `from` the connection of that number. [`let_begin`] lets it begin.
pub(crate) fn line_up(
    account: &Arc<Account>,
    (whose, from): (Whose, u64),
    bytes: usize,
    takes: Weak<dyn TakesRoom>,
) -> BodyPlace {
    let budget = Arc::clone(account.budget());
    let id = budget.bodies.0.lock().add(Body { whose, from, bytes, account: Arc::clone(account), takes });
    BodyPlace { budget, id }
}

/// Lets the body of that place begin if there is room for it.
pub(crate) fn let_begin(budget: &Arc<Budget>, id: u64) {
    look_after(budget, Some(Chance { first: Some(id), others: 0 }));
}

/// Lets those begin who have a chance, and sees to it that the others are looked at again.
fn look_after(budget: &Arc<Budget>, chance: Option<Chance>) {
    let Some(mut chance) = chance else { return };
    loop {
        let mut bodies = budget.bodies.0.lock();
        let Some(next) = bodies.take_next(&mut chance) else {
            let is_to_be_watched = !bodies.is_idle() && !bodies.is_watched;
            if is_to_be_watched && let Ok(runtime) = Handle::try_current() {
                bodies.is_watched = true;
                runtime.spawn(watch(Arc::downgrade(budget)));
            }
            return;
        };
        drop(bodies);
        // Without the lock: it says so to its sender.
        if let Some(next) = next.upgrade() {
            next.on_room();
        }
    }
}

/// Whether no body has a place.
#[cfg(test)]
pub(crate) fn is_idle(budget: &Budget) -> bool {
    budget.bodies.0.lock().is_idle()
}

/// Looks at those who wait, for which room may come in other ways than by the end of a body, and at
/// those who are slow, until there are none.
async fn watch(budget: Weak<Budget>) {
    loop {
        let meant = Instant::now() + LOOK;
        tokio::time::sleep_until(meant).await;
        // Connections are read by other tasks, which were as late and may run after this one.
        let late = meant.elapsed() >= LOOK;
        let Some(budget) = budget.upgrade() else { return };
        look_after(&budget, Some(Chance { first: None, others: usize::MAX }));
        let looked_after = {
            let mut bodies = budget.bodies.0.lock();
            bodies.is_watched = !bodies.is_idle();
            if !bodies.is_watched {
                return;
            }
            bodies.look_after_open(late)
        };
        looked_after.iter().filter(|(_, is_slow)| *is_slow).for_each(|(body, _)| body.on_lost());
    }
}

#[cfg(test)]
#[path = "body_line_tests.rs"]
mod tests;
