//! What the output of the macros uses, and nobody else.

use std::{
    any::TypeId,
    fmt::{self, Display},
    marker::PhantomData,
};

pub use bytes::Bytes;
use daffi_core::Incoming;
pub use daffi_core::{CallbackOptions, Context as CoreContext};
pub use daffi_serde::{Defaulted, Owned};
use daffi_serde::{Param, RemoteError, Returned};
pub use daffi_transport::BoxFuture;
pub use futures::Stream;
use futures::StreamExt;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        self, SeqAccess, Visitor,
        value::{BytesDeserializer, SeqAccessDeserializer},
    },
};
pub use tokio::sync::RwLock;
pub use tower_service::Service;

pub use crate::callbacks::ErrorsAre;

/// `T`, where it is a parameter. For other types it is an error that points at the type and, unlike
/// that of a bound, brings no others along.
pub type Checked<T> = <T as CheckedParam>::Type;

/// See [`Checked`].
pub trait CheckedParam {
    /// The type itself.
    type Type;
}

impl<T: Param> CheckedParam for T {
    type Type = T;
}

/// Fails to compile where it is written when an instance of `T` can't serve several calls.
pub const fn assert_shared<T: Send + Sync + 'static>() {}

/// The context of a callback that takes one.
#[must_use]
pub fn context(context: &CoreContext) -> crate::Context {
    crate::Context::new(context.clone())
}

/// What a callback that cannot fail returned.
///
/// # Errors
/// Never.
pub const fn returned<T: Serialize + 'static>(value: T) -> Result<T, RemoteError> {
    Ok(value)
}

/// What a callback that cannot fail returned: a stream of results.
///
/// # Errors
/// Never.
pub fn returned_stream<S>(stream: S) -> Result<impl Stream<Item = Result<S::Item, RemoteError>> + Send, RemoteError>
where
    S: Stream<Item: Serialize + Send + 'static> + Send + 'static,
{
    Ok(stream.map(Ok))
}

/// What a callback that cannot fail returned: a stream whose results can be errors.
///
/// # Errors
/// Never.
pub fn returned_fallible_stream<S, T, E>(
    stream: S,
) -> Result<impl Stream<Item = Result<T, RemoteError>> + Send, RemoteError>
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: Serialize + Send + 'static,
    E: Display + 'static,
{
    Ok(stream.map(|item| item.map_err(daffi_core::remote_error)))
}

/// Whether arguments that come one by one are bytes, of which a large argument is read in pieces.
#[must_use]
pub fn are_bytes<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<Bytes>()
}

/// What a caller gave in the place of arguments that come one by one: a list of them, or bytes in
/// the place of pieces of bytes.
#[derive(Debug)]
pub struct Given<T>(Vec<T>);

impl<'de, T: Returned> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A format that does not say what stands there has a list.
        if are_bytes::<T>() && deserializer.is_human_readable() {
            deserializer.deserialize_byte_buf(BytesOrList(PhantomData)).map(Self)
        } else {
            Vec::deserialize(deserializer).map(Self)
        }
    }
}

struct BytesOrList<T>(PhantomData<T>);

impl<'de, T: Returned> Visitor<'de> for BytesOrList<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, or a list of bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<T>, E> {
        T::deserialize(BytesDeserializer::new(bytes)).map(|bytes| vec![bytes])
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        self.visit_bytes(text.as_bytes())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, kept: D) -> Result<Vec<T>, D::Error> {
        kept.deserialize_byte_buf(self)
    }
}

/// The arguments that come one by one, or the list that the caller gave in their place.
///
/// # Errors
/// `TypeError`: the caller gave neither.
pub fn incoming<T: Returned>(
    list: Defaulted<Given<T>>,
    context: &CoreContext,
    method: &str,
    parameter: &str,
) -> Result<Incoming<T>, RemoteError> {
    if let Some(items) = context.items::<T, crate::Formats>(method) {
        return Ok(items);
    }
    match list {
        Defaulted::Given(Given(list)) => Ok(Incoming::from_items(list)),
        Defaulted::Missing => Err(RemoteError::new(
            "TypeError",
            format!("{method}() missing its arguments '{parameter}': send them one by one, or as a list"),
        )),
    }
}

/// What a callback that can fail returned.
///
/// # Errors
/// Its error, as it travels.
pub fn returned_result<T: Serialize + 'static, E: Display + 'static>(result: Result<T, E>) -> Result<T, RemoteError> {
    result.map_err(daffi_core::remote_error)
}
