//! Who is a member of a Router, and what the others are to be told of it.

use std::collections::BTreeSet;

use daffi_wire::{
    CallId, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits, Member, MethodName,
    NodeName, NodeType, Role, Watch,
};

use super::{
    list_shares::{self, ListShares, TooLong, least},
    news::{News, NewsPlace, NewsReader},
    watching::{Interest, TooManyWatched, Watchers},
};
use crate::keyed::ByName;

/// The members in the order of 3.0.1, and the news that have not been taken to all of them
/// ([protocol, 5.3](daffi_wire::protocol#5.3)).
///
/// News are kept once for all, and each member has read them up to some place. So a join costs the
/// same with one member as with thousands, and what is kept for one that reads nothing is bounded
/// by the members, not by what happens.
///
/// A member that watches some callbacks reads those of the news that concern it, and has been told
/// exactly of those who expose one of them ([level 4](daffi_wire::level_four#watching)).
#[derive(Debug)]
pub(crate) struct Membership<P> {
    list: Vec<ListEntry<P>>,
    by_name: ByName<NodeName, usize>,
    shares: ListShares,
    /// Bytes of the list as JSON, at its longest.
    list_bytes: usize,
    news: News,
    watchers: Watchers,
    limits: Limits,
}

#[derive(Debug)]
struct ListEntry<P> {
    conn: u64,
    peer: P,
    member: Member,
    /// The member as it stands in lists on level 3 and level 4 links.
    json: [Vec<u8>; 2],
    watched: Interest,
    /// The number of the next piece of news that this member has not got.
    next: u64,
    /// The numbers of the news of its coming, and of its last change.
    came: u64,
    changed: Option<u64>,
    /// The others are told of it. Of one that is not shown the numbers above are those of other
    /// news.
    is_shown: bool,
}

impl<P> ListEntry<P> {
    fn reader(&self) -> NewsReader<'_> {
        NewsReader { conn: self.conn, next: self.next, link: link(self.member.level), watched: &self.watched }
    }

    const fn place(&self) -> NewsPlace {
        NewsPlace { conn: self.conn, came: self.came, changed: self.changed }
    }
}

/// What a newcomer changed.
#[derive(Debug)]
pub(crate) struct Joined<P> {
    /// The member that bore the name before, and what it is to be told before its end.
    pub(crate) evicted: Option<(P, Vec<Frame>)>,
}

/// What a second handshake changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updated {
    Changed,
    /// It exposes the same as before.
    Same,
    /// It is a member no more.
    Gone,
}

/// Why a member cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotListed {
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error("the names of its callbacks do not fit into a notice: {0}")]
    Notice(EncodeError),
}

impl From<EncodeError> for NotListed {
    fn from(error: EncodeError) -> Self {
        Self::Notice(error)
    }
}

const LINKS: [Level; 2] = [Level::THREE, Level::FOUR];

fn link(level: Level) -> usize {
    usize::from(level.at_least(Level::FOUR))
}

impl<P> Membership<P> {
    /// A table for `most` members at a time.
    pub(crate) fn new(limits: Limits, most: usize) -> Self {
        Self {
            list: Vec::new(),
            by_name: ByName::default(),
            shares: ListShares::new(limits.max_list_bytes, most),
            list_bytes: 0,
            news: News::default(),
            watchers: Watchers::default(),
            limits,
        }
    }

    /// Adds the member of connection `conn`, and takes its name from whoever bore it.
    /// `watches_all`: it is told of all members, and not of those alone whom it
    /// [watches](Self::watch).
    ///
    /// # Errors
    /// When its names take more of the list than it may, or do not fit into a frame; nothing has
    /// changed then.
    pub(crate) fn join(
        &mut self,
        conn: u64,
        member: Member,
        peer: P,
        watches_all: bool,
    ) -> Result<Joined<P>, NotListed> {
        self.add((conn, member, peer), watches_all, true)
    }

    /// Adds a member as [`join`](Self::join) does that the others are not told of before it is
    /// [shown](Self::show). It has its name, and hears of the others; whoever bore that is gone for
    /// them.
    ///
    /// # Errors
    /// The errors of [`join`](Self::join).
    pub(crate) fn join_unshown(
        &mut self,
        conn: u64,
        member: Member,
        peer: P,
        watches_all: bool,
    ) -> Result<Joined<P>, NotListed> {
        self.add((conn, member, peer), watches_all, false)
    }

    fn add(
        &mut self,
        (conn, member, peer): (u64, Member, P),
        watches_all: bool,
        is_shown: bool,
    ) -> Result<Joined<P>, NotListed> {
        let json = LINKS.map(|level| member.to_json(level));
        self.check_share(&member, &json)?;
        let connected = self.event(EventKind::Connected, &member.name)?;
        let coming = self.announce(&member, &connected)?;
        let mut evicted = None;
        if let Some(at) = self.by_name.get(&member.name).copied() {
            let told = self.event(EventKind::Evicted, &member.name)?;
            let gone = self.event(EventKind::Disconnected, &member.name)?;
            let old = self.remove(at, if is_shown { &told } else { &gone });
            let mut last: Vec<_> = self.news.unread(old.reader()).cloned().collect();
            last.push(told);
            evicted = Some((old.peer, last));
        }
        let came = if is_shown {
            self.news.add_member(conn, &member.methods, coming)
        } else {
            // Its list has all before.
            self.news.note_told();
            self.end()
        };
        self.by_name.insert(member.name.clone(), self.list.len());
        self.list_bytes += json[1].len();
        self.shares.change(0, cost(&member, &json));
        let watched = Interest::new(watches_all);
        let (next, changed) = (self.end(), None);
        self.list.push(ListEntry { conn, peer, member, json, watched, next, came, changed, is_shown });
        Ok(Joined { evicted })
    }

    /// The others are told of this member from now on. `false`: they are already, or it is none.
    pub(crate) fn show(&mut self, name: &NodeName, conn: u64) -> bool {
        let Some(at) = self.position(name, conn).filter(|at| !self.list[*at].is_shown) else { return false };
        let coming = self.event(EventKind::Connected, name);
        let coming = coming.and_then(|connected| self.announce(&self.list[at].member, &connected));
        // What it is told by fitted into frames when it joined.
        let Ok(coming) = coming else { return false };
        let entry = &mut self.list[at];
        entry.came = self.news.add_member(conn, &entry.member.methods, coming);
        entry.is_shown = true;
        true
    }

    /// The peer of the member of that name.
    pub(crate) fn get(&self, name: &NodeName) -> Option<&P> {
        self.by_name.get(name).map(|at| &self.list[*at].peer)
    }

    /// Takes a member's second handshake: it exposes other callbacks now.
    ///
    /// # Errors
    /// The errors of [`join`](Self::join).
    pub(crate) fn update(&mut self, conn: u64, member: Member) -> Result<Updated, NotListed> {
        let Some(at) = self.position(&member.name, conn) else { return Ok(Updated::Gone) };
        debug_assert!(self.list[at].is_shown, "it is shown with its first frame, which is no later than this");
        if self.list[at].member == member {
            return Ok(Updated::Same);
        }
        let json = LINKS.map(|level| member.to_json(level));
        self.check_share(&member, &json)?;
        let connected = self.event(EventKind::Connected, &member.name)?;
        let coming = self.announce(&member, &connected)?;
        // To the others a change is told even when nothing is exposed any more: `null` empties
        // their entry.
        let [three, four] = LINKS.map(|level| self.handshake(level, &member));
        let frames = [vec![three?], vec![four?]];
        let entry = &mut self.list[at];
        // Who has not heard of its coming yet hears of that, and of what it exposes by then.
        let methods = (&entry.member.methods[..], &member.methods[..]);
        entry.changed = Some(self.news.add_change(entry.place(), methods, coming, frames));
        self.shares.change(cost(&entry.member, &entry.json), cost(&member, &json));
        self.list_bytes = self.list_bytes + json[1].len() - entry.json[1].len();
        (entry.json, entry.member) = (json, member);
        Ok(Updated::Changed)
    }

    /// Whether a member of that name may have what its handshake takes of the list at least. To be
    /// asked before a long one is read.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check_length(&self, name: &str, handshake: &[u8]) -> Result<(), TooLong> {
        if handshake.len() > self.limits.max_control_bytes {
            // Its length alone has it refused, without a look at its bytes.
            return Ok(());
        }
        let (json, callbacks) = least(handshake);
        let before = self.by_name.get(name).map(|at| &self.list[*at]);
        let before = before.map_or(0, |entry| cost(&entry.member, &entry.json));
        self.shares.check(before, list_shares::cost(json, callbacks), callbacks)
    }

    /// Whether the member may have that much of the list.
    fn check_share(&self, member: &Member, json: &[Vec<u8>; 2]) -> Result<(), TooLong> {
        let before = self.by_name.get(&member.name).map(|at| &self.list[*at]);
        let before = before.map_or(0, |entry| cost(&entry.member, &entry.json));
        self.shares.check(before, cost(member, json), member.methods.len())
    }

    /// Removes the member of connection `conn`, which ended. `false`: it was no member, or its name
    /// had passed to a newer connection.
    pub(crate) fn leave(&mut self, name: &NodeName, conn: u64) -> bool {
        let Some(at) = self.position(name, conn) else { return false };
        // A name that came in a frame fits into one.
        if let Ok(gone) = self.event(EventKind::Disconnected, name) {
            self.remove(at, &gone);
        }
        true
    }

    /// The body of the answer to one that is no member on a link of this level: all members, in
    /// order.
    pub(crate) fn reply(&self, level: Level) -> Vec<u8> {
        self.list_for(|entry| entry.is_shown, level)
    }

    /// The body of the answer to a first handshake: all members, the newcomer of that name
    /// included.
    pub(crate) fn reply_to(&self, name: &NodeName, level: Level) -> Vec<u8> {
        self.list_for(|entry| entry.is_shown || entry.member.name == *name, level)
    }

    fn list_for(&self, has: impl Fn(&ListEntry<P>) -> bool, level: Level) -> Vec<u8> {
        let listed = self.list.iter().filter(|entry| has(entry));
        Handshake::assemble(NodeType::new(Role::Router, level), listed.map(|entry| &entry.json[link(level)][..]))
    }

    /// The body of the answer to a second handshake on a level 4 link, or to the first of one that
    /// watches nothing yet: the member itself.
    pub(crate) fn reply_alone(&self, name: &NodeName) -> Vec<u8> {
        Self::assemble(self.by_name.get(name).map(|at| &self.list[*at].json[link(Level::FOUR)][..]))
    }

    /// About how many bytes such answers have.
    pub(crate) const fn reply_bytes(&self) -> usize {
        self.list_bytes + self.list.len()
    }

    /// Gives each member that `takes` them the news it has not got, in order. Gives the bytes of
    /// what nobody was told before.
    pub(crate) fn tell_all(&mut self, takes: impl Fn(&P) -> bool, mut send: impl FnMut(&P, &[Frame])) -> usize {
        let (mut frames, mut behind) = (Vec::new(), Vec::new());
        let latest = self.news.latest(&self.watchers);
        for at in 0..self.list.len() {
            if self.list[at].next == self.end() {
                continue;
            }
            if latest.has_nothing_for(self.list[at].reader()) {
                self.list[at].next = self.end();
                send(&self.list[at].peer, &[]);
                continue;
            }
            if !takes(&self.list[at].peer) {
                behind.push(self.list[at].next);
                continue;
            }
            frames.clear();
            self.read(at, &mut frames);
            send(&self.list[at].peer, &frames);
        }
        self.news.finish_round(behind)
    }

    /// Gives one member the news it has not got, ahead of the others.
    pub(crate) fn tell_one(&mut self, name: &NodeName, conn: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(at) = self.position(name, conn) {
            self.read(at, &mut frames);
        }
        frames
    }

    /// Bytes of the news that a member has not got.
    pub(crate) fn unread_bytes(&self, name: &NodeName, conn: u64) -> usize {
        let Some(at) = self.position(name, conn) else { return 0 };
        self.news.unread(self.list[at].reader()).map(|frame| frame.as_bytes().len()).sum()
    }

    /// What a member would take by what it watches, after this change.
    ///
    /// # Errors
    /// It may not watch that much.
    pub(crate) fn watch_cost(&self, name: &NodeName, conn: u64, change: &Watch) -> Result<usize, TooManyWatched> {
        self.position(name, conn).map_or(Ok(0), |at| self.list[at].watched.cost_after(change))
    }

    /// The body of the answer to a WATCH, to be asked for before [`watch`](Self::watch): all
    /// members, or those of whom the member was not told and is told from then on. `exposing`:
    /// those who expose a callback.
    pub(crate) fn reply_to_watch(
        &self,
        name: &NodeName,
        conn: u64,
        change: &Watch,
        exposing: impl Fn(&MethodName) -> Vec<NodeName>,
    ) -> Vec<u8> {
        let Some(own) = self.position(name, conn) else { return Self::assemble([]) };
        let watched = &self.list[own].watched;
        if change.all && matches!(watched, Interest::Some(_)) {
            return self.reply(Level::FOUR);
        }
        let asked = watched.new_ones(&change.add).flat_map(exposing);
        let places: BTreeSet<_> = asked.filter_map(|name| self.by_name.get(&name).copied()).collect();
        let new = places.into_iter().filter(|at| *at != own && !watched.matches(&self.list[*at].member.methods));
        Self::assemble(new.map(|at| &self.list[at].json[link(Level::FOUR)][..]))
    }

    fn assemble<'a>(members: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        Handshake::assemble(NodeType::new(Role::Router, Level::FOUR), members)
    }

    /// A member watches something else from now on. It has to have been told all news before, and
    /// to be answered as [`reply_to_watch`](Self::reply_to_watch) says.
    pub(crate) fn watch(&mut self, name: &NodeName, conn: u64, change: &Watch) {
        if let Some(at) = self.position(name, conn) {
            self.watchers.change(conn, &mut self.list[at].watched, change);
            self.news.note_told();
        }
    }

    /// The number of the next piece of news.
    pub(crate) const fn end(&self) -> u64 {
        self.news.end()
    }

    /// The members in order, as they are shown.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Member, &P)> {
        self.list.iter().filter(|entry| entry.is_shown).map(|entry| (&entry.member, &entry.peer))
    }

    /// How many members are not shown.
    pub(crate) fn count_unshown(&self) -> usize {
        self.list.iter().filter(|entry| !entry.is_shown).count()
    }

    /// All members, shown or not.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &P> {
        self.list.iter().map(|entry| &entry.peer)
    }

    fn position(&self, name: &NodeName, conn: u64) -> Option<usize> {
        self.by_name.get(name).copied().filter(|at| self.list[*at].conn == conn)
    }

    /// Removes the member at this place, which the last one takes; `told` tells of it.
    fn remove(&mut self, at: usize, told: &Frame) -> ListEntry<P> {
        let removed = self.list.swap_remove(at);
        self.by_name.remove(&removed.member.name);
        self.list_bytes -= removed.json[1].len();
        self.shares.change(cost(&removed.member, &removed.json), 0);
        if let Some(moved) = self.list.get(at) {
            self.by_name.insert(moved.member.name.clone(), at);
        }
        self.watchers.forget(removed.conn, &removed.watched);
        if removed.is_shown {
            self.news.add_end(removed.place(), &removed.member.methods, told);
        }
        removed
    }

    /// Gathers what the member at this place has not got, and counts it as got.
    fn read(&mut self, at: usize, frames: &mut Vec<Frame>) {
        frames.extend(self.news.unread(self.list[at].reader()).cloned());
        self.list[at].next = self.news.end();
        self.news.note_told();
    }

    /// What is told of a newcomer: a notice and an event. 3.0.1 sends no notice of a node without
    /// callbacks; on level 4 links there is always one, so that all lists agree.
    fn announce(&self, member: &Member, connected: &Frame) -> Result<[Vec<Frame>; 2], EncodeError> {
        let three = if member.methods.is_empty() { None } else { Some(self.handshake(Level::THREE, member)?) };
        let three = three.into_iter().chain([connected.clone()]).collect();
        Ok([three, vec![self.handshake(Level::FOUR, member)?, connected.clone()]])
    }

    fn handshake(&self, level: Level, member: &Member) -> Result<Frame, EncodeError> {
        let body = Handshake::new(NodeType::new(Role::Router, level), vec![member.clone()]).to_json();
        Frame::new(Header::control(Kind::Handshake, CallId::NONE, false), "", "", "", &body, &self.limits)
    }

    fn event(&self, kind: EventKind, name: &NodeName) -> Result<Frame, EncodeError> {
        let body = EventBody { kind, member: name.to_string() }.to_json();
        Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", &body, &self.limits)
    }
}

/// What an entry takes of the list.
fn cost(member: &Member, json: &[Vec<u8>; 2]) -> usize {
    list_shares::cost(json[1].len(), member.methods.len())
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "membership_model_tests.rs"]
mod model_tests;
