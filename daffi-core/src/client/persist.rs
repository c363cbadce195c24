//! How a client that has no connection comes to one.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::{
    ClientConn, ClientCore,
    attempts::Attempts,
    establish::Ends,
    hello_line::FLOOR,
    schedule::{Schedule, Tried},
};
use crate::error::{Ended, InitializationError};

/// The connection before, which was lost.
#[derive(Clone, Copy)]
pub(super) struct LostConn<'a> {
    pub(super) conn: &'a ClientConn,
    /// Another attempt of this node took its name: its address is good, and another one may hand
    /// HANDSHAKEs on so late that each takes the name from the connection that is used by then.
    pub(super) is_replaced: bool,
}

/// Tries until it works or the node is stopped: each address when its time has come, beside those
/// that have not answered. The first attempt is made at once, if there was no connection before;
/// else the address that was lost is tried after a pause of its own, and others after a moment.
/// If this node replaced it itself others are tried when that has failed: what is said there would
/// do the same again.
///
/// Ends in vain when the node is stopped and, if there was no connection before, when nothing can
/// come of any address any more.
pub(super) async fn persist(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<LostConn<'_>>,
    schedule: &mut Schedule,
) -> Result<Arc<ClientConn>, Ended> {
    let addresses = &shared.addresses;
    let mut back_to = before.filter(|lost| lost.is_replaced).map(|_| addresses.at());
    let mut lost = before.map(|_| (addresses.at(), Instant::now() + schedule.at_first()));
    // Without one before the address that is next comes first.
    let mut last = lost.map_or(addresses.at() + addresses.len() - 1, |(at, _)| at);
    let mut attempts = Attempts::new(shared, ends, before.map(|lost| lost.conn), FLOOR);
    // Which addresses it is in vain to try again, by what their last attempt ended with.
    let mut in_vain = vec![false; addresses.len()];
    loop {
        let next = match back_to {
            Some(at) => Some((at, schedule.due(at))),
            None => schedule.next(last, |at| attempts.are_at(at)).map(|(at, due)| {
                let moment = lost.filter(|(lost, _)| at != *lost).map(|(_, moment)| moment);
                (at, due.max(attempts.next_at()).max(moment.unwrap_or(due)))
            }),
        };
        let (at, due) = next.unwrap_or((last, Instant::now()));
        tokio::select! {
            biased;
            (at, made) = attempts.next_end() => match made {
                Ok(conn) => {
                    // Another attempt may have failed after this one showed its connection.
                    shared.set_last_failure(None);
                    schedule.note_connected(at);
                    return Ok(conn);
                }
                Err(_) if shared.node.life.is_stopping() => {}
                Err(error) => {
                    // Whoever was connected was set up well: another server stands there for now.
                    in_vain[at] = before.is_none() && error.is_final();
                    if in_vain.iter().all(|in_vain| *in_vain) {
                        shared.note_failure(&error);
                        let (node, error) = (&shared.node.name, &error as &dyn std::error::Error);
                        tracing::error!(%node, error, "cannot connect as it is set up; it tries no more");
                        return Err(Ended::CannotConnect);
                    }
                    note_failure(shared, schedule, at, &error);
                }
            },
            () = shared.node.life.stopping.cancelled(), if attempts.is_empty() => return Err(Ended::Stopped),
            () = sleep_until(due), if next.is_some() && !shared.node.life.is_stopping() => {
                // What was said there before is looked at again.
                in_vain[at] = false;
                match back_to.take() {
                    Some(at) => attempts.begin_alone(at, schedule.tries(at)),
                    None => attempts.begin(at, schedule.tries(at)),
                }
                (last, lost) = (at, None);
            }
        }
    }
}

fn note_failure(shared: &ClientCore, schedule: &mut Schedule, at: usize, error: &InitializationError) {
    let once = Tried::once(error);
    let reason = shared.note_failure(error);
    let error: &dyn std::error::Error = error;
    // The last that is told of an address is what holds of it.
    if schedule.note_failure(at, &reason, once) {
        tracing::warn!(node = %shared.node.name, error, "no connection yet; trying on");
    } else {
        tracing::debug!(node = %shared.node.name, error, "no connection yet");
    }
}
