//! How the members of a Router are told of each other: each as it takes what waits for it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_wire::Frame;
use tokio::{sync::Notify, time::sleep};

use crate::router::{Peer, RouterShared};

/// How long news of members are gathered before all are told: thousands of members are written to
/// once for many joins.
const GATHERING: Duration = Duration::from_millis(50);

/// Bytes of news that members are told in a second, as long as that keeps nothing from them for
/// longer than `LONGEST`: those who announce much and often are heard less often.
const NEWS_IN_A_SECOND: usize = 2 * 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(2);

/// What a member has been told of the others.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// All news below that number were queued for it. Queueing them happens before a larger number
    /// is seen here.
    until: AtomicU64,
    /// The news that it knows, its own for one, are below that number: they came to pass before it
    /// is seen here.
    knows: AtomicU64,
    /// Lots of news that were queued for it and not written yet.
    waiting: AtomicUsize,
    /// There are more news, which it is told when those are written.
    put_off: AtomicBool,
}

impl Peer {
    /// Notes that all news below that number were queued for this member, or that it has them from
    /// a list.
    pub(crate) fn note_told(&self, until: u64) {
        self.heard.until.fetch_max(until, Ordering::Release);
        self.note_known(until);
    }

    /// Notes that it knows of a piece of news below that number.
    pub(crate) fn note_known(&self, until: u64) {
        self.heard.knows.fetch_max(until, Ordering::Release);
    }

    /// Whether `other` knows something that this member was not told.
    pub(crate) fn is_behind(&self, other: &Self) -> bool {
        self.heard.until.load(Ordering::Acquire) < other.heard.knows.load(Ordering::Acquire)
    }

    /// Whether it took the last news that it was told; if not, it is asked again when it did. So
    /// one lot waits for each member, and the next holds the newest of all that happened meanwhile.
    pub(crate) fn takes_news(&self) -> bool {
        let Heard { waiting, put_off, .. } = &self.heard;
        if waiting.load(Ordering::SeqCst) == 0 {
            return true;
        }
        put_off.store(true, Ordering::SeqCst);
        // It may have taken them just now. This is in one order with the drop of `NewsWritten`:
        // either this store happens before that looks at `put_off`, or its count happens before
        // this load.
        waiting.load(Ordering::SeqCst) == 0 && put_off.swap(false, Ordering::SeqCst)
    }

    /// Tells it all news below a number. `rest` is notified when it took them and is to be told
    /// more.
    pub(crate) fn tell(self: &Arc<Self>, frames: &[Frame], until: u64, rest: &Arc<Notify>) {
        self.note_told(until);
        if frames.is_empty() {
            return;
        }
        self.heard.waiting.fetch_add(1, Ordering::SeqCst);
        let receipt = || NewsWritten { by: Arc::downgrade(self), rest: Arc::clone(rest) };
        if self.conn.notify_with(frames, || Box::new(receipt())).is_err() {
            // A member that has just gone needs no news.
            self.heard.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Lies in a member's outbox behind a lot of news.
struct NewsWritten {
    by: Weak<Peer>,
    rest: Arc<Notify>,
}

impl Drop for NewsWritten {
    fn drop(&mut self) {
        let Some(peer) = self.by.upgrade() else { return };
        if peer.heard.waiting.fetch_sub(1, Ordering::SeqCst) == 1 && peer.heard.put_off.swap(false, Ordering::SeqCst) {
            self.rest.notify_one();
        }
    }
}

impl RouterShared {
    /// Tells `to`, so that nothing of `from` reaches it before the news that `from` has already,
    /// that of its own coming for one. `false`: it has more waiting than it may, and hears of them
    /// when it took that.
    #[inline]
    pub(crate) fn keep_in_step(&self, from: &Peer, to: &Arc<Peer>) -> bool {
        !to.is_behind(from) || self.catch_up(to)
    }

    #[cold]
    fn catch_up(&self, to: &Arc<Peer>) -> bool {
        let mut members = self.members.lock();
        let outbox = &to.conn.outbox;
        if outbox.bytes() > 0 && !outbox.account().admits(members.unread_bytes(&to.name, to.id())) {
            return false;
        }
        let news = members.tell_one(&to.name, to.id());
        to.tell(&news, members.end(), &self.news);
        drop(members);
        self.release_flows(to);
        true
    }

    /// Begins the flows that waited until `to` had heard of their senders.
    pub(crate) fn release_flows(&self, to: &Arc<Peer>) {
        for sender in to.take_unheard() {
            sender.on_heard_of(to);
        }
    }
}

/// Tells the members what is new: the first news at once, what follows closely together with more.
pub(crate) async fn tell_news(shared: Arc<RouterShared>) {
    loop {
        tokio::select! {
            () = shared.server.life.cut.cancelled() => return,
            () = shared.news.notified() => {}
        }
        let mut waited_for = Vec::new();
        let new = {
            let mut members = shared.members.lock();
            let until = members.end();
            members.tell_all(
                |peer| peer.takes_news(),
                |peer, frames| {
                    peer.tell(frames, until, &shared.news);
                    if peer.has_unheard() {
                        waited_for.push(Arc::clone(peer));
                    }
                },
            )
        };
        for peer in waited_for {
            shared.release_flows(&peer);
        }
        sleep(pause(new)).await;
    }
}

/// How long to gather after so many bytes of news.
fn pause(bytes: usize) -> Duration {
    let millis = bytes.saturating_mul(1000) / NEWS_IN_A_SECOND;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).clamp(GATHERING, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_news_is_gathered_for_longer() {
        assert_eq!(pause(0), GATHERING);
        assert_eq!(pause(NEWS_IN_A_SECOND), Duration::from_secs(1));
        assert_eq!(pause(usize::MAX), LONGEST);
    }
}
