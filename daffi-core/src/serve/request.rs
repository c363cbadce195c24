//! A call as callbacks and layers see it, and what they answer.

use std::{any::Any, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use daffi_serde::{Body, FormatSet, Opaque, Output, RemoteError, Single};
use daffi_transport::PeerInfo;
use daffi_wire::{CallId, EncodeError, FormatId, Frame, FrameWriter, Header, Kind, MethodName, NodeName, Shown};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    callback::{Callback, CallbackOptions},
    extensions::Extensions,
    invocation::Invocation,
    node::Node,
};
use crate::{
    config::NodeConfig,
    conn::{Class, Conn, Reading, Turn},
    error::shorten,
    refusal::Refusal,
    scratch::Scratch,
};

/// A call that arrived, on its way to its callback through the layers around it.
#[derive(Debug)]
pub struct Request {
    pub(crate) context: Context,
    pub(crate) callback: Arc<Callback>,
    pub(crate) body: Body,
    pub(crate) id: CallId,
    pub(crate) format: FormatId,
    pub(crate) wants_reply: bool,
}

/// A body below this size is copied when its request has to wait, so that it keeps no larger read
/// buffer alive.
const COMPACT_BELOW: usize = 64 * 1024;

impl Request {
    /// A call of `method` that came over no connection, to test layers with: `context` names its
    /// caller, and it wants an answer. Its callback, should it reach one, answers that there is
    /// none.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use daffi_core::{Context, Reply, Request};
    /// use daffi_serde::{Body, RemoteError};
    /// use daffi_wire::{FormatId, Limits, MethodName, NodeName};
    /// use tower::{Layer, Service, filter::FilterLayer, service_fn};
    ///
    /// // The layer lets nobody but ada in.
    /// let layer = FilterLayer::new(|request: Request| match request.context().caller() {
    ///     "ada" => Ok(request),
    ///     other => Err(RemoteError::new("PermissionError", format!("{other} may not"))),
    /// });
    /// let echo = service_fn(|request: Request| async move { Ok::<Reply, RemoteError>(request.reply_raw(request.body())) });
    /// let mut service = layer.layer(echo);
    ///
    /// let limits = Limits::default();
    /// let mut answers = Vec::new();
    /// for caller in ["ada", "eve"] {
    ///     let context = Context::detached(NodeName::new(caller, &limits)?, NodeName::new("service", &limits)?);
    ///     let method = MethodName::new("echo", &limits)?;
    ///     let request = Request::new(context, method, FormatId::OPAQUE, Body::new("hello"));
    ///     answers.push(service.call(request).await);
    /// }
    /// assert!(answers[0].is_ok() && answers[1].is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn new(context: Context, method: MethodName, format: FormatId, body: Body) -> Self {
        let callback = Callback::raw(method, CallbackOptions::new(), |request| {
            Reply::error(RemoteError::new("TypeError", format!("no node serves {}()", request.method())))
        });
        Self { context, callback: Arc::new(callback), body, id: CallId::NONE, format, wants_reply: true }
    }

    /// Whether it is to run: a call whose caller is gone, or gave it up, is not, for others wait
    /// behind it. What asks for no answer is, for its sender may have meant to leave.
    pub(crate) fn is_wanted(&self) -> bool {
        !(self.wants_reply && self.context.is_cancelled())
    }

    /// The callback is to run now. `false`: its caller gave it up.
    pub(crate) fn begin(&self) -> bool {
        self.context.call.as_ref().is_none_or(|call| call.begin())
    }

    /// The callback's name.
    #[must_use]
    pub fn method(&self) -> &str {
        self.callback.name()
    }

    /// Who calls, and from where.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// What layers handed on with this call.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.context.extensions
    }

    /// What is handed on with this call: to the layers further in, and to the callback by its
    /// context.
    #[must_use]
    pub const fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.context.extensions
    }

    /// The format of the arguments.
    #[must_use]
    pub const fn format(&self) -> FormatId {
        self.format
    }

    /// The arguments as they arrived.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// Whether the caller waits for an answer.
    #[must_use]
    pub const fn wants_reply(&self) -> bool {
        self.wants_reply
    }

    /// A reply whose payload is `body` as it is, in the format of the request: what
    /// [`Callback::raw`] answers.
    ///
    /// The payload must be that of a result ([protocol, 7](daffi_wire::protocol#7)), which nobody
    /// checks before the caller does.
    #[must_use]
    pub fn reply_raw(&self, body: &Body) -> Reply {
        if !self.wants_reply {
            return Reply::nothing();
        }
        let written = self.encode(Kind::Response, self.format, |out| {
            if body.text {
                out.mark_text();
            }
            out.share(body.bytes.clone());
            Ok(())
        });
        written.unwrap_or_else(Reply::error)
    }

    /// Takes what the arguments may hold when they are read, as their format bounds it.
    pub(crate) fn memory_of_arguments(&self, formats: &impl FormatSet) -> Result<Reading, RemoteError> {
        let bytes = self.body.bytes.len();
        let account = self.context.conn().inbound.account();
        let bound = || formats.decode_bound(self.format, bytes);
        account.read_arguments(bytes, bound, !self.wants_reply, Instant::now()).map_err(|no_room| {
            Refusal::Overloaded.error(format!(
                "reading arguments of {bytes} bytes may take {} of memory; as things stand {} may hold {}",
                no_room.may_hold,
                self.context.caller(),
                no_room.share
            ))
        })
    }

    pub(crate) fn compact(&mut self) {
        if self.body.bytes.len() < COMPACT_BELOW {
            self.body.bytes = Bytes::copy_from_slice(&self.body.bytes);
        }
    }

    /// Writes `value` as the reply, straight into a frame.
    pub(crate) fn reply<T: Serialize + 'static>(&self, value: &T, formats: &impl FormatSet) -> Reply {
        if !self.wants_reply {
            return Reply::nothing();
        }
        match self.encode(Kind::Response, self.format, |out| formats.encode_result(self.format, value, out)) {
            Ok(reply) => reply,
            Err(error) => Reply::error(error),
        }
    }

    fn encode(
        &self,
        kind: Kind,
        format: FormatId,
        write: impl FnOnce(&mut Output<'_>) -> Result<(), daffi_serde::SerdeError>,
    ) -> Result<Reply, RemoteError> {
        let node = self.context.node();
        let mut frame = Scratch::take();
        let failure = |e: daffi_wire::EncodeError| {
            RemoteError::new("TransmissionFailure", format!("result of {}() does not fit: {e}", self.method()))
        };
        let mut writer =
            FrameWriter::begin(frame.get_mut(), &node.name, self.context.caller(), self.method()).map_err(failure)?;
        let mut out = Output::new(writer.body());
        write(&mut out).map_err(|e| RemoteError::new("TypeError", format!("result of {}(): {e}", self.method())))?;
        let (shared, text) = (out.take_shared(), out.is_text());
        let header = Header::new(kind, self.id, format, text, false);
        writer.finish(header, shared.as_ref().map_or(0, Bytes::len), &node.config.limits).map_err(failure)?;
        Ok(Reply::of(Content::Frame(frame, shared)))
    }
}

/// The answer to a call.
#[derive(Debug)]
pub struct Reply {
    content: Content,
    /// The worker that made it: dropped once the answer is queued, so that no later answer
    /// overtakes it.
    until_sent: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// A whole frame, and a payload part that is sent behind it without a copy.
    Frame(Scratch, Option<Bytes>),
    /// A failure, written once all layers are passed.
    Failed(RemoteError),
    /// The caller waits for nothing.
    Nothing,
}

impl Reply {
    const fn of(content: Content) -> Self {
        Self { content, until_sent: None }
    }

    /// Keeps `what` until the answer is queued, or dropped.
    pub(crate) fn keep(self, what: impl Any + Send + Sync) -> Self {
        Self { until_sent: Some(Box::new(what)), ..self }
    }

    /// Nobody waits for it.
    pub(crate) const fn nothing() -> Self {
        Self::of(Content::Nothing)
    }

    /// A failure; what a layer answers in the callback's place.
    #[must_use]
    pub const fn error(error: RemoteError) -> Self {
        Self::of(Content::Failed(error))
    }

    /// The failure, if it is one.
    #[must_use]
    pub const fn as_error(&self) -> Option<&RemoteError> {
        match &self.content {
            Content::Failed(error) => Some(error),
            Content::Frame(..) | Content::Nothing => None,
        }
    }
}

/// What a callback may know of the call it serves: the caller, the peer, cancellation and the node
/// itself.
///
/// A parameter `ctx: Context` of a callback is filled in and is no argument of the call.
#[derive(Clone)]
pub struct Context {
    parts: Arc<Parts>,
    /// Those of this call.
    extensions: Extensions,
    /// The call, if its caller can cancel it.
    call: Option<Arc<Invocation>>,
}

/// The same for all calls of one caller on one connection, so that a call shares it and makes none.
struct Parts {
    caller: NodeName,
    conn: Arc<Conn>,
    node: Arc<Node>,
    /// Cancelled when the caller is gone, or the connection.
    gone: CancellationToken,
}

impl Context {
    /// A caller at the other end of the connection.
    pub(crate) fn new(caller: NodeName, conn: Arc<Conn>, node: Arc<Node>) -> Self {
        let gone = conn.ended.clone();
        Self::behind(caller, conn, node, gone)
    }

    /// A caller behind a Router. `gone`: cancelled when it is, or the connection.
    pub(crate) fn behind(caller: NodeName, conn: Arc<Conn>, node: Arc<Node>, gone: CancellationToken) -> Self {
        Self { parts: Arc::new(Parts { caller, conn, node, gone }), extensions: Extensions::new(), call: None }
    }

    /// The context of a call that came over no connection, to test layers and callbacks with:
    /// `caller` calls `node`, and never leaves.
    #[must_use]
    pub fn detached(caller: NodeName, node: NodeName) -> Self {
        let node = Node::new(node, NodeConfig::server(), Single::new(Opaque));
        let conn = Conn::new(PeerInfo::new("detached", caller.as_str()), &node.budget);
        Self::new(caller, conn, node)
    }

    /// The same context with one more extension, which replaces one of the same type.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// What layers handed on with this call.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// That of one call of this caller.
    pub(crate) fn of_call(&self, call: Option<Arc<Invocation>>) -> Self {
        Self { parts: Arc::clone(&self.parts), extensions: Extensions::new(), call }
    }

    /// The call is to be answered. `false`: it has ended for its caller.
    fn end_call(&self) -> bool {
        self.call.as_ref().is_none_or(|call| call.end())
    }

    pub(crate) fn caller_name(&self) -> &NodeName {
        &self.parts.caller
    }

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.parts.conn
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.parts.node
    }

    /// The name of the node that calls.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.parts.caller
    }

    /// The other end of the connection the call came on: its address and verified certificate.
    /// Behind a Router that is the Router.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.parts.conn.peer
    }

    /// When the caller stops waiting. Always `None` for now: the wire of level 3 does not carry it.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether nobody waits for the answer any more: the caller dropped its call or its timeout
    /// passed, it has left, or the connection the call came on has ended. A call that has not begun
    /// by then never does.
    ///
    /// A caller of daffi 3.0.1, and one behind a Router of 3.0.1, does not say that it gave a call
    /// up, only that it left.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.parts.gone.is_cancelled() || self.call.as_ref().is_some_and(|call| call.is_cancelled())
    }

    /// Waits until nobody waits for the answer any more, as [`is_cancelled`](Self::is_cancelled)
    /// says. Cancel safe.
    ///
    /// The callback is not stopped: it decides what to do, and what it returns then is dropped.
    pub async fn cancelled(&self) {
        match &self.call {
            None => self.parts.gone.cancelled().await,
            Some(call) => tokio::select! {
                () = call.cancelled() => {}
                () = self.parts.gone.cancelled() => {}
            },
        }
    }

    /// The name of the node that serves the call.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.parts.node.name
    }

    /// Answers a REQUEST with an error instead of running its callback.
    pub(crate) fn answer_error(&self, turn: &mut Turn, frame: &Frame, error: RemoteError) {
        ReplyTo::new(self, frame).send_error(self, frame.method(), &error, turn);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.parts.caller)
            .field("peer", &self.parts.conn.peer)
            .finish_non_exhaustive()
    }
}

/// Where the answer to a call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) id: CallId,
    pub(crate) format: FormatId,
    pub(crate) wants_reply: bool,
}

impl ReplyTo {
    pub(crate) fn new(context: &Context, frame: &Frame) -> Self {
        let header = frame.header();
        let format = header.format(context.conn().level());
        Self { id: header.id(), format, wants_reply: header.wants_reply() }
    }

    /// Tells a caller that gave its call up that the call has ended.
    pub(crate) fn answer_cancelled(context: &Context, id: CallId, turn: &mut Turn) {
        let to = Self { id, format: FormatId::JSON, wants_reply: true };
        let error = Refusal::Cancelled.error(format!("{} gave the call up", context.caller()));
        if let Some(frame) = to.error(context, "", &error) {
            // As any refusal: who provokes them and takes none is held back.
            queue(context, "", Class::Provoked, (frame, None), Some(turn));
        }
    }

    /// Answers, with the turn that the request was read in if that goes on.
    pub(crate) fn send(self, context: &Context, method: &str, reply: Reply, mut turn: Option<&mut Turn>) {
        if !context.end_call() {
            // Its caller gave it up, and was answered so.
            return;
        }
        let Reply { content, until_sent } = reply;
        match content {
            Content::Frame(frame, shared) if self.wants_reply => {
                self.answer(context, method, (frame, shared), turn.as_deref_mut());
            }
            Content::Failed(error) if self.wants_reply => {
                if let Some(frame) = self.error(context, method, &error) {
                    self.answer(context, method, (frame, None), turn.as_deref_mut());
                }
            }
            Content::Failed(error) => {
                tracing::warn!(caller = %Shown::new(context.caller()), method, %error, "a nowait call failed");
            }
            Content::Frame(..) | Content::Nothing => {}
        }
        if until_sent.is_some()
            && let Some(turn) = turn
        {
            turn.flush();
        }
    }

    /// Answers with an error instead of running the callback.
    pub(crate) fn send_error(self, context: &Context, method: &str, error: &RemoteError, turn: &mut Turn) {
        if !self.wants_reply {
            tracing::warn!(caller = %Shown::new(context.caller()), method, %error, "a nowait call was refused");
        } else if let Some(frame) = self.error(context, method, error) {
            queue(context, method, Class::Provoked, (frame, None), Some(turn));
        }
    }

    /// Queues an answer, or says that there was no room for it.
    fn answer(self, context: &Context, method: &str, answer: AnswerFrame, mut turn: Option<&mut Turn>) {
        let bytes = answer.0.get().len() + answer.1.as_ref().map_or(0, Bytes::len);
        if queue(context, method, Class::Answer, answer, turn.as_deref_mut()) {
            return;
        }
        let lost = context.conn().outbox.lost_answer(method, bytes, context.caller());
        tracing::warn!(caller = %Shown::new(context.caller()), method, bytes, "an answer was lost: its caller does not take what waits");
        if let Some(frame) = self.error(context, method, &lost) {
            queue(context, method, Class::Terminal, (frame, None), turn);
        }
    }

    /// Writes a failure: in the call's format where every node reads errors in it, else in JSON.
    fn error(self, context: &Context, method: &str, error: &RemoteError) -> Option<Scratch> {
        let written = self.write_error(context, method, error).or_else(|reason| {
            let text = format!("{}: the error itself does not fit: {reason}", shorten(&error.class));
            self.write_error(context, method, &RemoteError::new("TransmissionFailure", text))
        });
        written
            .inspect_err(|reason| {
                tracing::warn!(caller = %Shown::new(context.caller()), method, %reason, "an error could not be sent");
            })
            .ok()
    }

    fn write_error(self, context: &Context, method: &str, error: &RemoteError) -> Result<Scratch, EncodeError> {
        let node = context.node();
        let mut frame = Scratch::take();
        let written =
            FrameWriter::begin(frame.get_mut(), &node.name, context.caller(), method).and_then(|mut writer| {
                let format = node.errors.write(self.format, error, writer.body());
                let header = Header::new(Kind::Error, self.id, format, format == FormatId::JSON, false);
                writer.finish(header, 0, &node.config.limits)
            });
        written.map(|()| frame)
    }
}

/// A frame, and a payload part that is sent behind it without a copy.
type AnswerFrame = (Scratch, Option<Bytes>);

/// `false`: there is no room for it.
fn queue(context: &Context, method: &str, class: Class, written: AnswerFrame, turn: Option<&mut Turn>) -> bool {
    let (frame, shared) = written;
    if shared.is_none() && frame.is_large() {
        // Shared rather than copied into the queue.
        return queue_parts(context, method, class, &[], Some(frame.into_bytes()), turn);
    }
    queue_parts(context, method, class, frame.get(), shared, turn)
}

fn queue_parts(
    context: &Context,
    method: &str,
    class: Class,
    head: &[u8],
    payload: Option<Bytes>,
    turn: Option<&mut Turn>,
) -> bool {
    let conn = context.conn();
    if let Some(turn) = turn {
        return turn.send(conn, class, head, payload);
    }
    conn.send_parts(class, head, payload).unwrap_or_else(|_| {
        tracing::debug!(caller = %Shown::new(context.caller()), method, "the caller left before its answer was ready");
        true
    })
}
