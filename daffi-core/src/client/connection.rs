//! One connection of a client: its session behind a lock, and its handler for the driver.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize},
    },
    task::Waker,
    time::Instant,
};

use arc_swap::ArcSwap;
use daffi_wire::{CallId, Cancel, CancelReason, EventKind, Frame, Kind, Level, Limits, NodeName, Role, Watch};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    CalledCallbacks, ClientCore, ClientCredit, ClientState, NowaitReceipt, Picker, callers::Callers, contest::Contest,
    open_streams::OpenStreams, withdrawal::Withdrawal,
};
use crate::{
    conn::{Alive, Class, Conn, FEW, Handler, LeftUnsent, Turn},
    error::{CallError, Disconnected, Ended},
    events::MemberEvent,
    refusal::Refusal,
    serve::{Context as Caller, Intake, Node},
    session::{ClientSession, Completed, Handled, Members},
};

/// One connection of a client.
#[derive(Debug)]
pub(crate) struct ClientConn {
    /// This node's name.
    pub(crate) name: NodeName,
    pub(crate) conn: Arc<Conn>,
    pub(crate) session: Mutex<ClientSession>,
    /// The open calls of which a part comes or goes in DATA.
    pub(crate) streams: OpenStreams,
    pub(super) credit: ClientCredit,
    pub(crate) limits: Limits,
    /// The largest result that is put together.
    pub(super) max_body: usize,
    pub(crate) picker: Arc<dyn Picker>,
    pub(crate) called: Arc<CalledCallbacks>,
    /// The members as this connection tells them.
    members: ArcSwap<Members>,
    /// The server answered what it was asked to tell, or the connection ended.
    pub(super) told: Notify,
    /// Held by whoever asks it to tell of members, until that is on its way.
    pub(super) asking: Mutex<()>,
    /// Why it last refused to tell.
    pub(super) refused: Mutex<String>,
    /// A call number became free: wakes one of those who take it at once.
    pub(super) freed: Notify,
    /// A call number became free: wakes all who look whether a call could be made.
    pub(super) ready: Notify,
    /// So many numbers rest that a new connection should take the place of this one.
    pub(crate) worn: Notify,
    pub(super) withdrawal: Withdrawal,
    /// Its server said that it is stopping.
    pub(super) server_stops: AtomicBool,
    /// Calls go to another server by now.
    pub(super) is_left: AtomicBool,
    /// Another HANDSHAKE of this node may take the name from it.
    pub(super) contest: Contest,
    /// Streams that are to send more on it. Relaxed: it is only looked at.
    pub(super) pins: AtomicUsize,
    /// Requests that wait for credit. Relaxed, too.
    pub(super) waiting_for_credit: AtomicUsize,
    /// Why the connection ended, once it did.
    ended: OnceLock<Disconnected>,
    /// An eviction is no end of the node.
    comes_back: bool,
}

impl ClientConn {
    pub(crate) fn new(shared: &ClientCore, conn: Arc<Conn>, session: ClientSession) -> Arc<Self> {
        let node: &Node = &shared.node;
        Arc::new(Self {
            name: node.name.clone(),
            credit: ClientCredit::new(node.config.budget_bytes, Arc::clone(conn.inbound.account())),
            conn,
            session: Mutex::new(session),
            streams: OpenStreams::default(),
            limits: node.config.limits,
            max_body: node.config.max_body,
            picker: Arc::clone(&shared.picker),
            called: Arc::clone(&shared.called),
            members: ArcSwap::default(),
            told: Notify::new(),
            asking: Mutex::default(),
            refused: Mutex::default(),
            freed: Notify::new(),
            ready: Notify::new(),
            worn: Notify::new(),
            withdrawal: Withdrawal::default(),
            server_stops: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
            contest: shared.unanswered.of_next(),
            pins: AtomicUsize::new(0),
            waiting_for_credit: AtomicUsize::new(0),
            ended: OnceLock::new(),
            comes_back: node.config.reconnect_when_evicted,
        })
    }

    pub(crate) fn server_role(&self) -> Option<Role> {
        self.session.lock().server_role()
    }

    pub(crate) fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Shows callers the members as the session has them now.
    pub(super) fn publish(&self) -> Arc<Members> {
        let members = Arc::new(self.session.lock().members());
        self.members.store(Arc::clone(&members));
        members
    }

    /// The error of calls on a connection that has ended.
    pub(crate) fn end_error(&self) -> Option<CallError> {
        self.ended.get().map(|reason| call_error(reason, self.comes_back))
    }

    /// The error of a call that found the outbox closed.
    pub(crate) fn closed_error(&self) -> CallError {
        self.end_error().unwrap_or(CallError::Disconnected(Disconnected::NotConnected))
    }

    /// Tells the receiver of a call that was sent that nobody waits for it. A node of 3.0.1 knows
    /// no such frame, and behind a Router of this project the Router answers in its place.
    pub(crate) fn cancel(&self, id: CallId, receiver: &NodeName, reason: CancelReason) {
        if self.conn.level().at_least(Level::FOUR)
            && let Ok(frame) = (Cancel { id, reason }).frame(&self.name, receiver, &self.limits)
        {
            // A connection that has ended has no open calls.
            drop(self.conn.send(Class::Terminal, &frame));
        }
    }
}

fn call_error(reason: &Disconnected, comes_back: bool) -> CallError {
    match reason {
        Disconnected::Evicted if !comes_back => CallError::Evicted,
        Disconnected::Stopped => CallError::Stopped,
        Disconnected::RuntimeGone => CallError::RuntimeGone,
        other => CallError::Disconnected(other.clone()),
    }
}

/// A client's end of one connection, for the driver.
pub(crate) struct ClientHandler {
    pub(crate) shared: Arc<ClientCore>,
    pub(crate) connection: Arc<ClientConn>,
    /// Told once, when the session is open or when it failed.
    pub(crate) opened: Option<oneshot::Sender<Result<(), Disconnected>>>,
    pub(crate) ends: mpsc::UnboundedSender<(u64, Disconnected)>,
    /// The list of members changed and was not shown yet.
    pub(crate) unshown: bool,
    /// The server was asked on this connection for what it was asked for on the one before, and has
    /// not answered: the list of that one is shown until then.
    pub(super) asks_again: bool,
    /// When it asks again for all members, which was refused.
    pub(super) asks_for_all: Option<Instant>,
    /// The server has stopped, and said so: what it did not answer never ran.
    pub(super) answered_all: bool,
    /// What is to be told once the list is shown.
    pub(crate) untold: Vec<MemberEvent>,
    /// Who called last.
    pub(crate) caller: Option<Caller>,
    pub(crate) intake: Intake,
    /// Those who called, to be found again and to hear that they are gone.
    pub(super) callers: Callers,
    pub(crate) alive: Alive,
}

impl ClientHandler {
    /// Whether a connection that ended for this reason was dropped with the runtime: nobody stopped
    /// the node, or meant to end what was open.
    fn is_runtime_gone(&self, reason: &Disconnected) -> bool {
        let state = *self.shared.state.borrow();
        matches!(reason, Disconnected::Stopped)
            && self.opened.is_none()
            && !std::thread::panicking()
            && match state {
                ClientState::Ended(how) => how == Ended::RuntimeGone,
                _ => !self.shared.node.life.is_stopping(),
            }
    }

    /// Sends the HANDSHAKE with the token, over a link that was looked at before.
    fn show_token(&self) -> Result<(), Disconnected> {
        let methods = self.shared.methods();
        match self.connection.session.lock().hello_with_token(methods) {
            // A connection that has just ended needs none.
            Ok(hello) => drop(self.connection.conn.send(Class::Notice, &hello)),
            Err(_) => return Err(Disconnected::TokenWithheld("the callbacks do not fit into a handshake with it")),
        }
        Ok(())
    }

    /// The session is open, at this level.
    fn on_open(&mut self, level: Level) -> Result<(), Disconnected> {
        let connection = Arc::clone(&self.connection);
        connection.conn.set_level(level);
        self.alive.begin(&connection.conn);
        if level.at_least(Level::FOUR) && connection.server_role() == Some(Role::Router) {
            connection.credit.govern();
            connection.conn.take_last_calls(true);
        }
        if connection.session.lock().server_knows_attempts() {
            // An eviction is the doing of a later attempt, or of another node.
            connection.contest.forget();
        }
        if connection.session.lock().believes_identities() {
            connection.conn.believe_identities();
        }
        connection.publish();
        if self.opened.as_ref().is_some_and(oneshot::Sender::is_closed) {
            // Whoever asked for this connection gave it up.
            return Err(Disconnected::Stopped);
        }
        let again = self.shared.wanted.lock().whole().filter(|_| connection.session.lock().watches());
        self.asks_again = again.is_some();
        // Here, before the next frame is handled, so that no news of a member is missed.
        self.shared.showing().enter(&connection, !self.asks_again);
        self.tell_opened();
        if let Some(again) = again {
            connection.ask_for(again);
        }
        // Its program may have asked who is there just before calls went here.
        if self.shared.wanted.lock().is_all() {
            connection.ask_for(Watch::all());
        }
        Ok(())
    }

    fn tell_opened(&mut self) {
        if let Some(opened) = self.opened.take() {
            let _gave_up = opened.send(Ok(()));
        }
    }
}

impl Handler for ClientHandler {
    const SERVES: bool = false;

    fn handle(&mut self, frame: Frame, turn: &mut Turn) -> Result<(), Disconnected> {
        let answers = if frame.kind() == Kind::Handshake { frame.header().id() } else { CallId::NONE };
        self.connection.stop_answered(&frame);
        let handled = self.connection.session.lock().handle_frame(frame)?;
        self.connection.on_answer_to_hello(answers);
        if matches!(handled, Handled::Serve(_) | Handled::Credit { .. }) {
            // Who bears a name by now is another than who left it just before; and a callback that
            // calls on sees what was told before its own call.
            self.show();
        }
        match handled {
            Handled::TakesToken => self.show_token()?,
            Handled::Completed(completed) => {
                // Who goes on after its call sees what was told before the answer.
                self.show();
                self.complete(completed);
            }
            Handled::Serve(frame) => self.serve(turn, frame),
            Handled::Ping(frame) => self.connection.conn.answer_ping(&frame)?,
            Handled::OwnCall(frame) => {
                if let Some(completed) = self.connection.take_own(frame)? {
                    self.show();
                    self.complete(completed);
                }
            }
            Handled::ServedCall(frame) => match self.find_known(&frame) {
                Some(caller) => self.shared.serving.take(turn, &mut self.intake, &caller, frame)?,
                None => tracing::debug!("dropped a frame about a call of a caller of whom none is open"),
            },
            Handled::Cancel(frame) => self.on_cancel(turn, &frame)?,
            Handled::Credit { from, says } => self.on_credit(&from, says),
            Handled::Opened(level) => self.on_open(level)?,
            Handled::MembersChanged(news, wakers) => self.on_members(news, wakers),
            Handled::Watching(new) => self.on_watching(new),
            Handled::WatchRefused(reason) => self.on_watch_refused(reason),
            Handled::Told(event, wakers) => {
                self.wake(wakers);
                self.note(event.kind, event.member);
            }
            Handled::Dropped(what) => tracing::debug!(what, "dropped a frame"),
        }
        Ok(())
    }

    fn settle(&mut self, _: &mut Turn) {
        self.show();
        self.shared.serving.settle(&mut self.intake, self.connection.conn.inbound.frames());
        self.connection.tell_owed();
    }

    fn next_time(&self) -> Option<Instant> {
        [self.alive.next(), self.asks_for_all].into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Instant, _: &mut Turn) -> Result<(), Disconnected> {
        if self.asks_for_all.take_if(|at| *at <= now).is_some() {
            self.connection.ask_for(Watch::all());
        }
        self.shared.on_pulse(&self.connection, self.alive.on_time(&self.connection.conn, now)?);
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.opened.is_none()
    }

    fn is_quiet(&self) -> bool {
        // The thread of a 3.0.1 node that finds its caller gone dies (docs/protocol.md#10.5).
        self.connection.conn.level().at_least(Level::FOUR) || self.connection.session.lock().in_flight.is_quiet()
    }

    fn may_stop_reading(&self) -> bool {
        // Replies to this node's own calls come on the same connection as requests.
        false
    }

    fn unbounded_bytes(&self) -> usize {
        self.connection.conn.inbound.bytes()
    }

    fn farewell(&self) -> Option<Frame> {
        None
    }

    fn note_unsent(&mut self, unsent: LeftUnsent) -> bool {
        self.shared.note_unsent(unsent)
    }

    fn on_end(&mut self, reason: &Disconnected) {
        let node_ends = self.shared.node.life.is_stopping();
        let reason = &self.connection.explain_end(reason, self.answered_all, node_ends);
        let reason = if self.is_runtime_gone(reason) { &Disconnected::RuntimeGone } else { reason };
        let _first = self.connection.ended.set(reason.clone());
        let is_last = match reason {
            Disconnected::Evicted => node_ends || !self.connection.comes_back,
            Disconnected::RuntimeGone => true,
            _ => node_ends,
        };
        if !is_last {
            // Whoever hears that its call has ended with the connection finds none, and can wait
            // for the next one.
            self.shared.showing().leave(&self.connection);
        }
        let wakers = self.connection.session.lock().in_flight.close();
        self.connection.streams.stop_sending();
        for waker in wakers {
            waker.wake();
        }
        self.connection.on_told();
        self.connection.freed.notify_waiters();
        self.connection.freed.notify_one();
        self.connection.ready.notify_waiters();
        self.connection.credit.close();
        match self.opened.take() {
            Some(opened) => drop(opened.send(Err(reason.clone()))),
            None => drop(self.ends.send((self.connection.conn.id, reason.clone()))),
        }
    }
}

impl ClientHandler {
    pub(super) fn on_members(&mut self, news: Vec<(EventKind, String)>, wakers: Vec<Waker>) {
        self.wake(wakers);
        self.unshown = true;
        news.into_iter().for_each(|(kind, member)| self.note(kind, member));
    }

    /// Shows callers the members as they are now, and tells what happened to them.
    pub(super) fn show(&mut self) {
        if !self.unshown && self.untold.is_empty() {
            return;
        }
        let mut gone = Vec::new();
        for event in &self.untold {
            if let MemberEvent::Removed(member) | MemberEvent::Evicted(member) = event {
                // Whoever sees the list without it sees none of its calls begin.
                gone.push(member.clone());
            }
        }
        gone.iter().for_each(|member| self.forget(member));
        let showing = self.shared.showing();
        if std::mem::take(&mut self.unshown) {
            let members = self.connection.publish();
            showing.publish(&self.connection, &members, !self.asks_again);
        }
        for event in std::mem::take(&mut self.untold) {
            if let MemberEvent::Removed(member) | MemberEvent::Evicted(member) = &event {
                // Who begins a flow from here on sees the list without it.
                self.connection.credit.forget(member);
            }
            showing.tell(&self.connection, event);
        }
    }

    /// Runs a callback, unless too much waits already: this end never stops reading, because the
    /// replies to its own calls come on the same connection.
    fn serve(&mut self, turn: &mut Turn, frame: Frame) {
        let met = self.find_known(&frame).map(|known| (known, true)).or_else(|| self.meet(frame.transmitter()));
        let Some((caller, is_remembered)) = met else {
            return tracing::debug!("dropped a request without a transmitter");
        };
        let (node, conn) = (&self.shared.node, &self.connection.conn);
        if !frame.header().wants_reply() {
            let receipt = NowaitReceipt::new(&self.connection, caller.caller_name(), frame.credit_bytes());
            return self.shared.serving.serve(turn, &mut self.intake, &caller, frame, receipt);
        }
        if !is_remembered {
            // What comes for its call would not find it.
            let text = format!("calls of as many callers as {} remembers are open there", node.name);
            return caller.answer_error(turn, &frame, Refusal::Overloaded.error(text));
        }
        let asks_little = caller.waiting() < FEW && conn.inbound.has_room_for_few();
        if conn.inbound.is_full() && !asks_little {
            let (bytes, frames) = (conn.inbound.bytes(), conn.inbound.frames());
            let text = format!("{frames} requests of {bytes} bytes wait at {}", node.name);
            return caller.answer_error(turn, &frame, Refusal::Overloaded.error(text));
        }
        self.shared.serving.serve(turn, &mut self.intake, &caller, frame, ());
    }

    fn complete(&self, completed: Completed) {
        match completed {
            Completed::Wake(waker) => waker.wake(),
            // It may be a resting number whose late reply came.
            Completed::Quietly => self.connection.on_number_free(true),
        }
    }

    fn wake(&self, wakers: Vec<std::task::Waker>) {
        for waker in wakers {
            waker.wake();
        }
        self.connection.on_number_free(true);
    }
}
