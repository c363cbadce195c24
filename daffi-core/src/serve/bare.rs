//! A node that serves and has no connections of its own: frames of its callers are handed in, and
//! answers lie in outboxes until they are taken. For tests.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context as TaskContext, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use daffi_serde::{Opaque, RemoteError, Single};
use daffi_transport::{Batch, PeerInfo};
use daffi_wire::{
    CallId, Cancel, CancelReason, Data, DataEnd, Extensions, FormatId, Frame, FrameWriter, Header, Kind, Level, Limits,
    MethodName, NodeName, StreamFlags,
};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, task::yield_now};

use super::{Callback, CallbackOptions, CallbackService, Context, Intake, ServingNode};
use crate::{
    config::NodeConfig,
    conn::{Class, Conn, Turn},
};

/// What fills an outbox says so.
const FILLER: &str = "filler";

pub(super) type Formats = Single<Opaque>;

/// Which callbacks began and ended, in order, and which of them may end. Each is called by the text
/// of its argument.
#[derive(Default)]
pub(super) struct Desk {
    log: Mutex<Vec<String>>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Desk {
    fn gate(&self, text: &str) -> Arc<Semaphore> {
        Arc::clone(self.gates.lock().entry(text.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    /// This one may end.
    pub(super) fn let_go(&self, text: &str) {
        self.gate(text).add_permits(1);
    }

    pub(super) fn note(&self, what: String) {
        self.log.lock().push(what);
    }

    /// How much was noted since [`log`](Self::log) was called.
    pub(super) fn log_len(&self) -> usize {
        self.log.lock().len()
    }

    pub(super) fn log_is_empty(&self) -> bool {
        self.log_len() == 0
    }

    /// What was noted since this was called last.
    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }

    /// An async callback that ends when it is let go.
    pub(super) fn waits(self: &Arc<Self>, name: &str, options: CallbackOptions) -> Callback {
        let desk = Arc::clone(self);
        Callback::asynchronous(method(name), options, formats(), move |(text,): (String,), _| {
            desk.note(format!("{text} began"));
            let (desk, gate) = (Arc::clone(&desk), desk.gate(&text));
            async move {
                gate.acquire().await.expect("it is never closed").forget();
                desk.note(format!("{text} ended"));
                Ok(text)
            }
        })
    }

    /// A plain callback that ends when it is let go, and blocks its thread until then.
    pub(super) fn blocks(self: &Arc<Self>, name: &str, options: CallbackOptions) -> Callback {
        let desk = Arc::clone(self);
        Callback::plain(method(name), options, formats(), move |(text,): (String,), _| {
            desk.note(format!("{text} began"));
            let gate = desk.gate(&text);
            tokio::runtime::Handle::current().block_on(gate.acquire()).expect("it is never closed").forget();
            desk.note(format!("{text} ended"));
            Ok(text)
        })
    }

    /// A callback that ends at once; called with `panic` it panics.
    pub(super) fn quick(self: &Arc<Self>, name: &str, options: CallbackOptions) -> Callback {
        let desk = Arc::clone(self);
        Callback::plain(method(name), options, formats(), move |(text,): (String,), _| {
            desk.note(format!("{text} ran"));
            assert!(text != "panic", "as it was asked to");
            if text == "fail" {
                return Err(RemoteError::new("ValueError", "as it was asked to"));
            }
            Ok(text)
        })
    }
}

pub(super) fn formats() -> Formats {
    Single::new(Opaque::default())
}

pub(super) fn method(name: &str) -> MethodName {
    MethodName::new(name, &Limits::default()).expect("a name")
}

fn node(name: &str) -> NodeName {
    NodeName::new(name, &Limits::default()).expect("a name")
}

/// A node and what it serves.
pub(super) struct BareNode {
    pub(super) serving: Arc<ServingNode>,
}

impl BareNode {
    /// Must be called within a tokio runtime.
    pub(super) fn new(workers: usize, callbacks: Vec<Callback>) -> Self {
        Self::layered(workers, callbacks, |callbacks| callbacks)
    }

    /// The same with a layer around all callbacks.
    pub(super) fn layered(
        workers: usize,
        callbacks: Vec<Callback>,
        layer: impl FnOnce(CallbackService) -> CallbackService,
    ) -> Self {
        let config = NodeConfig::server().workers(workers);
        let serving = ServingNode::new(node("node"), config, layer, callbacks, formats());
        Self { serving: Arc::new(serving.expect("it starts")) }
    }

    /// A caller with a connection of its own.
    pub(super) fn caller(&self, name: &str) -> BareCaller {
        let conn = Conn::new(PeerInfo::new("mem", "bare"), &self.serving.node.budget);
        conn.set_level(Level::FOUR);
        let context = Context::new(node(name), Arc::clone(&conn), Arc::clone(&self.serving.node));
        let (serving, intake) = (Arc::clone(&self.serving), self.serving.intake());
        BareCaller { serving, intake, conn, context, batch: Batch::new(), next: 0 }
    }

    /// Whether nothing runs, or waits as a task.
    pub(super) fn is_idle(&self) -> bool {
        self.serving.node.running.is_empty()
    }
}

/// One who calls the node, and the node's end of its connection.
pub(super) struct BareCaller {
    serving: Arc<ServingNode>,
    intake: Intake,
    pub(super) conn: Arc<Conn>,
    pub(super) context: Context,
    batch: Batch,
    next: u16,
}

impl BareCaller {
    /// One read brought these requests. Gives their numbers.
    pub(super) fn call<const N: usize>(&mut self, requests: [(&str, &str); N]) -> [CallId; N] {
        let numbers = requests.map(|(name, text)| {
            self.next += 1;
            let header = Header::new(Kind::Request, CallId(self.next), FormatId::OPAQUE, true, true);
            self.handle(self.frame(header, name, text));
            CallId(self.next)
        });
        self.settle();
        numbers
    }

    /// A request that wants no answer.
    pub(super) fn tell(&mut self, name: &str, text: &str) {
        let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, true, false);
        self.handle(self.frame(header, name, text));
        self.settle();
    }

    /// A call of which items follow.
    pub(super) fn call_with_items(&mut self, name: &str) -> CallId {
        self.next += 1;
        let (mut bytes, limits) = (BytesMut::new(), Limits::default());
        let mut writer = FrameWriter::begin(&mut bytes, self.context.caller(), "node", name).expect("names");
        let follow = StreamFlags { items_follow: true, takes_results: false };
        writer.extensions(&Extensions::builder().stream(follow).build().expect("extensions"));
        let header = Header::new(Kind::Request, CallId(self.next), FormatId::OPAQUE, true, true);
        writer.finish(header, 0, &limits).expect("a frame");
        self.handle(Frame::from_message(bytes.freeze(), &limits).expect("a frame"));
        self.settle();
        CallId(self.next)
    }

    /// An item of such a call; an empty one is the end.
    pub(super) fn item(&mut self, id: CallId, bytes: &'static [u8]) {
        let end = if bytes.is_empty() { DataEnd::Direction } else { DataEnd::Item };
        let data = Data { id, from_caller: true, end, packed: false, bytes: Bytes::from_static(bytes) };
        let frame = data.frame(self.context.caller(), "node", &Limits::default()).expect("a frame");
        let mut turn = Turn::begin(&self.conn, 0);
        self.serving.take(&mut turn, &mut self.intake, &self.context, frame).expect("it breaks no rule");
        drop(turn);
        self.settle();
    }

    fn frame(&self, header: Header, name: &str, text: &str) -> Frame {
        Frame::new(header, self.context.caller(), "node", name, text.as_bytes(), &Limits::default()).expect("a frame")
    }

    /// A request was read.
    pub(super) fn handle(&mut self, frame: Frame) {
        let mut turn = Turn::begin(&self.conn, 0);
        self.serving.serve(&mut turn, &mut self.intake, &self.context, frame, ());
    }

    /// Nothing more is to be read for now.
    pub(super) fn settle(&mut self) {
        self.serving.settle(&mut self.intake, self.conn.inbound.frames());
    }

    /// It gives a call up.
    pub(super) fn cancel(&mut self, id: CallId) {
        let cancel = Cancel { id, reason: CancelReason::Dropped };
        let frame = cancel.frame(self.context.caller(), "node", &Limits::default()).expect("a frame");
        let mut turn = Turn::begin(&self.conn, 0);
        self.serving.cancel(&mut turn, &mut self.intake, &self.context, &frame).expect("it breaks no rule");
    }

    /// It takes no answers: so many wait that others have to.
    pub(super) fn fill(&self) {
        let header = Header::control(Kind::Response, CallId(u16::MAX), false);
        let frame = Frame::new(header, "node", "", FILLER, &[7; 64 * 1024], &Limits::default()).expect("a frame");
        while !self.conn.outbox.is_full() {
            self.conn.send(Class::Notice, &frame).expect("it is open");
        }
    }

    /// It takes what waits.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        self.conn.note_run(&TaskContext::from_waker(Waker::noop()));
        self.conn.outbox.take(&mut self.batch);
        let bytes = self.batch.remaining();
        let frames = std::iter::from_fn(|| self.batch.next_frame());
        let frames = frames.map(|frame| Frame::from_message(frame, &Limits::default()).expect("whole frames"));
        let frames = frames.filter(|frame| frame.method() != FILLER).collect();
        self.conn.outbox.on_written(bytes, &mut self.batch);
        frames
    }

    /// So many answers, as they come: the text of each, or its error. Ends the test in place of
    /// waiting for ever.
    pub(super) async fn answers(&mut self, count: usize) -> Vec<(CallId, String)> {
        let (mut answers, begun) = (Vec::new(), Instant::now());
        while answers.len() < count {
            assert!(begun.elapsed() < Duration::from_secs(60), "{answers:?} of {count}");
            answers.extend(self.take().iter().filter_map(answer));
            yield_now().await;
        }
        answers
    }

    /// Those that are there.
    pub(super) async fn answers_now(&mut self) -> Vec<(CallId, String)> {
        settle().await;
        self.take().iter().filter_map(answer).collect()
    }

    /// Its connection has ended.
    pub(super) fn leave(&self) {
        self.conn.outbox.close();
        self.conn.ended.cancel();
    }
}

fn answer(frame: &Frame) -> Option<(CallId, String)> {
    let text = String::from_utf8_lossy(frame.payload()).into_owned();
    let says = match frame.kind() {
        Kind::Response => text,
        Kind::Error => {
            let error: serde_json::Value = serde_json::from_str(&text).expect("errors are JSON here");
            error.to_string()
        }
        _ => return None,
    };
    Some((frame.header().id(), says))
}

/// Lets all tasks run that have something to do.
pub(super) async fn settle() {
    for _ in 0..64 {
        yield_now().await;
    }
}
