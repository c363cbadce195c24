use std::ops::Deref;

use crate::Client;

/// What a callback may know of the call it serves. A parameter of this type is filled in and is no argument of the call.
///
/// It gives what [`daffi_core::Context`] gives (caller, peer, deadline, cancellation), and the node itself, to call on:
///
/// ```
/// use daffi::{CallError, Callbacks, Context, NotAClient};
///
/// let callbacks = Callbacks::new().try_callback_fn("relay", |ctx: Context, text: String| async move {
///     let client = ctx.node()?;
///     let answer: String = client.rpc().call("shout", (text,)).await?;
///     Ok::<_, Box<dyn std::error::Error>>(answer)
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    inner: daffi_core::Context,
}

impl Context {
    pub(crate) const fn new(inner: daffi_core::Context) -> Self {
        Self { inner }
    }

    /// The node that serves the call, to call on over its own connection.
    ///
    /// # Errors
    /// [`NotAClient`] on a Service, which answers and does not call.
    pub fn node(&self) -> Result<Client, NotAClient> {
        self.inner.client().map(Client::new).ok_or(NotAClient)
    }
}

impl Deref for Context {
    type Target = daffi_core::Context;

    fn deref(&self) -> &daffi_core::Context {
        &self.inner
    }
}

/// The node that serves the call is no Client, or it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is a Service: it answers calls and makes none; connect a Client to call from a callback")]
pub struct NotAClient;
