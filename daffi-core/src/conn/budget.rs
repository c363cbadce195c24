//! What a node may hold for all its peers, and the part of each.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
            fence,
        },
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

use super::{body_line::BodyLine, claims::Claims};
use crate::config::NodeConfig;

/// The most that an account owns, whatever all others hold.
const MOST_OWN: usize = 64 * 1024;

/// What an account holds beyond its own part is counted for all of them in steps of this size, so
/// that small requests never touch memory that other threads write.
const STEP: usize = 16 * 1024;

/// Arguments below this size are read without asking: at most 448 KiB for each worker, by the bound
/// that formats have.
pub(crate) const READ_FREELY: usize = 16 * 1024;

/// How often large arguments that wait for memory look for it, beside each end of others.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(100);

/// So many milliseconds after somebody was refused, those who hold more than that one have to keep
/// a higher pace.
const PRESSED_FOR: u64 = 5_000;

/// Accounts of each connection: what was received from it, and what waits to be written to it.
const ACCOUNTS: usize = 2;

/// The memory of a node that its peers can make it hold.
///
/// Each account owns a small part that nobody can take. Of the rest it may hold `share` times what
/// is still free (the dynamic threshold of switches with a shared buffer): one alone gets half of
/// it with a share of 1, and whatever number of greedy peers come, as much as each of them holds
/// stays free for the next.
///
/// Beside the budget stand the *reserve*, of the size of the largest frame, from which the oldest
/// unfinished frame that found no room is read to its end; and the *overdraft*, twice that, for the
/// peers that break when they are not read.
///
/// Relaxed is enough for all counts: each alone is exact, no memory is published by them, and a
/// limit may be passed by what several threads take in the same moment.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    /// The share in 256ths.
    share: usize,
    reserve: usize,
    /// What an account owns at least.
    least_own: usize,
    /// What all that are not open yet own at least.
    unopened: AtomicUsize,
    /// What the open ones own, and how many they are.
    owned: AtomicUsize,
    opened: AtomicUsize,
    /// What accounts hold beyond their own parts, in steps.
    used: AtomicUsize,
    /// What unfinished frames hold of the overdraft.
    drawn: AtomicUsize,
    /// Large arguments that are held as values now, and what is held for them.
    readings: AtomicUsize,
    read_bytes: AtomicUsize,
    /// Told when some of them are none any more.
    reading_ended: Notify,
    /// When somebody was refused last, in milliseconds since `begun`, and what that one held.
    refused_at: AtomicU64,
    refused_with: AtomicUsize,
    begun: Instant,
    /// Those who hold more than their share.
    pub(super) claims: Claims,
    /// Large bodies that are put together.
    pub(super) bodies: BodyLine,
    /// After so long it is looked whether a peer goes on with what it began.
    patience: Duration,
}

impl Budget {
    /// The budget of a node with these settings.
    pub(crate) fn of(config: &NodeConfig) -> Arc<Self> {
        let accounts = config.max_connections.saturating_mul(ACCOUNTS);
        let (reserve, patience) = (config.limits.max_frame_bytes, config.slow_peer_timeout);
        Self::with(config.budget_bytes, config.share, accounts, reserve, patience)
    }

    #[cfg(test)]
    pub(crate) fn new(limit: usize, share: f64, accounts: usize, reserve: usize) -> Arc<Self> {
        Self::with(limit, share, accounts, reserve, Duration::from_secs(60))
    }

    /// A budget of `limit` bytes for at most `accounts` open at once. `reserve`: the largest frame.
    fn with(limit: usize, share: f64, accounts: usize, reserve: usize, patience: Duration) -> Arc<Self> {
        let accounts = accounts.max(1);
        // A quarter for accounts that have the least, another for those that come first and have
        // more.
        let least_own = (limit / 4 / accounts).min(MOST_OWN);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        let share = (share.clamp(1.0 / 256.0, 256.0) * 256.0) as usize;
        Arc::new(Self {
            limit,
            share,
            reserve,
            least_own,
            unopened: AtomicUsize::new(least_own * accounts),
            owned: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            drawn: AtomicUsize::new(0),
            readings: AtomicUsize::new(0),
            refused_at: AtomicU64::new(0),
            refused_with: AtomicUsize::new(0),
            begun: Instant::now(),
            claims: Claims::default(),
            read_bytes: AtomicUsize::new(0),
            reading_ended: Notify::new(),
            bodies: BodyLine::default(),
            patience,
        })
    }

    /// A new account.
    pub(crate) fn open(self: &Arc<Self>) -> Arc<Account> {
        let unopened = self.unopened.load(Relaxed);
        let rich = self.owned.load(Relaxed) + MOST_OWN + unopened <= self.limit / 2;
        let own = if rich { MOST_OWN } else { self.least_own };
        self.unopened.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(self.least_own))).ok();
        self.owned.fetch_add(own, Relaxed);
        self.opened.fetch_add(1, Relaxed);
        self.account(own, false)
    }

    /// A new account for what is kept of all peers together, which owns nothing.
    pub(crate) fn open_common(self: &Arc<Self>) -> Arc<Account> {
        self.account(0, true)
    }

    fn account(self: &Arc<Self>, own: usize, has_none_to_give: bool) -> Arc<Account> {
        Arc::new(Account {
            budget: Arc::clone(self),
            own,
            held: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            given_back: AtomicBool::new(has_none_to_give),
        })
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes held beyond what accounts own.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes that belong to accounts, held or not.
    #[cfg(test)]
    pub(crate) fn owned_bytes(&self) -> usize {
        self.owned.load(Relaxed)
    }

    /// What neither belongs to an account nor is held.
    fn free(&self) -> usize {
        self.limit.saturating_sub(self.owned.load(Relaxed)).saturating_sub(self.used_bytes())
    }

    /// Whether nothing that was read from the reserve waits to be worked off.
    pub(crate) fn has_reserve(&self) -> bool {
        // Each account may be over its share by a step.
        self.owned.load(Relaxed) + self.used_bytes() <= self.limit.saturating_add(self.reserve / 4)
    }

    /// What is held of the budget and the overdraft. What arguments become when they are read does
    /// not count: whose callback runs is no matter of those whose frames are still coming, and it
    /// has a bound of its own.
    pub(crate) fn held_bytes(&self) -> usize {
        let used = self.used_bytes();
        // What is seen of a charge comes after the bytes that it is of.
        fence(Acquire);
        let received = used.saturating_sub(self.read_bytes.load(Relaxed));
        self.owned.load(Relaxed) + received + self.drawn.load(Relaxed)
    }

    /// The size of the largest frame.
    pub(crate) const fn largest_frame(&self) -> usize {
        self.reserve
    }

    /// The most of that which is allowed.
    pub(crate) const fn most_held(&self) -> usize {
        self.limit.saturating_add(self.reserve.saturating_mul(2))
    }

    /// What of a quarter of that falls to each connection there is.
    pub(super) fn even_part(&self) -> usize {
        self.most_held() / 4 / (self.opened.load(Relaxed) / ACCOUNTS).max(1)
    }

    /// Whether those who cannot be stopped have used up what they may take beyond their shares.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.held_bytes() > self.most_held()
    }

    /// Unfinished frames hold `now` bytes of the overdraft in the place of `before`.
    pub(crate) fn draw(&self, before: usize, now: usize) {
        if now > before {
            self.drawn.fetch_add(now - before, Relaxed);
        } else {
            self.drawn.fetch_sub(before - now, Relaxed);
        }
    }

    /// After so long it is looked whether a peer goes on with what it began.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Notes that somebody found no room who holds so much, with what it asked for where that may
    /// be most of the budget. One who holds more than another that was refused does not make that
    /// one's refusal last.
    pub(crate) fn note_refusal(&self, held: usize, now: Instant) {
        if !self.was_refused(now) || held <= self.refused_with.load(Relaxed) {
            self.refused_with.store(held, Relaxed);
            self.refused_at.store(self.millis(now), Relaxed);
        }
    }

    /// Whether somebody found no room of late who holds less than `held`.
    pub(crate) fn presses(&self, held: usize, now: Instant) -> bool {
        self.was_refused(now) && self.refused_with.load(Relaxed) < held
    }

    fn was_refused(&self, now: Instant) -> bool {
        let at = self.refused_at.load(Relaxed);
        at > 0 && self.millis(now).saturating_sub(at) < PRESSED_FOR
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// What is held for one peer in one direction.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    own: usize,
    held: AtomicUsize,
    /// The connection has ended: nothing more comes to it.
    ended: AtomicBool,
    /// What it owned is others'.
    given_back: AtomicBool,
}

impl Account {
    pub(crate) const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The part that nobody can take.
    pub(crate) const fn own(&self) -> usize {
        self.own
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// What it may hold as things stand.
    pub(crate) fn share(&self) -> usize {
        self.share_after(0)
    }

    /// What it may hold once `more` is taken: a large step leaves as much to others as many small
    /// ones.
    pub(crate) fn share_after(&self, more: usize) -> usize {
        let of_rest = self.budget.free().saturating_sub(more).saturating_mul(self.budget.share) / 256;
        self.own.saturating_add(of_rest)
    }

    /// Bytes from which on those who can wait do: an eighth of the share, so that one peer's
    /// backlog is a matter of seconds.
    pub(crate) fn soft_share(&self) -> usize {
        (self.share() / 8).max(self.own)
    }

    /// Whether `bytes` more find room.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let after = self.held_bytes().saturating_add(bytes);
        after <= self.own || (after <= self.share() && bytes <= self.budget.free())
    }

    /// Holds `bytes` more, whether there is room or not.
    pub(crate) fn add(&self, bytes: usize) {
        let before = self.held.fetch_add(bytes, Relaxed);
        let more = self.round_up(before + bytes) - self.round_up(before);
        if more > 0 {
            self.budget.used.fetch_add(more, Relaxed);
        }
    }

    pub(crate) fn sub(&self, bytes: usize) {
        // In one order with `end`: whichever of the two comes last sees that the other came, and
        // gives back what the account owns.
        let before = self.held.fetch_sub(bytes, SeqCst);
        debug_assert!(before >= bytes, "more is given back than was taken");
        if before == bytes && self.ended.load(SeqCst) {
            self.give_back();
        }
        let less = self.round_up(before) - self.round_up(before - bytes);
        if less > 0 {
            self.budget.used.fetch_sub(less, Relaxed);
        }
    }

    /// The connection has ended. What the account owns is for others once nothing is held, however
    /// long something remembers the connection.
    pub(crate) fn end(&self) {
        self.ended.store(true, SeqCst);
        if self.held.load(SeqCst) == 0 {
            self.give_back();
        }
    }

    fn give_back(&self) {
        if !self.given_back.swap(true, Relaxed) {
            self.budget.opened.fetch_sub(1, Relaxed);
            self.budget.owned.fetch_sub(self.own, Relaxed);
            self.budget.unopened.fetch_add(self.budget.least_own, Relaxed);
        }
    }

    /// Holds `now` bytes in the place of `before`.
    pub(crate) fn change(&self, before: usize, now: usize) {
        if now > before {
            self.add(now - before);
        } else if now < before {
            self.sub(before - now);
        }
    }

    /// Takes `bytes` if there is room, until the guard is dropped.
    pub(crate) fn try_charge(self: &Arc<Self>, bytes: usize, now: Instant) -> Option<Charge> {
        if !self.admits(bytes) {
            self.budget.note_refusal(self.held_bytes().saturating_add(bytes), now);
            return None;
        }
        Some(self.charge(bytes))
    }

    /// Takes what arguments of `bytes` may hold when they are read, by the `bound` of their format,
    /// until the guard is dropped. One at a time always may; so may those that `must`, because
    /// nobody could be told.
    pub(crate) fn read_arguments(
        self: &Arc<Self>,
        bytes: usize,
        bound: impl FnOnce() -> usize,
        must: bool,
        now: impl FnOnce() -> Instant,
    ) -> Result<Reading, NoRoom> {
        if bytes < READ_FREELY {
            return Ok(Reading(None));
        }
        // No budget is too small for one reading.
        let may_hold = bound().min(self.budget.limit / 4);
        let alone = self.budget.readings.load(Relaxed) == 0;
        if !alone && !must && !self.admits(may_hold) {
            self.budget.note_refusal(self.held_bytes().saturating_add(may_hold), now());
            return Err(NoRoom { may_hold, share: self.share() });
        }
        self.budget.readings.fetch_add(1, Relaxed);
        // Before the charge, and seen before it: whoever looks in between may take these bytes for
        // less than they are, and never for what unfinished frames hold.
        self.budget.read_bytes.fetch_add(may_hold, Relaxed);
        fence(Release);
        Ok(Reading(Some(self.charge(may_hold))))
    }

    /// Whether arguments that may hold so many bytes [may be read](Self::read_arguments).
    pub(crate) fn may_read_now(&self, bound: usize) -> bool {
        let budget = &*self.budget;
        budget.readings.load(Relaxed) == 0 || self.admits(bound.min(budget.limit / 4))
    }

    /// Waits until arguments that may hold so many bytes [may be read](Self::read_arguments): those
    /// before them were worked off, or something else made room.
    pub(crate) async fn may_read(&self, bound: usize) {
        let budget = &*self.budget;
        loop {
            let mut ended = pin!(budget.reading_ended.notified());
            ended.as_mut().enable();
            if self.may_read_now(bound) {
                return;
            }
            // Other memory becomes free without a word: a callback that runs for an hour with large
            // arguments must not keep those waiting for which there is room.
            let _looks_again = timeout(LOOK_FOR_ROOM, ended).await;
        }
    }

    /// Takes `bytes` in any case, until the guard is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { account: Arc::clone(self), bytes }
    }

    /// What of `held` is counted for all accounts. The differences of all changes add up to what is
    /// counted now.
    const fn round_up(&self, held: usize) -> usize {
        held.saturating_sub(self.own).div_ceil(STEP) * STEP
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let held = *self.held.get_mut();
        self.budget.used.fetch_sub(self.round_up(held), Relaxed);
        self.give_back();
    }
}

/// Memory of arguments that were read, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reading(Option<Charge>);

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(charge) = self.0.take() else { return };
        let (budget, bytes) = (Arc::clone(&charge.account.budget), charge.bytes);
        drop(charge);
        budget.read_bytes.fetch_sub(bytes, Relaxed);
        budget.readings.fetch_sub(1, Relaxed);
        budget.reading_ended.notify_waiters();
    }
}

/// There is no room for what reading arguments may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRoom {
    pub(crate) may_hold: usize,
    pub(crate) share: usize,
}

/// Memory taken from an account, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// Takes as much more as makes it `bytes`, if there is room.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if !self.account.admits(more) {
            self.account.budget.note_refusal(self.account.held_bytes().saturating_add(more), Instant::now());
            return false;
        }
        self.account.add(more);
        self.bytes += more;
        true
    }

    /// Gives back what is above `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.account.sub(less);
        self.bytes -= less;
    }

    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.sub(self.bytes);
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
