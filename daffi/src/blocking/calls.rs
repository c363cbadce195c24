//! The six call styles, blocking.

use std::{sync::Arc, time::Duration};

use daffi_core::{Answers, CallError, CastItem, StreamError};
use daffi_serde::{Args, Returned};
use daffi_wire::FormatId;
use futures::{StreamExt, stream};
use serde::Serialize;

use super::Background;

/// Makes a call style of this crate one that blocks.
macro_rules! style {
    ($(#[$attr:meta])* $name:ident: $($setter:ident)*) => {
        $(#[$attr])*
        #[derive(Clone, Debug)]
        #[must_use = "it is no call yet"]
        pub struct $name {
            inner: crate::$name,
            background: Arc<Background>,
        }

        impl $name {
            pub(super) const fn new(inner: crate::$name, background: Arc<Background>) -> Self {
                Self { inner, background }
            }

            fn map(self, change: impl FnOnce(crate::$name) -> crate::$name) -> Self {
                Self { inner: change(self.inner), background: self.background }
            }

            $(crate::calls::setter!($setter);)*
        }
    };
}

style! {
    /// A call to one receiver, which answers it: [`Client::rpc`](super::Client::rpc).
    Rpc: receiver key by_router serde header timeout wait_for_connection wait_for_receiver
}

impl Rpc {
    /// Calls `method`, blocks until its answer is there, and reads its result as a `R`; `()` takes
    /// any result.
    ///
    /// # Errors
    /// [`CallError`]; every call ends, with its result or with an error that says what happened.
    pub fn call<R: Returned>(&self, method: &str, args: impl Args) -> Result<R, CallError> {
        self.background.run(self.inner.call(method, args))?
    }

    /// Calls `method`, blocks until it has run, and drops its result, whatever it is.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn run(&self, method: &str, args: impl Args) -> Result<(), CallError> {
        self.call(method, args)
    }

    /// Calls `method` and gives its results one by one, once the callback has returned its stream.
    /// Dropping them gives the call up.
    ///
    /// # Errors
    /// [`CallError`], if the callback failed before its first result; later ones are the last thing
    /// that the results give.
    pub fn results<R: Returned>(&self, method: &str, args: impl Args) -> Result<Results<R>, CallError> {
        let inner = self.background.run(self.inner.results(method, args))??;
        Ok(Results { inner: Some(inner), background: Arc::clone(&self.background) })
    }

    /// Calls `method`, sends `items` one by one behind the arguments, as the callback takes them,
    /// blocks until its answer is there, and reads its result as a `R`.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`CallError::LevelUnsupported`] for a receiver of daffi 3.0.1.
    pub fn send<R: Returned>(
        &self,
        method: &str,
        args: impl Args,
        items: impl IntoIterator<Item: Serialize + 'static>,
    ) -> Result<R, CallError> {
        self.background.run(self.inner.clone().send_local(method, args, stream::iter(items)))?
    }
}

/// The results of a call, one by one: what [`Rpc::results`] gives. Each step blocks until the next
/// is there. An error is the last thing that comes.
#[derive(Debug)]
#[must_use = "dropping the results gives the call up"]
pub struct Results<R> {
    inner: Option<crate::Results<R>>,
    background: Arc<Background>,
}

impl<R: Returned> Iterator for Results<R> {
    type Item = Result<R, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.background.run(self.inner.as_mut()?.next());
        next.unwrap_or_else(|error| {
            self.inner = None;
            Some(Err(error))
        })
    }
}

style! {
    /// A call to one receiver, which does not answer:
    /// [`Client::rpc_nowait`](super::Client::rpc_nowait).
    RpcNowait: receiver key serde header timeout wait_for_connection wait_for_receiver
}

impl RpcNowait {
    /// Calls `method`; returns once the request is queued. Blocks while there is no room for it.
    ///
    /// # Errors
    /// [`CallError`] when the request could not be queued.
    pub fn call(&self, method: &str, args: impl Args) -> Result<(), CallError> {
        self.background.run(self.inner.call(method, args))?
    }
}

style! {
    /// A call to several members, each of which answers: [`Client::cast`](super::Client::cast).
    Cast: receivers serde header timeout wait_for_connection wait_for_each
}

impl Cast {
    /// Calls `method` on each member, blocks until each has answered, and gives the result or the
    /// error of each, by name.
    ///
    /// # Errors
    /// [`CallError`] when nothing could be sent at all.
    pub fn call<R: Returned + Send>(&self, method: &str, args: impl Args) -> Result<Answers<R>, CallError> {
        self.background.run(self.inner.call(method, args))?
    }
}

impl Cast {
    /// Calls `method` on each member and gives what all give, one by one, each result with the name
    /// of the member. Dropping them gives all calls up.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn results<R: Returned>(&self, method: &str, args: impl Args) -> Result<CastResults<R>, CallError> {
        let inner = self.background.run(self.inner.results(method, args))??;
        Ok(CastResults { inner: Some(inner), background: Arc::clone(&self.background) })
    }
}

/// The results of a cast, one by one: what [`Cast::results`] gives. Each step blocks until the next
/// is there. A failure without a name is that of this client, and the last thing that comes.
#[derive(Debug)]
#[must_use = "dropping the results gives the calls up"]
pub struct CastResults<R> {
    inner: Option<crate::CastResults<R>>,
    background: Arc<Background>,
}

impl<R: Returned> Iterator for CastResults<R> {
    type Item = (String, CastItem<R>);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.background.run(self.inner.as_mut()?.next());
        next.unwrap_or_else(|error| {
            self.inner = None;
            Some((String::new(), CastItem::Failed(error)))
        })
    }
}

style! {
    /// A call to several members, none of which answers:
    /// [`Client::cast_nowait`](super::Client::cast_nowait).
    CastNowait: receivers serde header timeout wait_for_connection wait_for_each
}

impl CastNowait {
    /// Calls `method` on each member; returns once all requests are queued.
    ///
    /// # Errors
    /// The first error; members that could be called were called.
    pub fn call(&self, method: &str, args: impl Args) -> Result<(), CallError> {
        self.background.run(self.inner.call(method, args))?
    }
}

style! {
    /// A stream of chunks to one receiver, which acknowledges each:
    /// [`Client::stream`](super::Client::stream).
    StreamCall: receiver key serde chunk_timeout wait_for_connection wait_for_receiver
}

impl StreamCall {
    /// Calls `method` with each chunk, all on one receiver, and gives the number of chunks
    /// acknowledged.
    ///
    /// # Errors
    /// [`StreamError`] names the chunk that failed.
    pub fn send<I>(&self, method: &str, chunks: I) -> Result<u64, StreamError>
    where
        I: IntoIterator,
        I::Item: Serialize + Send + 'static,
    {
        let sent = self.background.run(self.inner.send(method, stream::iter(chunks)));
        sent.map_err(|source| StreamError::new(0, source))?
    }
}

style! {
    /// A stream of chunks to one receiver, which acknowledges none:
    /// [`Client::stream_nowait`](super::Client::stream_nowait).
    StreamNowait: receiver key serde queue_timeout wait_for_connection wait_for_receiver
}

impl StreamNowait {
    /// Calls `method` with each chunk, all on one receiver, and gives the number of chunks queued.
    ///
    /// # Errors
    /// [`StreamError`] names the chunk that could not be queued.
    pub fn send<I>(&self, method: &str, chunks: I) -> Result<u64, StreamError>
    where
        I: IntoIterator,
        I::Item: Serialize + Send + 'static,
    {
        let sent = self.background.run(self.inner.send(method, stream::iter(chunks)));
        sent.map_err(|source| StreamError::new(0, source))?
    }
}
