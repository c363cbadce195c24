//! What the output of the macros uses, and nobody else.

use std::fmt::Display;

pub use bytes::Bytes;
pub use daffi_core::{CallbackOptions, Context as CoreContext};
pub use daffi_serde::{Defaulted, Owned};
use daffi_serde::{Param, RemoteError};
use serde::Serialize;
pub use tokio::sync::RwLock;

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

/// What a callback that can fail returned.
///
/// # Errors
/// Its error, as it travels.
pub fn returned_result<T: Serialize + 'static, E: Display + 'static>(result: Result<T, E>) -> Result<T, RemoteError> {
    result.map_err(daffi_core::remote_error)
}
