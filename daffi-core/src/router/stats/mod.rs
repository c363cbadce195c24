//! What a Router tells of what it does.

pub(crate) mod counted;
pub(crate) mod own;
pub(crate) mod traffic;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use daffi_serde::RemoteError;
use daffi_wire::MethodName;
use serde::Serialize;

use self::{counted::now, traffic::MemberStats};
use crate::{
    refusal::Refusal,
    router::{RouterShared, flow::sender::Sender},
    stats::{CallbackStats, cut_name, keep_heaviest, seconds},
};

/// Callbacks of one member that are told.
const SOME_CALLBACKS: usize = 50;

/// Bytes of their names together.
const SOME_BYTES: usize = 2048;

/// What a Router counted since its start, and how things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RouterStats {
    /// How long it has been running.
    #[serde(serialize_with = "seconds")]
    pub age: Duration,
    /// Members now.
    pub members: usize,
    /// Members now that give no sign of life although they were asked for one: their processes may
    /// be stopped.
    pub stopped_members: usize,
    /// Members now that are held back: read slowly or not at all, because too much is held of what
    /// they sent, or they do not take what waits for them.
    pub held_back_members: usize,
    /// Nodes now that are connected and no members for the others: nothing came of the last
    /// connection of their name, and nothing of this one yet. Each is ended 30 s after it was
    /// asked, or later on a slow way.
    pub unheard_members: usize,
    /// Calls now that were forwarded and not answered yet.
    pub open_calls: usize,
    /// Nowait requests now that wait for their receiver.
    pub held_requests: usize,
    /// Calls now that wait until somebody exposes their callback.
    pub waiting_calls: usize,
    /// Bytes of the budget that are held now for members, beyond the part that each connection
    /// owns: nothing, when nobody sends or receives.
    pub held_bytes: usize,
    /// The budget, in bytes.
    pub budget_bytes: usize,
    /// Replies that matched no open call, and were dropped.
    pub dropped_replies: u64,
    /// Calls that could not be delivered, and were answered with an error.
    pub refused_calls: u64,
    /// The same by the class of that error.
    pub refused_by_class: BTreeMap<&'static str, u64>,
    /// Calls that a node of daffi 3.0.1 did not answer within `level3_call_limit`, and that were
    /// ended with an error.
    pub unanswered_calls: u64,
    /// Nowait requests that could not be delivered, and were dropped.
    pub dropped_requests: u64,
    /// Frames of kinds that this node gives no meaning, and were skipped.
    pub skipped_frames: u64,
    /// Handshakes, requests and answers that the policy, or `admit`, refused.
    pub denied: u64,
    /// Members whose name a newer connection took while they were connected.
    pub evictions: u64,
    /// Connections of members that this Router ended, because they broke a rule or a limit, gave no
    /// sign of life or took too little of what waited.
    pub cut_connections: u64,
    /// Each callback that was called, in order of the names. At most 1 000 are counted each for
    /// itself; the rest stands at the end, as `other`. One that nobody exposes any more is
    /// forgotten when its place is needed.
    pub callbacks: Vec<CallbackStats>,
    /// Each member, in the order that members see.
    pub nodes: Vec<MemberStats>,
}

impl RouterStats {
    /// Leaves so many members and callbacks out of all that there are: those that most is to be
    /// said of in any one way, as members that stand still, whose name is fought over, that are
    /// asked or ask most, for whom most waits or that answer slowest. Many that are conspicuous in
    /// one way hide none that is in another. The counts tell of all. Of names of more than 256
    /// bytes the beginning is left, and the length.
    pub fn keep_busiest(&mut self, most: usize) {
        keep_heaviest(&mut self.nodes, most, &MemberStats::WAYS);
        keep_heaviest(&mut self.callbacks, most, &CallbackStats::WAYS);
        self.nodes.iter_mut().for_each(|node| cut_name(&mut node.name));
        self.callbacks.iter_mut().for_each(|callback| cut_name(&mut callback.name));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) dropped_replies: AtomicU64,
    pub(crate) refused_calls: AtomicU64,
    pub(crate) unanswered_calls: AtomicU64,
    pub(crate) dropped_requests: AtomicU64,
    pub(crate) skipped_frames: AtomicU64,
    refusals: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    pub(crate) fn note_refusal(&self, error: &RemoteError) {
        self.refused_calls.fetch_add(1, Relaxed);
        if let Some(at) = Refusal::ALL.iter().position(|refusal| refusal.class() == error.class) {
            self.refusals[at].fetch_add(1, Relaxed);
        }
    }

    fn refused_by_class(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.refusals.iter().map(|count| count.load(Relaxed));
        Refusal::ALL
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(why, count)| (why.class(), count))
            .collect()
    }
}

impl RouterShared {
    pub(crate) fn stats(&self) -> RouterStats {
        let (open_calls, held_requests) = self.count_unfinished();
        let (counters, nodes) = (&self.counters, self.member_stats());
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        RouterStats {
            age: now().saturating_duration_since(self.callbacks.since),
            members: self.table.load().len(),
            stopped_members: nodes.iter().filter(|node| node.is_stopped).count(),
            held_back_members: nodes.iter().filter(|node| node.is_held_back).count(),
            unheard_members: self.members.lock().count_unshown(),
            open_calls,
            held_requests,
            waiting_calls: self.waiting.len(),
            held_bytes: self.server.budget.used_bytes(),
            budget_bytes: self.server.config.budget_bytes,
            dropped_replies: count(&counters.dropped_replies),
            refused_calls: count(&counters.refused_calls),
            refused_by_class: counters.refused_by_class(),
            unanswered_calls: count(&counters.unanswered_calls),
            dropped_requests: count(&counters.dropped_requests),
            skipped_frames: count(&counters.skipped_frames),
            denied: self.server.guard.denied_count(),
            evictions: self.server.evictions(),
            cut_connections: self.server.cut_connections(),
            callbacks: self.callbacks.snapshot(),
            nodes,
        }
    }

    fn member_stats(&self) -> Vec<MemberStats> {
        let table = self.table.load();
        let mut asked: BTreeMap<u64, usize> = BTreeMap::new();
        for (receiver, calls) in table.values().flat_map(|member| member.peer.list_receivers()) {
            *asked.entry(receiver).or_default() += calls;
        }
        let members = self.members.lock();
        let stats = members.iter().filter_map(|(member, peer)| {
            let sender = table.get(&member.name).filter(|sender| sender.peer.id() == peer.id())?;
            let mut room = SOME_BYTES;
            let has_room = |method: &&MethodName| {
                let fits = method.len() <= room;
                room = room.saturating_sub(method.len());
                fits
            };
            let some = member.methods.iter().take(SOME_CALLBACKS).take_while(has_room);
            let some = some.map(ToString::to_string).collect();
            Some(sender.stats(member.methods.len(), some, asked.get(&peer.id()).copied().unwrap_or(0)))
        });
        stats.collect()
    }
}

impl Sender {
    fn stats(&self, callbacks: usize, some_callbacks: Vec<String>, asked: usize) -> MemberStats {
        let (peer, conn) = (&self.peer, &self.peer.conn);
        MemberStats {
            name: peer.name.to_string(),
            level: conn.level().number(),
            address: conn.peer.to_string(),
            is_stopped: conn.is_stopped(),
            is_held_back: conn.is_held_back(),
            callbacks,
            some_callbacks,
            open_calls: peer.open_calls(),
            asked,
            queued_bytes: conn.outbox.bytes(),
            held_bytes: conn.inbound.account().held_bytes(),
            held_requests: self.held_requests(),
            ..peer.traffic.tell()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: String) -> MemberStats {
        MemberStats { name, ..MemberStats::default() }
    }

    #[test]
    fn long_names_are_cut_where_many_are_told() {
        let callback = |name: String| CallbackStats { name, ..CallbackStats::default() };
        let long = "\u{1}".repeat(10_000);
        let (nodes, callbacks) = (vec![member(long.clone()), member("w".to_owned())], vec![callback(long)]);
        let mut stats = RouterStats { nodes, callbacks, ..RouterStats::default() };
        stats.keep_busiest(500);
        let names = [&stats.nodes[0].name, &stats.callbacks[0].name];
        assert!(names.iter().all(|name| name.len() < 2500 && name.ends_with("... (10000 bytes)")), "{names:?}");
        assert_eq!(stats.nodes[1].name, "w");
    }

    #[test]
    fn whatever_many_do_one_that_is_slow_is_listed() {
        let many: [fn(&mut MemberStats); 6] = [
            |node| node.takeovers = 2,
            |node| node.is_stopped = true,
            |node| node.open_calls = 1000,
            |node| node.queued_bytes = 1 << 20,
            |node| node.held_requests = 50,
            |node| (node.requests, node.refused_calls) = (1_000_000, 1_000_000),
        ];
        for (kind, change) in many.into_iter().enumerate() {
            let nodes = (0..600).map(|n| member(format!("one-of-many-{n}"))).collect();
            let mut stats = RouterStats { nodes, ..RouterStats::default() };
            stats.nodes.iter_mut().for_each(change);
            stats.nodes.push(MemberStats { asked: 20, ..member("sluggish".to_owned()) });
            stats.nodes.push(MemberStats { takeovers: 2, ..member("fought over".to_owned()) });
            stats.nodes.push(MemberStats { queued_bytes: 1 << 17, ..member("far".to_owned()) });
            stats.keep_busiest(500);
            assert_eq!(stats.nodes.len(), 500);
            assert!(stats.nodes.iter().any(|node| node.name == "sluggish"), "{kind}");
            let is_hidden = |name: &str| stats.nodes.iter().all(|node| node.name != name);
            assert_eq!((is_hidden("fought over"), is_hidden("far")), (kind == 0, kind == 3), "by its like alone");
        }
    }
}
