//! What members know that watch some callbacks, beside what they should know, in every order of a
//! few things that happen and in long random ones.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A member that watches, and what it makes of what it is told.
#[derive(Debug)]
struct WatchingMember {
    name: NodeName,
    conn: u64,
    watched: BTreeSet<String>,
    all: bool,
    /// Whom it knows, and what each exposes.
    view: BTreeMap<String, Vec<String>>,
    told: usize,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// The member of that number joins, in the place of itself if it is there, and exposes these.
    Join(u8, &'static [&'static str]),
    /// The same, and nobody is to be told of it before it is shown.
    JoinUnshown(u8, &'static [&'static str]),
    Show(u8),
    Change(u8, &'static [&'static str]),
    Leave(u8),
    /// The watching member of that number adds a callback, takes one away, or asks for all.
    Add(u8, &'static str),
    Remove(u8, &'static str),
    All(u8),
    /// All are told, but the watching members that bit by bit do not take what they are told.
    Tell(u8),
    /// One is told ahead of the others.
    Ahead(u8),
}

struct World {
    members: Membership<u64>,
    watching: Vec<WatchingMember>,
    /// What each member exposes now, by its number, with its connection.
    there: BTreeMap<u8, (u64, Vec<String>)>,
    /// Those who are not shown.
    unshown: BTreeMap<u8, (u64, Vec<String>)>,
    next_conn: u64,
}

fn node(name: &str) -> NodeName {
    NodeName::new(name, &Limits::default()).unwrap()
}

fn methods(names: &[&str]) -> Vec<MethodName> {
    names.iter().map(|name| MethodName::new(name, &Limits::default()).unwrap()).collect()
}

fn member(number: u8, exposed: &[&str]) -> Member {
    Member::new(node(&format!("m{number}")), methods(exposed)).with_level(Level::FOUR)
}

impl WatchingMember {
    fn wants(&self, exposed: &[String]) -> bool {
        self.all || exposed.iter().any(|method| self.watched.contains(method))
    }

    fn list(&mut self, body: &[u8]) -> Vec<String> {
        let listed = Handshake::parse(body, &Limits::default()).unwrap().members;
        let mut names = Vec::new();
        for member in listed.into_iter().filter(|member| member.name != self.name) {
            let exposed: Vec<_> = member.methods.iter().map(ToString::to_string).collect();
            names.push(member.name.to_string());
            match self.wants(&exposed) {
                true => self.view.insert(member.name.to_string(), exposed),
                false => self.view.remove(member.name.as_str()),
            };
        }
        names
    }

    fn hear(&mut self, frames: &[Frame]) {
        self.told += frames.len();
        assert!(frames.is_empty() || self.all || !self.watched.is_empty(), "who watches nothing is told nothing");
        let mut just_listed = None;
        for frame in frames {
            if frame.kind() == Kind::Handshake {
                let known: BTreeSet<_> = self.view.keys().cloned().collect();
                just_listed = self.list(frame.payload()).pop().filter(|name| !known.contains(name));
                continue;
            }
            let event = EventBody::parse(frame.payload(), &Limits::default()).unwrap();
            match event.kind {
                // Of one whom it knew already this would be told twice. Of one that came and went,
                // and of one that exposes nothing that it watches by now, the event stands alone.
                EventKind::Connected => assert!(
                    !self.view.contains_key(&event.member) || just_listed.as_ref() == Some(&event.member),
                    "doubled: {event:?}"
                ),
                _ => _ = self.view.remove(&event.member),
            }
            just_listed = None;
        }
    }
}

impl World {
    fn new(watching: u8) -> Self {
        let mut world = Self {
            members: Membership::new(Limits::default(), 100),
            watching: Vec::new(),
            there: BTreeMap::new(),
            unshown: BTreeMap::new(),
            next_conn: 100,
        };
        for n in 0..watching {
            let name = node(&format!("w{n}"));
            let me = Member::new(name.clone(), Vec::new()).with_level(Level::FOUR);
            world.members.join(u64::from(n), me, u64::from(n), false).unwrap();
            let (watched, view) = (BTreeSet::new(), BTreeMap::new());
            world.watching.push(WatchingMember { name, conn: u64::from(n), watched, all: false, view, told: 0 });
        }
        world
    }

    /// `false`: it cannot happen now.
    fn happens(&mut self, op: Op) -> bool {
        match op {
            Op::Join(n, exposed) => {
                self.next_conn += 1;
                self.members.join(self.next_conn, member(n, exposed), self.next_conn, false).unwrap();
                self.unshown.remove(&n);
                self.there.insert(n, (self.next_conn, exposed.iter().map(ToString::to_string).collect()));
            }
            Op::JoinUnshown(n, exposed) => {
                self.next_conn += 1;
                self.members.join_unshown(self.next_conn, member(n, exposed), self.next_conn, false).unwrap();
                self.there.remove(&n);
                self.unshown.insert(n, (self.next_conn, exposed.iter().map(ToString::to_string).collect()));
            }
            Op::Show(n) => {
                let Some((conn, exposed)) = self.unshown.remove(&n) else { return false };
                assert!(self.members.show(&node(&format!("m{n}")), conn));
                self.there.insert(n, (conn, exposed));
            }
            Op::Change(n, exposed) => {
                let Some((conn, exposes)) = self.there.get_mut(&n) else { return false };
                self.members.update(*conn, member(n, exposed)).unwrap();
                *exposes = exposed.iter().map(ToString::to_string).collect();
            }
            Op::Leave(n) => {
                let gone = self.there.remove(&n).or_else(|| self.unshown.remove(&n));
                let Some((conn, _)) = gone else { return false };
                assert!(self.members.leave(&node(&format!("m{n}")), conn));
            }
            Op::Add(w, name) => self.watch(w, &Watch { add: methods(&[name]), ..Watch::default() }),
            Op::Remove(w, name) => self.watch(w, &Watch { remove: methods(&[name]), ..Watch::default() }),
            Op::All(w) => self.watch(w, &Watch::all()),
            Op::Tell(deaf) => self.tell(deaf),
            Op::Ahead(w) => {
                let watching = &mut self.watching[usize::from(w)];
                let frames = self.members.tell_one(&watching.name, watching.conn);
                watching.hear(&frames);
            }
        }
        true
    }

    /// As a Router does: the news before, the answer, and then the watch.
    fn watch(&mut self, w: u8, change: &Watch) {
        let watching = &mut self.watching[usize::from(w)];
        let (name, conn) = (watching.name.clone(), watching.conn);
        self.members.watch_cost(&name, conn, change).unwrap();
        let frames = self.members.tell_one(&name, conn);
        watching.hear(&frames);
        let there = &self.there;
        let exposing = |method: &MethodName| {
            let exposing = there.iter().filter(|(_, (_, exposed))| exposed.iter().any(|name| name == method.as_str()));
            exposing.map(|(n, _)| node(&format!("m{n}"))).collect()
        };
        let answer = self.members.reply_to_watch(&name, conn, change, exposing);
        self.members.watch(&name, conn, change);
        let anew = change.all && !watching.all;
        watching.all |= change.all;
        change.remove.iter().for_each(|name| _ = watching.watched.remove(name.as_str()));
        watching.watched.extend(change.add.iter().map(ToString::to_string));
        let view = std::mem::take(&mut watching.view);
        if !anew {
            watching.view = view.into_iter().filter(|(_, exposed)| watching.wants(exposed)).collect();
        }
        let known: BTreeSet<_> = watching.view.keys().cloned().collect();
        let listed = watching.list(&answer);
        assert!(listed.iter().all(|name| !known.contains(name)), "listed anew: {listed:?} of {known:?}");
    }

    fn tell(&mut self, deaf: u8) {
        let mut told = Vec::new();
        let takes = |conn: &u64| *conn >= 8 || deaf & 1 << conn == 0;
        self.members.tell_all(takes, |conn, frames| told.push((*conn, frames.to_vec())));
        for (conn, frames) in told {
            match self.watching.iter_mut().find(|watching| watching.conn == conn) {
                Some(watching) => watching.hear(&frames),
                None => assert!(frames.is_empty(), "the others watch nothing"),
            }
        }
    }

    /// All have been told: each knows exactly those who expose what it watches, with what they
    /// expose now, and nothing is kept.
    fn is_as_it_should_be(&mut self) {
        self.tell(0);
        for watching in &self.watching {
            let others = self.watching.iter().filter(|other| watching.all && other.name != watching.name);
            let others = others.map(|other| (other.name.to_string(), Vec::new()));
            let all = self.there.iter().map(|(n, (_, exposed))| (format!("m{n}"), exposed.clone())).chain(others);
            let expected: BTreeMap<_, _> = all.filter(|(_, exposed)| watching.wants(exposed)).collect();
            assert_eq!(watching.view, expected, "{}", watching.name);
        }
        assert_eq!(self.members.news.len(), 0);
        let all = self.there.len() + self.watching.len();
        assert_eq!(Handshake::parse(&self.members.reply(Level::FOUR), &Limits::default()).unwrap().members.len(), all);
        assert_eq!((self.members.iter().count(), self.members.count_unshown()), (all, self.unshown.len()));
    }
}

/// Every order of so many of these is tried; it stands for what went wrong in its message.
fn every_order(ops: &[Op], length: u32) {
    let count = ops.len();
    for order in 0..count.pow(length) {
        let mut world = World::new(1);
        let mut chosen = Vec::new();
        let mut rest = order;
        for _ in 0..length {
            let op = ops[rest % count];
            rest /= count;
            if world.happens(op) {
                chosen.push(op);
            }
        }
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.is_as_it_should_be()));
        assert!(checked.is_ok(), "{chosen:?}");
    }
}

#[test]
fn whatever_comes_after_another_each_knows_whom_it_watches() {
    let lives = [
        Op::Join(0, &["f"]),
        Op::Change(0, &["g"]),
        Op::Leave(0),
        Op::Add(0, "f"),
        Op::Remove(0, "f"),
        Op::Tell(0),
        Op::Tell(1),
        Op::Ahead(0),
    ];
    every_order(&lives, 5);
    let unshown = [
        Op::JoinUnshown(0, &["f"]),
        Op::Show(0),
        Op::Join(0, &["f"]),
        Op::Leave(0),
        Op::Add(0, "f"),
        Op::Tell(0),
        Op::Tell(1),
        Op::Ahead(0),
    ];
    every_order(&unshown, 5);
    let two = [Op::Join(0, &["f", "g"]), Op::Join(0, &["g"]), Op::Change(0, &["f"]), Op::Add(0, "f")];
    let more = [Op::Add(0, "g"), Op::Tell(1), Op::Tell(0), Op::All(0)];
    every_order(&[two, more].concat(), 5);
}

#[test]
fn long_random_lives_leave_each_with_whom_it_watches() {
    const EXPOSED: [&[&str]; 6] = [&[], &["f"], &["g"], &["f", "g"], &["g", "h"], &["h", "i"]];
    const NAMES: [&str; 5] = ["f", "g", "h", "i", "nobody"];
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::new(4);
        for step in 0..300 {
            let (n, w) = (rng.u8(..6), rng.u8(..4));
            let op = match rng.u8(..20) {
                0..=2 => Op::Join(n, EXPOSED[rng.usize(..6)]),
                3 => [Op::JoinUnshown(n, EXPOSED[rng.usize(..6)]), Op::Show(n)][rng.usize(..2)],
                4..=7 => Op::Change(n, EXPOSED[rng.usize(..6)]),
                8..=10 => Op::Leave(n),
                11..=12 => Op::Add(w, NAMES[rng.usize(..5)]),
                13..=14 => Op::Remove(w, NAMES[rng.usize(..5)]),
                // One of them never asks for all.
                15 if w > 1 && step > 150 => Op::All(w),
                16 => Op::Ahead(w),
                _ => Op::Tell(rng.u8(..16)),
            };
            world.happens(op);
            if step % 50 == 49 {
                world.is_as_it_should_be();
            }
        }
        assert!(world.watching.iter().map(|watching| watching.told).sum::<usize>() > 50);
    }
}

#[test]
fn who_watches_nothing_or_something_else_is_told_nothing_of_any_number() {
    let mut world = World::new(2);
    world.happens(Op::Add(1, "f"));
    for n in 0..200 {
        world.members.join(1000 + n, member(u8::try_from(n).unwrap(), &["g"]), 1000 + n, false).unwrap();
        world.tell(0);
    }
    assert!(world.watching.iter().all(|watching| watching.told == 0 && watching.view.is_empty()));
}
