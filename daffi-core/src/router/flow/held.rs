//! What waits in the flow of one sender to one receiver, in order.

use std::collections::VecDeque;

use daffi_transport::keep;
use daffi_wire::{CallId, FlowId, Frame, credit_cost};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::conn::Ticket;

/// What a held frame takes beside its bytes.
pub(crate) const HOLDING_COST: usize = 256;

/// Places of calls that were taken back, which stay in line beside as many others.
const STALE: usize = 64;

/// Frames that wait for the same receiver, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Held {
    line: VecDeque<HeldPlace>,
    /// The calls in line, by the number under which their receiver will know them.
    calls: FxHashMap<CallId, HeldCall>,
    /// Tells a call from an earlier one of its number.
    last_mark: u64,
    /// Places of calls that were taken back.
    stale: usize,
}

/// A frame that waits. Counted as received from its sender, which is so slowed down.
#[derive(Debug)]
pub(crate) struct HeldFrame {
    frame: Frame,
    /// The time since which it waits, if it says how much time is left.
    since: Option<Instant>,
    _counted: Ticket,
}

#[derive(Debug)]
enum HeldPlace {
    Call { number: CallId, mark: u64 },
    Frame(HeldFrame, WaitsFor),
}

/// A call that waits for what is before it, and what came for it meanwhile.
#[derive(Debug)]
struct HeldCall {
    mark: u64,
    frame: HeldFrame,
    data: Vec<HeldFrame>,
}

/// What a frame waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitsFor {
    /// A call waits for its place in line, where there is one, and costs so much of it.
    Place(u64),
    /// It waits for so much credit.
    Credit(u64),
    /// It waits until nothing of the flow before is outstanding, for this flow to begin: nobody
    /// gets a new window by a new flow.
    Quiet(FlowId),
    /// It waits until the receiver has heard of the sender, for the flow to begin.
    News,
}

/// What has waited long enough.
#[derive(Debug)]
pub(crate) enum Released {
    /// A call under this number, and the DATA that came for it.
    Call {
        number: CallId,
        frame: Frame,
        data: Vec<Frame>,
    },
    Frame(Frame, WaitsFor),
}

impl HeldFrame {
    pub(crate) fn new(frame: Frame, count: impl FnOnce(usize) -> Ticket) -> Self {
        // The frame may be a small part of a read buffer, which must not wait with it.
        let frame = keep(frame);
        let counted = count(frame.as_bytes().len() + HOLDING_COST);
        let since = frame.header().has_extensions().then(Instant::now);
        Self { frame, since, _counted: counted }
    }

    fn release(self) -> Frame {
        match self.since {
            Some(since) => self.frame.with_less_time(since.elapsed()),
            None => self.frame,
        }
    }
}

impl HeldCall {
    /// What it costs those who stand in line with it.
    fn cost(&self) -> u64 {
        let bytes = |frame: &HeldFrame| frame.frame.as_bytes().len();
        credit_cost(bytes(&self.frame) + self.data.iter().map(bytes).sum::<usize>())
    }
}

impl Held {
    /// Requests and beginnings of flows that wait.
    pub(crate) fn len(&self) -> usize {
        self.line.len() - self.stale
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nowait requests that wait.
    pub(crate) fn nowait_requests(&self) -> usize {
        self.line.iter().filter(|place| matches!(place, HeldPlace::Frame(_, WaitsFor::Credit(_)))).count()
    }

    pub(crate) fn push(&mut self, frame: HeldFrame, waits: WaitsFor) {
        self.line.push_back(HeldPlace::Frame(frame, waits));
    }

    /// A flow waits to begin. Gives whether it takes the place of one of which nothing came: of
    /// those that a sender begins one after another only the last counts.
    pub(crate) fn push_begin(&mut self, frame: HeldFrame, flow: FlowId) -> bool {
        let begins = HeldPlace::Frame(frame, WaitsFor::Quiet(flow));
        match self.line.back_mut() {
            Some(last @ HeldPlace::Frame(_, WaitsFor::Quiet(_))) => {
                *last = begins;
                true
            }
            _ => {
                self.line.push_back(begins);
                false
            }
        }
    }

    /// A call waits for what is before it. It travels under the number in its header. Gives whether
    /// it takes the place of one that waited under that number.
    pub(crate) fn push_call(&mut self, frame: HeldFrame) -> bool {
        let number = frame.frame.header().id();
        self.last_mark += 1;
        let call = HeldCall { mark: self.last_mark, frame, data: Vec::new() };
        self.line.push_back(HeldPlace::Call { number, mark: call.mark });
        let replaces = self.calls.insert(number, call).is_some();
        if replaces {
            // Its receiver answered the call of that number before it got it.
            self.note_stale();
        }
        replaces
    }

    /// Keeps DATA of a call with it. `false`: the call does not wait, or not any more.
    pub(crate) fn push_data(&mut self, number: CallId, frame: impl FnOnce() -> HeldFrame) -> bool {
        let Some(call) = self.calls.get_mut(&number) else { return false };
        call.data.push(frame());
        true
    }

    /// Whether a call of this number waits.
    pub(crate) fn holds_call(&self, number: CallId) -> bool {
        self.calls.contains_key(&number)
    }

    /// Takes a call back, with what came for it. `false`: it does not wait, or not any more.
    pub(crate) fn take_back(&mut self, number: CallId) -> bool {
        let is_held = self.calls.remove(&number).is_some();
        if is_held {
            self.note_stale();
        }
        is_held
    }

    /// Takes all calls back, and gives their numbers.
    pub(crate) fn take_calls_back(&mut self) -> Vec<CallId> {
        let numbers: Vec<_> = self.calls.drain().map(|(number, _)| number).collect();
        self.line.retain(|place| matches!(place, HeldPlace::Frame(..)));
        self.stale = 0;
        numbers
    }

    /// Whether the first in line waits until the receiver has heard of the sender.
    pub(crate) fn waits_for_news(&self) -> bool {
        matches!(self.line.front(), Some(HeldPlace::Frame(_, WaitsFor::News)))
    }

    /// Takes the first in line if `may_go` says that its time has come.
    pub(crate) fn pop(&mut self, mut may_go: impl FnMut(WaitsFor) -> bool) -> Option<Released> {
        loop {
            let waits = match self.line.front()? {
                HeldPlace::Frame(_, waits) => Some(*waits),
                HeldPlace::Call { number, mark } => {
                    self.waiting(*number, *mark).map(|call| WaitsFor::Place(call.cost()))
                }
            };
            if waits.is_some_and(|waits| !may_go(waits)) {
                return None;
            }
            match self.line.pop_front()? {
                HeldPlace::Frame(frame, waits) => return Some(Released::Frame(frame.release(), waits)),
                HeldPlace::Call { number, .. } if waits.is_some() => {
                    let HeldCall { frame, data, .. } = self.calls.remove(&number)?;
                    let data = data.into_iter().map(HeldFrame::release).collect();
                    return Some(Released::Call { number, frame: frame.release(), data });
                }
                HeldPlace::Call { .. } => self.stale -= 1,
            }
        }
    }

    fn waiting(&self, number: CallId, mark: u64) -> Option<&HeldCall> {
        self.calls.get(&number).filter(|call| call.mark == mark)
    }

    /// A place in line is that of a call no more. Such places stay for a while, so that taking a
    /// call back costs the same with many in line as with few.
    fn note_stale(&mut self) {
        self.stale += 1;
        if self.stale > STALE + self.line.len() / 2 {
            let calls = &self.calls;
            self.line.retain(|place| match place {
                HeldPlace::Call { number, mark } => calls.get(number).is_some_and(|call| call.mark == *mark),
                HeldPlace::Frame(..) => true,
            });
            self.stale = 0;
        }
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
