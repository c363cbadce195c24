//! What the members of a Router are still to be told of each other: the newest of each, however
//! much happened.

use std::collections::BTreeMap;

use daffi_wire::{Frame, MethodName};
use rustc_hash::FxHashSet;

use super::watching::{About, Interest, Watchers};
use crate::keyed::Names;

/// News in order, each with a number. A reader has been told all below some number, its `next`.
///
/// Of each member there is at most its coming and its last change, and of those that are gone only
/// the end, for who was told of their coming. So a reader that takes nothing makes this hold what
/// it knew when it stopped, and no more. Only of who came and went since all were told last both
/// events are kept, without what it exposed, for those who keep up.
#[derive(Debug, Default)]
pub(super) struct News {
    items: BTreeMap<u64, Item>,
    end: u64,
    /// The end as it was when somebody was told last: nobody knows of what came after it.
    known: u64,
    /// The end as it was when all were told last.
    round: u64,
}

/// Where the news of a member stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewsPlace {
    pub(super) conn: u64,
    /// The numbers of the news of its coming, and of its last change.
    pub(super) came: u64,
    pub(super) changed: Option<u64>,
}

/// A member as one who reads news.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewsReader<'a> {
    pub(super) conn: u64,
    /// The number of the next piece that it has not got.
    pub(super) next: u64,
    pub(super) link: usize,
    pub(super) watched: &'a Interest,
}

/// Whom the latest news concern, of those who watch some callbacks.
#[derive(Debug)]
pub(super) struct Latest {
    from: u64,
    watching: FxHashSet<u64>,
    everybody: bool,
}

impl Latest {
    /// Whether there is nothing to tell a reader, as far as that is known without a look at all.
    pub(super) fn has_nothing_for(&self, reader: NewsReader<'_>) -> bool {
        let keeps_up = matches!(reader.watched, Interest::Some(_)) && reader.next >= self.from;
        keeps_up && !self.everybody && !self.watching.contains(&reader.conn)
    }
}

#[derive(Debug)]
struct Item {
    /// The connection that it is about, which is not told.
    about: u64,
    /// The callbacks of that member, of which others may watch none.
    concerns: About,
    /// `Some`: it is only for those who were told of the piece of that number.
    after: Option<u64>,
    passing: Passing,
    /// The frames for level 3 and level 4 links.
    frames: [Vec<Frame>; 2],
}

/// Whether a piece is of a member that came and went since all were told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    No,
    Came,
    /// It came with the piece of that number.
    Left(u64),
}

impl Item {
    fn new(about: u64, concerns: About, after: Option<u64>, frames: [Vec<Frame>; 2]) -> Self {
        Self { about, concerns, after, passing: Passing::No, frames }
    }

    /// Whether a reader that was told all below `next` is to hear it.
    fn is_for(&self, next: u64) -> bool {
        self.after.is_none_or(|after| after < next)
    }
}

impl News {
    /// The number of the next piece.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Adds the news that connection `about` became a member, which exposes these.
    pub(super) fn add_member(&mut self, about: u64, methods: &[MethodName], frames: [Vec<Frame>; 2]) -> u64 {
        // The newcomer's list has all before.
        self.note_told();
        self.add(Item::new(about, About::new(methods), None, frames))
    }

    /// Adds the news that a member exposes `methods` now, and other ones before. `came`: what is
    /// told of its coming to those who have not heard of that. Gives the number.
    pub(super) fn add_change(
        &mut self,
        about: NewsPlace,
        (before, methods): (&[MethodName], &[MethodName]),
        came: [Vec<Frame>; 2],
        frames: [Vec<Frame>; 2],
    ) -> u64 {
        if let Some(item) = self.items.get_mut(&about.came) {
            (item.concerns, item.frames) = (About::new(methods), came);
        }
        let concerns = About::new(methods).with_former(self.take_known(&about, before));
        self.add(Item::new(about.conn, concerns, Some(about.came), frames))
    }

    /// All that somebody may know of a member by what it was told last; the last change is
    /// forgotten.
    fn take_known(&mut self, about: &NewsPlace, methods: &[MethodName]) -> About {
        let exposed = About::new(methods);
        match about.changed.and_then(|changed| self.items.remove(&changed)) {
            Some(change) => exposed.with_former(change.concerns),
            None => exposed,
        }
    }

    /// Adds the news that a member, which exposed `methods`, is gone.
    pub(super) fn add_end(&mut self, about: NewsPlace, methods: &[MethodName], told: &Frame) {
        let concerns = self.take_known(&about, methods);
        let NewsPlace { conn: about, came, .. } = about;
        let mut item = Item::new(about, concerns, Some(came), [vec![told.clone()], vec![told.clone()]]);
        if came >= self.round
            && let Some(coming) = self.items.get_mut(&came)
        {
            coming.passing = Passing::Came;
            // The event stands last.
            coming.frames.iter_mut().for_each(|frames| *frames = frames.pop().into_iter().collect());
            (item.after, item.passing) = (None, Passing::Left(came));
        } else {
            self.items.remove(&came);
            if came >= self.known {
                // Nobody was told that it came.
                return;
            }
        }
        self.add(item);
    }

    fn add(&mut self, item: Item) -> u64 {
        let number = self.end;
        self.items.insert(number, item);
        self.end += 1;
        number
    }

    /// What a reader has not been told.
    pub(super) fn unread<'a>(&'a self, reader: NewsReader<'a>) -> impl Iterator<Item = &'a Frame> {
        let NewsReader { conn, next, link, watched } = reader;
        let unread = self.items.range(next..).map(|(_, item)| item);
        let unread = unread.filter(move |item| item.about != conn && item.is_for(next));
        unread.filter(move |item| item.concerns.concerns(watched)).flat_map(move |item| &item.frames[link])
    }

    /// Whom the news concern that came since all were told last.
    pub(super) fn latest(&self, watchers: &Watchers) -> Latest {
        let new = || self.items.range(self.round..).map(|(_, item)| &item.concerns);
        let methods: Names<_> = new().flat_map(About::methods).collect();
        Latest {
            from: self.round,
            watching: methods.into_iter().flat_map(|method| watchers.of(method)).collect(),
            everybody: new().any(About::is_for_everybody),
        }
    }

    /// Notes that somebody was told all that there is.
    pub(super) const fn note_told(&mut self) {
        self.known = self.end;
    }

    /// Notes that all were told but those that are at `behind`: what these need not hear is
    /// forgotten. Gives the bytes of what was new.
    pub(super) fn finish_round(&mut self, mut behind: Vec<u64>) -> usize {
        let new = self.items.range(self.round..).map(|(_, item)| &item.frames[1]);
        let bytes = new.flatten().map(|frame| frame.as_bytes().len()).sum();
        self.round = self.end;
        behind.sort_unstable();
        behind.dedup();
        self.items.retain(|number, item| {
            match std::mem::replace(&mut item.passing, Passing::No) {
                Passing::No => {}
                Passing::Came => return false,
                Passing::Left(came) => item.after = Some(came),
            }
            let first = behind.partition_point(|next| !item.is_for(*next));
            behind.get(first).is_some_and(|next| next <= number)
        });
        bytes
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}
