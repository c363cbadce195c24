//! What was held, and goes with its sender or its receiver.

use std::sync::atomic::Ordering;

use daffi_wire::{CallId, Shown};

use super::sender::Sender;

impl Sender {
    /// Forgets a receiver that left. Gives the numbers of the calls that waited to go to it, and
    /// how many nowait requests did.
    pub(crate) fn forget(&self, receiver: u64) -> (Vec<CallId>, usize) {
        let Some(mut flow) = self.flows.lock().remove(&receiver) else { return (Vec::new(), 0) };
        self.held.fetch_sub(flow.held.len(), Ordering::Relaxed);
        (flow.held.take_calls_back(), flow.held.nowait_requests())
    }
}

impl Drop for Sender {
    /// Its sender was told that it was sent, and its receiver hears nothing of it: so it is counted
    /// here, and said.
    fn drop(&mut self) {
        let lost: usize = self.flows.get_mut().values().map(|flow| flow.held.nowait_requests()).sum();
        if lost == 0 {
            return;
        }
        let Some(router) = self.router.upgrade() else { return };
        router.counters.dropped_requests.fetch_add(lost as u64, Ordering::Relaxed);
        let sender = Shown::name(&self.peer.name);
        if router.server.life.is_killed() {
            tracing::debug!(%sender, lost, "nowait requests are lost: this router stopped before there was room for them");
        } else {
            tracing::warn!(%sender, lost, "nowait requests are lost: their sender left before there was room for them");
        }
    }
}

#[cfg(test)]
mod tests {
    use daffi_wire::{CallId, Credit, FlowId, FormatId, Frame, Header, Kind, Level, Limits};

    use crate::{
        config::NodeConfig,
        router::{bare::BareRouter, joined::joined},
    };

    const LARGE: usize = 60_000;

    fn request(n: u16) -> Frame {
        let header = Header::new(Kind::Request, CallId(n), FormatId::OPAQUE, false, false);
        Frame::new(header, "s", "w", "f", &[0; LARGE], &Limits::default()).unwrap()
    }

    #[tokio::test]
    async fn what_a_slow_receiver_never_gets_of_one_that_left_is_counted() {
        for level in [Level::THREE, Level::FOUR] {
            let config = NodeConfig::server().budget_bytes(2 << 20).max_connections(10);
            let router = BareRouter::with_config(&format!("mem://lost-{level:?}"), config);
            let [mut s, mut w] = ["s", "w"].map(|name| joined(&router, name, level, &["f"]));
            if level == Level::FOUR {
                s.handle(Credit::Begins(FlowId(1)).frame("s", "w", &Limits::default()).unwrap()).unwrap();
            }
            let held = || router.holds().2;
            let mut sent = 0;
            while held() < 3 {
                sent += 1;
                assert!(sent < 1_000, "the receiver takes nothing");
                s.handle(request(sent)).unwrap();
            }
            s.leave();
            let mut got = 0;
            loop {
                let frames = w.take_frames();
                if frames.is_empty() {
                    break;
                }
                got += frames.iter().filter(|frame| frame.kind() == Kind::Request).count();
            }
            let lost = router.shared().stats().dropped_requests;
            assert_eq!(lost + got as u64, u64::from(sent), "{level:?}: {got} of {sent}");
            assert!(level == Level::THREE || lost > 0);
        }
    }
}
