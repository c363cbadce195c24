//! The six call styles, and the way of one call to its receiver and back.

mod again;
mod calling;
mod cast;
mod cast_results;
mod client;
mod engine;
mod opening;
mod over;
mod parts;
mod pending_reply;
mod progress;
mod request;
mod result_clock;
mod results;
mod rpc;
mod sending;
mod service;
mod span;
mod stream;
#[cfg(test)]
mod tests;
mod written_extensions;

pub use self::{
    calling::{Calling, Queueing},
    cast::{Answers, Cast, CastNowait},
    cast_results::{CastItem, CastResults},
    over::{CallingOver, RpcOver},
    results::Results,
    rpc::{Rpc, RpcNowait},
    sending::{ItemSender, SendError},
    service::{Answer, Call, CallService, ReadAnswer},
    stream::{StreamCall, StreamNowait},
};

/// The setters that call styles share.
macro_rules! setters {
    ($($name:ident)*) => { $(setters!(@ $name);)* };
    (@ receiver) => {
        /// Calls this member, rather than one chosen among those that expose the callback.
        #[must_use]
        pub fn receiver(mut self, name: impl Into<String>) -> Self {
            std::sync::Arc::make_mut(&mut self.options).receiver = Some(name.into());
            self
        }
    };
    (@ key) => {
        /// Sets what keeps related calls together: with [`StickyByKey`](crate::StickyByKey) calls
        /// of one key go to one member. Other pickers ignore it.
        #[must_use]
        pub fn key(mut self, key: impl Into<String>) -> Self {
            std::sync::Arc::make_mut(&mut self.options).key = Some(key.into());
            self
        }
    };
    (@ by_router) => {
        /// Has the Router choose who gets the call, where that can, whatever the client's picker:
        /// see [`ByRouter`](crate::ByRouter). Not with a [`receiver`](Self::receiver).
        #[must_use]
        pub fn by_router(mut self) -> Self {
            std::sync::Arc::make_mut(&mut self.options).by_router = true;
            self
        }
    };
    (@ receivers) => {
        /// Calls only these members, each once, rather than all that expose the callback. None at
        /// all is [`CallError::NoReceivers`](crate::CallError::NoReceivers).
        #[must_use]
        pub fn receivers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
            self.receivers = Some(names.into_iter().map(Into::into).collect());
            self
        }
    };
    (@ header) => {
        /// Adds a key and its value that travel with the call, such as a token or a tenant; the
        /// callback reads it by [`Context::header`](crate::Context::header). The same key may be
        /// added again.
        ///
        /// All headers of a call are at most 4 KiB together, and a key 1 to 255 bytes, else the
        /// call fails with [`CallError::Extensions`](crate::CallError::Extensions) before anything
        /// is sent. A receiver of daffi 3.0.1 gets the call without them, which is logged once:
        /// here, or at the Router where that chose the receiver.
        #[must_use]
        pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            std::sync::Arc::make_mut(&mut self.options).headers.push((key.into(), value.into()));
            self
        }
    };
    (@ in_pieces) => {
        /// Has [`results`](Self::results) read a result of bytes that is too large for one frame in
        /// pieces, each as one result, as they come and with no limit: such as
        /// `rpc().in_pieces().results::<Bytes>(..)`. A smaller one is one piece. In OPAQUE, and in
        /// MSGPACK up to 4 GiB; in other formats it is put together.
        #[must_use]
        pub fn in_pieces(mut self) -> Self {
            std::sync::Arc::make_mut(&mut self.options).in_pieces = true;
            self
        }
    };
    (@ serde) => {
        /// Sets the format of arguments and result.
        #[must_use]
        pub fn serde(mut self, format: FormatId) -> Self {
            std::sync::Arc::make_mut(&mut self.options).serde = Some(format);
            self
        }
    };
    (@ timeout) => {
        /// Sets the time from the call to its answer. It is exact, and includes whatever the call
        /// waits for in between.
        #[must_use]
        pub fn timeout(mut self, timeout: Duration) -> Self {
            std::sync::Arc::make_mut(&mut self.options).timeout = Some(timeout);
            self
        }
    };
    (@ wait_for_connection) => {
        /// Waits for a connection, within the timeout, when there is none, instead of failing at
        /// once.
        #[must_use]
        pub fn wait_for_connection(mut self) -> Self {
            std::sync::Arc::make_mut(&mut self.options).wait_for_connection = true;
            self
        }
    };
    (@ wait_for_receiver) => {
        /// Waits, within the timeout, while no member exposes the callback or the one asked for
        /// does not, instead of failing at once. It waits for a connection, too.
        ///
        /// A call that wants an answer and has a timeout, but no receiver and no key, waits at the
        /// Router, if that is one of this project: then the Router chooses who gets it, and a
        /// worker that is restarted in order makes no such call fail.
        #[must_use]
        pub fn wait_for_receiver(mut self) -> Self {
            std::sync::Arc::make_mut(&mut self.options).wait_for_receiver = true;
            self
        }
    };
    (@ wait_for_each) => {
        /// Waits, within the timeout, while no member exposes the callback, instead of failing at
        /// once; of [`receivers`](Self::receivers) for each that does not yet, while the others are
        /// called. It waits for a connection, too.
        #[must_use]
        pub fn wait_for_receiver(mut self) -> Self {
            std::sync::Arc::make_mut(&mut self.options).wait_for_receiver = true;
            self
        }
    };
}
pub(crate) use setters;
