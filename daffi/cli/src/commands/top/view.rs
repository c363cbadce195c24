//! What changed between two looks, as it is shown.

use std::{collections::HashMap, time::Duration};

use daffi::Shown;

use super::told::{Told, ToldCallback, ToldNode, ToldTimes};
use crate::quantity::brief;

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
    pub(super) fn of(before: &Told, now: &Told) -> Self {
        let seconds = (now.age - before.age).max(1e-3);
        let calls: f64 = callbacks(before, now).map(|(old, new)| added(new.calls, old.calls)).sum();
        Self {
            about: format!(
                "{}, version {}, for {}: {} members, {:.1} calls/s, {} open, {} refused, {:.1} of {:.0} MiB held",
                Shown::new(&now.name).at_most(NAME),
                Shown::new(&now.version).at_most(NAME),
                lasting(now.age),
                now.members,
                calls / seconds,
                now.open_calls,
                now.refused_calls,
                now.held_bytes / MIB,
                now.budget_bytes / MIB,
            ),
            causes: causes(before, now, seconds),
            callbacks: callback_sheet(before, now, seconds),
            nodes: node_sheet(before, now, seconds),
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// What was added to a count, which may have begun anew.
fn added(new: u64, old: u64) -> f64 {
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

fn callback_sheet(before: &Told, now: &Told, seconds: f64) -> Sheet {
    let mut all: Vec<_> = callbacks(before, now).map(|(old, new)| (added(new.calls, old.calls), old, new)).collect();
    all.sort_by(|a, b| {
        b.0.total_cmp(&a.0).then_with(|| b.2.calls.cmp(&a.2.calls)).then_with(|| a.2.name.cmp(&b.2.name))
    });
    let rows = all.iter().map(|(calls, old, new)| {
        let lately = since(&new.times, &old.times);
        vec![
            Shown::new(&new.name).at_most(NAME).to_string(),
            format!("{:.1}", calls / seconds),
            format!("{:.1}", added(new.errors, old.errors) / seconds),
            new.open.to_string(),
            quantile(&lately, 0.5),
            quantile(&lately, 0.99),
            new.calls.to_string(),
        ]
    });
    Sheet { heads: vec!["CALLBACK", "CALLS/s", "ERRORS/s", "OPEN", "P50", "P99", "CALLS"], rows: rows.collect() }
}

fn node_sheet(before: &Told, now: &Told, seconds: f64) -> Sheet {
    let mut all: Vec<_> = nodes(before, now).collect();
    all.sort_by(|(_, a), (_, b)| {
        (b.is_stopped, b.asked, b.open_calls)
            .cmp(&(a.is_stopped, a.asked, a.open_calls))
            .then_with(|| a.name.cmp(&b.name))
    });
    let rows = all.iter().map(|(old, new)| {
        vec![
            Shown::new(&new.name).at_most(NAME).to_string(),
            format!("{:.1}", added(new.answers, old.answers) / seconds),
            mean(old, new).map_or_else(|| "-".to_owned(), brief),
            new.asked.to_string(),
            format!("{:.1}", added(new.requests, old.requests) / seconds),
            new.open_calls.to_string(),
            format!("{:.0}", new.queued_bytes / 1024.0),
            new.level.to_string(),
            lasting(new.age),
            Shown::new(&new.address).at_most(NAME).to_string(),
        ]
    });
    let heads = vec!["NODE", "ANSWERS/s", "TAKES", "ASKED", "ASKS/s", "OPEN", "QUEUE KiB", "LEVEL", "FOR", "ADDRESS"];
    Sheet { heads, rows: rows.collect() }
}

/// How long answers took on average lately.
fn mean(old: &ToldNode, new: &ToldNode) -> Option<Duration> {
    let timed = added(new.timed_answers, old.timed_answers);
    (timed > 0.0).then(|| Duration::try_from_secs_f64((new.answering - old.answering) / timed).unwrap_or_default())
}

fn causes(before: &Told, now: &Told, seconds: f64) -> Vec<String> {
    let mut all = Vec::new();
    for (old, new) in nodes(before, now) {
        let name = Shown::new(&new.name).at_most(NAME);
        if new.is_stopped {
            all.push(format!("{name} stands still: {} calls wait for it", new.asked));
        } else if new.asked > 0 && old.asked > 0 && new.answers == old.answers {
            all.push(format!("{name} answered nothing for {seconds:.1} s: {} calls wait for it", new.asked));
        } else if new.asked >= 8 && mean(&old, new).is_some_and(|mean| mean > Duration::from_millis(100)) {
            all.push(format!("{name} is slow: {} calls wait for it", new.asked));
        }
        if new.takeovers > old.takeovers {
            all.push(format!("the name {name} is fought over: two nodes bear it"));
        }
    }
    for (class, count) in &now.refused_by_class {
        let more = count.saturating_sub(before.refused_by_class.get(class).copied().unwrap_or(0));
        if more > 0 {
            all.push(format!("{more} calls were refused as {}", Shown::new(class).at_most(NAME)));
        }
    }
    all.truncate(8);
    all
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

    fn told(age: f64, calls: u64, asked: usize) -> Told {
        let node = ToldNode { name: "w\u{1b}[2J".into(), asked, answers: 5, level: 4, ..ToldNode::default() };
        let times = ToldTimes { buckets: vec![(Some(0.001), calls), (None, 1)] };
        let callback = ToldCallback { name: "add".into(), calls, times, ..ToldCallback::default() };
        Told { age, members: 1, callbacks: vec![callback], nodes: vec![node], ..Told::default() }
    }

    #[test]
    fn what_changed_is_told_a_second_and_hostile_names_steer_nothing() {
        let view = View::of(&told(10.0, 100, 3), &told(12.0, 300, 3));
        assert_eq!(view.callbacks.rows[0][..6], ["add", "100.0", "0.0", "0", "1.00 ms", "1.00 ms"]);
        let text = plain::text(&view);
        assert!(text.contains("answered nothing for 2.0 s: 3 calls wait for it"), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains(r"w\u{1b}[2J"), "{text}");
    }

    #[test]
    fn times_are_brief() {
        let all = [5.0, 65.0, 3700.0, 90_000.0].map(lasting);
        assert_eq!(all, ["5s", "1m", "1h01m", "1d01h"]);
    }
}
