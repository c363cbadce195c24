//! What a node has by itself, whichever end of a connection it is and whatever it serves.

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::BytesMut;
use daffi_serde::{BytesWithin, FormatSet, Output, RemoteError};
use daffi_wire::{FormatId, NodeName};
use tokio_util::task::TaskTracker;

use super::lifecycle::Lifecycle;
use crate::{config::NodeConfig, conn::Budget, refusal::json_error};

/// What a node has by itself: its name, its limits, its memory and its end. What it serves is a
/// [`ServingNode`](super::ServingNode).
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) config: NodeConfig,
    pub(crate) errors: Box<dyn ErrorWriter>,
    formats: Box<dyn Any + Send + Sync>,
    pub(crate) budget: Arc<Budget>,
    /// Callbacks that did not finish where their request was read.
    pub(crate) running: TaskTracker,
    pub(crate) life: Lifecycle,
    /// Requests that ran no callback.
    refused_calls: AtomicU64,
    client: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Node {
    pub(crate) fn new<F: FormatSet>(name: NodeName, config: NodeConfig, formats: F) -> Arc<Self> {
        Arc::new(Self {
            name,
            errors: Box::new(Errors(formats.clone())),
            formats: Box::new(formats),
            budget: Budget::of(&config),
            running: TaskTracker::new(),
            life: Lifecycle::default(),
            refused_calls: AtomicU64::new(0),
            client: OnceLock::new(),
            config,
        })
    }

    /// A request runs no callback.
    #[cold]
    pub(super) fn note_refused_call(&self) {
        self.refused_calls.fetch_add(1, Relaxed);
    }

    /// Requests that ran no callback.
    pub(crate) fn refused_calls(&self) -> u64 {
        self.refused_calls.load(Relaxed)
    }

    /// Its formats, if they are a set of this type.
    pub(crate) fn formats<F: FormatSet>(&self) -> Option<&F> {
        self.formats.downcast_ref()
    }

    /// Lets callbacks of this node call on with `client`, which must not keep the node alive.
    pub(crate) fn set_client(&self, client: Box<dyn Any + Send + Sync>) {
        let _already = self.client.set(client);
    }

    /// What callbacks call on with; `None` for a node that can't call.
    pub(crate) fn client(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.client.get().map(|client| &**client)
    }
}

/// Writes error replies in a node's formats, and looks into payloads.
pub(crate) trait ErrorWriter: Send + Sync + std::fmt::Debug {
    /// Appends the error and gives the format chosen: the call's where every node reads errors in
    /// it, else JSON ([protocol, 7.3](daffi_wire::protocol#7.3)).
    fn write(&self, format: FormatId, error: &RemoteError, buffer: &mut BytesMut) -> FormatId;

    /// Where the bytes lie in arguments of which the first came.
    fn bytes_in_args(&self, format: FormatId, first: &[u8], total: u64) -> Option<BytesWithin>;
}

struct Errors<F>(F);

impl<F> std::fmt::Debug for Errors<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Errors")
    }
}

impl<F: FormatSet> ErrorWriter for Errors<F> {
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

    fn bytes_in_args(&self, format: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        self.0.bytes_in_args(format, first, total)
    }
}
