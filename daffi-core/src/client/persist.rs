//! How a client that has no connection comes to one.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    ClientConn, ClientCore,
    establish::{Ends, establish},
    pauses::rest,
    schedule::Schedule,
};

/// Tries until it works or the node is stopped: each address when its time has come. The first
/// attempt is made at once, if there was no connection `before`; else the address that was lost is
/// tried after a pause of its own, and others after a moment.
pub(super) async fn persist(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    schedule: &mut Schedule,
) -> Option<Arc<ClientConn>> {
    let addresses = &shared.addresses;
    let lost = before.map(|_| (addresses.at(), Instant::now() + schedule.at_first()));
    // Without one before the address whose turn it is comes first.
    let mut last = lost.map_or(addresses.at() + addresses.len() - 1, |(at, _)| at);
    let mut moment = lost.map(|(_, moment)| moment);
    loop {
        let (at, due) = schedule.next(last);
        let due = moment.take().filter(|_| at != last).map_or(due, |moment| moment.max(due));
        addresses.choose(at);
        if !rest(shared, due.saturating_duration_since(Instant::now())).await {
            return None;
        }
        match establish(shared, ends, before, schedule.failures(at)).await {
            Ok(conn) => {
                schedule.note_connected(at);
                return Some(conn);
            }
            Err(_) if shared.node.life.is_stopping() => return None,
            Err(error) => {
                addresses.give_way();
                let error: &dyn std::error::Error = &error;
                // The last that is told of an address is what holds of it.
                if schedule.note_failure(at, &with_causes(error)) {
                    tracing::warn!(node = %shared.node.name, error, "no connection yet; trying on");
                } else {
                    tracing::debug!(node = %shared.node.name, error, "no connection yet");
                }
            }
        }
        last = at;
    }
}

/// What an error says, and what is behind it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
