//! A call as callbacks and layers see it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use daffi_serde::{Body, FormatSet, Output, RemoteError};
use daffi_wire::{CallId, FormatId, FrameWriter, Header, Kind, MethodName, SPLIT_FROM};
use serde::Serialize;

use super::{
    callback::{Callback, CallbackOptions},
    context::Context,
    extensions::RequestExtensions,
    large::Large,
    reply::{Content, Reply},
};
use crate::{
    conn::{NoRoom, READ_FREELY, Reading},
    refusal::Refusal,
    scratch::Scratch,
    session::Identity,
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
    /// What its arguments may hold when they are read, once that was taken.
    pub(crate) memory: Option<Reading>,
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
        let callback = Arc::new(callback);
        Self { context, callback, body, id: CallId::NONE, format, wants_reply: true, memory: None }
    }

    /// Whether it is to run: a call whose caller is gone, or gave it up, is not, for others wait
    /// behind it. What asks for no answer is, for its sender may have meant to leave, unless that
    /// was ended for breaking a limit. On a node that was killed nothing is.
    pub(crate) fn is_wanted(&self) -> bool {
        let is_void = self.wants_reply && self.context.is_given_up() || self.context.conn().is_cut();
        !(is_void || self.context.node().life.is_killed())
    }

    /// The callback is to run now; else what is to be answered in its place.
    pub(crate) fn begin(&self) -> Result<(), Reply> {
        if !self.context.call().begin() {
            return Err(Reply::not_run());
        }
        self.check_deadline()
    }

    /// The callback is to run now, where the request was read and nobody else knows of it.
    pub(crate) fn begin_unknown(&self) -> Result<(), Reply> {
        self.context.call().begin_unknown();
        self.check_deadline()
    }

    #[inline]
    fn check_deadline(&self) -> Result<(), Reply> {
        if self.context.read_extensions.is_expired() {
            return Err(Reply::refused(self.expired_error("began: it did not run")));
        }
        Ok(())
    }

    /// The answer to a call whose deadline passed before its callback did `what`.
    pub(crate) fn expired_error(&self, what: &str) -> RemoteError {
        let text = format!("the deadline of the call passed before {} {what}", self.method());
        Refusal::DeadlineExceeded.error(text)
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

    /// Who is at the other end of the connection: see [`Context::identity`].
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.context.identity()
    }

    /// What layers handed on with this call.
    #[must_use]
    pub const fn extensions(&self) -> &RequestExtensions {
        &self.context.extensions
    }

    /// What is handed on with this call: to the layers further in, and to the callback by its
    /// context.
    #[must_use]
    pub const fn extensions_mut(&mut self) -> &mut RequestExtensions {
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

    /// What its arguments may hold when they are read, as their format bounds it, if that is so
    /// much that its callback has to wait for the memory.
    pub(crate) fn wanted_memory(&self) -> Option<usize> {
        let bytes = self.body.bytes.len();
        // Of what asks for no answer nobody could be told.
        if bytes < READ_FREELY || !self.wants_reply {
            return None;
        }
        self.callback.bound_of_arguments(self.format, bytes)
    }

    /// Takes that for it. `false`: it has to wait until others were worked off.
    pub(crate) fn take_memory(&mut self) -> bool {
        if self.memory.is_none() && self.wanted_memory().is_some() {
            self.memory = self.try_memory().ok();
            return self.memory.is_some();
        }
        true
    }

    #[inline]
    fn try_memory(&self) -> Result<Reading, NoRoom> {
        let (account, bytes) = (self.context.conn().inbound.account(), self.body.bytes.len());
        let bound = || self.callback.bound_of_arguments(self.format, bytes).unwrap_or_default();
        account.read_arguments(bytes, bound, !self.wants_reply, Instant::now)
    }

    /// What was taken for its arguments, or is now, where nobody waited for it.
    #[inline]
    pub(crate) fn memory_of_arguments(&mut self) -> Result<Reading, RemoteError> {
        if let Some(memory) = self.memory.take() {
            return Ok(memory);
        }
        self.try_memory().map_err(|no_room| {
            Refusal::Overloaded.error(format!(
                "reading arguments of {} bytes may take {} of memory; as things stand {} may hold {}",
                self.body.bytes.len(),
                no_room.may_hold,
                self.context.caller(),
                no_room.share
            ))
        })
    }

    /// The same call without its arguments, for what answers it by itself.
    pub(super) fn to_answer(&self) -> Self {
        let (context, callback) = (self.context.clone(), Arc::clone(&self.callback));
        Self { context, callback, body: Body::new(Bytes::new()), memory: None, ..*self }
    }

    /// Its arguments were read: it keeps no read buffer alive any more.
    pub(crate) fn free_body(&mut self) {
        self.body = Body::new(Bytes::new());
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
            Err(error) => Reply::refused(error),
        }
    }

    /// Whether its caller takes a large result in parts.
    fn takes_parts(&self) -> bool {
        self.wants_reply && self.context.call().can_be_cancelled()
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
        let body = writer.body().len();
        let mut out = Output::new(writer.body());
        write(&mut out).map_err(|e| RemoteError::new("TypeError", format!("result of {}(): {e}", self.method())))?;
        let (shared, text) = (out.take_shared(), out.is_text());
        let header = Header::new(kind, self.id, format, text, false);
        if writer.payload_len() + shared.as_ref().map_or(0, Bytes::len) > SPLIT_FROM && self.takes_parts() {
            let payload = shared.unwrap_or_else(|| writer.body().split_off(body).freeze());
            let rest = writer.first_part(payload);
            writer.finish(header, 0, &node.config.limits).map_err(failure)?;
            return Ok(Reply::of(Content::Large(Box::new(Large::new(frame, rest)))));
        }
        writer.finish(header, shared.as_ref().map_or(0, Bytes::len), &node.config.limits).map_err(failure)?;
        Ok(Reply::of(Content::Frame(frame, shared.map(Box::new))))
    }
}
