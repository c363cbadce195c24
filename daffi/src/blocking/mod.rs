//! A client for programs, and parts of programs, that do not run on tokio.
//!
//! It has a thread of its own, on which its connection and its callbacks run, and blocks the
//! calling thread until a call has ended. So it works outside a runtime, and inside one where
//! blocking is in order: it never panics for being called there. A Service on the same
//! single-threaded runtime cannot answer while the thread is blocked; give such a call a timeout,
//! or use [`crate::Client`].
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! # let _service = runtime.block_on(daffi::Service::builder("calc")
//! #     .callback_fn("add", |a: i64, b: i64| async move { a + b }).bind("mem://blocking-calc")).unwrap();
//! # fn main_() -> Result<(), Box<dyn std::error::Error>> {
//! use daffi::Client;
//! let client = Client::builder("plain").connect_blocking("mem://blocking-calc")?;
//! let sum: i64 = client.rpc().call("add", (3, 4))?;
//! assert_eq!(sum, 7);
//! client.stop();
//! # Ok(()) }
//! # main_().unwrap();
//! ```

mod background;
mod calls;
mod events;

use std::{sync::Arc, time::Duration};

use daffi_core::{CallError, InitializationError, Members, WaitedFor};

use self::background::Background;
pub use self::{
    calls::{Cast, CastNowait, CastResults, Results, Rpc, RpcNowait, StreamCall, StreamNowait},
    events::Events,
};
use crate::{ClientBuilder, IntoCallbacks};

/// A [`crate::Client`] whose methods block; made by
/// [`ClientBuilder::connect_blocking`](crate::ClientBuilder::connect_blocking).
///
/// This is a handle, cheap to clone. Dropping the last one ends the connection at once, and the
/// thread with it; [`stop`](Self::stop) ends it in order.
#[derive(Clone, Debug)]
pub struct Client {
    // It is dropped before the thread that it runs on.
    inner: crate::Client,
    background: Arc<Background>,
}

impl ClientBuilder {
    /// Connects as [`connect`](Self::connect) does, blocks until it has, and gives a client that
    /// blocks. It is for programs that do not run on tokio.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`InitializationError::Thread`] when there is no thread for
    /// it.
    pub fn connect_blocking(self, endpoint: &str) -> Result<Client, InitializationError> {
        let background = Background::start().map_err(InitializationError::Thread)?;
        let inner = background.block_on(self.connect(endpoint))?;
        Ok(Client { inner, background })
    }
}

impl Client {
    /// The same client without the blocking. It is for what is not here, and for parts of the
    /// program that run on tokio.
    #[must_use]
    pub const fn as_async(&self) -> &crate::Client {
        &self.inner
    }

    /// Makes calls to one receiver, which answers.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.inner.rpc(), Arc::clone(&self.background))
    }

    /// Makes calls to one receiver, which does not answer: they return once the request is queued.
    pub fn rpc_nowait(&self) -> RpcNowait {
        RpcNowait::new(self.inner.rpc_nowait(), Arc::clone(&self.background))
    }

    /// Makes calls to every member that exposes the callback, or to some, each of which answers.
    pub fn cast(&self) -> Cast {
        Cast::new(self.inner.cast(), Arc::clone(&self.background))
    }

    /// Makes calls to every member that exposes the callback, or to some, none of which answers.
    pub fn cast_nowait(&self) -> CastNowait {
        CastNowait::new(self.inner.cast_nowait(), Arc::clone(&self.background))
    }

    /// Sends streams of chunks to one receiver, each chunk acknowledged before the next is sent,
    /// unless a larger window is asked for.
    pub fn stream(&self) -> StreamCall {
        StreamCall::new(self.inner.stream(), Arc::clone(&self.background))
    }

    /// Sends streams of chunks to one receiver, no chunk acknowledged.
    pub fn stream_nowait(&self) -> StreamNowait {
        StreamNowait::new(self.inner.stream_nowait(), Arc::clone(&self.background))
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Whether there is a connection at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    #[doc = daffi_core::words!(members)]
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.inner.members()
    }

    /// Waits until all these nodes are members; without a limit for as long as it takes.
    ///
    /// # Errors
    /// [`CallError::Timeout`] names those that are missing; [`CallError::Stopped`],
    /// [`CallError::Evicted`] and [`CallError::CannotConnect`] say that they cannot come.
    pub fn wait_for_members(&self, names: &[&str], within: Option<Duration>) -> Result<(), CallError> {
        self.background.run(self.inner.wait_for_members(names, within))?
    }

    /// Waits until there is a connection; without a limit for as long as it takes.
    ///
    /// # Errors
    /// [`CallError::Timeout`]; [`CallError::Stopped`], [`CallError::Evicted`] or
    /// [`CallError::CannotConnect`]: there will be none.
    pub fn wait_for_connection(&self, within: Option<Duration>) -> Result<(), CallError> {
        let connected = self.inner.wait_for_connection();
        let Some(after) = within else { return self.background.run(connected)? };
        self.background.run(async {
            tokio::time::timeout(after, connected).await.unwrap_or_else(|_| {
                Err(CallError::Timeout {
                    receiver: self.inner.endpoint().to_string(),
                    method: "wait_for_connection".into(),
                    after,
                    waited_for: WaitedFor::Connection,
                    last_failure: self.inner.last_failure(),
                })
            })
        })?
    }

    /// Exposes further callbacks, which run on the client's thread, plain ones on its pool. See
    /// [`Client::add_callbacks`](crate::Client::add_callbacks).
    ///
    /// # Errors
    /// [`InitializationError`] for a name that can't be used or is taken: none was added.
    pub fn add_callbacks(&self, callbacks: impl IntoCallbacks) -> Result<(), InitializationError> {
        self.inner.add_callbacks(callbacks)
    }

    /// Stops in order, as [`Client::stop`](crate::Client::stop) does, and blocks until it has. On
    /// the client's own thread, which an async callback of it runs on, it only asks for it.
    pub fn stop(&self) {
        match self.background.run(self.inner.stop()) {
            Ok(()) => {}
            // Whoever blocks the thread that is to stop waits for itself.
            Err(_) => {
                let client = self.inner.clone();
                tokio::spawn(async move { client.stop().await });
            }
        }
    }
}
