//! Callbacks: functions of any shape behind one.

use std::{
    any::type_name,
    fmt::{self, Display},
    future::Future,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use daffi_serde::{Binding, FormatSet, Params, RemoteError};
use daffi_transport::BoxFuture;
use daffi_wire::{FormatId, MethodName};
use futures::Stream;
use serde::Serialize;

use super::{
    answering::Answering,
    context::Context,
    items::{self, Items},
    pace::Pace,
    reply::Reply,
    request::Request,
};
use crate::{error::CallError, refusal::Refusal, stats::RunCounts};

/// How a callback is to be run.
///
/// ```
/// use daffi_core::CallbackOptions;
/// let options = CallbackOptions::new().params(&["path"]).ordered();
/// assert!(options.ordered && !options.inline);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackOptions {
    /// The parameters' names, for keyword arguments and for error messages.
    pub params: &'static [&'static str],
    /// The callback may hold up the thread that it runs on. Every plain function may, unless it is
    /// `inline`; an async one then runs on a task of its own, never where its request was read.
    pub blocking: bool,
    /// The requests of one caller run one after another, whatever the number of workers.
    pub ordered: bool,
    /// A plain function that promises to be quick: it runs where its request was read, which spares
    /// a hand-over to another thread. It must not block, sleep or call `block_on`. One that takes
    /// longer than a millisecond all the same is named in the log and runs on other threads until
    /// it has been quick many times in a row; one that panics runs there for good. Without meaning
    /// for async functions, which promise the same, and beside `blocking`.
    pub inline: bool,
    /// The future of an async function is dropped where it waits as soon as nobody waits for its
    /// answer any more ([`Context::cancelled`]), so it must be one that can be dropped anywhere.
    /// Without meaning for plain functions, which nothing can stop, and for nowait calls.
    pub drop_when_cancelled: bool,
    /// A last argument of bytes that is too large for one frame is read in pieces, as
    /// [`Context::items`] gives them, with no limit and while it comes; the argument itself is empty
    /// then. In OPAQUE and PICKLE, and in MSGPACK up to 4 GiB; in other formats it is put together.
    pub pieces: bool,
}

impl CallbackOptions {
    /// The options of a function that states none.
    #[must_use]
    pub const fn new() -> Self {
        Self { params: &[], blocking: false, ordered: false, inline: false, drop_when_cancelled: false, pieces: false }
    }

    /// Sets the names of the parameters.
    #[must_use]
    pub const fn params(mut self, names: &'static [&'static str]) -> Self {
        self.params = names;
        self
    }

    /// Declares that the callback may hold up the thread that it runs on.
    #[must_use]
    pub const fn blocking(mut self) -> Self {
        self.blocking = true;
        self
    }

    /// Runs the requests of one caller one after another.
    #[must_use]
    pub const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Declares that the callback promises to be quick.
    #[must_use]
    pub const fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Reads a last argument of bytes in pieces when it is large.
    #[must_use]
    pub const fn pieces(mut self, pieces: bool) -> Self {
        self.pieces = pieces;
        self
    }

    /// Drops the future of the callback once nobody waits for its answer any more.
    #[must_use]
    pub const fn drop_when_cancelled(mut self) -> Self {
        self.drop_when_cancelled = true;
        self
    }
}

/// A named function that a node exposes.
pub struct Callback {
    name: MethodName,
    options: CallbackOptions,
    pub(crate) run: Run,
    /// What arguments of a format and size may hold when they are read.
    bound: Option<BoundOfArguments>,
    /// Whether it runs where its request was read.
    pub(crate) pace: Pace,
    pub(crate) counts: RunCounts,
    /// It was told that what it streams holds up a thread.
    has_slow_stream: AtomicBool,
}

type BoundOfArguments = Box<dyn Fn(FormatId, usize) -> usize + Send + Sync>;

pub(crate) enum Run {
    Plain(Box<dyn Fn(Request) -> Reply + Send + Sync>),
    Async(Box<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>),
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("name", &self.name).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Callback {
    /// A plain function; it clones the context if it keeps it.
    ///
    /// It runs on a thread of tokio's pool for blocking functions, so it may block, sleep and call
    /// `Handle::block_on`, in every run. With [`inline`](CallbackOptions::inline) it promises not
    /// to, and runs where its request was read.
    pub fn plain<F, P, R>(
        name: MethodName,
        options: CallbackOptions,
        formats: F,
        function: impl Fn(P, &Context) -> Result<R, RemoteError> + Send + Sync + 'static,
    ) -> Self
    where
        F: FormatSet,
        P: Params,
        R: Serialize + 'static,
    {
        let bound = bound_by::<F, P>(&formats);
        let run = move |mut request: Request| match bind::<F, P>(&mut request, &formats) {
            Ok((params, _memory)) => match function(params, &request.context) {
                Ok(value) => request.reply(&value, &formats),
                Err(error) => Reply::error(error),
            },
            Err(error) => Reply::refused(error),
        };
        Self::new(name, options, Run::Plain(Box::new(run)), Some(bound))
    }

    /// An async function. Its future owns what it takes of the context.
    ///
    /// It promises to be quick between two awaits: it is polled first where its request was read.
    /// One that holds that up for more than a millisecond is named in the log and begins on a task
    /// of its own until it has been quick many times in a row.
    pub fn asynchronous<F, P, R, Fut>(
        name: MethodName,
        options: CallbackOptions,
        formats: F,
        function: impl Fn(P, &Context) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        F: FormatSet,
        P: Params,
        R: Serialize + 'static,
        Fut: Future<Output = Result<R, RemoteError>> + Send + 'static,
    {
        let bound = bound_by::<F, P>(&formats);
        let run = move |mut request: Request| -> BoxFuture<'static, Reply> {
            let (params, memory) = match bind::<F, P>(&mut request, &formats) {
                Ok(bound) => bound,
                Err(error) => return Box::pin(std::future::ready(Reply::refused(error))),
            };
            let (future, formats) = (function(params, &request.context), formats.clone());
            Answering::start(future, request, memory, options.drop_when_cancelled, move |value, request| {
                request.reply(&value, &formats)
            })
        };
        Self::new(name, options, Run::Async(Box::new(run)), Some(bound))
    }

    /// A plain function that returns a stream: its results go to the caller one by one, as that
    /// takes them. A caller that knows nothing of streams gets them as one list, of at most 65,536
    /// results and 16 MiB.
    ///
    /// The function runs as [`plain`](Self::plain) ones do; what it returns needs no worker, and is
    /// dropped when nobody waits for it any more. An error is the last thing that it gives.
    pub fn streaming<F, P, S, T>(
        name: MethodName,
        options: CallbackOptions,
        formats: F,
        function: impl Fn(P, &Context) -> Result<S, RemoteError> + Send + Sync + 'static,
    ) -> Self
    where
        F: FormatSet,
        P: Params,
        S: Stream<Item = Result<T, RemoteError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        let bound = bound_by::<F, P>(&formats);
        let run = move |mut request: Request| {
            let run = || {
                let place = items::take_place(&request)?;
                let (params, _memory) = bind::<F, P>(&mut request, &formats)?;
                let stream = function(params, &request.context).map_err(Refusal::none_of)?;
                request.free_body();
                Ok(Items::new(stream, request, formats.clone(), place))
            };
            run().map_or_else(Reply::refused, Reply::items)
        };
        Self::new(name, options, Run::Plain(Box::new(run)), Some(bound))
    }

    /// An async function that returns a stream, as [`streaming`](Self::streaming) does; run as
    /// [`asynchronous`](Self::asynchronous) ones are.
    pub fn streaming_async<F, P, S, T, Fut>(
        name: MethodName,
        options: CallbackOptions,
        formats: F,
        function: impl Fn(P, &Context) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        F: FormatSet,
        P: Params,
        S: Stream<Item = Result<T, RemoteError>> + Send + 'static,
        T: Serialize + Send + 'static,
        Fut: Future<Output = Result<S, RemoteError>> + Send + 'static,
    {
        let bound = bound_by::<F, P>(&formats);
        let run = move |mut request: Request| -> BoxFuture<'static, Reply> {
            let bound =
                items::take_place(&request).and_then(|place| Ok((bind::<F, P>(&mut request, &formats)?, place)));
            let ((params, memory), place) = match bound {
                Ok(bound) => bound,
                Err(error) => return Box::pin(std::future::ready(Reply::refused(error))),
            };
            let (future, formats) = (function(params, &request.context), formats.clone());
            let mut place = Some(place);
            Answering::start(future, request, memory, options.drop_when_cancelled, move |stream, request| {
                let place = place.take().flatten();
                Reply::items(Items::new(stream, request.to_answer(), formats.clone(), place))
            })
        };
        Self::new(name, options, Run::Async(Box::new(run)), Some(bound))
    }

    /// A plain function of the request as it travelled, which reads the arguments and makes the
    /// reply by itself: to pass payloads on that this node need not understand. Run as
    /// [`plain`](Self::plain) ones are.
    pub fn raw(
        name: MethodName,
        options: CallbackOptions,
        function: impl Fn(Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, options, Run::Plain(Box::new(function)), None)
    }

    fn new(name: MethodName, options: CallbackOptions, run: Run, bound: Option<BoundOfArguments>) -> Self {
        let promises = !options.blocking && (options.inline || matches!(run, Run::Async(_)));
        let pace = if promises { Pace::for_quick() } else { Pace::for_plain() };
        Self { name, options, run, bound, pace, counts: RunCounts::default(), has_slow_stream: AtomicBool::new(false) }
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(&self) -> &MethodName {
        &self.name
    }

    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self.run, Run::Plain(_))
    }

    /// Whether it promises to be quick although nothing stops it from blocking.
    pub(crate) const fn is_inline(&self) -> bool {
        self.options.inline && !self.options.blocking
    }

    /// Notes how long a run on a reader took, or one poll of it, with which the run `ended` or not.
    pub(crate) fn note_on_reader(&self, time: Duration, ended: bool) {
        if ended {
            self.counts.note_time(time);
        }
        if self.pace.note_on_reader(time) {
            let hint = if self.is_plain() {
                "leave `inline` out"
            } else {
                "what blocks belongs into a plain fn, or into spawn_blocking"
            };
            tracing::warn!(
                callback = %self.name,
                took = ?time,
                hint,
                "a callback held up a connection and will not run there until it has proved quick"
            );
        }
    }

    /// Notes how long its stream took for a result, or for those that were ready.
    pub(crate) fn note_stream(&self, time: Duration) {
        // Relaxed: it guards nothing but the line.
        if Pace::is_slow(time) && !self.has_slow_stream.swap(true, Relaxed) {
            tracing::warn!(
                callback = %self.name,
                took = ?time,
                hint = "what blocks or computes between two results belongs into spawn_blocking",
                "the stream of a callback holds up a thread that others wait for; this is logged once"
            );
        }
    }

    /// Counts a call of it as answered, unless it did not run because nobody waits for it.
    #[inline]
    pub(crate) fn count_end(&self, reply: &Reply) {
        if reply.is_of_none() {
            return self.counts.lose();
        }
        self.counts.end(reply.as_error().map(|error| &error.class[..]));
    }

    /// What its arguments may hold when they are read. `None`: it reads them by itself.
    pub(crate) fn bound_of_arguments(&self, format: FormatId, bytes: usize) -> Option<usize> {
        self.bound.as_ref().map(|bound| bound(format, bytes))
    }

    /// Whether a large last argument of bytes is read in pieces.
    pub(crate) const fn takes_pieces(&self) -> bool {
        self.options.pieces
    }

    /// Whether one caller's requests run one after another.
    pub(crate) const fn is_ordered(&self) -> bool {
        self.options.ordered
    }
}

/// What arguments may hold that are read as a `P`.
fn bound_by<F: FormatSet, P: Params>(formats: &F) -> BoundOfArguments {
    let formats = formats.clone();
    Box::new(move |format, bytes| match P::keep_bytes() {
        true => formats.decode_bound_of_bytes(format, bytes),
        false => formats.decode_bound(format, bytes),
    })
}

/// Reads the arguments, with what they may hold until the callback is done.
fn bind<F: FormatSet, P: Params>(
    request: &mut Request,
    formats: &F,
) -> Result<(P, impl Send + use<F, P>), RemoteError> {
    let memory = request.memory_of_arguments()?;
    let mut binding = Binding::<P>::new(request.method(), request.callback.options.params);
    match formats.decode_args(request.format, &request.body, &mut binding) {
        Ok(()) => binding.finish().map(|params| (params, memory)),
        Err(error) => Err(binding.explain(&error)),
    }
}

/// Any error as it travels: the class is the name of its type, as Python's is the name of the
/// exception's class.
///
/// A [`RemoteError`] travels as it is, which is how a callback chooses the class itself, and
/// [`CallError::Item`] as `TypeError`, as of an argument that came with the call. Text and
/// boxed errors, whose types say nothing, travel as `RuntimeError`; `std::io::Error` as `OSError`.
///
/// ```
/// use daffi_core::remote_error;
/// use daffi_serde::RemoteError;
/// assert_eq!(remote_error("bad").class, "RuntimeError");
/// assert_eq!(remote_error("x".parse::<i32>().unwrap_err()).class, "ParseIntError");
/// assert_eq!(remote_error(RemoteError::new("KeyError", "k")).class, "KeyError");
/// ```
pub fn remote_error<E: Display + 'static>(error: E) -> RemoteError {
    let mut error = Some(error);
    let any: &mut dyn std::any::Any = &mut error;
    if let Some(remote) = any.downcast_mut::<Option<RemoteError>>().and_then(Option::take) {
        return remote;
    }
    let is_item = matches!(any.downcast_ref::<Option<CallError>>(), Some(Some(CallError::Item { .. })));
    let message = error.map(|e| e.to_string()).unwrap_or_default();
    if is_item {
        // The caller sent what the callback does not take, as with any other argument.
        return RemoteError::new("TypeError", message);
    }
    let full = type_name::<E>();
    let path = full.split('<').next().unwrap_or(full);
    let (module, class) = path.rsplit_once("::").unwrap_or(("builtins", path));
    let known = [("std::io::error", "OSError"), ("std::io", "OSError")];
    if let Some((_, class)) = known.iter().find(|(of, _)| *of == module && class == "Error") {
        return RemoteError::new(*class, message);
    }
    let speaks = class.chars().next().is_some_and(char::is_uppercase) && !path.starts_with("alloc::");
    if !speaks || matches!(class, "Box" | "Arc" | "Report") || path == "anyhow::Error" {
        return RemoteError::new("RuntimeError", message);
    }
    RemoteError::new(class, message).in_module(module.replace("::", "."))
}
