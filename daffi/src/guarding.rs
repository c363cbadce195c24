//! Who may do what at a node that listens, as its builder is told.

use std::{fmt, sync::Arc};

use daffi_core::{Newcomer, Policy};
use daffi_transport::Endpoint;

/// A user's say in who is let in under which name.
type Admit = Arc<dyn Fn(&Newcomer<'_>, &str) -> Result<(), String> + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Guarding {
    pub(crate) policy: Option<Policy>,
    pub(crate) admit: Option<Admit>,
}

impl Guarding {
    /// Whether nothing was said of who may come in. That all may can be said, too.
    pub(crate) const fn lets_all_in(&self) -> bool {
        self.policy.is_none() && self.admit.is_none()
    }
}

/// Warns of endpoints that others than this machine reach, where nothing says who may come in.
/// `tls_is_closed`: over TLS only those do who show a certificate.
pub(crate) fn warn_of_strangers(endpoints: &[Endpoint], tls_is_closed: bool) {
    let is_closed = |endpoint: &Endpoint| tls_is_closed && endpoint.scheme() == "tls";
    let open = endpoints.iter().filter(|endpoint| endpoint.is_reached_from_elsewhere() && !is_closed(endpoint));
    for endpoint in open {
        tracing::warn!(%endpoint, remedy = REMEDY, "whoever reaches this endpoint may take any name and call everything");
    }
}

const REMEDY: &str = "say who may do what by the builder's `policy`, or by `Policy::open()` that all may; over TLS \
                      `ServerTls::client_ca_file` lets in who shows a certificate";

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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(endpoints: &[&str], tls_is_closed: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let endpoints: Vec<Endpoint> = endpoints.iter().map(|text| text.parse().unwrap()).collect();
        tracing::subscriber::with_default(subscriber, || warn_of_strangers(&endpoints, tls_is_closed));
        let told = kept.0.lock().unwrap().clone();
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn endpoints_that_strangers_reach_are_told_once_each() {
        let all = ["tcp://0.0.0.0:1", "tls://[::]:2", "tcp://127.0.0.1:3", "unix:///run/a", "mem://a"];
        let both = told(&all, false);
        assert_eq!((both.lines().count(), both.matches("may take any name").count()), (2, 2), "{both}");
        assert!(both.contains("endpoint=tls://[::]:2") && both.contains("Policy::open()"), "{both}");
        let one = told(&all, true);
        assert!(one.lines().count() == 1 && one.contains("endpoint=tcp://0.0.0.0:1"), "{one}");
        assert_eq!(told(&all[2..], false), "");
    }
}
