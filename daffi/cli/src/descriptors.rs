//! The files that the process may open, of which each connection takes one.

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
