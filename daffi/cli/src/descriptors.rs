//! The files that the process may open, of which each connection takes one.

use std::env;

use daffi::transport::Endpoint;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process open as many as its user may: shells and containers begin with 1 024, for the
/// sake of programs that know no more.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(?current, ?maximum, %error, "the limit of open files stays as it is");
    }
}

/// Warns of sockets that a supervisor hands over and that no endpoint takes: whoever connects to
/// one of them waits for nobody, and its address is taken.
pub(crate) fn warn_of_unused_sockets(endpoints: &[Endpoint]) {
    let is_own = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let handed_over = env::var("LISTEN_FDS").ok().filter(|_| is_own).and_then(|count| count.parse::<usize>().ok());
    let taken = endpoints.iter().filter(|endpoint| matches!(endpoint.scheme(), "fd" | "tls+fd")).count();
    if let Some(handed_over) = handed_over.filter(|handed_over| *handed_over > taken) {
        tracing::warn!(
            handed_over,
            taken,
            "sockets that a supervisor hands over are not taken: listen at fd://NAME for each, or disable its .socket unit"
        );
    }
}

/// Warns where fewer may be open than connections are let in.
pub(crate) fn warn(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile).current;
    if limit.is_some_and(|limit| limit < max_connections as u64) {
        tracing::warn!(
            limit,
            max_connections,
            "fewer files may be open than connections are let in: raise `ulimit -Hn`, in systemd LimitNOFILE=, or lower \
             --max-connections"
        );
    }
}
