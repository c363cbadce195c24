//! What a Router answers by itself: `daffi.stats`.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use daffi_serde::RemoteError;
use daffi_transport::PeerInfo;
use daffi_wire::{FormatId, Frame, Header, Kind};
use parking_lot::Mutex;
use serde::Serialize;

use super::counted::now;
use crate::{
    conn::{Class, Conn, nanos},
    router::{RouterShared, RouterStats},
    server::Rights,
    stats::STATS,
};

/// Members and callbacks that are told at once.
const MOST_ROWS: usize = 500;

/// For so many nanoseconds all are told the same: asking often costs the Router little.
const FRESH: u64 = 250_000_000;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct ToldStats(Mutex<(u64, Bytes)>);

#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    version: &'static str,
    #[serde(flatten)]
    stats: RouterStats,
}

impl RouterShared {
    /// Answers a call of what the Router answers itself. `false`: it is none.
    #[cold]
    pub(crate) fn tell_own(&self, conn: &Arc<Conn>, frame: &Frame) -> bool {
        if frame.method() != STATS || self.table.load().get(frame.receiver()).is_some() {
            return false;
        }
        if !frame.header().wants_reply() {
            return true;
        }
        let (id, to) = (frame.header().id(), frame.transmitter());
        if !self.may_be_told(conn, frame) {
            let text = "the router tells its numbers over loopback and Unix sockets, or to those whose policy lets them \
                        call daffi.stats";
            let error = RemoteError::new("PermissionError", text);
            self.server.send_error(conn, to, id, frame.receiver(), STATS, &error);
            return true;
        }
        let header = Header::new(Kind::Response, id, FormatId::JSON, true, false);
        let answer = Frame::new(header, frame.receiver(), to, STATS, &self.write_stats(), &self.server.config.limits);
        self.server.send(conn, Class::Provoked, to, answer);
        true
    }

    /// With a policy it decides; else who is near is told.
    fn may_be_told(&self, conn: &Arc<Conn>, frame: &Frame) -> bool {
        if !self.server.guard.has_policy() {
            return is_near(&conn.peer);
        }
        let mut rights = Rights::new(Arc::clone(conn));
        rights.renew(&self.server.guard);
        rights.check_call(frame).is_ok()
    }

    fn write_stats(&self) -> Bytes {
        let (told_at, told) = &mut *self.told.0.lock();
        let now = nanos(now());
        if told.is_empty() || now.saturating_sub(*told_at) > FRESH {
            let mut stats = self.stats();
            stats.keep_busiest(MOST_ROWS);
            let (name, version) = (&*self.server.name, env!("CARGO_PKG_VERSION"));
            let body = serde_json::json!({ "args": [Told { name, version, stats }], "kwargs": {} });
            (*told_at, *told) = (now, body.to_string().into());
        }
        told.clone()
    }
}

/// Whether the peer is a process of this machine.
fn is_near(peer: &PeerInfo) -> bool {
    matches!(peer.scheme, "unix" | "mem")
        || peer.address.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_nothing() {
        for (scheme, address) in
            [("unix", "@"), ("tcp", "127.0.0.1:1"), ("wss", "[::1]:1"), ("tls", "[::ffff:127.0.0.1]:1")]
        {
            assert!(is_near(&PeerInfo::new(scheme, address)), "{address}");
        }
        for address in ["10.0.0.1:1", "[2001:db8::1]:1", "", "localhost:1", "127.0.0.1"] {
            assert!(!is_near(&PeerInfo::new("tcp", address)), "{address}");
        }
    }
}
