//! What one member watches: it is told of those who expose it, and of nobody else.

use std::{sync::Arc, sync::atomic::Ordering, time::Instant};

use daffi_wire::{Frame, Handshake, Level, NodeType, Role, Shown, Watch};

use super::announcing::AnnouncedRate;
use crate::{
    conn::{Charge, Class},
    error::shorten,
    router::{Peer, RouterShared},
    session::no_room_for_list,
};

/// A longer WATCH is refused unread: that of the most names that a member may watch is shorter.
const LONGEST: usize = 512 * 1024;

/// What a WATCH costs, beside its bytes and those of its answer, of one who watches anew what it
/// watched before.
const COST: u64 = 1024;

/// Why a member that changes what it watches too often is refused.
const TOO_OFTEN: &str = "it changes what it watches too often: 262144 bytes at once, and 65536 in a second, may be \
                         asked for, and listed anew; try again";

/// What a member asked to be told of.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    /// What the names take that it watches, of what counts as received from it.
    counted: Option<Charge>,
    rate: AnnouncedRate,
    /// It took something away: what it adds from then on may have been listed before.
    again: bool,
}

impl Watching {
    /// Takes a WATCH of a member and answers it.
    ///
    /// All under the lock of the members: between the answer and the news that follow it nothing is
    /// missed, and nothing is told twice.
    #[cold]
    pub(crate) fn take(&mut self, shared: &RouterShared, me: &Arc<Peer>, frame: &Frame, now: Instant) {
        if !frame.header().wants_reply() || !frame.is_from(&me.name) || !me.is_level_four() {
            shared.counters.skipped_frames.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Err(reason) = self.watch(shared, me, frame, now) {
            tracing::info!(member = %Shown::name(&me.name), reason, "refused what a member wants to watch");
            // Its news still wait where they did, and with them the flows that begin behind them.
            return answer(shared, me, &Handshake::refusal(router(), shorten(&reason)).to_json());
        }
        shared.release_flows(me);
    }

    fn watch(&mut self, shared: &RouterShared, me: &Arc<Peer>, frame: &Frame, now: Instant) -> Result<(), String> {
        let bytes = frame.payload().len();
        if bytes > LONGEST {
            return Err(format!("a WATCH has {LONGEST} bytes at most, and this one has {bytes}"));
        }
        if self.rate.next_allowed(now).is_some() {
            return Err(TOO_OFTEN.to_owned());
        }
        self.rate.charge(bytes as u64, now);
        let watch = Watch::parse(frame.payload(), &shared.server.config.limits).map_err(|error| error.to_string())?;
        let mut members = shared.members.lock();
        let cost = members.watch_cost(&me.name, me.id(), &watch).map_err(|error| error.to_string())?;
        let list = members.reply_to_watch(&me.name, me.id(), &watch, |method| shared.exposers.names_of(method));
        self.again |= !watch.remove.is_empty();
        if self.again {
            self.rate.charge(COST + list.len() as u64, now);
        }
        let outbox = &me.conn.outbox;
        let all = list.len() + members.unread_bytes(&me.name, me.id());
        if outbox.bytes() > 0 && !outbox.admits(Class::Answer, all) {
            return Err(no_room_for_list(all));
        }
        if !self.count(me, cost) {
            return Err(format!(
                "too much waits of this member now to note what it watches, of {cost} bytes; try again"
            ));
        }
        let before = members.tell_one(&me.name, me.id());
        me.tell(&before, members.end(), &shared.news);
        members.watch(&me.name, me.id(), &watch);
        answer(shared, me, &list);
        Ok(())
    }

    /// Counts what the names take. `false`: there is no room.
    fn count(&mut self, me: &Peer, cost: usize) -> bool {
        let counted = self.counted.get_or_insert_with(|| me.conn.inbound.account().charge(0));
        counted.shrink_to(cost);
        counted.grow_to(cost)
    }
}

const fn router() -> NodeType {
    NodeType::new(Role::Router, Level::FOUR)
}

fn answer(shared: &RouterShared, me: &Peer, body: &[u8]) {
    let answer = Watch::answer(&me.name, body, &shared.server.config.limits);
    shared.server.send(&me.conn, Class::Provoked, &me.name, answer);
}
