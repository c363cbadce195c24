//! Headers of the command line, which do not reach everybody.

use daffi::{Client, Level};

use crate::{names::listed_name, output};

/// So many are named who get none.
const NAMED: usize = 3;

/// Says on stderr which of those who expose the callback get no headers, if there are such, and one
/// of them may have been called.
pub(crate) fn tell_dropped(client: &Client, headers: &[(String, String)], method: &str, receivers: &[&str]) {
    if headers.is_empty() {
        return;
    }
    let members = client.known_members();
    let exposing = members.receivers_of(method).map(|all| &all[..]).unwrap_or_default();
    let old: Vec<_> = exposing
        .iter()
        .filter(|name| receivers.is_empty() || receivers.contains(&name.as_str()))
        .filter(|name| !members.level(name).at_least(Level::FOUR))
        .map(|name| listed_name(name))
        .collect();
    if old.is_empty() {
        return;
    }
    let more = if old.len() > NAMED { format!(" and {} more", old.len() - NAMED) } else { String::new() };
    let names = old[..old.len().min(NAMED)].join(", ");
    output::tell(&format!(
        "--header does not reach daffi 3.0.1 nodes: {names}{more}; what they need is sent as an argument"
    ));
}
