//! Callbacks: functions of any shape behind one.

use std::{
    any::type_name,
    collections::HashMap,
    fmt::{self, Display},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use daffi_serde::{Binding, FormatSet, Params, RemoteError};
use daffi_transport::BoxFuture;
use daffi_wire::{MethodName, NodeName};
use parking_lot::Mutex;
use serde::Serialize;

use super::request::{Context, Reply, Request};
use crate::conn::SLOW;

/// A plain function is run on the blocking pool until it was quick so often in a row.
const PROBATION: u32 = 16;

/// Each time it holds a reader up the number of quick runs asked of a callback grows by this factor ...
///
/// Time also passes while the operating system lets others run: on a busy CPU that happens to the quickest callback some
/// time, and one that never came back cost a nowait call three times as much (measured). A slow one is never quick so
/// often.
const STRICTER: u32 = 4;

/// ... up to this.
const STRICTEST: u32 = 4096;

/// A function is quick when it returns within this time.
const QUICK: Duration = Duration::from_micros(100);

/// More than any number of quick runs.
const NEVER: u32 = u32::MAX;

/// How a callback wants to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallbackOptions {
    /// The parameters' names, for keyword arguments and for error messages.
    pub params: &'static [&'static str],
    /// Always on the blocking pool.
    pub blocking: bool,
    /// One caller's requests one after another, whatever the number of workers.
    pub ordered: bool,
}

/// A named function that a node exposes.
pub struct Callback {
    name: MethodName,
    options: CallbackOptions,
    pub(crate) run: Run,
    /// Quick runs in a row, away from readers.
    quick: AtomicU32,
    /// So many let it run on a reader.
    needed: AtomicU32,
    /// With `ordered`: one lock per caller that has requests.
    callers: Mutex<HashMap<NodeName, Arc<tokio::sync::Mutex<()>>>>,
}

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
    /// A plain function; it clones the context if it keeps it. It runs on the blocking pool until it has proved quick, then
    /// where its request was read.
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
        let run = move |request: Request| match bind::<F, P>(&request, &formats) {
            Ok(params) => match function(params, &request.context) {
                Ok(value) => request.reply(&value, &formats),
                Err(error) => Reply::error(error),
            },
            Err(error) => Reply::error(error),
        };
        Self::new(name, options, Run::Plain(Box::new(run)))
    }

    /// An async function. Its future owns what it takes of the context.
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
        let run = move |request: Request| -> BoxFuture<'static, Reply> {
            let params = match bind::<F, P>(&request, &formats) {
                Ok(params) => params,
                Err(error) => return Box::pin(std::future::ready(Reply::error(error))),
            };
            let (future, formats) = (function(params, &request.context), formats.clone());
            // The arguments were read into the function's own types: the read buffer is free.
            let request = Request { body: daffi_serde::Body::new(bytes::Bytes::new()), ..request };
            Box::pin(async move {
                match future.await {
                    Ok(value) => request.reply(&value, &formats),
                    Err(error) => Reply::error(error),
                }
            })
        };
        Self::new(name, options, Run::Async(Box::new(run)))
    }

    /// A plain function of the request as it travelled, which reads the arguments and makes the reply by itself: to pass
    /// payloads on that this node need not understand. Run as [`plain`](Self::plain) ones are.
    pub fn raw(
        name: MethodName,
        options: CallbackOptions,
        function: impl Fn(Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, options, Run::Plain(Box::new(function)))
    }

    fn new(name: MethodName, options: CallbackOptions, run: Run) -> Self {
        let needed = match run {
            _ if options.blocking => NEVER,
            Run::Plain(_) => PROBATION,
            Run::Async(_) => 0,
        };
        Self { name, options, run, quick: AtomicU32::new(0), needed: AtomicU32::new(needed), callers: Mutex::default() }
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(&self) -> &MethodName {
        &self.name
    }

    /// Whether it may run where its request was read.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick.load(Relaxed) >= self.needed.load(Relaxed)
    }

    /// Notes how long a run, or one poll of it, took away from readers.
    pub(crate) fn took(&self, time: Duration) {
        if time > QUICK {
            self.quick.store(0, Relaxed);
        } else {
            // Never as many as `NEVER`.
            let known = self.quick.load(Relaxed);
            self.quick.store(known.saturating_add(1).min(STRICTEST), Relaxed);
        }
    }

    /// Notes how long a run on a reader took, or one poll of it, if it was timed for itself.
    pub(crate) fn took_on_reader(&self, time: Option<Duration>) {
        if let Some(time) = time.filter(|time| *time > SLOW) {
            self.held_up(time);
        }
    }

    fn held_up(&self, time: Duration) {
        self.quick.store(0, Relaxed);
        let needed = self.needed.load(Relaxed);
        if needed <= PROBATION {
            tracing::warn!(
                callback = %self.name,
                took = ?time,
                "a callback held up a connection and will not run there until it has proved quick; hint: #[callback(blocking)]"
            );
        }
        if needed != NEVER {
            self.needed.store(needed.max(PROBATION).saturating_mul(STRICTER).min(STRICTEST), Relaxed);
        }
    }

    /// It panicked where its request was read: it may need a thread that can block.
    pub(crate) fn panicked_on_reader(&self) {
        self.needed.store(NEVER, Relaxed);
    }

    /// Whether one caller's requests run one after another.
    pub(crate) const fn is_ordered(&self) -> bool {
        self.options.ordered
    }

    /// With `ordered`: the lock of this caller's requests.
    pub(crate) fn turn_of(&self, caller: &NodeName) -> Option<Arc<tokio::sync::Mutex<()>>> {
        if !self.options.ordered {
            return None;
        }
        let mut callers = self.callers.lock();
        // Callers without requests hold no lock: forget them before the table grows.
        if callers.len() == callers.capacity() {
            callers.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Some(callers.entry(caller.clone()).or_default().clone())
    }
}

fn bind<F: FormatSet, P: Params>(request: &Request, formats: &F) -> Result<P, RemoteError> {
    let mut binding = Binding::<P>::new(request.method(), request.callback.options.params);
    match formats.decode_args(request.format, &request.body, &mut binding) {
        Ok(()) => binding.finish(),
        Err(error) => Err(binding.explain(&error)),
    }
}

/// Any error as it travels: the class is the name of its type, as Python's is the name of the exception's class.
///
/// A [`RemoteError`] travels as it is, which is how a callback chooses the class itself. Text and boxed errors, whose
/// types say nothing, travel as `RuntimeError`; `std::io::Error` as `OSError`.
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
    let message = error.map(|e| e.to_string()).unwrap_or_default();
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
