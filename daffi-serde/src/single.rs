use std::sync::Arc;

use daffi_wire::FormatId;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Args, ArgsSink, Body, BytesWithin, Codec, FormatSet, Output, RemoteError, SerdeError};

/// A [`FormatSet`] of one format.
#[derive(Debug)]
pub struct Single<C>(Arc<C>);

impl<C> Clone for Single<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Codec> Single<C> {
    /// The set of this format alone.
    pub fn new(codec: C) -> Self {
        Self(Arc::new(codec))
    }

    fn get(&self, id: FormatId) -> Result<&C, SerdeError> {
        if self.0.id() == id { Ok(&self.0) } else { Err(SerdeError::UnknownFormat(id)) }
    }
}

impl<C: Codec> FormatSet for Single<C> {
    fn contains(&self, id: FormatId) -> bool {
        self.0.id() == id
    }

    fn encode_args<A: Args>(&self, id: FormatId, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        self.get(id)?.encode_args(args, out)
    }

    fn encode_result<T: Serialize + 'static>(
        &self,
        id: FormatId,
        value: &T,
        out: &mut Output<'_>,
    ) -> Result<(), SerdeError> {
        self.get(id)?.encode_return(value, out)
    }

    fn decode_args<S: ArgsSink>(&self, id: FormatId, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        self.get(id)?.decode_args(body, sink)
    }

    fn decode_result<T: DeserializeOwned + 'static>(&self, id: FormatId, body: &Body) -> Result<T, SerdeError> {
        let mut result: Option<T> = None;
        self.get(id)?.decode_result(body, &mut result)?;
        result.ok_or_else(|| SerdeError::decode(id, "the payload holds no result"))
    }

    fn decode_item<T: DeserializeOwned + 'static>(&self, id: FormatId, item: &[u8]) -> Result<T, SerdeError> {
        let mut result: Option<T> = None;
        self.get(id)?.decode_item(item, &mut result)?;
        result.ok_or_else(|| SerdeError::decode(id, "the payload holds no result"))
    }

    fn decode_bound(&self, id: FormatId, len: usize) -> usize {
        // A node reads nothing in a format that it does not have.
        self.get(id).map_or(0, |codec| codec.decode_bound(len))
    }

    fn decode_bound_of_bytes(&self, id: FormatId, len: usize) -> usize {
        self.get(id).map_or(0, |codec| codec.decode_bound_of_bytes(len))
    }

    fn decode_error(&self, id: FormatId, body: &Body) -> Result<RemoteError, SerdeError> {
        self.get(id)?.decode_error(body)
    }

    fn bytes_in_args(&self, id: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        self.get(id).ok()?.bytes_in_args(first, total)
    }

    fn bytes_in_result(&self, id: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        self.get(id).ok()?.bytes_in_result(first, total)
    }
}
