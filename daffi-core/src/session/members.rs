//! Who is there and what they expose, as one connection tells it.

use std::sync::Arc;

use daffi_wire::{Level, Member, MethodName, NodeName};

use crate::keyed::ByName;

/// A snapshot of the members of a connection. Replaced as a whole when one comes, goes or changes.
#[derive(Clone, Debug, Default)]
pub struct Members {
    list: Vec<Member>,
    by_name: ByName<NodeName, usize>,
    by_method: ByName<MethodName, Arc<[NodeName]>>,
}

impl Members {
    /// The members in the order the server lists them.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.iter()
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).map(|at| &self.list[*at])
    }

    /// The members that expose `method`, in list order, without the node itself.
    #[must_use]
    pub fn exposing(&self, method: &str) -> Option<&Arc<[NodeName]>> {
        self.by_method.get(method)
    }

    /// What this member is known to speak: level 3 unless it has shown more.
    #[must_use]
    pub fn level(&self, member: &str) -> Level {
        self.get(member).map_or(Level::THREE, |member| member.level)
    }
}

/// The list that a server's frames change; callers see [snapshots](Self::snapshot) of it.
#[derive(Debug, Default)]
pub(crate) struct MemberList {
    list: Vec<Member>,
    by_name: ByName<NodeName, usize>,
}

impl MemberList {
    /// The whole list anew ([protocol, 5.3](daffi_wire::protocol#5.3)).
    pub(crate) fn replace(&mut self, list: Vec<Member>) {
        self.by_name = positions(&list);
        self.list = list;
    }

    /// Adds members, or replaces what they expose.
    pub(crate) fn update(&mut self, members: Vec<Member>) {
        for member in members {
            match self.by_name.get(&member.name) {
                Some(at) => self.list[*at] = member,
                None => {
                    self.by_name.insert(member.name.clone(), self.list.len());
                    self.list.push(member);
                }
            }
        }
    }

    /// Removes a member; the last takes its place. `false`: it was none.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.by_name.remove(name) else { return false };
        self.list.swap_remove(at);
        if let Some(moved) = self.list.get(at) {
            self.by_name.insert(moved.name.clone(), at);
        }
        true
    }

    /// The list as it is now, for the node `own`. Costs its length.
    pub(crate) fn snapshot(&self, own: &str) -> Members {
        let mut by_method: ByName<MethodName, Vec<NodeName>> = ByName::default();
        for member in self.list.iter().filter(|m| m.name.as_str() != own) {
            for method in &member.methods {
                let exposing = by_method.entry(method.clone()).or_default();
                if exposing.last() != Some(&member.name) {
                    exposing.push(member.name.clone());
                }
            }
        }
        Members {
            list: self.list.clone(),
            by_name: positions(&self.list),
            by_method: by_method.into_iter().map(|(method, names)| (method, names.into())).collect(),
        }
    }
}

/// The same name twice: the last one counts.
fn positions(list: &[Member]) -> ByName<NodeName, usize> {
    list.iter().enumerate().map(|(at, member)| (member.name.clone(), at)).collect()
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

    fn exposing(members: &Members, method: &str) -> Vec<String> {
        members.exposing(method).map(|names| names.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    #[test]
    fn lists_change_as_3_0_1_changes_them() {
        let mut list = MemberList::default();
        list.replace(vec![member("a", &["f"]), member("b", &["f", "g"]), member("me", &["f"])]);
        assert_eq!(exposing(&list.snapshot("me"), "f"), ["a", "b"], "never the node itself");
        list.update(vec![member("c", &["f"]), member("b", &[])]);
        let members = list.snapshot("me");
        assert_eq!(exposing(&members, "f"), ["a", "c"]);
        assert!(exposing(&members, "g").is_empty());
        assert!(list.remove("a"));
        let members = list.snapshot("me");
        assert_eq!(members.iter().next().unwrap().name.as_str(), "c", "the last takes the place");
        assert!(!list.remove("a"));
        assert!(list.remove("c"));
        assert_eq!(list.snapshot("me").iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["me", "b"]);
    }
}
