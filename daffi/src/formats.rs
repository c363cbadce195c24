use std::{fmt, sync::Arc};

use daffi_core::InitializationError;
use daffi_serde::{
    Args, ArgsSink, Body, BytesLike, BytesWithin, Codec, Format, FormatSet, Opaque, Output, RemoteError, SerdeError,
    ValueLimits,
};
use daffi_wire::FormatId;
use serde::{Serialize, de::DeserializeOwned};

/// The formats of a node: the built-in ones, as far as their features are on, and the user's own.
///
/// ```
/// use daffi::{Formats, FormatId};
/// use daffi_serde::FormatSet;
/// assert!(Formats::default().contains(FormatId::OPAQUE));
/// ```
#[derive(Clone)]
pub struct Formats {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    opaque: Opaque,
    #[cfg(feature = "json")]
    json: daffi_serde_json::Json,
    #[cfg(feature = "msgpack")]
    msgpack: daffi_serde_msgpack::Msgpack,
    #[cfg(feature = "pickle")]
    pickle: daffi_serde_pickle::Pickle,
    #[cfg(feature = "postcard")]
    postcard: daffi_serde_postcard::Postcard,
    own: Vec<Arc<dyn Format>>,
}

impl Default for Formats {
    fn default() -> Self {
        Self::new(ValueLimits::default())
    }
}

impl Formats {
    /// The built-in formats with these limits.
    #[must_use]
    pub fn new(limits: ValueLimits) -> Self {
        Self {
            inner: Arc::new(Inner {
                opaque: Opaque::new(limits),
                #[cfg(feature = "json")]
                json: daffi_serde_json::Json::new(limits),
                #[cfg(feature = "msgpack")]
                msgpack: daffi_serde_msgpack::Msgpack::new(limits),
                #[cfg(feature = "pickle")]
                pickle: daffi_serde_pickle::Pickle::new(limits),
                #[cfg(feature = "postcard")]
                postcard: daffi_serde_postcard::Postcard::new(limits),
                own: Vec::new(),
            }),
        }
    }

    /// Adds a format of your own, numbered 64 to 127 ([`FormatId::user`]). One with the number of
    /// another takes its place.
    ///
    /// With any other number it would never be used, since the built-in formats are asked first: no
    /// Service and no Client is started with it.
    #[must_use]
    pub fn with(mut self, format: impl Format) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.own.retain(|known| known.id() != Format::id(&format));
        inner.own.push(Arc::new(format));
        self
    }

    /// The same formats, the built-in ones with other limits.
    #[must_use]
    pub fn with_limits(self, limits: ValueLimits) -> Self {
        let mut changed = Self::new(limits);
        Arc::make_mut(&mut changed.inner).own.clone_from(&self.inner.own);
        changed
    }

    /// Refuses formats of the user that would never be used.
    pub(crate) fn check(&self) -> Result<(), InitializationError> {
        match self.inner.own.iter().map(|format| format.id()).find(|id| !id.is_user()) {
            Some(id) => Err(InitializationError::NotOwnFormat(id)),
            None => Ok(()),
        }
    }

    fn own(&self, id: FormatId) -> Result<&dyn Format, SerdeError> {
        match self.inner.own.iter().find(|format| format.id() == id) {
            Some(format) => Ok(&**format),
            None => Err(SerdeError::UnknownFormat(id)),
        }
    }
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let built_in = [FormatId::OPAQUE, FormatId::JSON, FormatId::PICKLE, FormatId::MSGPACK, FormatId::POSTCARD];
        let all = built_in.into_iter().filter(|id| self.contains(*id)).chain(self.inner.own.iter().map(|f| f.id()));
        f.debug_set().entries(all).finish()
    }
}

/// Calls `$call` on the built-in format of that number, statically; otherwise evaluates `$own` with
/// the user's format.
macro_rules! each_format {
    ($set:expr, $id:expr, $format:ident => $call:expr, $own:ident => $own_call:expr) => {
        match $id {
            FormatId::OPAQUE => {
                let $format = &$set.inner.opaque;
                $call
            }
            #[cfg(feature = "json")]
            FormatId::JSON => {
                let $format = &$set.inner.json;
                $call
            }
            #[cfg(feature = "msgpack")]
            FormatId::MSGPACK => {
                let $format = &$set.inner.msgpack;
                $call
            }
            #[cfg(feature = "pickle")]
            FormatId::PICKLE => {
                let $format = &$set.inner.pickle;
                $call
            }
            #[cfg(feature = "postcard")]
            FormatId::POSTCARD => {
                let $format = &$set.inner.postcard;
                $call
            }
            other => {
                let $own = $set.own(other)?;
                $own_call
            }
        }
    };
}

impl FormatSet for Formats {
    fn contains(&self, id: FormatId) -> bool {
        match id {
            FormatId::OPAQUE => true,
            FormatId::JSON => cfg!(feature = "json"),
            FormatId::MSGPACK => cfg!(feature = "msgpack"),
            FormatId::PICKLE => cfg!(feature = "pickle"),
            FormatId::POSTCARD => cfg!(feature = "postcard"),
            other => self.own(other).is_ok(),
        }
    }

    fn encode_args<A: Args>(&self, id: FormatId, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError> {
        each_format!(self, id, f => Codec::encode_args(f, args, out), own => own.encode_args(args, out))
    }

    #[inline]
    fn encode_result<T: Serialize + 'static>(
        &self,
        id: FormatId,
        value: &T,
        out: &mut Output<'_>,
    ) -> Result<(), SerdeError> {
        each_format!(self, id, f => Codec::encode_return(f, value, out), own => own.encode_result(&BytesLike(value), out))
    }

    fn decode_args<S: ArgsSink>(&self, id: FormatId, body: &Body, sink: &mut S) -> Result<(), SerdeError> {
        each_format!(self, id, f => Codec::decode_args(f, body, sink), own => own.decode_args(body, sink))
    }

    #[inline]
    fn decode_result<T: DeserializeOwned + 'static>(&self, id: FormatId, body: &Body) -> Result<T, SerdeError> {
        let mut result: Option<T> = None;
        each_format!(self, id, f => Codec::decode_result(f, body, &mut result), own => own.decode_result(body, &mut result))?;
        result.ok_or_else(|| SerdeError::decode(id, "the payload holds no result"))
    }

    #[inline]
    fn decode_item<T: DeserializeOwned + 'static>(&self, id: FormatId, item: &[u8]) -> Result<T, SerdeError> {
        let mut result: Option<T> = None;
        each_format!(self, id, f => Codec::decode_item(f, item, &mut result), own => own.decode_item(item, &mut result))?;
        result.ok_or_else(|| SerdeError::decode(id, "the payload holds no result"))
    }

    fn decode_bound(&self, id: FormatId, len: usize) -> usize {
        let bound = || {
            Ok::<_, SerdeError>(each_format!(self, id, f => Codec::decode_bound(f, len), own => own.decode_bound(len)))
        };
        // A node reads nothing in a format that it does not have.
        bound().unwrap_or(0)
    }

    fn decode_bound_of_bytes(&self, id: FormatId, len: usize) -> usize {
        let bound = || {
            Ok::<_, SerdeError>(
                each_format!(self, id, f => Codec::decode_bound_of_bytes(f, len), own => own.decode_bound_of_bytes(len)),
            )
        };
        bound().unwrap_or(0)
    }

    fn decode_error(&self, id: FormatId, body: &Body) -> Result<RemoteError, SerdeError> {
        each_format!(self, id, f => Codec::decode_error(f, body), own => own.decode_error(body))
    }

    fn bytes_in_args(&self, id: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        let find = || {
            Ok::<_, SerdeError>(
                each_format!(self, id, f => Codec::bytes_in_args(f, first, total), own => own.bytes_in_args(first, total)),
            )
        };
        find().ok().flatten()
    }

    fn bytes_in_result(&self, id: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        let find = || {
            Ok::<_, SerdeError>(
                each_format!(self, id, f => Codec::bytes_in_result(f, first, total), own => own.bytes_in_result(first, total)),
            )
        };
        find().ok().flatten()
    }
}
