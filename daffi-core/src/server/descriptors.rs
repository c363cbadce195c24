//! The files that the process may open, of which each connection takes one.

/// So many are left to all else: the runtime and its threads, listeners, those who ask how the node
/// is, files that are read. Where few may be open it is half of them.
#[cfg(unix)]
const BESIDE: u64 = 128;

/// How many connections may be open beside all else. A node that took the last descriptor for one
/// could neither take the next nor tell anybody how it is.
#[cfg(unix)]
pub(super) fn for_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, beside)
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(super) const fn for_connections() -> usize {
    usize::MAX
}

#[cfg(unix)]
fn beside(limit: u64) -> usize {
    usize::try_from(limit - BESIDE.min(limit / 2)).unwrap_or(usize::MAX).max(1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::beside;

    #[test]
    fn connections_leave_files_to_all_else() {
        assert_eq!([1, 40, 256, 1024, 65_536].map(beside), [1, 20, 128, 896, 65_408]);
    }
}
