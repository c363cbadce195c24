//! A node that joins many clients: it forwards their calls to each other and decodes none.

#[cfg(test)]
mod accepting_tests;
#[cfg(any(test, feature = "internals"))]
#[cfg_attr(not(feature = "internals"), allow(unreachable_pub, reason = "it is public with the feature"))]
pub(crate) mod bare;
mod calls;
mod choosing;
mod flow;
mod guarded;
mod handler;
#[cfg(test)]
mod joined;
#[cfg(test)]
mod lanes_tests;
mod members;
mod peer;
mod stats;
mod waiting;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use daffi_serde::RemoteError;
use daffi_transport::{Endpoint, Listener};
use daffi_wire::{CallId, Frame, Level, Member, NodeName, Role, Shown};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

pub use self::stats::{RouterStats, traffic::MemberStats};
use self::{
    calls::{
        absent::AbsentCallers,
        later::put_off_text,
        unanswered::{CallLimit, end_unanswered},
    },
    choosing::exposers::Exposers,
    flow::sender::Sender,
    handler::RouterHandler,
    members::{announcing::Newcomers, suspects::Suspects, telling::tell_news},
    peer::Peer,
    stats::{Counters, counted::RoutedCallbacks, own::ToldStats},
    waiting::{WaitingRoom, end_overdue, ready::Sign, releasing::release_waiting},
};
use crate::{
    config::NodeConfig,
    conn::{Budget, Conn},
    error::{Ended, InitializationError},
    events::{Events, MemberEvent},
    refusal::Refusal,
    serve::Lifecycle,
    server::{self, Guard, GuardSettings, Host, OpeningId, Server, guarding},
    session::{Map, Membership, Policy},
};

/// How often a Router that stops looks whether calls are still open.
const QUIET_LOOK: Duration = Duration::from_millis(5);

/// A running router: listens, and forwards calls between those who connect.
///
/// Every member may call, expose callbacks, or both. Payloads are forwarded byte for byte and never
/// decoded. A call that cannot be delivered is answered at once with an error.
///
/// A handle, cheap to clone. Dropping the last one ends the router at once; [`stop`](Self::stop)
/// ends it in order.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// use daffi_core::Router;
/// use daffi_transport::mem::MemListener;
/// use daffi_wire::{Limits, NodeName};
///
/// let listener = Box::new(MemListener::bind(&"mem://crossing".parse()?)?);
/// let router = Router::builder(NodeName::new("router", &Limits::default())?).listen(vec![listener])?;
/// assert!(router.members().is_empty());
/// router.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Router {
    handle: Arc<RouterHandle>,
}

#[derive(Debug)]
struct RouterHandle {
    shared: Arc<RouterShared>,
}

impl Drop for RouterHandle {
    fn drop(&mut self) {
        self.shared.server.abandon(Ended::Stopped);
    }
}

type Table = Map<NodeName, Arc<Sender>>;

#[derive(Debug)]
struct RouterShared {
    server: Server,
    /// Who bears which name. Read for every frame without a lock, replaced when a member comes or
    /// goes.
    table: ArcSwap<Table>,
    members: Mutex<Membership<Arc<Peer>>>,
    /// Who exposes what. Changed under the lock of `members`.
    exposers: Exposers,
    /// Calls that wait until somebody exposes their callback.
    waiting: WaitingRoom,
    /// Calls of names that nobody bears now.
    absent: Mutex<AbsentCallers>,
    /// When the next newcomer with a long list has its turn.
    newcomers: Newcomers,
    /// Names of members that did not show that they hear.
    suspects: Suspects,
    /// What ends calls that level 3 receivers do not answer, if anything does.
    call_limit: Option<CallLimit>,
    /// There is something to tell the members.
    news: Arc<Notify>,
    counters: Counters,
    /// What is counted of each callback that is called.
    callbacks: Arc<RoutedCallbacks>,
    told: ToldStats,
}

/// Sets up a [`Router`]: [`Router::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it listens"]
pub struct RouterBuilder {
    name: NodeName,
    config: NodeConfig,
    guard: GuardSettings,
}

impl RouterBuilder {
    /// Limits and times. Default: [`NodeConfig::server`].
    pub fn config(mut self, config: NodeConfig) -> Self {
        self.config = config;
        self
    }

    guarding!();

    /// Starts the router on listeners that are bound already.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work.
    pub fn listen(self, listeners: Vec<Box<dyn Listener>>) -> Result<Router, InitializationError> {
        self.ready()?.listen(listeners)
    }

    /// Looks through all that can be wrong before there are listeners, so that nothing is bound in
    /// vain.
    ///
    /// # Errors
    /// [`InitializationError`] for settings that can't work.
    pub fn ready(self) -> Result<ReadyRouter, InitializationError> {
        self.config.check()?;
        Ok(ReadyRouter(self))
    }
}

/// A router that lacks nothing but listeners: [`RouterBuilder::ready`].
#[derive(Debug)]
#[must_use = "it does nothing until it listens"]
pub struct ReadyRouter(RouterBuilder);

impl ReadyRouter {
    /// Starts the router on listeners that are bound already.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InitializationError::NoEndpoint`].
    pub fn listen(self, listeners: Vec<Box<dyn Listener>>) -> Result<Router, InitializationError> {
        let RouterBuilder { name, config, guard } = self.0;
        let budget = Budget::of(&config);
        let members = Mutex::new(Membership::new(config.limits, config.max_connections));
        let absent = Mutex::new(AbsentCallers::new(budget.open_common()));
        let call_limit = config.level3_call_limit.map(CallLimit::new);
        let server = Server::new(name, config, budget, Lifecycle::default(), Guard::new(guard), &listeners)?;
        let shared = Arc::new(RouterShared {
            server,
            table: ArcSwap::default(),
            members,
            exposers: Exposers::default(),
            waiting: WaitingRoom::default(),
            absent,
            newcomers: Newcomers::default(),
            suspects: Suspects::new(),
            call_limit,
            news: Arc::default(),
            counters: Counters::default(),
            callbacks: Arc::new(RoutedCallbacks::new()),
            told: ToldStats::default(),
        });
        server::listen(&shared, listeners);
        tokio::spawn(tell_news(Arc::clone(&shared)));
        tokio::spawn(end_overdue(Arc::clone(&shared)));
        tokio::spawn(release_waiting(Arc::clone(&shared)));
        if shared.call_limit.is_some() {
            tokio::spawn(end_unanswered(Arc::clone(&shared)));
        }
        Ok(Router { handle: Arc::new(RouterHandle { shared }) })
    }
}

impl Router {
    /// A router of this name, which its logs and refusals bear; members do not see it.
    pub fn builder(name: NodeName) -> RouterBuilder {
        RouterBuilder { name, config: NodeConfig::server(), guard: GuardSettings::default() }
    }

    /// The router's name, which members do not see.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared().server.name
    }

    /// Where it listens, with real ports in place of 0.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.shared().server.endpoints()
    }

    /// The members and what they expose, in the order that members see.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.shared().members.lock().iter().map(|(member, _)| member.clone()).collect()
    }

    /// The runtime that it runs on: for what belongs to it and is begun elsewhere.
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        self.shared().server.runtime()
    }

    /// Who joins and leaves from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared().server.events()
    }

    /// What it counted so far, and how things stand with each member. It costs as much as there are
    /// members: once a second is often enough.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        self.shared().stats()
    }

    #[doc = words!(set_policy)]
    pub fn set_policy(&self, policy: Option<Policy>) {
        let shared = self.shared();
        shared.server.set_policy(policy);
        // Also those who are not shown to the others yet.
        let members: Vec<_> = shared.members.lock().peers().cloned().collect();
        members.iter().for_each(|member| shared.expel(member));
    }

    #[doc = words!(reconfigure)]
    pub fn reconfigure(&self, config: &NodeConfig) {
        self.shared().server.reconfigure(config);
    }

    /// Whether it stops or has stopped: calls are not taken any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared().server.is_stopping()
    }

    /// Waits until the router was stopped. Cancel safe.
    pub async fn join(&self) -> Ended {
        self.shared().server.join().await
    }

    #[doc = words!(stop_router)]
    pub async fn stop(&self) {
        let shared = self.shared();
        server::begin_stop(shared, || stop(Arc::clone(shared)));
        shared.server.join().await;
    }

    fn shared(&self) -> &Arc<RouterShared> {
        &self.handle.shared
    }
}

async fn stop(shared: Arc<RouterShared>) {
    let conns = || shared.members.lock().peers().map(|peer| Arc::clone(&peer.conn)).collect();
    shared.refuse_waiting();
    let work = async {
        // At least once: a call that was let in just before is open by then.
        sleep(QUIET_LOOK).await;
        while shared.count_unfinished() != (0, 0) {
            sleep(QUIET_LOOK).await;
        }
    };
    shared.server.finish(work, conns, || shared.count_unfinished().0).await;
}

impl Host for RouterShared {
    type Handler = RouterHandler;
    const KIND: Role = Role::Router;

    fn server(&self) -> &Server {
        &self.server
    }

    fn list(&self, level: Level) -> Vec<u8> {
        self.members.lock().reply(level)
    }

    fn answer_own(&self, conn: &Arc<Conn>, request: &Frame) -> bool {
        self.tell_own(conn, request)
    }

    fn handler(self: Arc<Self>, conn: Arc<Conn>, opening: OpeningId) -> RouterHandler {
        RouterHandler::new(self, conn, opening)
    }
}

impl RouterShared {
    /// Open calls and held requests of all members.
    fn count_unfinished(&self) -> (usize, usize) {
        let table = self.table.load();
        let all = table.values().map(|member| (member.peer.open_calls(), member.held_requests()));
        all.fold((0, 0), |(calls, held), of_one| (calls + of_one.0, held + of_one.1))
    }

    /// Ends a member that the policy does not let be what it is.
    fn expel(&self, peer: &Peer) {
        self.server.guard.expel(&peer.conn, &peer.name, peer.exposed_methods().iter());
    }

    /// Puts a member under its name, which may have been another's.
    fn enter(&self, member: &Arc<Sender>) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            table.insert(member.peer.name.clone(), Arc::clone(member));
            table
        });
        member.peer.enter_table();
        self.exposers.enter(&member.peer);
    }

    /// Takes its name from a member, which nobody bears then. Whoever calls this has the lock of
    /// the members.
    fn leave_name(&self, peer: &Peer) {
        let calls = self.close_calls(peer);
        self.keep_calls(peer, calls);
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            table.remove(&peer.name);
            table
        });
        if peer.is_named() {
            self.server.events.tell(MemberEvent::Removed(peer.name.to_string()));
        }
        peer.leave_table();
    }

    /// Takes a member out of those whom calls may be given.
    fn withdraw(&self, peer: &Peer) {
        self.exposers.leave(peer);
        self.waiting.note(|| Sign::Left(peer.id()));
    }

    /// Removes a member that is gone from its name: the table forgets it, the others are told, and
    /// every call to it ends. `false`: its name had passed to a newer connection.
    fn remove_member(&self, peer: &Peer) -> bool {
        // First: with its calls ended it would look as if it had nothing to do.
        self.withdraw(peer);
        // Before the news: a 3.0.1 caller that hears of the end first raises an error of its own.
        // Its outbox is closed, so no call to it begins any more. When all are cut off it is not
        // this one that left.
        if !self.server.life.is_killed() {
            self.end_calls_to(peer, &peer.take_callers());
        }
        let left = {
            let mut members = self.members.lock();
            let left = members.leave(&peer.name, peer.id());
            if left {
                self.leave_name(peer);
                tracing::debug!(member = %Shown::name(&peer.name), "a member left");
            }
            left
        };
        self.news.notify_one();
        left
    }

    /// Answers every open call to a peer that will not answer any more. Calls of others than
    /// `callers` never went to it.
    fn end_calls_to(&self, gone: &Peer, callers: &[Arc<Sender>]) {
        let name = Shown::name(&gone.name);
        let error = Refusal::ReceiverGone.error(format!("{name} left before it answered"));
        let never_sent = Refusal::ReceiverNotFound.error(format!("{name} left before it was sent: it did not run"));
        gone.line.close();
        self.absent.lock().end_receiver(gone.id());
        self.forget_waiting(gone.id());
        for caller in callers {
            let ((held, lost), caller) = (caller.forget(gone.id()), &caller.peer);
            let _promise = caller.conn.promise_to_queue();
            for id in held.into_iter().filter_map(|number| caller.drop_call(number, gone.id())) {
                self.refuse_call(caller, id, &gone.name, "", &never_sent);
            }
            let ended = caller.end_calls_to(gone.id());
            for id in ended.open {
                self.refuse_call(caller, id, &gone.name, "", &error);
            }
            for id in ended.uploads {
                self.refuse_call(caller, id, &gone.name, "", &calls::bodies::left_error(&gone.name));
            }
            if lost > 0 {
                self.counters.dropped_requests.fetch_add(lost as u64, Ordering::Relaxed);
                tracing::warn!(sender = %Shown::name(&caller.name), receiver = %Shown::name(&gone.name), lost, "nowait requests are lost: their receiver left");
            }
        }
    }

    /// Answers with an error in place of an answer that found no room at its caller.
    fn lose_answer(&self, caller: &Peer, id: CallId, receiver: &str, answer: &Frame) {
        let error = caller.conn.outbox.lost_answer_error(answer.method(), answer.as_bytes().len(), &caller.name);
        tracing::warn!(caller = %Shown::name(&caller.name), receiver, %error, "an answer was lost");
        self.refuse_answer(caller, id, receiver, answer.method(), &error);
    }

    /// Tells a member of ends of calls that were put off. Gives whether there are more.
    fn tell_ends(&self, caller: &Peer) -> bool {
        let (ends, more) = caller.later.take();
        for end in ends {
            self.send_error(caller, end.id, &end.receiver, "", &end.why.error(put_off_text(end.why)));
        }
        more
    }

    /// Answers a call in the place of its receiver: in JSON, which every node reads. It did not
    /// run, or the class of the error says what is known of that.
    fn refuse_call(&self, caller: &Peer, id: CallId, receiver: &str, method: &str, error: &RemoteError) {
        // A call that was refused for another reason hears that when it is made again.
        self.end_call((caller, id), receiver, method, error, Refusal::Overloaded);
    }

    /// Ends a call that ran, of which the answer does not pass.
    fn refuse_answer(&self, caller: &Peer, id: CallId, receiver: &str, method: &str, error: &RemoteError) {
        self.end_call((caller, id), receiver, method, error, Refusal::AnswerLost);
    }

    /// `otherwise`: what the caller hears of an error of no [`Refusal`] that has to wait.
    fn end_call(
        &self,
        (caller, id): (&Peer, CallId),
        receiver: &str,
        method: &str,
        error: &RemoteError,
        otherwise: Refusal,
    ) {
        self.counters.note_refusal(error);
        caller.traffic.note_refusal();
        if !caller.put_off(id, receiver, Refusal::of(error).unwrap_or(otherwise)) {
            self.send_error(caller, id, receiver, method, error);
        }
    }

    fn send_error(&self, caller: &Peer, id: CallId, receiver: &str, method: &str, error: &RemoteError) {
        self.server.send_error(&caller.conn, &caller.name, id, receiver, method, error);
    }
}
