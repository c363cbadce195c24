//! Asks the other end of a level 4 link whether it lives.

use std::time::Instant;

use daffi_wire::{Level, Ping};

use super::{Class, Conn, timers::now};
use crate::{
    error::Disconnected,
    session::{Beat, ENDED, Pulse},
};

/// The clock of a peer that can be asked; it runs from the handshake on, on links of level 4.
#[derive(Debug, Default)]
pub(crate) struct Alive(Option<Pulse>);

impl Alive {
    /// The handshake is done.
    pub(crate) fn begin(&mut self, conn: &Conn) {
        if self.0.is_none() && conn.level().at_least(Level::FOUR) {
            self.0 = Some(Pulse::new(now()));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.as_ref().map(Pulse::next)
    }

    /// Its time has come. Gives whether the peer now stands still, if that changed.
    ///
    /// # Errors
    /// [`Disconnected::Silent`]: it has for so long that the connection is given up.
    pub(crate) fn on_time(&mut self, conn: &Conn, now: Instant) -> Result<Option<bool>, Disconnected> {
        let Some(pulse) = &mut self.0 else { return Ok(None) };
        // One that holds this end back reads no question and cannot answer. How long it may is the business of the clock
        // that runs while bytes wait for a peer.
        let held_back = conn.outbox.bytes() > 0;
        match pulse.beat(now, conn.takes_sign_of_life() || held_back) {
            Beat::Nothing => Ok(None),
            Beat::Ask => {
                // Any bytes would do: whoever answers late is as alive.
                drop(conn.send(Class::Notice, &Ping::Asks(conn.id.to_le_bytes()).frame()));
                Ok(None)
            }
            Beat::Stopped => {
                conn.show_stopped(true);
                Ok(Some(true))
            }
            Beat::GoesOn => {
                conn.show_stopped(false);
                Ok(Some(false))
            }
            Beat::End => Err(Disconnected::Silent(ENDED)),
        }
    }
}
