//! What every node has, whichever end of a connection it is.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use bytes::BytesMut;
use daffi_serde::{Body, FormatSet, Output, RemoteError};
use daffi_wire::{FormatId, Frame, MethodName, NodeName};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Context, InitializationError, NodeConfig, Reply, Request,
    conn::{Memory, Ticket, Turn, WAITING_COST},
    dispatch::panicked,
    layers::{Callbacks, Started},
    registry::{Lookup, Registry},
    request::ReplyTo,
};

/// What every node has: its name, its callbacks and the layers around them, its limits.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) config: NodeConfig,
    pub(crate) registry: Registry,
    pub(crate) callbacks: Callbacks,
    pub(crate) errors: Box<dyn WriteError>,
    pub(crate) memory: Arc<Memory>,
    /// Callbacks that did not finish where their request was read.
    pub(crate) running: TaskTracker,
    pub(crate) life: Lifecycle,
    client: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// The steps in which a node ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifecycle {
    /// `stop` was called: later requests get an error.
    pub(crate) stopping: CancellationToken,
    /// The same, to be looked at for every request: the token takes a lock.
    is_stopping: Arc<AtomicBool>,
    /// No callback may run any more.
    pub(crate) killed: CancellationToken,
    /// No connection may stand any more.
    pub(crate) cut: CancellationToken,
}

impl Lifecycle {
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.stopping.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// All steps at once.
    pub(crate) fn abandon(&self) {
        self.stop();
        self.killed.cancel();
        self.cut.cancel();
    }
}

impl Node {
    pub(crate) fn new<F: FormatSet>(
        name: NodeName,
        config: NodeConfig,
        layer: impl FnOnce(Callbacks) -> Callbacks,
        callbacks: Vec<crate::Callback>,
        formats: F,
    ) -> Result<Arc<Self>, InitializationError> {
        if config.workers == 0 {
            return Err(InitializationError::NoWorkers);
        }
        let registry = Registry::default();
        registry.add(callbacks)?;
        Ok(Arc::new(Self {
            name,
            registry,
            callbacks: layer(Callbacks::new(config.workers)),
            errors: Box::new(Errors(formats)),
            memory: Memory::new(&config),
            running: TaskTracker::new(),
            life: Lifecycle::default(),
            client: OnceLock::new(),
            config,
        }))
    }

    pub(crate) fn methods(&self) -> Vec<MethodName> {
        self.registry.snapshot().names()
    }

    /// Lets callbacks of this node call on. `client` must not keep the node alive.
    pub(crate) fn set_client<F: FormatSet>(&self, client: crate::client::WeakClient<F>) {
        let _already = self.client.set(Box::new(client));
    }

    pub(crate) fn client<F: FormatSet>(&self) -> Option<crate::Client<F>> {
        self.client.get()?.downcast_ref::<crate::client::WeakClient<F>>()?.upgrade()
    }

    /// Answers a REQUEST with an error instead of running its callback.
    pub(crate) fn refuse(turn: &mut Turn, context: &Context, frame: &Frame, error: RemoteError) {
        ReplyTo::new(context, frame).send(context, frame.method(), Reply::error(error), Some(turn));
    }

    /// Runs a callback for a REQUEST: at once if that is enough, else on a task of its own. `receipt` is dropped when the
    /// request is worked off.
    pub(crate) fn serve(
        &self,
        turn: &mut Turn,
        callbacks: &mut Lookup,
        context: &Context,
        frame: Frame,
        receipt: Option<crate::client::Receipt>,
    ) {
        if self.life.is_stopping() {
            let error = RemoteError::new("RuntimeError", format!("{} is stopping", self.name));
            return Self::refuse(turn, context, &frame, error);
        }
        let Some(callback) = callbacks.get(&frame) else {
            let text = format!("{} exposes no callback {:?}", self.name, frame.method());
            return Self::refuse(turn, context, &frame, RemoteError::new("TypeError", text));
        };
        let (answer, received, text) =
            (ReplyTo::new(context, &frame), frame.as_bytes().len(), frame.header().is_text());
        let request = Request {
            context: context.clone(),
            callback: Arc::clone(callback),
            body: Body { bytes: frame.into_payload(), text },
            id: answer.id,
            format: answer.format,
            wants_reply: answer.wants_reply,
        };
        match guarded(callback, || self.callbacks.start(callback, request, &mut turn.clock)) {
            Ok(Started::Done(reply)) | Err(reply) => answer.send(context, callback.name(), reply, Some(turn)),
            Ok(Started::Goes(mut serving)) => {
                let ticket = Ticket::new(Arc::clone(context.conn()), received + WAITING_COST);
                let (context, callback) = (context.clone(), Arc::clone(callback));
                self.running.spawn(async move {
                    let reply = poll_fn(|cx| match guarded(&callback, || Pin::new(&mut serving).poll(cx)) {
                        Ok(polled) => polled.map(|Ok(reply)| reply),
                        Err(reply) => Poll::Ready(reply),
                    });
                    tokio::select! {
                        reply = reply => answer.send(&context, callback.name(), reply, None),
                        () = context.node().life.killed.cancelled() => {}
                    }
                    drop((ticket, receipt));
                });
            }
        }
    }
}

/// Turns a panic of a callback, or of a layer, into an error reply.
fn guarded<T>(callback: &crate::Callback, run: impl FnOnce() -> T) -> Result<T, Reply> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Reply::error(panicked(callback.name(), &*panic)))
}

/// Writes error replies in a node's formats.
pub(crate) trait WriteError: Send + Sync + std::fmt::Debug {
    /// Appends the error and gives the format chosen: the call's where every node reads errors in it, else JSON
    /// ([protocol, 7.3](daffi_wire::protocol#7.3)).
    fn write(&self, format: FormatId, error: &RemoteError, buffer: &mut BytesMut) -> FormatId;
}

/// An error in JSON, which every node reads whatever the call's format
/// ([protocol, 7.3](daffi_wire::protocol#7.3)).
pub(crate) fn json_error(error: &RemoteError) -> Vec<u8> {
    serde_json::json!({ "args": [error], "kwargs": {} }).to_string().into_bytes()
}

struct Errors<F>(F);

impl<F> std::fmt::Debug for Errors<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Errors")
    }
}

impl<F: FormatSet> WriteError for Errors<F> {
    fn write(&self, format: FormatId, error: &RemoteError, buffer: &mut BytesMut) -> FormatId {
        if matches!(format, FormatId::PICKLE | FormatId::MSGPACK | FormatId::POSTCARD) {
            let start = buffer.len();
            if self.0.encode_result(format, error, &mut Output::new(buffer)).is_ok() {
                return format;
            }
            buffer.truncate(start);
        }
        buffer.extend_from_slice(&json_error(error));
        FormatId::JSON
    }
}
