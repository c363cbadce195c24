//! The line in which those stand that ask much of one receiver, while others ask little of it.
//!
//! A Router passes all requests for a receiver over one connection, in which nothing overtakes. So
//! as much may be on its way there as the receiver reads in about the time of a round trip, and
//! what is beyond it waits here, where one caller after the other is next. How much that is
//! shows in marks: the receiver sends each of them back when it has read all that was before it,
//! whatever becomes of the requests.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use daffi_wire::credit_cost;

/// What the smallest request costs, and the smallest window: one request always passes.
const LEAST: u64 = credit_cost(0);

/// The first window.
const FIRST: u64 = 16 * LEAST;

/// The largest one.
const MOST: u64 = 16 << 20;

/// Marks that are on their way at a time.
const MARKS: usize = 4;

/// A mark that takes this much longer than five fourths of the shortest time has waited behind too
/// much.
const SLACK: Duration = Duration::from_micros(5);

/// From this time on a receiver is far, where the time there and back varies by itself: as much
/// again is allowed.
const FAR: Duration = Duration::from_millis(1);

/// The shortest time is that of the last one or two of these, so that a way that became longer is
/// seen to be.
const AGE: Duration = Duration::from_secs(1);

/// Callers of one receiver that wait in line, and what is on its way to it. Of each caller
/// all that it has is known elsewhere; `W` says where.
///
/// Who is next goes by what each caller has had so far, in what its requests cost, as in start-time
/// fair queueing: whoever comes anew begins with what the one had who was next last.
#[derive(Debug)]
pub(crate) struct FairLine<W> {
    waiting: BTreeMap<LineKey, W>,
    /// What the one had so far that was next last.
    had: u64,
    number: u64,
    /// What all requests cost that passed, and those of them that the receiver has read.
    sent: u64,
    read: u64,
    marks: VecDeque<Mark>,
    window: FairWindow,
}

/// What one had so far, and a number that keeps the order of arrival.
type LineKey = (u64, u64);

/// A mark that is on its way, by what was sent before it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: u64,
    since: Instant,
}

/// The place of one caller in the line to one receiver.
#[derive(Debug, Default)]
pub(crate) struct FairPlace {
    had: u64,
    waits: Option<LineKey>,
}

impl<W> Default for FairLine<W> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            had: 0,
            number: 0,
            sent: 0,
            read: 0,
            marks: VecDeque::new(),
            window: FairWindow::default(),
        }
    }
}

impl<W> FairLine<W> {
    /// Lets the next request of a caller pass, or gives the caller a place in line. `true`: it
    /// passes, and is counted.
    pub(crate) fn pass(&mut self, place: &mut FairPlace, cost: u64, caller: impl FnOnce() -> W) -> bool {
        if place.waits.is_some() {
            return false;
        }
        if self.waiting.is_empty() && self.has_room(cost) {
            self.count(place, cost);
            return true;
        }
        self.number += 1;
        let key = (place.had.max(self.had), self.number);
        self.waiting.insert(key, caller());
        place.waits = Some(key);
        false
    }

    /// Who is next, if there is room for a request of it. It has given its place up, and is to
    /// [pass](Self::let_pass).
    pub(crate) fn next(&mut self) -> Option<W> {
        if !self.has_room(LEAST) {
            return None;
        }
        let (key, caller) = self.waiting.pop_first()?;
        self.had = self.had.max(key.0);
        Some(caller)
    }

    /// Whoever was next passes a request, which is counted.
    pub(crate) fn let_pass(&mut self, place: &mut FairPlace, cost: u64) {
        place.waits = None;
        self.count(place, cost);
    }

    /// Gives up the place of one that has nothing to send any more.
    pub(crate) fn leave(&mut self, place: &mut FairPlace) {
        if let Some(key) = place.waits.take() {
            self.waiting.remove(&key);
        }
    }

    /// All who wait, because there is to be no line any more. Each is to give up its place by
    /// itself.
    pub(crate) fn take_all(&mut self) -> Vec<W> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    fn count(&mut self, place: &mut FairPlace, cost: u64) {
        place.had = place.had.max(self.had) + cost;
        self.sent += cost;
    }

    /// One that is larger than the window passes when nothing else is on its way.
    fn has_room(&self, cost: u64) -> bool {
        let on_the_way = self.sent - self.read;
        on_the_way == 0 || on_the_way + cost <= self.window.size
    }

    /// A mark that is to be sent now, behind all that passed. While anything is on its way so is a
    /// mark, or else this gives one.
    pub(crate) fn mark(&mut self, now: Instant) -> Option<u64> {
        let marked = self.marks.back().map_or(self.read, |last| last.end);
        let unmarked = self.sent - marked;
        let is_due = match self.marks.len() {
            0 => unmarked > 0,
            MARKS.. => false,
            _ => unmarked >= self.window.size / 2,
        };
        is_due.then(|| {
            self.marks.push_back(Mark { end: self.sent, since: now });
            self.sent
        })
    }

    /// A mark came back. `false`: it is none of these, or not the next.
    pub(crate) fn on_mark(&mut self, end: u64, now: Instant) -> bool {
        let Some(mark) = self.marks.front().copied().filter(|first| first.end == end) else { return false };
        self.marks.pop_front();
        let is_used = !self.waiting.is_empty();
        self.read = end;
        self.window.adapt(now.saturating_duration_since(mark.since), (end, self.sent), is_used, now);
        true
    }
}

/// How much may be on its way: so much that a mark takes little longer than it does when nothing is
/// before it.
#[derive(Debug)]
struct FairWindow {
    size: u64,
    /// The shortest times that a mark took in this [`AGE`] and the one before.
    shortest: [Duration; 2],
    /// When this age began.
    since: Option<Instant>,
    /// What was sent before the window became smaller: marks of that say nothing of the new one.
    before: u64,
}

impl Default for FairWindow {
    fn default() -> Self {
        Self { size: FIRST, shortest: [Duration::MAX; 2], since: None, before: 0 }
    }
}

impl FairWindow {
    /// A mark took so long that stands at `end` of what was `sent`; `is_used`: somebody waits.
    fn adapt(&mut self, took: Duration, (end, sent): (u64, u64), is_used: bool, now: Instant) {
        let begun = *self.since.get_or_insert(now);
        if now.saturating_duration_since(begun) >= AGE {
            self.since = Some(now);
            self.shortest = [Duration::MAX, self.shortest[0]];
            // With little on its way the next marks show how long the way is.
            self.shrink_to(self.size / 4, sent);
        }
        self.shortest[0] = self.shortest[0].min(took);
        let way = self.shortest[0].min(self.shortest[1]);
        let more = if way < FAR { way / 4 + SLACK } else { way };
        if took <= way.saturating_add(more) {
            if is_used {
                self.size = (self.size + self.size / 8 + 1).min(MOST);
            }
        } else if end > self.before {
            self.shrink_to(self.size - self.size / 4, sent);
        }
    }

    fn shrink_to(&mut self, size: u64, sent: u64) {
        self.size = size.max(LEAST);
        self.before = sent;
    }
}

#[cfg(test)]
#[path = "fair_line_tests.rs"]
mod tests;
