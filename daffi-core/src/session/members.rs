//! Who is there and what they expose, as one connection tells it.

use std::{collections::HashSet, sync::Arc};

use daffi_wire::{Level, Member, MethodName, NodeName};

use super::cow::{List, Map};
use crate::keyed::{ByName, Names};

/// A snapshot of the members of a connection, as far as its node is told of them. Replaced as a
/// whole when one comes, goes or changes; the snapshots share what did not change.
#[derive(Clone, Debug, Default)]
pub struct Members {
    list: List<Arc<Member>>,
    by_name: Map<NodeName, usize>,
    /// Who exposes a callback, in the order of the list and without the node itself.
    by_method: Map<MethodName, Arc<[NodeName]>>,
    /// How many are of level 3.
    level_three: usize,
    /// The callbacks of which all who expose them are listed; `None`: all are listed.
    watched: Option<Arc<Names<MethodName>>>,
}

/// Of so many that expose a callback it is looked at what they speak.
const LOOKS: usize = 64;

impl Members {
    /// The members in the order the server lists them.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.iter().map(|member| &**member)
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).and_then(|at| self.list.get(*at)).map(|member| &**member)
    }

    /// The members that expose `method`, in list order, without the node itself. `None`: nobody
    /// does, or this node has not asked yet who does.
    #[must_use]
    pub fn receivers_of(&self, method: &str) -> Option<&Arc<[NodeName]>> {
        self.by_method.get(method)
    }

    /// Whether all who expose `method` are listed.
    pub(crate) fn knows(&self, method: &str) -> bool {
        self.watched.as_ref().is_none_or(|watched| watched.contains(method))
    }

    /// Whether all members are listed.
    pub(crate) const fn knows_all(&self) -> bool {
        self.watched.is_none()
    }

    /// Whether the node is told of a member that exposes these.
    fn concerns(&self, methods: &[MethodName]) -> bool {
        self.watched.as_ref().is_none_or(|watched| methods.iter().any(|method| watched.contains(method)))
    }

    /// Whether all who expose `method` are known to be of level 4. Of very many of them, beside
    /// members of level 3, that is not found out.
    pub(crate) fn are_level_four(&self, method: &str) -> bool {
        let all = self.receivers_of(method).map(|all| &all[..]).unwrap_or_default();
        self.level_three == 0 || all.len() <= LOOKS && all.iter().all(|name| self.level(name).at_least(Level::FOUR))
    }

    /// What a member that is listed speaks.
    #[inline]
    pub(crate) fn level_of_listed(&self, member: &str) -> Level {
        if self.level_three == 0 { Level::FOUR } else { self.level(member) }
    }

    /// What this member is known to speak: level 3 unless it has shown more.
    #[must_use]
    pub fn level(&self, member: &str) -> Level {
        self.get(member).map_or(Level::THREE, |member| member.level)
    }
}

/// What a member and each of its callbacks take beside their names, about.
const ENTRY_COST: usize = 64;

/// The list that a server's frames change; callers see [snapshots](Self::snapshot) of it. A change
/// costs what changes.
#[derive(Debug)]
pub(crate) struct MemberList {
    /// The node itself, which is never its own receiver.
    own: NodeName,
    now: Members,
    /// What the members take, about.
    bytes: usize,
}

impl MemberList {
    /// A list without members yet, for the node `own`.
    pub(crate) fn new(own: NodeName) -> Self {
        Self { own, now: Members::default(), bytes: 0 }
    }

    /// The whole list anew ([protocol, 5.3](daffi_wire::protocol#5.3)). The same name twice: the
    /// last one counts.
    pub(crate) fn replace(&mut self, list: Vec<Member>) {
        self.watch_nothing(list);
        self.now.watched = None;
        self.index(|_| true);
    }

    /// The list of a node that is told of nobody else as long as it does not ask for it.
    pub(crate) fn watch_nothing(&mut self, list: Vec<Member>) {
        self.now = Members { watched: Some(Arc::default()), ..Members::default() };
        self.bytes = 0;
        self.update(list);
    }

    /// Adds those who expose these callbacks, as far as they were not listed: from now on all of
    /// them are.
    pub(crate) fn watch(&mut self, methods: &[MethodName], list: Vec<Member>) {
        self.update(list);
        let Some(watched) = &mut self.now.watched else { return };
        let new: Names<_> = methods.iter().filter(|method| !watched.contains(*method)).cloned().collect();
        Arc::make_mut(watched).extend(new.iter().cloned());
        self.index(|method| new.contains(method));
    }

    /// Whether the node is told of a member from now on that a notice lists so, or it is the node
    /// itself.
    pub(crate) fn is_told_of(&self, member: &Member) -> bool {
        member.name == self.own || self.now.concerns(&member.methods)
    }

    /// Finds out who exposes these callbacks, of which nothing was known.
    fn index(&mut self, is_new: impl Fn(&MethodName) -> bool) {
        let mut found = ByName::<MethodName, Vec<NodeName>>::default();
        for member in self.now.list.iter().filter(|member| member.name != self.own) {
            for method in member.methods.iter().filter(|method| is_new(method)) {
                let exposing = found.entry(method.clone()).or_default();
                // It may name a callback twice.
                if exposing.last() != Some(&member.name) {
                    exposing.push(member.name.clone());
                }
            }
        }
        for (method, exposing) in found {
            self.now.by_method.insert(method, exposing.into());
        }
    }

    /// Adds members, or replaces what they expose.
    pub(crate) fn update(&mut self, members: Vec<Member>) {
        for member in members {
            match self.now.by_name.get(&member.name).copied() {
                Some(at) => self.change(at, Arc::new(member)),
                None => self.add(Arc::new(member)),
            }
        }
    }

    fn add(&mut self, member: Arc<Member>) {
        let at = self.now.list.len();
        self.bytes += bytes(&member);
        self.now.level_three += usize::from(is_level_three(&member));
        self.now.by_name.insert(member.name.clone(), at);
        self.now.list.push(Arc::clone(&member));
        if member.name != self.own {
            member.methods.iter().for_each(|method| self.expose(method, &member.name, at));
        }
    }

    fn change(&mut self, at: usize, member: Arc<Member>) {
        let Some(before) = self.now.list.get(at).cloned() else { return };
        if before == member {
            return;
        }
        self.bytes = self.bytes - bytes(&before) + bytes(&member);
        self.now.level_three += usize::from(is_level_three(&member));
        self.now.level_three -= usize::from(is_level_three(&before));
        self.now.list.set(at, Arc::clone(&member));
        if member.name == self.own || before.methods == member.methods {
            return;
        }
        let (old, new): (HashSet<_>, HashSet<_>) = (before.methods.iter().collect(), member.methods.iter().collect());
        old.difference(&new).for_each(|method| self.withdraw(method, &member.name));
        new.difference(&old).for_each(|method| self.expose(method, &member.name, at));
    }

    /// Removes a member; the last takes its place. `false`: it was none.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.now.by_name.remove(name) else { return false };
        if let Some(gone) = self.now.list.get(at).cloned() {
            self.bytes -= bytes(&gone);
            self.now.level_three -= usize::from(is_level_three(&gone));
            if gone.name != self.own {
                gone.methods.iter().for_each(|method| self.withdraw(method, &gone.name));
            }
        }
        self.now.list.swap_remove(at);
        if let Some(moved) = self.now.list.get(at).cloned() {
            self.now.by_name.insert(moved.name.clone(), at);
            if moved.name != self.own {
                moved.methods.iter().for_each(|method| self.move_up(method, &moved.name, at));
            }
        }
        true
    }

    /// The member at `at` exposes `method`.
    fn expose(&mut self, method: &MethodName, name: &NodeName, at: usize) {
        if !self.now.knows(method) {
            return;
        }
        let exposing = self.now.by_method.get(method).map(|all| &all[..]).unwrap_or_default();
        let place = exposing.partition_point(|other| self.now.by_name.get(other).is_some_and(|other| *other < at));
        if exposing.get(place) != Some(name) {
            let all = exposing[..place].iter().chain([name]).chain(&exposing[place..]).cloned().collect();
            self.now.by_method.insert(method.clone(), all);
        }
    }

    /// A member exposes `method` no more.
    fn withdraw(&mut self, method: &MethodName, name: &NodeName) {
        let Some(exposing) = self.now.by_method.get(method) else { return };
        let rest: Arc<[NodeName]> = exposing.iter().filter(|other| *other != name).cloned().collect();
        if rest.is_empty() {
            self.now.by_method.remove(method);
        } else {
            self.now.by_method.insert(method.clone(), rest);
        }
    }

    /// The last member of the list is at `at` now.
    fn move_up(&mut self, method: &MethodName, name: &NodeName, at: usize) {
        if self.now.by_method.get(method).is_some_and(|exposing| exposing.len() > 1) {
            self.withdraw(method, name);
            self.expose(method, name, at);
        }
    }

    /// What the members take in memory, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The list as it is now.
    pub(crate) fn snapshot(&self) -> Members {
        self.now.clone()
    }
}

fn is_level_three(member: &Member) -> bool {
    !member.level.at_least(Level::FOUR)
}

fn bytes(member: &Member) -> usize {
    let methods: usize = member.methods.iter().map(|method| ENTRY_COST + method.len()).sum();
    ENTRY_COST + member.name.len() + methods
}

#[cfg(test)]
mod tests {
    use daffi_wire::Limits;

    use super::*;

    fn member(name: &str, methods: &[&str]) -> Member {
        let limits = Limits::default();
        Member::new(
            NodeName::new(name, &limits).unwrap(),
            methods.iter().map(|m| MethodName::new(m, &limits).unwrap()).collect(),
        )
    }

    fn receivers_of(members: &Members, method: &str) -> Vec<String> {
        members.receivers_of(method).map(|names| names.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn lists_change_as_3_0_1_changes_them() {
        let mut list = MemberList::new(member("me", &[]).name);
        list.replace(vec![member("a", &["f"]), member("b", &["f", "g"]), member("me", &["f"])]);
        assert_eq!(receivers_of(&list.snapshot(), "f"), ["a", "b"], "never the node itself");
        list.update(vec![member("c", &["f"]), member("b", &[])]);
        let members = list.snapshot();
        assert_eq!(receivers_of(&members, "f"), ["a", "c"]);
        assert!(receivers_of(&members, "g").is_empty());
        assert!(list.remove("a"));
        let members = list.snapshot();
        assert_eq!(members.iter().next().unwrap().name.as_str(), "c", "the last takes the place");
        assert!(!list.remove("a"));
        assert!(list.remove("c"));
        assert_eq!(list.snapshot().iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["me", "b"]);
    }

    #[test]
    fn who_exposes_what_is_watched_is_known_and_nothing_of_the_rest() {
        let method = |name| MethodName::new(name, &Limits::default()).unwrap();
        let mut list = MemberList::new(member("me", &[]).name);
        list.watch_nothing(vec![member("me", &["f"])]);
        assert!(!list.snapshot().knows("f") && !list.snapshot().knows_all());
        list.watch(&[method("f"), method("none")], vec![member("a", &["f", "g"]), member("b", &["f", "f"])]);
        let members = list.snapshot();
        assert_eq!((receivers_of(&members, "f"), members.knows("none")), (vec!["a".into(), "b".into()], true));
        assert!(members.receivers_of("g").is_none() && !members.knows("g"), "others may expose it as well");
        list.update(vec![member("c", &["f", "g"])]);
        list.watch(&[method("g"), method("f")], vec![member("d", &["g"])]);
        let members = list.snapshot();
        assert_eq!(
            (receivers_of(&members, "f"), receivers_of(&members, "g")),
            (["a", "b", "c"].map(String::from).to_vec(), ["a", "c", "d"].map(String::from).to_vec())
        );
        let notice = [member("a", &["h"]), member("b", &["g"]), member("me", &[])];
        assert_eq!(notice.map(|member| list.is_told_of(&member)), [false, true, true]);
        list.replace(vec![member("x", &["f", "h"]), member("me", &["f"])]);
        let members = list.snapshot();
        assert!(members.knows_all() && members.knows("h"));
        assert_eq!((receivers_of(&members, "f"), receivers_of(&members, "g")), (vec!["x".into()], vec![]));
    }

    /// After every change the same as from the list itself, and snapshots stay as they were.
    #[test]
    fn what_is_exposed_follows_every_change() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut list = MemberList::new(member("m0", &[]).name);
        let mut snapshots = Vec::new();
        for _ in 0..3000 {
            let name = format!("m{}", rng.usize(..40));
            let methods: Vec<_> = (0..rng.usize(..6)).map(|_| format!("f{}", rng.usize(..30))).collect();
            if rng.u8(..4) == 0 {
                list.remove(&name);
            } else {
                list.update(vec![member(&name, &methods.iter().map(String::as_str).collect::<Vec<_>>())]);
            }
            snapshots.push((list.snapshot(), list.now.iter().cloned().collect::<Vec<_>>()));
        }
        for (members, all) in snapshots {
            assert!(members.iter().eq(&all));
            assert!(all.iter().all(|member| members.get(&member.name) == Some(member)));
            for method in (0..30).map(|n| format!("f{n}")) {
                let expected =
                    all.iter().filter(|m| m.name.as_str() != "m0" && m.methods.iter().any(|f| f.as_str() == method));
                let expected: Vec<_> = expected.map(|m| m.name.to_string()).collect();
                assert_eq!(receivers_of(&members, &method), expected);
                assert_eq!(members.receivers_of(&method).is_some(), !expected.is_empty());
            }
        }
        let all: Vec<_> = list.now.iter().map(|member| member.name.to_string()).collect();
        assert!(list.bytes() > 0 && all.iter().all(|name| list.remove(name)));
        assert_eq!(list.bytes(), 0);
    }
}
