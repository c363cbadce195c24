//! Who may do what at a node that listens, as its builder is told.

use std::{fmt, sync::Arc};

use daffi_core::{Newcomer, Policy};

/// A user's say in who is let in under which name.
type Admit = Arc<dyn Fn(&Newcomer<'_>, &str) -> Result<(), String> + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Guarding {
    pub(crate) policy: Option<Policy>,
    pub(crate) admit: Option<Admit>,
}

impl fmt::Debug for Guarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarding").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Tells a builder of the core.
macro_rules! guard {
    ($builder:expr, $guarding:expr) => {{
        let crate::guarding::Guarding { policy, admit } = $guarding;
        let builder = $builder;
        let builder = match policy {
            Some(policy) => builder.policy(policy),
            None => builder,
        };
        match admit {
            Some(admit) => builder.admit(move |newcomer, name| admit(newcomer, name)),
            None => builder,
        }
    }};
}
pub(crate) use guard;
