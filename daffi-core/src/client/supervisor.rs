//! Keeps a client connected.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use daffi_wire::{Level, Role};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    ClientConn, ClientCore, ClientState,
    establish::{Ends, establish, establish_any},
    pauses::Pauses,
};
use crate::{
    conn::Class,
    deadline::later,
    error::{Disconnected, Ended, InitializationError},
};

/// How often a client looks whether its calls have ended, while it has callbacks to announce to a
/// 3.0.1 server.
const QUIET_LOOK: Duration = Duration::from_millis(20);

/// The round in which an address is given all the time that is set.
const ALL_ITS_TIME: u32 = u32::MAX;

/// Connects, then keeps the connection on a task of its own. The first attempt decides, or with
/// `retry` the last one within that time.
pub(super) async fn start(shared: Arc<ClientCore>, retry: Option<Duration>) -> Result<(), InitializationError> {
    let (ends, ended) = ends();
    let first = match retry {
        None => establish_any(&shared, &ends, None, 0).await?,
        Some(within) => first_within(&shared, &ends, within).await?,
    };
    // This is made before the task, so that a task which is dropped before it ran ends the node
    // too.
    let end = End { shared, how: Ended::RuntimeGone };
    tokio::spawn(supervise(end, first, ends, ended));
    Ok(())
}

/// Connects and keeps the connection, all on a task of its own.
pub(super) fn start_lazily(shared: Arc<ClientCore>) {
    let (ends, ended) = ends();
    let mut end = End { shared, how: Ended::RuntimeGone };
    tokio::spawn(async move {
        match persist(&end.shared, &ends, None).await {
            Some(first) => supervise(end, first, ends, ended).await,
            None => end.set(Ended::Stopped),
        }
    });
}

/// The channel is unbounded, but only connections that were opened send, each once.
fn ends() -> (Ends, mpsc::UnboundedReceiver<(u64, Disconnected)>) {
    mpsc::unbounded_channel()
}

/// Tries until it works or the time is up, and then tells what failed last.
async fn first_within(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    within: Duration,
) -> Result<Arc<ClientConn>, InitializationError> {
    let until = later(within);
    let mut pauses = Pauses::new(&shared.node.config, None);
    let mut round = 0;
    loop {
        let error = match timeout_at(until, establish_any(shared, ends, None, round)).await {
            Ok(Ok(conn)) => return Ok(conn),
            Ok(Err(error)) => error,
            Err(_) => {
                let endpoint = shared.addresses.endpoint().to_string();
                return Err(InitializationError::ConnectTimeout { endpoint, after: within });
            }
        };
        let pause = pauses.next();
        if !error.is_retryable() || pause >= until.saturating_duration_since(Instant::now()) {
            return Err(error);
        }
        tracing::debug!(node = %shared.node.name, error = &error as &dyn std::error::Error, "no connection yet");
        sleep(pause).await;
        round = round.saturating_add(1);
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
        behind: VecDeque::new(),
        unannounced: false,
        worn: false,
        disputed: false,
    };
    end.how = kept.stay_connected(&mut ended).await;
    if end.how == Ended::Stopped {
        end.how = Ended::after(finish_callbacks(&shared).await);
    }
}

/// Sets the node's end when it is dropped. By then the node was stopped or evicted, or its runtime
/// is gone.
struct End {
    shared: Arc<ClientCore>,
    how: Ended,
}

impl End {
    fn set(&mut self, how: Ended) {
        self.how = how;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.how == Ended::RuntimeGone {
            self.shared.node.life.abandon();
        }
        self.shared.current.store(None);
        self.shared.set_state(ClientState::Ended(self.how));
        self.shared.events.close();
    }
}

/// What the supervisor knows of the connection that it keeps.
struct Kept<'a> {
    shared: &'a Arc<ClientCore>,
    ends: &'a Ends,
    current: Arc<ClientConn>,
    /// Those before, at servers that are stopping: what is open on them goes on there. No more than
    /// there are addresses; the oldest gives way.
    behind: VecDeque<Arc<ClientConn>>,
    /// Callbacks were added of which a 3.0.1 server was not told yet.
    unannounced: bool,
    /// Numbers of its calls are used up by receivers that do not answer.
    worn: bool,
    /// An attempt to replace the connection failed half-way: the server may evict it for one that
    /// is not there.
    disputed: bool,
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
                () = shared.node.life.stopping.cancelled() => {
                    return Ended::after(drain(shared, &self.current, &self.behind, ended).await);
                }
                Some((id, reason)) = ended.recv() => {
                    self.behind.retain(|behind| behind.conn.id != id);
                    if id == self.current.conn.id && let Err(ended) = self.reconnect(&reason).await {
                        self.behind.iter().for_each(|behind| behind.conn.drain());
                        return ended;
                    }
                }
                () = shared.announce.notified() => {
                    if self.is_updatable() {
                        update(shared, &self.current);
                    } else {
                        self.unannounced = true;
                    }
                }
                () = shared.server_stops.notified() => self.move_on().await,
                () = shared.reannounce.notified() => {
                    if !self.is_updatable() {
                        self.replace().await;
                        self.unannounced = false;
                    }
                }
                () = self.current.worn.notified(), if !self.worn => self.worn = true,
                () = sleep(QUIET_LOOK), if self.unannounced || self.worn => {
                    if self.may_be_replaced() {
                        self.replace().await;
                        (self.unannounced, self.worn) = (false, false);
                    }
                }
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
        shared.current.store(None);
        let evicted = matches!(reason, Disconnected::Evicted) && !self.disputed;
        let config = &shared.node.config;
        if evicted && !config.reconnect_when_evicted {
            tracing::warn!(node = %shared.node.name, "evicted: a newer connection took the name");
            return Err(Ended::Evicted);
        }
        tracing::info!(node = %shared.node.name, %reason, "connection lost; reconnecting");
        shared.set_state(ClientState::Reconnecting);
        // Of several addresses the one that was lost is tried last.
        shared.addresses.advance();
        // Two nodes of one name that both come back must not do so without a pause.
        let pause = if evicted { config.reconnect_max } else { config.reconnect_first };
        let next = persist(shared, self.ends, Some((&self.current, pause))).await.ok_or(Ended::Stopped)?;
        shared.called.reconnects.fetch_add(1, Ordering::Relaxed);
        tracing::info!(node = %shared.node.name, endpoint = %shared.addresses.endpoint(), "connected again");
        (self.current, self.unannounced, self.disputed, self.worn) = (next, false, false, false);
        Ok(())
    }

    /// Whether there is a reason to replace the connection, and nobody would lose by it: no caller
    /// waits for an answer on it, and nothing that was received or is to be sent waits either.
    fn may_be_replaced(&mut self) -> bool {
        let is_quiet = {
            let in_flight = &self.current.session.lock().in_flight;
            self.worn &= in_flight.is_worn();
            self.unannounced && in_flight.is_quiet() || self.worn && in_flight.nobody_waits()
        };
        is_quiet && self.current.conn.inbound.frames() == 0 && self.current.conn.outbox.bytes() == 0
    }

    /// The server is stopping: goes to another one, if there are several addresses. Calls go there
    /// from then on, and those that are open end where they are.
    async fn move_on(&mut self) {
        let shared = self.shared;
        if shared.addresses.len() == 1 || !self.current.server_stops.load(Ordering::Relaxed) {
            return;
        }
        // The clients of one server do not all come at once to the next, and two servers that send
        // a client to and fro keep it no busier than this.
        tokio::select! {
            () = shared.node.life.stopping.cancelled() => return,
            () = sleep(Pauses::new(&shared.node.config, None).next()) => {}
        }
        let here = shared.addresses.endpoint().to_string();
        for _ in 1..shared.addresses.len() {
            shared.addresses.advance();
            let made = tokio::select! {
                () = shared.node.life.stopping.cancelled() => return,
                made = establish(shared, self.ends, Some(&self.current), 0) => made,
            };
            match made {
                Ok(next) => {
                    tracing::info!(
                        node = %shared.node.name, endpoint = %shared.addresses.endpoint(),
                        "moved on: the server at {here} is stopping"
                    );
                    self.behind.push_back(std::mem::replace(&mut self.current, next));
                    if self.behind.len() > shared.addresses.len()
                        && let Some(oldest) = self.behind.pop_front()
                    {
                        oldest.conn.end(Disconnected::Replaced, false);
                    }
                    (self.unannounced, self.disputed, self.worn) = (false, false, false);
                    return;
                }
                Err(error) => {
                    // That server may have taken the handshake all the same; if it is the same one
                    // by another address, it evicts this connection.
                    self.disputed = true;
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(node = %shared.node.name, error, "cannot move on to here");
                }
            }
        }
        shared.addresses.advance();
    }

    /// Puts a new connection in the place of the current one, or goes on with that if there is
    /// none.
    async fn replace(&mut self) {
        (self.current, self.disputed) = replace(self.shared, Arc::clone(&self.current), self.ends).await;
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

/// Tries until it works or the node is stopped. The first attempt is made at once, if there was no
/// connection `before`, and else after the pause beside it.
async fn persist(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<(&ClientConn, Duration)>,
) -> Option<Arc<ClientConn>> {
    let (before, first) = before.unzip();
    let mut pauses = Pauses::new(&shared.node.config, first);
    let mut pause = before.map(|_| pauses.next());
    let (mut told, mut round) = (false, 0);
    loop {
        if let Some(pause) = pause {
            tokio::select! {
                () = shared.node.life.stopping.cancelled() => return None,
                () = sleep(pause) => {}
            }
        }
        tokio::select! {
            () = shared.node.life.stopping.cancelled() => return None,
            made = establish_any(shared, ends, before, round) => match made {
                Ok(conn) => return Some(conn),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    if std::mem::replace(&mut told, true) {
                        tracing::debug!(node = %shared.node.name, error, "no connection yet");
                    } else {
                        tracing::warn!(node = %shared.node.name, error, "no connection yet; trying on");
                    }
                }
            }
        }
        pause = Some(pauses.next());
        round = round.saturating_add(1);
    }
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

/// Tells a Router of this project that this node exposes nothing any more.
fn withdraw(current: &Arc<ClientConn>) {
    let hello = current.session.lock().hello(Vec::new());
    if let Ok(frame) = hello {
        // A connection that has just ended needs no word.
        drop(current.conn.send(Class::Notice, &frame));
    }
}

/// Tells a 3.0.1 server of added callbacks: a new connection takes the place of the old one.
///
/// Gives the connection to go on with, and whether the server may take the old one for replaced
/// although it is not.
async fn replace(shared: &Arc<ClientCore>, old: Arc<ClientConn>, ends: &Ends) -> (Arc<ClientConn>, bool) {
    shared.set_state(ClientState::Replacing);
    shared.current.store(None);
    let made = tokio::select! {
        () = shared.node.life.stopping.cancelled() => None,
        made = establish(shared, ends, Some(&old), ALL_ITS_TIME) => Some(made),
    };
    match made {
        Some(Ok(new)) => {
            old.conn.end(Disconnected::Replaced, false);
            (new, false)
        }
        failed => {
            if let Some(Err(error)) = failed {
                tracing::warn!(node = %shared.node.name, %error, "callbacks could not be announced");
            }
            // The driver of the old connection knows whether that still stands. If not, its end is
            // in the channel.
            shared.set_current(&old);
            shared.set_state(ClientState::Connected);
            (old, true)
        }
    }
}

/// Lets what was received run and sends what waits, within `grace`. Gives how many callbacks were
/// cut off.
async fn drain(
    shared: &Arc<ClientCore>,
    current: &Arc<ClientConn>,
    behind: &VecDeque<Arc<ClientConn>>,
    ended: &mut mpsc::UnboundedReceiver<(u64, Disconnected)>,
) -> usize {
    // Calls of callbacks that are still running find the connection as long as it stands.
    let config = &shared.node.config;
    let forwards = current.server_role() == Some(Role::Router);
    if current.conn.level().at_least(Level::FOUR) && forwards && !shared.looks {
        // Nobody shall choose this node any more.
        withdraw(current);
    }
    current.conn.drain();
    behind.iter().for_each(|behind| behind.conn.drain());
    // One that was entered just when the attempt to make it was given up.
    if let Some(entered) = shared.connection_now() {
        entered.conn.drain();
    }
    let gone = async {
        while let Some((id, _)) = ended.recv().await {
            if id == current.conn.id {
                break;
            }
        }
        for behind in behind {
            behind.conn.ended.cancelled().await;
        }
        shared.node.running.wait().await;
    };
    if timeout(config.grace, gone).await.is_ok() {
        return 0;
    }
    let callbacks = shared.node.running.len();
    tracing::warn!(node = %shared.node.name, callbacks, grace = ?config.grace, "stopping cut callbacks off");
    shared.node.life.kill();
    current.conn.end(Disconnected::Stopped, true);
    sleep(config.linger).await;
    shared.node.life.cut_off();
    callbacks
}
