//! Where calls begin: what a client offers to call with.

use std::sync::Arc;

use daffi_serde::FormatSet;

use super::{Cast, CastNowait, Rpc, RpcNowait, StreamCall, StreamNowait};
use crate::client::{CallOptions, Client};

impl<F: FormatSet> Client<F> {
    /// Makes calls to one receiver, which answers.
    #[must_use]
    pub fn rpc(&self) -> Rpc<F> {
        Rpc::new(self.clone(), self.options())
    }

    /// Makes calls to one receiver, which does not answer.
    #[must_use]
    pub fn rpc_nowait(&self) -> RpcNowait<F> {
        RpcNowait::new(self.clone(), self.options())
    }

    /// Makes calls to every member that exposes the callback, or to some, each of which answers.
    #[must_use]
    pub fn cast(&self) -> Cast<F> {
        Cast::new(self.clone(), self.options())
    }

    /// Makes calls to every member that exposes the callback, or to some, none of which answers.
    #[must_use]
    pub fn cast_nowait(&self) -> CastNowait<F> {
        CastNowait::new(self.clone(), self.options())
    }

    /// Chunk after chunk to one receiver, each acknowledged.
    #[must_use]
    pub fn stream(&self) -> StreamCall<F> {
        StreamCall::new(self.clone(), self.options())
    }

    /// Sends streams of chunks to one receiver, no chunk acknowledged.
    #[must_use]
    pub fn stream_nowait(&self) -> StreamNowait<F> {
        StreamNowait::new(self.clone(), self.options())
    }

    fn options(&self) -> Arc<CallOptions> {
        Arc::clone(&self.shared().default_options)
    }
}
