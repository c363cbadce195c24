//! The six call styles.

use std::time::Duration;

use daffi_core::{Answers, CallError, SendError, StreamError};
use daffi_serde::{Args, Returned};
use daffi_transport::BoxFuture;
use daffi_wire::FormatId;
use futures::Stream;
use serde::Serialize;

use crate::Formats;

/// A call on its way, which is awaited. [`Rpc::call`] returns it.
pub type Calling<'m, R> = daffi_core::Calling<'m, R, Formats>;
/// A call on its way that nobody answers, which is awaited. [`RpcNowait::call`] returns it.
pub type Queueing<'m> = daffi_core::Queueing<'m, Formats>;

/// The results of a call, one by one: what [`Rpc::results`] gives.
pub type Results<R> = daffi_core::Results<R, Formats>;
/// The results of a cast, one by one: what [`Cast::results`] gives.
pub type CastResults<R> = daffi_core::CastResults<R, Formats>;
/// Sends the arguments of an open call one by one: what [`Rpc::duplex`] gives.
pub type ItemSender<T> = daffi_core::ItemSender<T, Formats>;

/// Where arguments are sent, and the results.
type BothWays<T, R> = (ItemSender<T>, Results<R>);

/// Makes a call style of the core one of this crate, with the setters named.
macro_rules! style {
    ($(#[$attr:meta])* $name:ident: $($setter:ident)*) => {
        $(#[$attr])*
        #[derive(Clone, Debug)]
        #[must_use = "it is no call yet"]
        pub struct $name {
            inner: daffi_core::$name<Formats>,
        }

        impl $name {
            pub(crate) const fn new(inner: daffi_core::$name<Formats>) -> Self {
                Self { inner }
            }

            fn map(
                self,
                change: impl FnOnce(daffi_core::$name<Formats>) -> daffi_core::$name<Formats>,
            ) -> Self {
                Self { inner: change(self.inner) }
            }

            $(crate::calls::setter!($setter);)*
        }
    };
}

/// The setters that call styles share.
macro_rules! setter {
    (receiver) => {
        /// Calls this member, rather than one chosen among those that expose the callback.
        pub fn receiver(self, name: impl Into<String>) -> Self {
            self.map(|inner| inner.receiver(name))
        }
    };
    (receivers) => {
        /// Calls only these members, each once, rather than all that expose the callback. None at
        /// all is [`CallError::NoReceivers`].
        pub fn receivers<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
            self.map(|inner| inner.receivers(names))
        }
    };
    (key) => {
        /// Sets what keeps related calls together: with [`StickyByKey`](crate::StickyByKey) calls
        /// of one key go to one member. Other pickers ignore it.
        pub fn key(self, key: impl Into<String>) -> Self {
            self.map(|inner| inner.key(key))
        }
    };
    (by_router) => {
        /// Has the Router choose who gets the call, where that can, whatever the client's picker:
        /// see [`ByRouter`](crate::ByRouter). Not with a [`receiver`](Self::receiver).
        pub fn by_router(self) -> Self {
            self.map(|inner| inner.by_router())
        }
    };
    (serde) => {
        /// Sets the format of arguments and result.
        pub fn serde(self, format: FormatId) -> Self {
            self.map(|inner| inner.serde(format))
        }
    };
    (header) => {
        /// Adds a key and its value that travel with the call, such as a token or a tenant; the
        /// callback reads it by [`Context::header`](daffi_core::Context::header). The same key may
        /// be added again.
        ///
        /// All headers of a call are at most 4 KiB together, and a key 1 to 255 bytes, else the
        /// call fails with [`CallError::Extensions`](crate::CallError::Extensions) before anything
        /// is sent. A receiver of daffi 3.0.1 gets the call without them, which is logged once:
        /// here, or at the Router where that chose the receiver.
        pub fn header(self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.map(|inner| inner.header(key, value))
        }
    };
    (in_pieces) => {
        /// Has [`results`](Self::results) read a result of bytes that is too large for one frame in
        /// pieces, each as one result, as they come and with no limit: such as
        /// `rpc().in_pieces().results::<Bytes>(..)`. A smaller one is one piece. In OPAQUE, and in
        /// MSGPACK up to 4 GiB; in other formats it is put together.
        pub fn in_pieces(self) -> Self {
            self.map(|inner| inner.in_pieces())
        }
    };
    (timeout) => {
        /// Sets the time from the first poll of the call to its answer. It is exact, and includes
        /// whatever the call waits for in between.
        pub fn timeout(self, timeout: Duration) -> Self {
            self.map(|inner| inner.timeout(timeout))
        }
    };
    (chunk_timeout) => {
        /// Sets the time from sending a chunk to its acknowledgement.
        pub fn timeout(self, timeout: Duration) -> Self {
            self.map(|inner| inner.timeout(timeout))
        }

        /// Sets how many chunks may be unacknowledged at once. Default 1: each is acknowledged
        /// before the next is sent. Above 1 the chunks run in order only on a receiver with
        /// `workers=1`, or in an `ordered` callback.
        pub fn window(self, chunks: usize) -> Self {
            self.map(|inner| inner.window(chunks))
        }
    };
    (queue_timeout) => {
        /// Sets how long a chunk may take until it is queued, and how long the stream waits for a
        /// connection.
        pub fn timeout(self, timeout: Duration) -> Self {
            self.map(|inner| inner.timeout(timeout))
        }
    };
    (wait_for_connection) => {
        /// Waits for a connection, within the timeout, when there is none, instead of failing at
        /// once.
        pub fn wait_for_connection(self) -> Self {
            self.map(|inner| inner.wait_for_connection())
        }
    };
    (wait_for_receiver) => {
        /// Waits, within the timeout, while no member exposes the callback or the one asked for
        /// does not, instead of failing at once. It waits for a connection, too.
        ///
        /// A call that wants an answer and has a timeout, but no receiver and no key, waits at the
        /// Router, if that is one of this project: then the Router chooses who gets it, and a
        /// worker that is restarted in order makes no such call fail.
        pub fn wait_for_receiver(self) -> Self {
            self.map(|inner| inner.wait_for_receiver())
        }
    };
    (wait_for_each) => {
        /// Waits, within the timeout, while no member exposes the callback, instead of failing at
        /// once; of [`receivers`](Self::receivers) for each that does not yet, while the others are
        /// called. It waits for a connection, too.
        pub fn wait_for_receiver(self) -> Self {
            self.map(|inner| inner.wait_for_receiver())
        }
    };
}

#[cfg_attr(not(feature = "blocking"), allow(unused_imports, reason = "blocking call styles take it from here"))]
pub(crate) use setter;

style! {
    /// A call to one receiver, which answers it: [`Client::rpc`](crate::Client::rpc).
    ///
    /// ```
    /// # use daffi::{CallError, Client};
    /// # use std::time::Duration;
    /// # async fn calls(client: Client) -> Result<(), CallError> {
    /// let sum: i64 = client.rpc().call("add", (3, 4)).await?;
    /// let rpc = client.rpc().timeout(Duration::from_secs(5)).receiver("calc-service");
    /// let more = rpc.call::<i64>("add", (sum, 1)).await?;
    /// rpc.run("report", (more,)).await?; // whatever it returns
    /// # Ok(()) }
    /// ```
    Rpc: receiver key by_router serde header in_pieces timeout wait_for_connection wait_for_receiver
}

impl Rpc {
    /// Calls `method` and reads its result as a `R`; `()` takes any result.
    ///
    #[doc = daffi_core::words!(call)]
    pub fn call<'m, R: Returned>(&self, method: &'m str, args: impl Args) -> Calling<'m, R> {
        self.inner.call(method, args)
    }

    /// Calls `method`, waits until it has run, and drops its result, whatever it is.
    ///
    #[doc = daffi_core::words!(call)]
    pub fn run<'m>(&self, method: &'m str, args: impl Args) -> Calling<'m, ()> {
        self.inner.run(method, args)
    }

    /// Calls `method` and gives its results one by one, once the callback has returned its stream;
    /// a callback that returns a plain value gives that alone. Dropping the stream gives the call
    /// up.
    ///
    /// ```
    /// # use daffi::{CallError, Client};
    /// use futures::TryStreamExt;
    /// # async fn calls(client: Client) -> Result<(), CallError> {
    /// let mut rows = client.rpc().results::<String>("rows", ("select ..",)).await?;
    /// while let Some(row) = rows.try_next().await? {
    ///     println!("{row}");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    #[doc = daffi_core::words!(results)]
    pub fn results<'m, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<Results<R>, CallError>> {
        self.inner.results(method, args)
    }

    /// Calls `method`, sends `items` one by one behind the arguments, as the callback takes them,
    /// and reads its result as a `R`. For a source that stays on its thread there is
    /// [`send_local`](Self::send_local).
    ///
    /// ```
    /// # use daffi::{CallError, Client};
    /// # async fn calls(client: Client) -> Result<(), CallError> {
    /// let total: i64 = client.rpc().send("sum", (), futures::stream::iter([1, 2, 3])).await?;
    /// # Ok(()) }
    /// ```
    ///
    #[doc = daffi_core::words!(send_items)]
    pub fn send<'m, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
        items: impl Stream<Item: Serialize + 'static> + Send + 'm,
    ) -> BoxFuture<'m, Result<R, CallError>> {
        self.inner.send(method, args, items)
    }

    /// Does what [`send`](Self::send) does with a source that stays on its thread: the future does
    /// as well.
    ///
    #[doc = daffi_core::words!(send_items)]
    pub async fn send_local<R: Returned>(
        self,
        method: &str,
        args: impl Args,
        items: impl Stream<Item: Serialize + 'static>,
    ) -> Result<R, CallError> {
        self.inner.send_local(method, args, items).await
    }

    /// Does what [`send`](Self::send) does with a source that can fail: its error gives the call
    /// up.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub fn try_send<'m, R: Returned, E: Send + 'm>(
        &self,
        method: &'m str,
        args: impl Args,
        items: impl Stream<Item = Result<impl Serialize + 'static, E>> + Send + 'm,
    ) -> BoxFuture<'m, Result<R, SendError<E>>> {
        self.inner.try_send(method, args, items)
    }

    /// Does what [`try_send`](Self::try_send) does with a source that stays on its thread: the
    /// future does as well.
    ///
    /// # Errors
    /// The errors of [`try_send`](Self::try_send).
    pub async fn try_send_local<R: Returned, E>(
        self,
        method: &str,
        args: impl Args,
        items: impl Stream<Item = Result<impl Serialize + 'static, E>>,
    ) -> Result<R, SendError<E>> {
        self.inner.try_send_local(method, args, items).await
    }

    /// Calls `method` with arguments and results that both go one by one: gives where arguments are
    /// sent, and the results.
    ///
    /// ```
    /// # use daffi::{CallError, Client};
    /// use futures::TryStreamExt;
    /// # async fn calls(client: Client) -> Result<(), CallError> {
    /// let (mut say, mut heard) = client.rpc().duplex::<String, String>("chat", ()).await?;
    /// say.send("hello".to_owned()).await?;
    /// let answer = heard.try_next().await?;
    /// # Ok(()) }
    /// ```
    ///
    #[doc = daffi_core::words!(duplex)]
    pub fn duplex<'m, T: Serialize + 'static, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<BothWays<T, R>, CallError>> {
        self.inner.duplex(method, args)
    }

    /// The same calls, which nobody answers: with all that was set of these, except what is of the
    /// answer. The client's picker chooses who gets them, also where [`by_router`](Self::by_router)
    /// leaves calls that are answered to the Router.
    pub fn to_nowait(&self) -> RpcNowait {
        RpcNowait::new(self.inner.to_nowait())
    }

    /// The same call to every member that exposes the callback, or to the receiver that was set:
    /// with all else that was set of these, except who chooses one of several, as
    /// [`key`](Self::key) and [`by_router`](Self::by_router) do.
    pub fn to_cast(&self) -> Cast {
        Cast::new(self.inner.to_cast())
    }

    /// Makes the same calls over any tower stack around a client: with retries, a rate limit, load
    /// balancing. See [`Client::into_service`](crate::Client::into_service).
    pub fn over<S>(service: S) -> daffi_core::RpcOver<S> {
        daffi_core::Rpc::<Formats>::over(service)
    }
}

style! {
    /// A call to one receiver, which does not answer:
    /// [`Client::rpc_nowait`](crate::Client::rpc_nowait).
    RpcNowait: receiver key serde header timeout wait_for_connection wait_for_receiver
}

impl RpcNowait {
    /// Calls `method`; returns once the request is queued. Nothing tells whether it arrived, or
    /// ran.
    ///
    #[doc = daffi_core::words!(call_nowait)]
    pub fn call<'m>(&self, method: &'m str, args: impl Args) -> Queueing<'m> {
        self.inner.call(method, args)
    }
}

style! {
    /// A call to several members, each of which answers: [`Client::cast`](crate::Client::cast).
    ///
    /// ```
    /// # async fn casts(client: daffi::Client) -> Result<(), daffi::CallError> {
    /// for (member, answer) in client.cast().call::<String>("status", ()).await? {
    ///     match answer {
    ///         Ok(status) => println!("{member}: {status}"),
    ///         Err(error) => println!("{member}: {error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    Cast: receivers serde header timeout wait_for_connection wait_for_each
}

impl Cast {
    /// Calls `method` on each member and gives the result or the error of each, by name; `()` takes
    /// any result.
    ///
    #[doc = daffi_core::words!(cast)]
    pub fn call<'m, R: Returned + Send>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<Answers<R>, CallError>> {
        self.inner.call(method, args)
    }
}

impl Cast {
    /// Calls `method` on each member and gives what all give, one by one, each result with the name
    /// of the member. One that returns a plain value, as one of daffi 3.0.1 does, gives that alone.
    ///
    /// ```
    /// # async fn casts(client: daffi::Client) -> Result<(), daffi::CallError> {
    /// use daffi::CastItem;
    /// use futures::StreamExt;
    /// let mut lines = client.cast().results::<String>("follow_log", ()).await?;
    /// while let Some((member, item)) = lines.next().await {
    ///     match item {
    ///         CastItem::Item(line) => println!("{member}: {line}"),
    ///         CastItem::Failed(error) => println!("{member} failed: {error}"),
    ///         _ => println!("{member} has no more"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    #[doc = daffi_core::words!(cast_results)]
    pub fn results<'m, R: Returned>(
        &self,
        method: &'m str,
        args: impl Args,
    ) -> BoxFuture<'m, Result<CastResults<R>, CallError>> {
        self.inner.results(method, args)
    }
}

style! {
    /// A call to several members, none of which answers:
    /// [`Client::cast_nowait`](crate::Client::cast_nowait).
    CastNowait: receivers serde header timeout wait_for_connection wait_for_each
}

impl CastNowait {
    /// Calls `method` on each member; returns once all requests are queued. Nothing tells whether
    /// they arrived, or ran.
    ///
    #[doc = daffi_core::words!(cast_nowait)]
    pub fn call<'m>(&self, method: &'m str, args: impl Args) -> BoxFuture<'m, Result<(), CallError>> {
        self.inner.call(method, args)
    }
}

style! {
    /// A stream of chunks to one receiver, which acknowledges each:
    /// [`Client::stream`](crate::Client::stream).
    StreamCall: receiver key serde chunk_timeout wait_for_connection wait_for_receiver
}

impl StreamCall {
    /// Calls `method` with each chunk, all on one receiver, and gives the number of chunks
    /// acknowledged. Results are dropped; the first error ends the stream.
    ///
    #[doc = daffi_core::words!(stream)]
    pub fn send<'m, S>(&self, method: &'m str, chunks: S) -> impl Future<Output = Result<u64, StreamError>> + use<'m, S>
    where
        S: Stream,
        S::Item: Serialize + Send + 'static,
    {
        self.inner.send(method, chunks)
    }

    /// Does what [`send`](Self::send) does with a source that can fail: its error ends the stream
    /// behind the chunks before it.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub fn try_send<'m, C, E, S>(
        &self,
        method: &'m str,
        chunks: S,
    ) -> impl Future<Output = Result<u64, SendError<E, StreamError>>> + use<'m, C, E, S>
    where
        C: Serialize + Send + 'static,
        S: Stream<Item = Result<C, E>>,
    {
        self.inner.try_send(method, chunks)
    }
}

style! {
    /// A stream of chunks to one receiver, which acknowledges none:
    /// [`Client::stream_nowait`](crate::Client::stream_nowait).
    StreamNowait: receiver key serde queue_timeout wait_for_connection wait_for_receiver
}

impl StreamNowait {
    /// Calls `method` with each chunk, all on one receiver, and gives the number of chunks queued.
    /// Waits while the connection's queue is full, which a receiver that is slower than this holds
    /// back.
    ///
    #[doc = daffi_core::words!(stream)]
    pub fn send<'m, S>(&self, method: &'m str, chunks: S) -> impl Future<Output = Result<u64, StreamError>> + use<'m, S>
    where
        S: Stream,
        S::Item: Serialize + Send + 'static,
    {
        self.inner.send(method, chunks)
    }

    /// Does what [`send`](Self::send) does with a source that can fail: its error ends the stream
    /// behind the chunks before it.
    ///
    /// # Errors
    /// [`SendError::Source`] with what the source gave; [`SendError::Call`] as
    /// [`send`](Self::send).
    pub fn try_send<'m, C, E, S>(
        &self,
        method: &'m str,
        chunks: S,
    ) -> impl Future<Output = Result<u64, SendError<E, StreamError>>> + use<'m, C, E, S>
    where
        C: Serialize + Send + 'static,
        S: Stream<Item = Result<C, E>>,
    {
        self.inner.try_send(method, chunks)
    }
}
