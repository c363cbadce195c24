//! What changed between two looks, as it is shown.

use std::{cmp::Ordering, collections::HashMap, time::Duration};

use daffi::Shown;

use super::told::{Told, ToldCallback, ToldNode, ToldTimes};
use crate::{names::shown_start, quantity::brief};

/// Bytes of a name that are shown.
const NAME: usize = 60;

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) about: String,
    /// What is wrong.
    pub(super) causes: Vec<String>,
    pub(super) callbacks: Sheet,
    pub(super) nodes: Sheet,
}

/// A table: the first column is a name, the others are numbers.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) heads: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl View {
    /// What there is to see between two looks. `earlier`: one that was [`LONG`] ago, if there is
    /// any.
    pub(super) fn of(before: &Told, earlier: Option<&Told>, now: &Told, choice: &Choice) -> Self {
        // A router that was started again counts anew.
        let before = if now.age < before.age { now } else { before };
        let seconds = (now.age - before.age).max(1e-3);
        let calls: f64 = callbacks(before, now).map(|(old, new)| increase(new.calls, old.calls)).sum();
        Self {
            about: format!(
                "{}, version {}, for {}: {} members, {:.1} calls/s, {} open, {} refused, {:.1} of {:.0} MiB held",
                shown_start(&now.name, NAME),
                Shown::new(&now.version).at_most(NAME),
                lasting(now.age),
                now.members,
                // No callbacks are -0.0 calls.
                calls / seconds + 0.0,
                now.open_calls,
                now.refused_calls,
                now.held_bytes / MIB,
                now.budget_bytes / MIB,
            ),
            causes: causes(before, earlier.filter(|told| told.age <= now.age), now, seconds),
            callbacks: callback_sheet(before, now, seconds, choice),
            nodes: node_sheet(before, now, seconds, choice),
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// What was added to a count, which may have begun anew.
fn increase(new: u64, old: u64) -> f64 {
    new.checked_sub(old).unwrap_or(new) as f64
}

fn callbacks<'a>(before: &'a Told, now: &'a Told) -> impl Iterator<Item = (ToldCallback, &'a ToldCallback)> {
    let old: HashMap<_, _> = before.callbacks.iter().map(|callback| (&callback.name, callback)).collect();
    now.callbacks.iter().map(move |new| (old.get(&new.name).copied().cloned().unwrap_or_default(), new))
}

fn nodes<'a>(before: &'a Told, now: &'a Told) -> impl Iterator<Item = (ToldNode, &'a ToldNode)> {
    let old: HashMap<_, _> = before.nodes.iter().map(|node| (&node.name, node)).collect();
    now.nodes.iter().map(move |new| (old.get(&new.name).copied().unwrap_or(new).clone(), new))
}

fn callback_sheet(before: &Told, now: &Told, seconds: f64, choice: &Choice) -> Sheet {
    let chosen = callbacks(before, now).filter(|(_, new)| choice.shows(&new.name));
    let mut all: Vec<_> = chosen.map(|(old, new)| (increase(new.calls, old.calls), old, new)).collect();
    all.sort_by(|a, b| {
        b.0.total_cmp(&a.0).then_with(|| b.2.calls.cmp(&a.2.calls)).then_with(|| a.2.name.cmp(&b.2.name))
    });
    let rows = all.iter().map(|(calls, old, new)| {
        let lately = since(&new.times, &old.times);
        vec![
            shown_start(&new.name, NAME),
            format!("{:.1}", calls / seconds),
            format!("{:.1}", increase(new.errors, old.errors) / seconds),
            new.open.to_string(),
            quantile(&lately, 0.5),
            quantile(&lately, 0.99),
            new.calls.to_string(),
        ]
    });
    Sheet { heads: vec!["CALLBACK", "CALLS/s", "ERRORS/s", "OPEN", "P50", "P99", "CALLS"], rows: rows.collect() }
}

/// Columns of nodes.
const NODES: [&str; 10] =
    ["NODE", "ANSWERS/s", "TAKES", "ASKED", "ASKS/s", "OPEN", "QUEUE KiB", "LEVEL", "FOR", "ADDRESS"];

/// What is shown of all, and in which order.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// Names of nodes and callbacks have this in them, in whatever case.
    pub(super) filter: String,
    /// By which column the nodes are sorted. `None`: those first that need attention.
    pub(super) column: Option<usize>,
    pub(super) reversed: bool,
}

impl Choice {
    /// The next column, and after the last that needs attention.
    pub(super) fn turn(&mut self) {
        self.column = match self.column {
            None => Some(0),
            Some(column) => Some(column + 1).filter(|next| *next < NODES.len()),
        };
    }

    /// In words.
    pub(super) fn sorted_by(&self) -> &'static str {
        self.column.map_or("need", |column| NODES[column])
    }

    fn shows(&self, name: &str) -> bool {
        self.filter.is_empty() || name.to_lowercase().contains(&self.filter.to_lowercase())
    }

    fn order(&self, a: &Changed<'_>, b: &Changed<'_>, seconds: f64) -> Ordering {
        let need = |(_, node): &Changed<'_>| (node.is_stopped, node.asked, node.open_calls);
        let order = match self.column {
            None => need(b).cmp(&need(a)),
            Some(0) => a.1.name.cmp(&b.1.name),
            Some(9) => a.1.address.cmp(&b.1.address),
            Some(column) => number(column, b, seconds).total_cmp(&number(column, a, seconds)),
        };
        let order = if self.reversed { order.reverse() } else { order };
        order.then_with(|| a.1.name.cmp(&b.1.name))
    }
}

/// A node as it was, and as it is.
type Changed<'a> = (ToldNode, &'a ToldNode);

/// What a column of numbers is sorted by.
fn number(column: usize, (old, new): &Changed<'_>, seconds: f64) -> f64 {
    match column {
        1 => increase(new.answers, old.answers) / seconds,
        2 => mean(old, new).map_or(-1.0, |mean| mean.as_secs_f64()),
        3 => new.asked as f64,
        4 => increase(new.requests, old.requests) / seconds,
        5 => new.open_calls as f64,
        6 => new.queued_bytes,
        7 => new.level.into(),
        _ => new.age,
    }
}

fn node_sheet(before: &Told, now: &Told, seconds: f64, choice: &Choice) -> Sheet {
    let mut all: Vec<_> = nodes(before, now).filter(|(_, new)| choice.shows(&new.name)).collect();
    all.sort_by(|a, b| choice.order(a, b, seconds));
    let rows = all.iter().map(|(old, new)| {
        vec![
            shown_start(&new.name, NAME),
            format!("{:.1}", increase(new.answers, old.answers) / seconds),
            mean(old, new).map_or_else(|| "-".to_owned(), brief),
            new.asked.to_string(),
            format!("{:.1}", increase(new.requests, old.requests) / seconds),
            new.open_calls.to_string(),
            format!("{:.0}", new.queued_bytes / 1024.0),
            new.level.to_string(),
            lasting(new.age),
            Shown::new(&new.address).at_most(NAME).to_string(),
        ]
    });
    Sheet { heads: NODES.to_vec(), rows: rows.collect() }
}

/// How long answers took on average lately.
fn mean(old: &ToldNode, new: &ToldNode) -> Option<Duration> {
    let timed = increase(new.timed_answers, old.timed_answers);
    (timed > 0.0).then(|| Duration::try_from_secs_f64((new.answering - old.answering) / timed).unwrap_or_default())
}

fn causes(before: &Told, earlier: Option<&Told>, now: &Told, seconds: f64) -> Vec<String> {
    let mute = earlier.into_iter().flat_map(|earlier| lasting_causes(earlier, now)).collect();
    let (mut slow, mut queues, mut floods, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let asking: f64 = nodes(before, now).map(|(old, new)| increase(new.requests, old.requests)).sum();
    for (old, new) in nodes(before, now) {
        let name = shown_start(&new.name, NAME);
        if let Some(how) = how_it_answers(&old, new) {
            slow.push(format!("{name} {how}"));
        }
        if new.queued_bytes >= LONG_QUEUE {
            queues.push(format!(
                "{:.0} KiB wait to be sent to {name}, which takes them too slowly",
                new.queued_bytes / 1024.0
            ));
        }
        let asks = increase(new.requests, old.requests);
        let piles_up = new.open_calls > 100 || new.refused_calls > old.refused_calls || new.held_requests > 0;
        if now.members > 2 && asks > 100.0 * seconds && asks > asking / 2.0 && piles_up {
            floods.push(format!("{name} floods: {:.0} calls/s, {} open", asks / seconds, new.open_calls));
        }
    }
    for (class, count) in &now.refused_by_class {
        let more = count.saturating_sub(before.refused_by_class.get(class).copied().unwrap_or(0));
        if more > 0 {
            refused.push(format!("{more} calls were refused as {}", Shown::new(class).at_most(NAME)));
        }
    }
    in_turns([mute, slow, queues, floods, refused, causes_of_all(before, now)])
}

/// As many as there is room for, one of each kind after another, so that many of one kind hide no
/// other; and how many are left out.
fn in_turns(kinds: [Vec<String>; 6]) -> Vec<String> {
    let count: usize = kinds.iter().map(Vec::len).sum();
    let mut kinds = kinds.map(Vec::into_iter);
    let mut all = Vec::new();
    while all.len() < count.min(MOST_CAUSES) {
        all.extend(kinds.iter_mut().filter_map(Iterator::next));
    }
    if count > MOST_CAUSES {
        all.truncate(MOST_CAUSES - 1);
        all.push(format!("and {} more", count - all.len()));
    }
    all
}

/// Lines of causes.
const MOST_CAUSES: usize = 8;

/// What is wrong with the router as a whole.
fn causes_of_all(before: &Told, now: &Told) -> Vec<String> {
    let lately = |new: u64, old: u64| Some(new.saturating_sub(old)).filter(|more| *more > 0);
    let failing = callbacks(before, now).filter_map(|(old, new)| {
        let more = lately(new.errors, old.errors)?;
        Some(format!("{} failed {more} times", shown_start(&new.name, NAME)))
    });
    let dropped = lately(now.dropped_requests, before.dropped_requests)
        .map(|more| format!("{more} calls without an answer were dropped"));
    let held = (now.held_requests > 0)
        .then(|| format!("{} calls without an answer wait for a receiver that takes them slowly", now.held_requests));
    let full = (now.budget_bytes > 0.0 && now.held_bytes > now.budget_bytes / 2.0)
        .then(|| format!("{:.0} of {:.0} MiB are held for nodes", now.held_bytes / MIB, now.budget_bytes / MIB));
    let unheard = (now.unheard_members > 0)
        .then(|| format!("{} nodes are connected and not listed: nothing comes of them", now.unheard_members));
    let cut = lately(now.cut_connections, before.cut_connections)
        .map(|more| format!("{more} connections were cut: the log says which"));
    failing.take(3).chain(dropped).chain(held).chain(full).chain(unheard).chain(cut).collect()
}

/// What is only wrong when it goes on for a while, or happens again.
fn lasting_causes(earlier: &Told, now: &Told) -> Vec<String> {
    let mut all = Vec::new();
    let seconds = now.age - earlier.age;
    for (old, new) in nodes(earlier, now) {
        let name = shown_start(&new.name, NAME);
        if !new.is_stopped && new.asked > 0 && old.asked > 0 && new.answers == old.answers {
            all.push(format!("{name} answered nothing for {seconds:.0} s: {} calls wait for it", new.asked));
        }
        if new.is_held_back && old.is_held_back {
            all.push(format!("{name} is held back: it sends faster than is worked off, or reads no answers"));
        }
        if new.takeovers >= old.takeovers + 2 {
            all.push(format!("the name {name} is fought over: two nodes bear it"));
        }
    }
    all
}

/// How long a node may answer nothing, in seconds, as on the page of `--admin`.
pub(super) const LONG: f64 = 5.0;

/// Bytes that wait for one node and are worth a word.
const LONG_QUEUE: f64 = 128.0 * 1024.0;

/// What is wrong with how a node answers.
fn how_it_answers(old: &ToldNode, new: &ToldNode) -> Option<String> {
    if new.is_stopped {
        Some(format!("stands still: {} calls wait for it", new.asked))
    } else if new.asked >= 8 && mean(old, new).is_some_and(|mean| mean > Duration::from_millis(100)) {
        Some(format!("is slow: {} calls wait for it", new.asked))
    } else {
        None
    }
}

fn since(new: &ToldTimes, old: &ToldTimes) -> Vec<(Option<f64>, u64)> {
    let before = |end: &Option<f64>| old.buckets.iter().find(|(known, _)| known == end).map_or(0, |(_, count)| *count);
    let added = new.buckets.iter().map(|(end, count)| (*end, count.saturating_sub(before(end))));
    added.filter(|(_, count)| *count > 0).collect()
}

fn quantile(times: &[(Option<f64>, u64)], part: f64) -> String {
    let all: u64 = times.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let found = times.iter().find(|(_, count)| {
        seen += count;
        seen as f64 >= all as f64 * part
    });
    match found {
        None => "-".to_owned(),
        Some((None, _)) => ">2 min".to_owned(),
        Some((Some(end), _)) => brief(Duration::try_from_secs_f64(*end).unwrap_or_default()),
    }
}

/// A time of seconds, hours or days.
pub(crate) fn lasting(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::top::plain;

    fn look_at(age: f64, calls: u64, asked: usize) -> Told {
        let node = ToldNode { name: "w\u{1b}[2J".into(), asked, answers: 5, level: 4, ..ToldNode::default() };
        let times = ToldTimes { buckets: vec![(Some(0.001), calls), (None, 1)] };
        let callback = ToldCallback { name: "add".into(), calls, times, ..ToldCallback::default() };
        Told { age, members: 1, callbacks: vec![callback], nodes: vec![node], ..Told::default() }
    }

    #[test]
    fn what_changed_is_told_a_second_and_hostile_names_steer_nothing() {
        let before = look_at(10.0, 100, 3);
        let view = View::of(&before, Some(&look_at(7.0, 0, 2)), &look_at(12.0, 300, 3), &Choice::default());
        assert_eq!(view.callbacks.rows[0][..6], ["add", "100.0", "0.0", "0", "1.00 ms", "1.00 ms"]);
        let text = plain::text(&view);
        assert!(text.contains("answered nothing for 5 s: 3 calls wait for it"), "{text}");
        assert_eq!(
            View::of(&before, None, &look_at(12.0, 300, 3), &Choice::default()).causes,
            [""; 0],
            "2 s are no time"
        );
        assert!(!text.contains('\u{1b}') && text.contains(r"w\u{1b}[2J"), "{text}");
    }

    #[test]
    fn nodes_are_chosen_and_sorted() {
        let node = |name: &str, asked, age| ToldNode { name: name.into(), asked, age, ..ToldNode::default() };
        let told =
            Told { nodes: vec![node("a1", 1, 30.0), node("B1", 3, 10.0), node("b2", 2, 20.0)], ..Told::default() };
        let names = |choice: &Choice| {
            let view = View::of(&told, None, &told, choice);
            view.nodes.rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>()
        };
        let choice = |filter: &str, column, reversed| Choice { filter: filter.into(), column, reversed };
        assert_eq!(names(&choice("", None, false)), ["B1", "b2", "a1"]);
        assert_eq!(names(&choice("B", Some(0), false)), ["B1", "b2"]);
        assert_eq!(names(&choice("", Some(8), false)), ["a1", "b2", "B1"]);
        assert_eq!(names(&choice("", Some(8), true)), ["B1", "b2", "a1"]);
        let mut turned = Choice::default();
        (0..=NODES.len()).for_each(|_| turned.turn());
        assert_eq!(turned.sorted_by(), "need");
    }

    #[test]
    fn a_queue_and_a_flood_are_told_and_a_new_start_is_none() {
        let node = |name: &str, requests, open_calls, queued_bytes| ToldNode {
            name: name.into(),
            requests,
            open_calls,
            queued_bytes,
            ..ToldNode::default()
        };
        let told = |age, requests, queued| {
            let nodes = vec![node("w", 0, 0, queued), node("loud", requests, 200, 0.0), node("calm", 5, 0, 0.0)];
            Told { age, members: 3, nodes, ..Told::default() }
        };
        let causes = |now| View::of(&told(10.0, 0, 0.0), None, &now, &Choice::default()).causes;
        assert_eq!(causes(told(11.0, 500, 0.0)), ["loud floods: 500 calls/s, 200 open"]);
        assert_eq!(causes(told(11.0, 50, 0.0)), [""; 0]);
        let queue = "256 KiB wait to be sent to w, which takes them too slowly";
        assert_eq!(causes(told(11.0, 50, 262_144.0)), [queue]);
        assert_eq!(causes(told(1.0, 9_000, 0.0)), [""; 0], "counted anew");
    }

    #[test]
    fn what_is_wrong_with_the_whole_is_told_and_what_has_no_room_is_counted() {
        let callback = |errors| ToldCallback { name: "add".into(), errors, ..ToldCallback::default() };
        let told = |age, errors, count| Told {
            age,
            callbacks: vec![callback(errors)],
            dropped_requests: count,
            cut_connections: count,
            held_requests: 4,
            held_bytes: 60.0 * MIB,
            budget_bytes: 100.0 * MIB,
            ..Told::default()
        };
        let causes = |now| View::of(&told(10.0, 1, 1), None, &now, &Choice::default()).causes;
        let held = "4 calls without an answer wait for a receiver that takes them slowly";
        assert_eq!(causes(told(11.0, 1, 1)), [held, "60 of 100 MiB are held for nodes"]);
        let deaf = Told { unheard_members: 2, ..told(11.0, 1, 1) };
        assert_eq!(causes(deaf)[2..], ["2 nodes are connected and not listed: nothing comes of them"]);
        let all = causes(told(11.0, 3, 2));
        assert_eq!(all[..2], ["add failed 2 times", "1 calls without an answer were dropped"]);
        assert_eq!(all[4], "1 connections were cut: the log says which");
        let node = |n: usize| ToldNode { name: format!("w{n}"), is_stopped: true, ..ToldNode::default() };
        let many = Told { nodes: (0..20).map(node).collect(), ..told(11.0, 3, 2) };
        let all = causes(many);
        assert_eq!((all.len(), all[7].as_str()), (MOST_CAUSES, "and 18 more"));
        assert!(all.iter().any(|cause| cause.starts_with("add failed")), "many of one kind hide no other: {all:?}");
    }

    #[test]
    fn times_are_brief() {
        let all = [5.0, 65.0, 3700.0, 90_000.0].map(lasting);
        assert_eq!(all, ["5s", "1m", "1h01m", "1d01h"]);
    }
}
