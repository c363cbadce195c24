//! Keeps a client connected.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daffi_wire::{Level, Role};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{
    ClientConn, ClientCore, ClientState,
    establish::{Ends, establish_any},
    pauses::{HowEnded, Pauses, rest},
    persist::{LostConn, persist},
    replacing::{HELD_LOOK, Holds, Retries, go_on, hold_calls},
    schedule::Schedule,
};
use crate::{
    conn::Class,
    deadline::later,
    error::{Disconnected, Ended, InitializationError},
};

/// How often a client looks whether its calls have ended, while it has callbacks to announce to a
/// 3.0.1 server.
const QUIET_LOOK: Duration = Duration::from_millis(20);

/// Who has less time than this left to connect gives up.
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// After so many looks in vain it is logged what they wait for.
const LOOKS_IN_VAIN: u32 = 500;

/// Connects, then keeps the connection on a task of its own. The first attempt decides, or with
/// `retry` the last one within that time.
pub(super) async fn start(shared: Arc<ClientCore>, retry: Option<Duration>) -> Result<(), InitializationError> {
    let (ends, ended) = ends();
    let first = first(&shared, &ends, retry).await?;
    tokio::spawn(supervise(End::new(shared), first, ends, ended));
    Ok(())
}

/// Connects and keeps the connection, all on a task of its own.
pub(super) fn start_lazily(shared: Arc<ClientCore>) {
    let (ends, ended) = ends();
    tokio::spawn(begin(End::new(shared), ends, ended));
}

/// Connects as [`start_lazily`] does, and tells what became of the attempts that [`start`] makes:
/// one that failed goes on all the same, unless it is the last of `left`, whose node is dropped
/// when that is told.
pub(super) fn start_telling(
    shared: Arc<ClientCore>,
    retry: Option<Duration>,
    told: mpsc::Sender<Result<(), InitializationError>>,
    left: Arc<AtomicUsize>,
) {
    let (ends, ended) = ends();
    let mut end = End::new(shared);
    tokio::spawn(async move {
        let made = first(&end.shared, &ends, retry).await;
        let (first, tells) = match made {
            Ok(first) => (Some(first), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let is_last = first.is_none() && left.fetch_sub(1, Ordering::AcqRel) == 1;
        // Who has heard of the first one that works listens no more.
        let _heard = told.send(tells).await;
        drop(told);
        match first {
            Some(first) => supervise(end, first, ends, ended).await,
            None if is_last => {
                end.shared.node.life.stopping.cancelled().await;
                end.set(Ended::Stopped);
            }
            None => begin(end, ends, ended).await,
        }
    });
}

async fn begin(mut end: End, ends: Ends, ended: mpsc::UnboundedReceiver<(u64, Disconnected)>) {
    let mut schedule = schedule(&end.shared);
    match persist(&end.shared, &ends, None, &mut schedule).await {
        Ok(first) => supervise(end, first, ends, ended).await,
        Err(how) => end.set(how),
    }
}

fn schedule(shared: &ClientCore) -> Schedule {
    Schedule::new(&shared.node.config, shared.addresses.len())
}

/// The channel is unbounded, but only connections that were opened send, each once.
fn ends() -> (Ends, mpsc::UnboundedReceiver<(u64, Disconnected)>) {
    mpsc::unbounded_channel()
}

/// The first attempt, or all within that time.
async fn first(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    retry: Option<Duration>,
) -> Result<Arc<ClientConn>, InitializationError> {
    match retry {
        None => establish_any(shared, ends, &mut schedule(shared)).await,
        Some(within) => first_within(shared, ends, within).await,
    }
}

/// Tries until it works, the time is up or the node is stopped, and then tells what failed last.
async fn first_within(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    within: Duration,
) -> Result<Arc<ClientConn>, InitializationError> {
    let until = later(within);
    let (mut pauses, mut schedule) = (Pauses::new(&shared.node.config), schedule(shared));
    loop {
        let error = match timeout_at(until, establish_any(shared, ends, &mut schedule)).await {
            Ok(Ok(conn)) => return Ok(conn),
            Ok(Err(error)) => error,
            Err(_) => {
                let endpoint = shared.addresses.endpoint().to_string();
                return Err(InitializationError::ConnectTimeout { endpoint, after: within });
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        if !error.is_retryable() || left < LAST_PAUSE {
            return Err(error);
        }
        tracing::debug!(node = %shared.node.name, error = &error as &dyn std::error::Error, "no connection yet");
        // Towards the end it tries more often, rather than to give up before its time.
        if !rest(shared, pauses.next().min(left / 2)).await {
            return Err(error);
        }
    }
}

async fn supervise(
    mut end: End,
    current: Arc<ClientConn>,
    ends: Ends,
    mut ended: mpsc::UnboundedReceiver<(u64, Disconnected)>,
) {
    let shared = Arc::clone(&end.shared);
    let mut kept = Kept {
        shared: &shared,
        ends: &ends,
        current,
        since: Instant::now(),
        schedule: schedule(&shared),
        moves_at: None,
        behind: VecDeque::new(),
        unannounced: false,
        looks: 0,
        worn: false,
        holds: Holds::default(),
        retries: Retries::default(),
        kept: 0,
    };
    end.how = kept.stay_connected(&mut ended).await;
    if end.how == Ended::Stopped {
        end.how = Ended::after(finish_callbacks(&shared).await);
    }
}

/// Sets the node's end when it is dropped. By then the node was stopped or evicted or can have no
/// connection, or its runtime is gone.
struct End {
    shared: Arc<ClientCore>,
    how: Ended,
}

impl End {
    /// It is made before the task that keeps the node connected, which may never run.
    const fn new(shared: Arc<ClientCore>) -> Self {
        Self { shared, how: Ended::RuntimeGone }
    }

    fn set(&mut self, how: Ended) {
        self.how = how;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.how = Ended::Panicked;
        }
        self.shared.showing().clear();
        // Before the connections are told to end, which look at it for why they do.
        self.shared.set_state(ClientState::Ended(self.how));
        if matches!(self.how, Ended::RuntimeGone | Ended::Panicked) {
            self.shared.node.life.abandon();
        }
        self.shared.events.close();
    }
}

/// What the supervisor knows of the connection that it keeps.
pub(super) struct Kept<'a> {
    pub(super) shared: &'a Arc<ClientCore>,
    pub(super) ends: &'a Ends,
    pub(super) current: Arc<ClientConn>,
    /// When that was made.
    pub(super) since: Instant,
    pub(super) schedule: Schedule,
    /// When another address is tried, because the server stops or is silent.
    pub(super) moves_at: Option<Instant>,
    /// The connections before, at servers that are stopping or were silent: what is open on them
    /// goes on there. No more than there are addresses; the oldest gives way.
    pub(super) behind: VecDeque<Arc<ClientConn>>,
    /// Callbacks were added of which a 3.0.1 server was not told yet.
    pub(super) unannounced: bool,
    /// How often that was looked at in vain.
    looks: u32,
    /// Numbers of its calls are used up by receivers that do not answer.
    pub(super) worn: bool,
    /// When calls are held back for that.
    pub(super) holds: Holds,
    /// When a replacement that failed is tried again.
    pub(super) retries: Retries,
    /// How often it was seen that a stream keeps it from being replaced.
    pub(super) kept: u32,
}

impl Kept<'_> {
    /// Keeps a connection that stands, until the node ends.
    async fn stay_connected(&mut self, ended: &mut mpsc::UnboundedReceiver<(u64, Disconnected)>) -> Ended {
        let shared = self.shared;
        loop {
            tokio::select! {
                biased;
                () = shared.node.life.killed.cancelled() => {
                    self.current.conn.end(Disconnected::Stopped, false);
                    return Ended::Stopped;
                }
                () = shared.node.life.stopping.cancelled() => return self.drain().await,
                Some((id, reason)) = ended.recv() => {
                    self.behind.retain(|behind| behind.conn.id != id);
                    if id == self.current.conn.id && let Err(ended) = self.reconnect(&reason).await {
                        if ended == Ended::Stopped {
                            return self.drain().await;
                        }
                        self.behind.iter().for_each(|behind| behind.conn.drain());
                        return ended;
                    }
                }
                () = shared.announce.notified() => {
                    if self.is_updatable() {
                        update(shared, &self.current);
                    } else {
                        (self.unannounced, self.looks) = (true, 0);
                    }
                }
                () = shared.moves_on.notified() => self.begin_to_move(),
                () = sleep_until(self.moves_at.unwrap_or_else(Instant::now)), if self.moves_at.is_some() => {
                    self.move_on().await;
                }
                () = shared.reannounce.notified() => {
                    if !self.is_updatable() {
                        // What fails now is tried again when nobody loses by it.
                        (self.unannounced, self.looks) = (true, 0);
                        self.replace(true).await;
                    }
                }
                () = self.current.worn.notified(), if !self.worn => self.worn = true,
                () = sleep(QUIET_LOOK), if self.unannounced || self.worn || self.has_left_a_silent_one() => {
                    self.leave_silent_ones();
                    self.look().await;
                }
            }
        }
    }

    /// Replaces the connection, if there is a reason to and nobody would lose by it.
    async fn look(&mut self) {
        let is_kept = self.worn && self.current.is_kept();
        self.kept = self.kept.saturating_add(u32::from(is_kept));
        if is_kept && self.kept == LOOKS_IN_VAIN {
            tracing::warn!(
                node = %self.shared.node.name,
                "a quarter of the call numbers waits for answers that never came; a stream that is to send more, or a \
                 nowait call that waits for credit, keeps the connection from being replaced: end it"
            );
        }
        if self.retries.are_due() && (self.may_be_replaced() || self.worn && !is_kept && self.holds.are_due()) {
            self.replace(false).await;
        } else if self.unannounced {
            self.looks = self.looks.saturating_add(1);
            if self.looks == LOOKS_IN_VAIN {
                tracing::warn!(
                    node = %self.shared.node.name,
                    "added callbacks are not announced as long as calls are open to a 3.0.1 server; reannounce() does not wait"
                );
            }
        }
    }

    /// Whether the server takes a second handshake for an update, which 3.0.1 does not.
    fn is_updatable(&self) -> bool {
        self.current.conn.level().at_least(Level::FOUR)
    }

    /// The connection has ended: makes the next one, unless the node ends before or by that.
    async fn reconnect(&mut self, reason: &Disconnected) -> Result<(), Ended> {
        let shared = self.shared;
        shared.showing().clear();
        let evicted = matches!(reason, Disconnected::Evicted);
        let is_replaced = matches!(reason, Disconnected::Replaced);
        if is_replaced {
            // By what was on its way of one attempt: that has arrived.
            shared.unanswered.end_one();
        }
        let config = &shared.node.config;
        if evicted && !config.reconnect_when_evicted {
            tracing::warn!(node = %shared.node.name, "evicted: a newer connection took the name");
            return Err(Ended::Evicted);
        }
        tracing::info!(node = %shared.node.name, %reason, "connection lost; reconnecting");
        shared.set_state(ClientState::Reconnecting);
        self.moves_at = None;
        if !is_replaced {
            shared.addresses.give_way(shared.addresses.at());
        }
        let how = match reason {
            // Two nodes of one name that both come back must not do so without a pause, nor one
            // whose peer breaks the rules or a limit.
            _ if evicted || is_to_repeat(reason) => HowEnded::Repeats,
            Disconnected::ServerStopped | Disconnected::ServerCutOff => HowEnded::InOrder,
            Disconnected::Replaced => HowEnded::Replaced,
            _ => HowEnded::Lost,
        };
        self.schedule.note_end(shared.addresses.at(), self.since.elapsed(), how);
        let lost = LostConn { conn: &self.current, is_replaced };
        let next = persist(shared, self.ends, Some(lost), &mut self.schedule).await?;
        shared.called.reconnects.fetch_add(1, Ordering::Relaxed);
        tracing::info!(node = %shared.node.name, endpoint = %shared.addresses.endpoint(), "connected again");
        (self.current, self.since) = (next, Instant::now());
        (self.unannounced, self.worn) = (false, false);
        (self.holds, self.retries, self.kept) = (Holds::default(), Retries::default(), 0);
        Ok(())
    }

    /// Whether there is a reason to replace the connection, and nobody would lose by it: no caller
    /// waits for an answer on it, or for credit, no stream is to send more there, and nothing that
    /// was received or is to be sent waits either.
    pub(super) fn may_be_replaced(&mut self) -> bool {
        let is_quiet = {
            let in_flight = &self.current.session.lock().in_flight;
            self.worn &= in_flight.is_worn();
            self.unannounced && in_flight.is_quiet() || self.worn && in_flight.nobody_waits()
        };
        let conn = &self.current.conn;
        is_quiet && !self.current.is_kept() && conn.inbound.frames() == 0 && conn.outbox.bytes() == 0
    }

    /// Holds calls back for a moment, if they were not lately. `true`: those that were open have
    /// ended, and the others wait for the next connection.
    pub(super) async fn has_held_calls(&mut self) -> bool {
        if !self.holds.are_due() {
            return false;
        }
        let shared = self.shared;
        hold_calls(shared, &self.current);
        let until = self.holds.begin();
        let has_ended = loop {
            if self.may_be_replaced() {
                break true;
            }
            let is_in_vain = self.current.is_kept() || !(self.worn || self.unannounced);
            if is_in_vain || Instant::now() >= until || shared.node.life.is_stopping() {
                break false;
            }
            sleep(HELD_LOOK).await;
        };
        if !has_ended {
            go_on(shared, &self.current);
        }
        has_ended
    }

    /// Lets what was received run and sends what waits, within `grace`, on the current connection,
    /// whether it still stands or not, and on those before.
    async fn drain(&self) -> Ended {
        let before = self.shared.tell_unsent();
        // Calls of callbacks that are still running find the connection as long as it stands.
        let (shared, current) = (self.shared, &self.current);
        let (node, config) = (&shared.node, &shared.node.config);
        let forwards = current.server_role() == Some(Role::Router);
        if self.is_updatable() && forwards && !shared.looks {
            // Nobody shall choose this node any more. What was sent to it before its Router knew
            // that runs as well.
            let _not_answered = timeout(config.linger, current.withdraw()).await;
        }
        let all = || self.behind.iter().chain([current]);
        all().for_each(|one| one.conn.take_last_calls(false));
        all().for_each(|one| one.conn.drain());
        let gone = async {
            for one in all() {
                one.conn.ended.cancelled().await;
            }
            node.running.wait().await;
        };
        if timeout(config.grace, gone).await.is_ok() {
            return shared.end_after(0, before);
        }
        let callbacks = node.running.len();
        if callbacks > 0 {
            tracing::warn!(node = %node.name, callbacks, grace = ?config.grace, "stopping cut callbacks off");
        }
        node.life.kill();
        all().for_each(|one| one.conn.end(Disconnected::Stopped, true));
        let ended = || async {
            for one in all() {
                one.conn.ended.cancelled().await;
            }
        };
        let in_order = timeout(config.linger, ended()).await;
        node.life.cut_off();
        if in_order.is_err() {
            // Their tasks drop them as soon as they have a turn, which a function that blocks their
            // thread may keep from them for ever. What is known by then is told.
            if timeout(config.linger, ended()).await.is_err() {
                tracing::warn!(node = %node.name, "stopped before a connection has ended, whose thread a function blocks");
            }
        }
        shared.end_after(callbacks, before)
    }
}

/// Lets the callbacks end that run, within `grace`, also those of a connection that was lost. Gives
/// how many were cut off.
async fn finish_callbacks(shared: &ClientCore) -> usize {
    let node = &shared.node;
    let grace = node.config.grace;
    tokio::select! {
        biased;
        () = node.running.wait() => 0,
        () = node.life.killed.cancelled() => 0,
        () = sleep(grace) => {
            let callbacks = node.running.len();
            tracing::warn!(node = %node.name, callbacks, ?grace, "stopping cut callbacks off");
            node.life.kill();
            callbacks
        }
    }
}

/// Whether the next connection is likely to end for the same reason.
const fn is_to_repeat(reason: &Disconnected) -> bool {
    use Disconnected::{Limit, Protocol, SlowPeer, SlowSender};
    matches!(reason, Limit { .. } | Protocol(_) | SlowPeer { .. } | SlowSender { .. })
}

/// Tells a server of this project of added callbacks: a second handshake is an update
/// ([protocol, 12](daffi_wire::protocol#12)).
fn update(shared: &Arc<ClientCore>, current: &Arc<ClientConn>) {
    let hello = current.session.lock().hello(shared.serving.methods());
    match hello {
        // A connection that has just ended is made again, and its handshake names all callbacks.
        Ok(frame) => drop(current.conn.send(Class::Notice, &frame)),
        Err(error) => tracing::error!(node = %shared.node.name, %error, "the callbacks do not fit into a handshake"),
    }
}
