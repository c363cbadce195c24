//! What a node that listens lets its peers do, and the record of what it refused.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use daffi_transport::PeerInfo;
use daffi_wire::{MethodName, NodeName, Shown};

use super::rights::Rights;
use crate::{
    conn::Conn,
    error::Disconnected,
    session::{Access, Denied, Identity, Policy},
};

/// A node that asks to be let in under a name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Newcomer<'a> {
    /// What its transport knows of it.
    pub info: &'a PeerInfo,
    /// Who it is.
    pub identity: Identity,
}

/// A user's say in who is let in under which name. The error is told to the newcomer.
pub(crate) type Admit = Arc<dyn Fn(&Newcomer<'_>, &str) -> Result<(), String> + Send + Sync>;

/// What a builder says of who may do what.
#[derive(Default)]
pub(crate) struct GuardSettings {
    pub(crate) policy: Option<Policy>,
    pub(crate) admit: Option<Admit>,
}

impl fmt::Debug for GuardSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardSettings").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Who may do what at a node that listens.
pub(crate) struct Guard {
    policy: ArcSwapOption<Policy>,
    /// Counts policies: another number whenever what was found out under the one before may not
    /// hold any more. Sequentially consistent, as the table of members is: a newcomer enters that
    /// and then looks here, whoever sets a policy counts here and then looks there, so that one of
    /// them sees the other.
    version: AtomicU64,
    admit: Option<Admit>,
    denied: AtomicU64,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("policy", &self.policy).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Guard {
    pub(crate) fn new(settings: GuardSettings) -> Self {
        let GuardSettings { policy, admit } = settings;
        Self {
            policy: ArcSwapOption::from_pointee(policy),
            version: AtomicU64::new(1),
            admit,
            denied: AtomicU64::new(0),
        }
    }

    /// Sets another policy, from the next frame of each connection on.
    pub(crate) fn set(&self, policy: Option<Policy>) {
        self.policy.store(policy.map(Arc::new));
        // The policy is stored before: who sees the version reads that policy, or a later one.
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Whether there is one that says who may do what.
    pub(crate) fn has_policy(&self) -> bool {
        self.policy.load().as_ref().is_some_and(|policy| policy.decides())
    }

    pub(super) fn policy(&self) -> Option<Arc<Policy>> {
        self.policy.load_full()
    }

    /// Requests, answers and handshakes that were refused.
    pub(crate) fn denied_count(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// What the peer of a connection may do now.
    pub(super) fn access(policy: Option<&Policy>, conn: &Conn) -> Result<Access, Denied> {
        let access = policy.map_or(Ok(Access::OPEN), |policy| policy.access(&conn.peer, conn.token().as_deref()));
        let knows = |policy: &Policy| access.as_ref().is_ok_and(|access| policy.knows_common_name(access, &conn.peer));
        conn.set_knows_common_name(policy.is_some_and(knows));
        access
    }

    /// Whether a connection may be there at all. The error is for its peer.
    pub(crate) fn check_connected(&self, rights: &mut Rights, name: &str) -> Result<(), String> {
        rights.renew(self);
        rights.check_connected().map_err(|denied| self.note_denied(rights, name, denied).text)
    }

    /// Ends a connection that may not be there any more, or not as what it is.
    pub(crate) fn expel<'a>(&self, conn: &Arc<Conn>, name: &NodeName, methods: impl Iterator<Item = &'a MethodName>) {
        let Some(policy) = self.policy() else { return };
        let access = policy.access(&conn.peer, conn.token().as_deref());
        if let Err(denied) = access.and_then(|access| policy.check_member(&access, name, methods)) {
            let Denied { text, .. } = self.note_denied(&mut Rights::new(Arc::clone(conn)), name, denied);
            // What waits for it is not for it any more.
            conn.end(Disconnected::Refused(text), false);
        }
    }

    /// Ends a connection that only looks and may not be there any more.
    pub(super) fn expel_looker(&self, conn: &Arc<Conn>) {
        if let Err(denied) = Self::access(self.policy().as_deref(), conn) {
            let Denied { text, .. } = self.note_denied(&mut Rights::new(Arc::clone(conn)), "", denied);
            conn.end(Disconnected::Refused(text), false);
        }
    }

    /// Whether a connection may have this name and expose these callbacks. The error is for its
    /// peer. `is_known`: it has the name already.
    pub(crate) fn check_handshake<'a>(
        &self,
        rights: &mut Rights,
        name: &NodeName,
        methods: impl Iterator<Item = &'a MethodName>,
        is_known: bool,
    ) -> Result<(), String> {
        rights.renew(self);
        if let Err(denied) = rights.check_member(name, methods) {
            return Err(self.note_denied(rights, name, denied).text);
        }
        if is_known { Ok(()) } else { self.ask(rights, name) }
    }

    /// Whether a connection may look on under this name. The error is for its peer. `is_known`: it
    /// does already.
    pub(super) fn check_looker(&self, rights: &mut Rights, name: &NodeName, is_known: bool) -> Result<(), String> {
        self.check_connected(rights, name)?;
        if is_known { Ok(()) } else { self.ask(rights, name) }
    }

    /// Asks the user, who has a say in who is let in.
    fn ask(&self, rights: &mut Rights, name: &NodeName) -> Result<(), String> {
        let Some(admit) = &self.admit else { return Ok(()) };
        let conn = Arc::clone(rights.conn());
        let newcomer = Newcomer { info: &conn.peer, identity: conn.identity() };
        admit(&newcomer, name).map_err(|text| self.note_denied(rights, name, Denied { action: "admit", text }).text)
    }

    /// Counts a refusal and logs it; of one connection ever more seldom, so that nobody fills a
    /// disk with what he may not do.
    #[cold]
    pub(crate) fn note_denied(&self, rights: &mut Rights, name: &str, denied: Denied) -> Denied {
        self.denied.fetch_add(1, Ordering::Relaxed);
        let times = rights.count_refused();
        if times.is_power_of_two() {
            audit(rights.conn(), name, &denied, times);
        }
        denied
    }
}

/// Logs a refusal, with all that is known of who was refused.
pub(super) fn audit(conn: &Conn, name: &str, denied: &Denied, times: u64) {
    let listener = conn.peer.listener.as_ref().map(tracing::field::display);
    tracing::warn!(
        conn = conn.id,
        peer = %conn.peer,
        listener,
        identity = %conn.identity(),
        name = %Shown::name(name).at_most(NAME),
        action = denied.action,
        reason = denied.text,
        times,
        "denied"
    );
}

/// Bytes that are shown of a name that a peer made up.
const NAME: usize = 100;

/// Setters of builders of nodes that listen.
macro_rules! guarding {
    () => {
        #[doc = words!(policy)]
        pub fn policy(mut self, policy: Policy) -> Self {
            self.guard.policy = Some(policy);
            self
        }

        #[doc = words!(admit)]
        pub fn admit(
            mut self,
            admit: impl Fn(&crate::server::Newcomer<'_>, &str) -> Result<(), String> + Send + Sync + 'static,
        ) -> Self {
            self.guard.admit = Some(std::sync::Arc::new(admit));
            self
        }
    };
}
pub(crate) use guarding;
