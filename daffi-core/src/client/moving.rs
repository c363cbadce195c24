//! How a client of several addresses goes to another one while its connection stands.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::{Instant, sleep_until};

use super::{
    ClientConn,
    attempts::Attempts,
    hello_line::FLOOR_OF_WHO_MOVES,
    pauses::HowEnded,
    replacing::{Holds, Retries},
    schedule::Tried,
    supervisor::Kept,
};
use crate::error::Disconnected;

impl Kept<'_> {
    /// The server says that it stops, or gives no sign of life.
    pub(super) fn begin_to_move(&mut self) {
        if self.moves_at.is_none() && self.has_reason_to_move() {
            // The clients of one server do not all come at once to the next.
            self.moves_at = Some(Instant::now() + self.schedule.moment());
        }
    }

    fn has_reason_to_move(&self) -> bool {
        self.shared.addresses.len() > 1 && (stops(&self.current) || self.current.conn.is_stopped())
    }

    /// Goes to another server: calls go there from then on, and those that are open end where they
    /// are. When none is there now it is tried again, as long as there is a reason.
    pub(super) async fn move_on(&mut self) {
        let shared = self.shared;
        let (addresses, here) = (&shared.addresses, shared.addresses.at());
        let left = addresses.endpoint().to_string();
        self.moves_at = None;
        let (ends, current) = (self.ends, Arc::clone(&self.current));
        let mut attempts = Attempts::new(shared, ends, Some(&current), FLOOR_OF_WHO_MOVES);
        while self.has_reason_to_move() {
            let next = self.schedule.next_other(here, |at| attempts.are_at(at));
            if attempts.is_empty() {
                let Some((_, due)) = next else { break };
                if due > Instant::now() {
                    self.moves_at = Some(due);
                    break;
                }
            }
            let (at, due) = next.map_or((here, Instant::now()), |(at, due)| (at, due.max(attempts.next_at())));
            tokio::select! {
                biased;
                // What is lost is looked for everywhere.
                () = current.conn.ended.cancelled() => break,
                (at, made) = attempts.next_end() => match made {
                    Ok(next) => {
                        drop(attempts);
                        self.schedule.note_connected(at);
                        let how = if stops(&current) { HowEnded::InOrder } else { HowEnded::Lost };
                        self.schedule.note_end(here, self.since.elapsed(), how);
                        return self.go_to(next, &left);
                    }
                    Err(_) if shared.node.life.is_stopping() => {
                        if attempts.is_empty() {
                            break;
                        }
                    }
                    Err(error) => {
                        let once = Tried::once(&error);
                        let error: &dyn std::error::Error = &error;
                        self.schedule.note_failure(at, &error.to_string(), once);
                        tracing::debug!(node = %shared.node.name, error, "cannot move on to here");
                    }
                },
                () = sleep_until(due), if next.is_some() && !shared.node.life.is_stopping() => {
                    attempts.begin(at, self.schedule.tries(at));
                }
            }
        }
        drop(attempts);
        addresses.choose(here);
    }

    fn go_to(&mut self, next: Arc<ClientConn>, left: &str) {
        let (node, endpoint) = (&self.shared.node.name, self.shared.addresses.endpoint());
        let why = if stops(&self.current) { "is stopping" } else { "gives no sign of life" };
        tracing::info!(%node, %endpoint, "moved on: the server at {left} {why}");
        self.current.is_left.store(true, Ordering::Relaxed);
        self.current.say_moved();
        self.behind.push_back(std::mem::replace(&mut self.current, next));
        if self.behind.len() > self.shared.addresses.len()
            && let Some(oldest) = self.behind.pop_front()
        {
            oldest.conn.end(Disconnected::Replaced, false);
        }
        self.since = Instant::now();
        (self.unannounced, self.worn) = (false, false);
        (self.holds, self.retries, self.kept) = (Holds::default(), Retries::default(), 0);
    }

    /// Whether a server was left that does not stop: nobody but this end ends that connection.
    pub(super) fn has_left_a_silent_one(&self) -> bool {
        self.behind.iter().any(|behind| !stops(behind))
    }

    /// Ends those connections in order whose servers have come back to life, when nothing is open
    /// there any more.
    pub(super) fn leave_silent_ones(&self) {
        for behind in self.behind.iter().filter(|behind| !stops(behind) && !behind.conn.is_stopped()) {
            let is_quiet = behind.session.lock().in_flight.is_quiet() && !behind.is_pinned();
            if is_quiet && behind.conn.outbox.bytes() == 0 {
                behind.conn.drain();
            }
        }
    }
}

fn stops(conn: &ClientConn) -> bool {
    conn.server_stops.load(Ordering::Relaxed)
}
