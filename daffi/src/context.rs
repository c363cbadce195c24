use std::{any::Any, ops::Deref};

use daffi_wire::{Limits, NameError, NodeName};

use crate::Client;

/// What a callback may know of the call it serves. A parameter of this type is filled in and is no
/// argument of the call.
///
/// It gives what [`daffi_core::Context`] gives (caller, peer, headers, deadline, cancellation, what
/// layers handed on), and the node itself, for calling on:
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

    /// The context of a call that came over no connection, with which a callback is called as the
    /// function that it is. `caller` calls, and never leaves. [`node`](Self::node) fails.
    ///
    /// ```
    /// use daffi::{Context, NotAClient};
    ///
    /// struct User(&'static str);
    ///
    /// #[daffi::callback]
    /// fn greet(ctx: Context, greeting: &str) -> String {
    ///     let user = ctx.extensions().get::<User>().map_or(ctx.caller(), |user| user.0);
    ///     format!("{greeting}, {user}")
    /// }
    ///
    /// let ctx = Context::detached("client-7")?;
    /// assert_eq!(ctx.node().unwrap_err(), NotAClient);
    /// assert_eq!(greet(ctx.clone(), "hello"), "hello, client-7");
    /// assert_eq!(greet(ctx.with_extension(User("ada")), "hello"), "hello, ada");
    /// # Ok::<(), daffi::NameError>(())
    /// ```
    ///
    /// # Errors
    /// [`NameError`] for a name that no node can have.
    pub fn detached(caller: &str) -> Result<Self, NameError> {
        let limits = Limits::default();
        let inner = daffi_core::Context::detached(NodeName::new(caller, &limits)?, NodeName::new("detached", &limits)?);
        Ok(Self { inner })
    }

    /// The same context with one more extension, which replaces one of the same type.
    #[must_use]
    pub fn with_extension<T: Any + Send + Sync>(self, value: T) -> Self {
        Self { inner: self.inner.with_extension(value) }
    }

    /// The node that serves the call, to call on over its own connection.
    ///
    /// Its calls are made for the call of this context: they have no more time than is left of
    /// that, and when nobody waits for it any more they end with
    /// [`CallError::Cancelled`](crate::CallError::Cancelled). [`Client::detached`] unties them.
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
