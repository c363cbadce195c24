//! What one connection may do, as long as the policy stays the same.

use std::sync::Arc;

use daffi_serde::RemoteError;
use daffi_wire::{FormatId, Frame, Kind, Level, MethodName, NodeName};

use super::guard::Guard;
use crate::{
    conn::Conn,
    recent::Recent,
    session::{Access, Action, Denied, Policy},
};

/// What the peer of one connection may do. It is found out once for each policy.
#[derive(Debug)]
pub(crate) struct Rights {
    conn: Arc<Conn>,
    /// The version of the policy of which this is; 0: of none yet.
    version: u64,
    policy: Option<Arc<Policy>>,
    access: Result<Access, Denied>,
    /// Refusals of this connection.
    refused: u64,
    /// Callbacks that it may call.
    callable: Recent<MethodName>,
}

impl Rights {
    pub(crate) fn new(conn: Arc<Conn>) -> Self {
        Self { conn, version: 0, policy: None, access: Ok(Access::OPEN), refused: 0, callable: Recent::default() }
    }

    pub(super) const fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    pub(super) const fn count_refused(&mut self) -> u64 {
        self.refused += 1;
        self.refused
    }

    pub(crate) fn level(&self) -> Level {
        self.conn.level()
    }

    /// Whether what it says still holds.
    #[inline]
    pub(crate) fn is_current(&self, guard: &Guard) -> bool {
        self.version == guard.version()
    }

    /// Finds out what holds now, if that is something else.
    #[inline]
    pub(crate) fn refresh(&mut self, guard: &Guard) {
        if !self.is_current(guard) {
            self.renew(guard);
        }
    }

    /// The version of the policy that they are of.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Finds out what holds now.
    #[cold]
    pub(crate) fn renew(&mut self, guard: &Guard) {
        // Before the policy: one that is set meanwhile is looked at again.
        self.version = guard.version();
        self.policy = guard.policy();
        self.access = Guard::access(self.policy.as_deref(), &self.conn);
        if let (Some(policy), Some(shown)) = (&self.policy, self.conn.token())
            && let Some(name) = policy.name_of(&shown.token)
        {
            self.conn.rename_token(name);
        }
        self.callable = Recent::default();
    }

    /// Whether the peer may be connected at all.
    pub(crate) fn check_connected(&self) -> Result<(), Denied> {
        self.access.as_ref().map(drop).map_err(Denied::clone)
    }

    pub(super) fn check_member<'a>(
        &self,
        name: &NodeName,
        methods: impl Iterator<Item = &'a MethodName>,
    ) -> Result<(), Denied> {
        let access = self.access.as_ref().map_err(Denied::clone)?;
        self.policy.as_deref().map_or(Ok(()), |policy| policy.check_member(access, name, methods))
    }

    fn check(&self, action: Action<'_>) -> Result<(), Denied> {
        let access = self.access.as_ref().map_err(Denied::clone)?;
        self.policy.as_deref().map_or(Ok(()), |policy| policy.check(access, action))
    }

    /// Whether the peer may call the callback that a frame names.
    pub(crate) fn check_call(&self, frame: &Frame) -> Result<(), Denied> {
        self.check(Action::Call(frame.method()))
    }

    /// Whether the peer may call the callback that a frame names, remembered for callbacks that are
    /// there.
    pub(crate) fn check_call_of(
        &mut self,
        frame: &Frame,
        method: impl FnOnce() -> Option<MethodName>,
    ) -> Result<(), Denied> {
        if self.policy.is_none() {
            return Ok(());
        }
        let Self { callable, policy, access, .. } = self;
        let find = || {
            let access = access.as_ref().map_err(|denied| Some(denied.clone()))?;
            if let Some(policy) = policy {
                policy.check(access, Action::Call(frame.method())).map_err(Some)?;
            }
            method().ok_or(None)
        };
        match callable.get_or_find(|known| frame.calls(known), find) {
            Ok(_) | Err(None) => Ok(()),
            Err(Some(denied)) => Err(denied),
        }
    }

    /// Whether the peer may send a payload as this frame has it, on a link of level `from`, to one
    /// of level `to`. Of a format that only the higher level knows the receiver would make that.
    #[inline]
    pub(crate) fn check_format(&self, frame: &Frame, from: Level, to: Level) -> Result<(), Denied> {
        let format = frame.header().format(if from.at_least(to) { from } else { to });
        match &self.access {
            Ok(access) if access.sends(format) => Ok(()),
            _ => self.check_forbidden(frame.kind(), format),
        }
    }

    /// Whether the peer may send results of a call in this format.
    pub(crate) fn check_sends(&self, format: FormatId) -> Result<(), Denied> {
        match &self.access {
            Ok(access) if access.sends(format) => Ok(()),
            _ => self.check(Action::Send(format)),
        }
    }

    #[cold]
    fn check_forbidden(&self, kind: Kind, format: FormatId) -> Result<(), Denied> {
        if kind == Kind::Error && format == FormatId::JSON {
            // A node of this project writes its errors so, whatever it is asked in.
            return Ok(());
        }
        self.check(Action::Send(format))
    }
}

impl Denied {
    /// The answer to what was refused.
    pub(crate) fn into_error(self) -> RemoteError {
        RemoteError::new("PermissionError", self.text)
    }
}
