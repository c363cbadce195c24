//! What the members of a Router are still to be told of each other: the newest of each, however
//! much happened.

use std::collections::BTreeMap;

use daffi_wire::Frame;

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

#[derive(Debug)]
struct Item {
    /// The connection that it is about, which is not told.
    about: u64,
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
    fn new(about: u64, after: Option<u64>, frames: [Vec<Frame>; 2]) -> Self {
        Self { about, after, passing: Passing::No, frames }
    }

    fn is_for(&self, next: u64) -> bool {
        self.after.is_none_or(|after| after < next)
    }
}

impl News {
    /// The number of the next piece.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Adds the news that connection `about` became a member.
    pub(super) fn add_member(&mut self, about: u64, frames: [Vec<Frame>; 2]) -> u64 {
        // The newcomer's list has all before.
        self.note_told();
        self.add(Item::new(about, None, frames))
    }

    /// Replaces what is told of a coming to those who have not heard of it.
    pub(super) fn replace(&mut self, came: u64, frames: [Vec<Frame>; 2]) {
        if let Some(item) = self.items.get_mut(&came) {
            item.frames = frames;
        }
    }

    /// Adds the news that a member changed. `came` and `before` are the numbers of its coming and
    /// of its change before this.
    pub(super) fn add_change(&mut self, about: u64, came: u64, before: Option<u64>, frames: [Vec<Frame>; 2]) -> u64 {
        before.and_then(|before| self.items.remove(&before));
        self.add(Item::new(about, Some(came), frames))
    }

    /// Adds the news that a member is gone.
    pub(super) fn add_end(&mut self, about: u64, came: u64, changed: Option<u64>, told: &Frame) {
        changed.and_then(|changed| self.items.remove(&changed));
        let mut item = Item::new(about, Some(came), [vec![told.clone()], vec![told.clone()]]);
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

    /// What a reader has not been told, for connection `conn`.
    pub(super) fn unread(&self, next: u64, conn: u64, link: usize) -> impl Iterator<Item = &Frame> {
        let unread = self.items.range(next..).map(|(_, item)| item);
        unread.filter(move |item| item.about != conn && item.is_for(next)).flat_map(move |item| &item.frames[link])
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
