//! What waits in a flow, beside a model of it.

use std::sync::Arc;

use daffi_transport::PeerInfo;
use daffi_wire::{FormatId, Header, Kind, Limits};

use super::*;
use crate::conn::{Budget, Conn};

const COST: u64 = 300;

struct Line {
    conn: Arc<Conn>,
    held: Held,
}

impl Line {
    fn new() -> Self {
        let budget = Budget::new(64 << 20, 1.0, 100, 1 << 20);
        Self { conn: Conn::new(PeerInfo::new("mem", "test"), &budget), held: Held::default() }
    }

    fn frame(&self, kind: Kind, id: u16, text: &str) -> HeldFrame {
        let header = Header::new(kind, CallId(id), FormatId::JSON, true, kind == Kind::Request);
        let frame = Frame::new(header, "a", "b", "f", text.as_bytes(), &Limits::default()).unwrap();
        HeldFrame::new(frame, |bytes| Ticket::new(Arc::clone(&self.conn), bytes))
    }

    fn call(&mut self, id: u16, text: &str) {
        let frame = self.frame(Kind::Request, id, text);
        self.held.push_call(frame);
    }

    fn nowait(&mut self, text: &str) {
        let frame = self.frame(Kind::Request, 0, text);
        self.held.push(frame, WaitsFor::Credit(COST));
    }

    fn data(&mut self, id: u16, text: &str) -> bool {
        let frame = self.frame(Kind::Response, id, text);
        self.held.push_data(CallId(id), || frame)
    }

    /// What goes when there is credit for so many nowait requests.
    fn release(&mut self, mut credit: usize) -> Vec<String> {
        let mut gone = Vec::new();
        while let Some(released) = self.held.pop(|waits| {
            if matches!(waits, WaitsFor::Place(_)) {
                return true;
            }
            let pays = credit > 0;
            credit -= usize::from(pays);
            pays
        }) {
            match released {
                Released::Frame(frame, _) => gone.push(text(&frame)),
                Released::Call { frame, data, .. } => {
                    gone.push(text(&frame));
                    gone.extend(data.iter().map(text));
                }
            }
        }
        gone
    }
}

fn text(frame: &Frame) -> String {
    String::from_utf8(frame.payload().to_vec()).unwrap()
}

#[test]
fn what_came_for_a_call_goes_with_it_and_not_with_another_of_its_number() {
    let mut line = Line::new();
    line.nowait("n1");
    line.call(2, "c2");
    line.nowait("n2");
    line.call(3, "c3");
    assert!(line.data(3, "d3") && line.data(2, "d2") && !line.data(4, "d4"));
    assert_eq!(line.release(0), [""; 0]);
    assert!(line.held.take_back(CallId(3)) && !line.held.take_back(CallId(3)) && !line.data(3, "late"));
    line.nowait("n3");
    line.call(3, "again");
    assert!(line.data(3, "d"));
    assert_eq!(line.release(2), ["n1", "c2", "d2", "n2"], "the place of the one before is no place of it");
    assert_eq!((line.held.len(), line.held.nowait_requests()), (2, 1));
    assert_eq!(line.release(1), ["n3", "again", "d"]);
    assert!(line.held.is_empty() && line.held.line.is_empty() && line.held.calls.is_empty());
    assert_eq!(line.conn.inbound.bytes(), 0, "nothing is counted after the end");
}

#[test]
fn calls_that_are_taken_back_leave_no_line() {
    let mut line = Line::new();
    line.nowait("n1");
    for round in 0..10_000_u16 {
        line.call(round % 7 + 1, "c");
        if round >= 3 {
            assert!(line.held.take_back(CallId((round - 3) % 7 + 1)));
        }
    }
    assert_eq!(line.held.len(), 4);
    assert!(line.held.line.len() <= 2 * STALE + 8, "{}", line.held.line.len());
    assert!(line.conn.inbound.bytes() < 4 * 400, "{}", line.conn.inbound.bytes());
    let mut numbers = line.held.take_calls_back();
    numbers.sort_unstable();
    assert_eq!((numbers.len(), line.held.len()), (3, 1));
    for many in 1..=200 {
        line.call(many, "c");
    }
    assert_eq!((line.held.take_calls_back().len(), line.held.len()), (200, 1));
    assert_eq!(line.release(1), ["n1"]);
    assert!(line.held.line.is_empty());
}
