//! One connection: what its driver, its callers and its callbacks share.

mod alive;
mod attempt;
pub(crate) mod body_line;
mod bounds;
mod budget;
mod claims;
mod class;
mod clock;
mod data_queue;
mod driver;
mod hold;
mod inbound;
mod long_turns;
mod opening;
mod outbox;
#[cfg(test)]
mod pair;
mod read;
mod room_wanted;
mod shutdown;
mod slow_peer;
mod slow_read;
mod spare;
mod timers;
mod turn;
mod turnstile;
mod unfinished;
mod unsent;
mod voice;
mod way;
mod write;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::Context,
};

use bytes::Bytes;
use daffi_transport::{PeerInfo, SHARE_FROM};
use daffi_wire::{Attempt, Frame, Level, Ping};
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use self::data_queue::DataQueue;
pub(crate) use self::{
    alive::Alive,
    body_line::{BodyPlace, BodyProgress, TakesRoom, Whose},
    budget::{Account, Budget, Charge, NoRoom, READ_FREELY, Reading},
    class::Class,
    clock::{Clock, SLOW, TimedRun},
    data_queue::{DataFrom, DataKey},
    driver::{Driver, Handler},
    inbound::{Inbound, Ticket, WAITING_COST},
    long_turns::LongTurns,
    outbox::{Closed, Outbox, Queued, Receipt},
    turn::{Turn, nanos},
    unsent::LeftUnsent,
    voice::Voice,
};
use self::{alive::Signs, opening::Hurry, room_wanted::RoomWanted};
use crate::{
    error::Disconnected,
    lanes,
    session::{Identity, ShownToken, Token},
};

/// One connection, as its driver, its callers and its callbacks share it.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Unique in this process.
    pub(crate) id: u64,
    pub(crate) peer: PeerInfo,
    /// The token that the peer showed and that was accepted.
    token: Mutex<Option<Arc<ShownToken>>>,
    /// The peer is a Router that this node trusts to say who calls. Relaxed: it is set before the
    /// first request is read.
    tells_identities: AtomicBool,
    /// A rule knows the peer by the common name of its certificate.
    knows_common_name: AtomicBool,
    /// The seat on which its driver runs, if its node spreads its connections over lanes.
    seat: u64,
    pub(crate) outbox: Outbox,
    pub(crate) inbound: Inbound,
    /// What DATA of open calls may hold: as much as was granted, from the first call on that has
    /// some. It is counted apart, so that slow streams leave small calls their room.
    data: OnceLock<Arc<Account>>,
    /// Cancelled when the connection ends.
    pub(crate) ended: CancellationToken,
    /// Requests that wait until answers are taken, one after another.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
    /// Relaxed: their order is that of `gate`, and this only tells whether there are any.
    pub(crate) gated: AtomicUsize,
    /// Bytes of bodies that begin to be sent and wait until the peer takes more of them.
    rests: AtomicUsize,
    /// Turns of other connections that hold frames for this one.
    promised: AtomicUsize,
    /// Relaxed: it is set before others find the connection, and whoever still sees level 3 writes
    /// what any peer takes.
    level: AtomicU8,
    /// In one order with `promised`: see [`keep_promise`](Self::keep_promise).
    draining: AtomicBool,
    /// The peer does not know yet that this node is stopping, or has not come to another server,
    /// and calls it.
    takes_last_calls: AtomicBool,
    /// Which attempt of its client it is, if that says so in the first HANDSHAKE.
    attempt: OnceLock<Attempt>,
    settling: AtomicBool,
    /// Writing the last answer happens before this is seen.
    settled: AtomicBool,
    /// It was ended for breaking a rule or a limit. Relaxed: a request that begins just before it
    /// is seen might as well have begun before it was set.
    cut: AtomicBool,
    /// What others ask of the driver: to end for this reason, at once or when all that waits was
    /// written.
    end: Mutex<Option<(Disconnected, bool)>>,
    ending: AtomicBool,
    driver: AtomicWaker,
    /// The driver was woken and has not run since: one wake-up does for all.
    woken: AtomicBool,
    /// The handler put something off until there is room.
    wants_room: RoomWanted,
    signs: Signs,
    hurry: Hurry,
}

/// A caller with at most so many requests that wait asks little, and gives way to nobody.
pub(crate) const FEW: usize = 8;

/// Forwarded frames below this size are copied: a small part of a read buffer must not keep all of
/// it alive. A larger one keeps at most eight times its size alive.
const COPIED_BELOW: usize = 32 * 1024;

static IDS: AtomicU64 = AtomicU64::new(1);

/// Keeps a connection from ending in order.
#[must_use]
pub(crate) struct Promise<'a>(&'a Conn);

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.0.keep_promise();
        if self.0.is_draining() || self.0.is_settling() {
            self.0.wake();
        }
    }
}

impl Conn {
    /// A connection whose memory is taken from `budget`.
    pub(crate) fn new(peer: PeerInfo, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            peer,
            token: Mutex::default(),
            tells_identities: AtomicBool::new(false),
            knows_common_name: AtomicBool::new(false),
            seat: lanes::seat(),
            outbox: Outbox::new(budget.open()),
            inbound: Inbound::new(budget.open()),
            data: OnceLock::new(),
            ended: CancellationToken::new(),
            gate: Arc::default(),
            gated: AtomicUsize::new(0),
            rests: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
            level: AtomicU8::new(Level::THREE.number()),
            draining: AtomicBool::new(false),
            takes_last_calls: AtomicBool::new(false),
            attempt: OnceLock::new(),
            settling: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            end: Mutex::new(None),
            ending: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            woken: AtomicBool::new(false),
            wants_room: RoomWanted::default(),
            signs: Signs::default(),
            hurry: Hurry::default(),
        })
    }

    /// Notes the token that the peer showed, and the name under which this node knows it.
    pub(crate) fn accept_token(&self, name: String, token: Token) {
        // A connection shows one, in its second handshake.
        self.token.lock().get_or_insert_with(|| Arc::new(ShownToken { name, token }));
    }

    /// The token that was accepted.
    pub(crate) fn token(&self) -> Option<Arc<ShownToken>> {
        self.token.lock().clone()
    }

    /// Another policy knows the token that was accepted by this name.
    pub(crate) fn rename_token(&self, name: &str) {
        if let Some(shown) = self.token.lock().as_mut().filter(|shown| shown.name != name) {
            *shown = Arc::new(ShownToken { name: name.to_owned(), token: shown.token.clone() });
        }
    }

    /// Believes the peer, a Router, who calls.
    pub(crate) fn believe_identities(&self) {
        self.tells_identities.store(true, Ordering::Relaxed);
    }

    pub(crate) fn tells_identities(&self) -> bool {
        self.tells_identities.load(Ordering::Relaxed)
    }

    /// Notes whether a rule knows the peer by the common name of its certificate.
    pub(crate) fn set_knows_common_name(&self, knows: bool) {
        self.knows_common_name.store(knows, Ordering::Relaxed);
    }

    /// Who the peer is.
    pub(crate) fn identity(&self) -> Identity {
        let token = self.token();
        let knows_common_name = self.knows_common_name.load(Ordering::Relaxed);
        Identity::of(&self.peer, token.as_ref().map(|shown| shown.name.as_str()), knows_common_name)
    }

    /// What the peer has shown to speak.
    pub(crate) fn level(&self) -> Level {
        if self.level.load(Ordering::Relaxed) >= Level::FOUR.number() { Level::FOUR } else { Level::THREE }
    }

    pub(crate) fn set_level(&self, level: Level) {
        self.level.store(level.number(), Ordering::Relaxed);
    }

    /// Ends the accounts, when nothing comes any more and nothing is written.
    pub(crate) fn end_accounts(&self) {
        self.outbox.account().end();
        self.inbound.account().end();
    }

    /// The account of what DATA may hold.
    pub(crate) fn data_account(&self) -> &Arc<Account> {
        self.data.get_or_init(|| self.inbound.account().budget().open_common())
    }

    /// Queues a frame of DATA, or the end of a call of which DATA may wait, and lets the driver
    /// run.
    pub(crate) fn send_data(&self, key: DataKey, frame: Bytes) -> Result<(), Closed> {
        // Whoever makes DATA counts what of its window it sent.
        self.ask(self.outbox.push_data(key, frame, 0)?);
        Ok(())
    }

    /// Queues a frame of DATA that somebody else sent, under the number that the peer knows; it
    /// costs so much of the window that the peer granted.
    pub(crate) fn forward_data(&self, key: DataKey, frame: &Frame, cost: u64) -> Result<(), Closed> {
        lanes::note_exchange(self.seat, 1);
        let bytes = frame.as_bytes();
        let own = if frame.header().id() != key.id {
            frame.with_id(key.id).into_bytes()
        } else if bytes.len() < COPIED_BELOW {
            // A small part of a read buffer must not keep all of it alive.
            Bytes::copy_from_slice(bytes)
        } else {
            bytes.clone()
        };
        self.ask(self.outbox.push_data(key, own, cost)?);
        Ok(())
    }

    /// Drops the DATA of a call that has ended.
    pub(crate) fn forget_data(&self, key: DataKey) {
        self.outbox.forget_data(|data| data.forget(key));
        if self.wants_room.is_any() {
            // There may be some.
            self.wake();
        }
    }

    /// Drops the DATA of all calls of a caller that has left.
    pub(crate) fn forget_data_from(&self, from: DataFrom) {
        self.outbox.forget_data(|data| data.forget_all(from));
        if self.wants_room.is_any() {
            // There may be some.
            self.wake();
        }
    }

    pub(crate) fn is_gated(&self) -> bool {
        self.gated.load(Ordering::Relaxed) > 0
    }

    /// Queues a frame and lets the driver run. `Ok(false)`: there is no room for one of its class.
    pub(crate) fn send(&self, class: Class, frame: &Frame) -> Result<bool, Closed> {
        let (head, payload) = parts(frame, SHARE_FROM);
        self.send_parts(class, head, payload)
    }

    /// Queues what this node says of itself or others.
    pub(crate) fn notify(&self, frames: &[Frame]) -> Result<(), Closed> {
        for frame in frames {
            self.send(Class::Notice, frame)?;
        }
        Ok(())
    }

    /// Queues what this node says, with something to drop once all of it was written. `receipt` is
    /// made only if that is queued.
    pub(crate) fn notify_with(&self, frames: &[Frame], receipt: impl FnOnce() -> Receipt) -> Result<(), Closed> {
        let Some((last, before)) = frames.split_last() else { return Ok(()) };
        self.notify(before)?;
        let (head, payload) = parts(last, SHARE_FROM);
        self.ask(self.outbox.push_with(head, payload, receipt)?);
        Ok(())
    }

    /// Queues a frame that somebody else sent, byte for byte, and lets the driver run. `Ok(false)`:
    /// there is no room.
    pub(crate) fn forward(&self, class: Class, frame: &Frame) -> Result<bool, Closed> {
        let (head, payload) = parts(frame, COPIED_BELOW);
        self.send_parts(class, head, payload)
    }

    /// Queues a nowait request that somebody else sent, with something to drop once it was written;
    /// made only if it is queued.
    pub(crate) fn forward_with(&self, frame: &Frame, receipt: impl FnOnce() -> Receipt) -> Result<(), Closed> {
        lanes::note_exchange(self.seat, 1);
        let (head, payload) = parts(frame, COPIED_BELOW);
        self.ask(self.outbox.push_with(head, payload, receipt)?);
        Ok(())
    }

    /// Queues a frame in two parts and lets the driver run. `Ok(false)`: there is no room for one
    /// of its class.
    pub(crate) fn send_parts(&self, class: Class, head: &[u8], payload: Option<Bytes>) -> Result<bool, Closed> {
        let queued = self.outbox.push(class, head, payload)?;
        self.ask(queued);
        Ok(queued != Queued::Full)
    }

    /// Queues a request of this node that nobody answers, in two parts, and lets the driver run.
    /// `Ok(false)`: there is no room for it.
    pub(crate) fn send_unanswered(&self, head: &[u8], payload: Option<Bytes>) -> Result<bool, Closed> {
        let queued = self.outbox.push_unanswered(head, payload)?;
        self.ask(queued);
        Ok(queued != Queued::Full)
    }

    /// Whether this end reads the peer slowly or not at all now, for what is held for it.
    pub(crate) fn is_held_back(&self) -> bool {
        // What was noted last may be over: when what waited has run, nobody has to look again.
        self.signs.reads_less() && (self.inbound.account().held_bytes() > 0 || self.outbox.bytes() > 0)
    }

    /// Whether the peer gave no sign of life although it was asked for one.
    pub(crate) fn is_stopped(&self) -> bool {
        self.signs.is_stopped()
    }

    /// Handles a PING: a question is answered at once, whatever callbacks do.
    pub(crate) fn answer_ping(&self, frame: &Frame) -> Result<(), Disconnected> {
        if let Some(answer) = Ping::read(frame)?.answer() {
            // A connection that has just ended answers nothing any more.
            drop(self.send(Class::Provoked, &answer.frame()));
        }
        Ok(())
    }

    /// Notes that a turn holds frames for this connection, which does not end in order before they
    /// are queued.
    fn promise(&self) {
        self.promised.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that they are queued. Sequentially consistent with [`drain`](Self::drain): either
    /// keeping the promise happens before the driver looks for promises, or draining happens before
    /// the keeper looks for that, and it wakes the driver.
    fn keep_promise(&self) {
        self.promised.fetch_sub(1, Ordering::SeqCst);
    }

    /// Promises it for as long as what this gives is alive: take it before a call stops to be open,
    /// and drop it when its end is queued.
    pub(crate) fn promise_to_queue(&self) -> Promise<'_> {
        self.promise();
        Promise(self)
    }

    pub(crate) fn is_promised(&self) -> bool {
        self.promised.load(Ordering::SeqCst) > 0
    }

    /// Lets the driver run for what was queued, unless it was asked to.
    fn ask(&self, queued: Queued) {
        if queued == Queued::Ask {
            self.driver.wake();
        }
    }

    /// Lets the driver run.
    pub(crate) fn wake(&self) {
        // Release: what the driver is woken for happens before it takes the flag back, also when an
        // earlier wake-up is still on its way.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    /// Notes that the driver runs. `cx` is woken by whatever happens after this; whatever was
    /// queued before a wake-up that is taken back here happens before the driver looks.
    pub(crate) fn note_run(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// Ends the connection; `flush`: after all that waits was written.
    pub(crate) fn end(&self, reason: Disconnected, flush: bool) {
        {
            let mut end = self.end.lock();
            match &*end {
                Some((_, false)) => {}
                Some((_, true)) if flush => {}
                _ => *end = Some((reason, flush)),
            }
        }
        // Release: the reason is written before the driver sees the flag.
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    /// Why and how it was ended from outside.
    fn wanted_end(&self) -> Option<(Disconnected, bool)> {
        if self.is_ending() { self.end.lock().clone() } else { None }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Ends the connection when what was received has run and what waits was written.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Whether calls are taken although the node is stopping: its Router does not know yet, or its
    /// client goes to another server and is not there yet.
    pub(crate) fn takes_last_calls(&self) -> bool {
        self.takes_last_calls.load(Ordering::Relaxed)
    }

    /// Sets whether calls are taken while the node is stopping.
    pub(crate) fn take_last_calls(&self, takes: bool) {
        // In one order with who says that nobody's are taken any more.
        self.takes_last_calls.store(takes, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Lets what was received run and what waits be written, and the last answer settle, so that
    /// [`drain`](Self::drain) ends the connection in a moment.
    pub(crate) fn settle(&self) {
        if !self.settling.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    fn is_settling(&self) -> bool {
        self.settling.load(Ordering::SeqCst)
    }

    fn note_settled(&self) {
        self.settled.store(true, Ordering::SeqCst);
    }

    /// Whether it was ended for breaking a rule or a limit: what its peer left behind does not run.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Whether it has [settled](Self::settle), or has ended.
    pub(crate) fn has_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst) || self.ended.is_cancelled()
    }
}

/// A frame as an outbox takes it: copied when small, shared when large.
fn parts(frame: &Frame, share_from: usize) -> (&[u8], Option<Bytes>) {
    let bytes = frame.as_bytes();
    if bytes.len() < share_from { (bytes, None) } else { (&[], Some(bytes.clone())) }
}
