//! How a node that listens ends: nobody is turned away before all are, and that is its last moment.
//!
//! A client of 3.0.1 whose connection has ended connects again at its next call, and only once
//! ([protocol, 10](daffi_wire::protocol#10.15)): refused, or connected and not answered, it is lost
//! for good. So listeners stay open while calls finish and answers settle, those who come meanwhile
//! are let in, and their connections end together with the listeners. How long nobody listens is
//! then up to whoever starts the next process.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use daffi_wire::{EventKind, Frame, Level};
use tokio::time::{sleep, timeout};

use super::{Host, Server};
use crate::{
    conn::{Class, Conn},
    error::{Disconnected, Ended},
    session::event_frame,
};

/// How often a node that stops looks whether all its connections are ready to end.
const LOOK: Duration = Duration::from_millis(5);

/// How long clients may take to find another server: about as long as they give to one address.
const MOVING: Duration = Duration::from_secs(2);

/// Begins to stop, if that was not done: requests are refused from here on. Goes on with `rest` on
/// a task of its own, whoever waits for it.
pub(crate) fn begin_stop<H: Host, R: Future<Output = ()> + Send + 'static>(host: &Arc<H>, rest: impl FnOnce() -> R) {
    let server = host.server();
    if server.life.begin_stop() {
        server.life.stop();
        let rest = rest();
        server.runtime.spawn(rest);
    }
}

impl Server {
    /// Ends after [`begin_stop`]: waits for `work` and for all connections, up to `grace`, then
    /// cuts off. `conns`: those that bear a name, whenever it is asked; `left`: what is cut off.
    pub(crate) async fn finish(
        &self,
        work: impl Future<Output = ()>,
        conns: impl Fn() -> Vec<Arc<Conn>>,
        left: impl Fn() -> usize,
    ) {
        self.say_it_stops(&conns());
        let all = async {
            self.see_off(&conns).await;
            work.await;
            self.settle(&conns).await;
            self.close().await;
            for conn in conns() {
                conn.drain();
            }
            self.tasks.wait().await;
        };
        let mut cut_off = 0;
        let grace = self.changeable().grace;
        if timeout(grace, all).await.is_err() {
            cut_off = left();
            tracing::warn!(node = %self.name, open = cut_off, ?grace, "stopping cut calls off");
            self.life.kill();
            self.close().await;
            for conn in conns() {
                conn.end(Disconnected::Stopped, true);
            }
            if timeout(self.config.linger.saturating_mul(2), self.tasks.wait()).await.is_err() {
                self.life.cut_off();
                self.tasks.wait().await;
            }
        }
        self.tell_unsent();
        self.end(Ended::after(cut_off));
    }

    /// Counts what a connection was not sent because this node stopped. Gives whether its end tells
    /// of it: of the connections of another one there is no such end.
    pub(crate) fn note_unsent(&self, frames: usize) -> bool {
        let is_told = self.is_stopping();
        if is_told {
            let mut unsent = self.unsent.lock();
            *unsent = (unsent.0 + 1, unsent.1 + frames);
        }
        is_told
    }

    /// All callers that are cut off are one thing that happened, and one line.
    fn tell_unsent(&self) {
        let (connections, unsent) = std::mem::take(&mut *self.unsent.lock());
        if connections > 0 {
            tracing::warn!(node = %self.name, connections, unsent, "stopping left frames unsent");
        }
    }

    /// Says that all that came was answered, if this node is stopping.
    pub(crate) fn farewell(&self) -> Option<Frame> {
        // A frame this small, with a name that was checked, always fits.
        let frame = || event_frame(EventKind::Stopped, &self.name, &self.config.limits).ok();
        // From when callbacks are cut off on, not all is answered any more.
        if self.is_stopping() && !self.life.is_killed() { frame() } else { None }
    }

    /// Tells those that can go elsewhere. A client with other addresses does so in a moment, and
    /// what it has open here ends here.
    fn say_it_stops(&self, conns: &[Arc<Conn>]) {
        let frame = event_frame(EventKind::Stopping, &self.name, &self.config.limits);
        for conn in conns.iter().filter(|conn| conn.level().at_least(Level::FOUR)) {
            self.send(conn, Class::Notice, "", frame.clone());
        }
    }

    /// Waits until those who go elsewhere have said that they are there: until then their calls are
    /// taken.
    async fn see_off(&self, conns: &impl Fn() -> Vec<Arc<Conn>>) {
        let stay = || conns().iter().filter(|conn| conn.takes_last_calls() && !conn.ended.is_cancelled()).count();
        let gone = async {
            while stay() > 0 {
                sleep(LOOK).await;
            }
        };
        if timeout(MOVING, gone).await.is_err() {
            tracing::info!(node = %self.name, clients = stay(), after = ?MOVING, "clients have found no other server");
        }
        // Nobody gets in any more who may still call: first what they say, then who has said it.
        self.has_seen_off.store(true, Ordering::SeqCst);
        conns().iter().for_each(|conn| conn.take_last_calls(false));
    }

    /// Waits until the last answers have settled at peers that come back only once, then until the
    /// others are gone, which come back as often as needed: their end takes as long as the slowest
    /// of them.
    async fn settle(&self, conns: impl Fn() -> Vec<Arc<Conn>>) {
        let is_old = |conn: &Arc<Conn>| !conn.level().at_least(Level::FOUR);
        loop {
            let old: Vec<_> = conns().into_iter().filter(is_old).collect();
            old.iter().for_each(|conn| conn.settle());
            if old.iter().all(|conn| conn.has_settled()) {
                break;
            }
            sleep(LOOK).await;
        }
        let new: Vec<_> = conns().into_iter().filter(|conn| !is_old(conn)).collect();
        new.iter().for_each(|conn| conn.drain());
        for conn in new {
            conn.ended.cancelled().await;
        }
    }

    /// Closes the listeners, and connections that have not opened yet: nobody gets in any more.
    async fn close(&self) {
        self.life.close();
        self.listening.close();
        self.listening.wait().await;
        self.tasks.close();
        for abort in std::mem::take(&mut *self.opening.lock()).into_values() {
            abort.abort();
        }
        for conn in self.lookers.lock().values() {
            conn.drain();
        }
    }
}
