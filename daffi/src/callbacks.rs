//! Callbacks on their way to a node.

use std::{any::type_name, fmt, future::Future, sync::Arc};

use daffi_core::{Callback, CallbackOptions, Incoming, InitializationError, remote_error};
use daffi_serde::{Defaulted, Params, RemoteError, Returned};
use daffi_wire::{Limits, MethodName};
use futures::{FutureExt, Stream, StreamExt, future::ready};
use serde::Serialize;

use crate::{
    __private::{Given, are_bytes, incoming},
    Context, Formats,
};

/// Callbacks on their way to a node, which gives them its formats.
///
/// ```
/// use daffi::Callbacks;
/// let callbacks = Callbacks::new().callback_fn("double", |x: i64| async move { x * 2 });
/// assert_eq!(callbacks.len(), 1);
/// ```
#[derive(Default)]
pub struct Callbacks {
    items: Vec<Item>,
}

type Make = Box<dyn FnOnce(MethodName, Formats) -> Callback + Send>;

struct Item {
    name: String,
    make: Result<Make, InitializationError>,
}

/// Where the errors of a function are when it is added to a list.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorsAre {
    /// They were taken out of its `Result`; what is left is a value, also if it is a `Result`.
    TakenOut,
    /// No `Result` was seen. One behind an alias still holds its errors.
    NotSeen,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items.iter().map(|item| &item.name)).finish()
    }
}

impl Callbacks {
    /// A list without callbacks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a function that `#[callback]` was put on. `callbacks![..]` writes this.
    #[must_use]
    pub fn item<I: CallbackItem>(mut self) -> Self {
        I::add_to(&mut self);
        self
    }

    /// Adds all of `more`.
    #[must_use]
    pub fn and(mut self, more: impl IntoCallbacks) -> Self {
        self.items.append(&mut more.into_callbacks().items);
        self
    }

    /// Adds an async closure that cannot fail: it gives a value, or a stream of results that go one
    /// by one. Its arguments are positional only; the last may be an [`Incoming`].
    ///
    /// ```
    /// use daffi::{Callbacks, Incoming};
    /// use futures::{StreamExt, stream};
    ///
    /// let callbacks = Callbacks::new()
    ///     .callback_fn("count", |n: u64| async move { stream::iter(0..n) })
    ///     .callback_fn("sum", |numbers: Incoming<i64>| async move {
    ///         numbers.fold(0, |sum, n| async move { sum + n.unwrap_or(0) }).await
    ///     });
    /// ```
    #[must_use]
    pub fn callback_fn<M, C, K>(mut self, name: impl Into<String>, function: C) -> Self
    where
        C: CallbackFn<M>,
        C::Output: CallbackOutput<K>,
    {
        C::Output::add(&mut self, name.into(), function);
        self
    }

    /// Adds an async closure that can fail: it gives a `Result` of a value, or a stream of
    /// `Result`s, of which an error is the last. Its arguments are those of
    /// [`callback_fn`](Self::callback_fn).
    #[must_use]
    pub fn try_callback_fn<M, C, K>(mut self, name: impl Into<String>, function: C) -> Self
    where
        C: CallbackFn<M>,
        C::Output: TryCallbackOutput<K>,
    {
        C::Output::add(&mut self, name.into(), function);
        self
    }

    /// Adds a plain function of the request as it travelled, which reads the arguments and makes
    /// the reply by itself. It is for passing payloads on that this node need not understand.
    ///
    /// ```
    /// use daffi::{Callbacks, RemoteError, tower::{Reply, Request}, FormatId};
    ///
    /// let callbacks = Callbacks::new().raw("echo", |request: Request| match request.format() {
    ///     FormatId::OPAQUE => request.reply_raw(request.body()),
    ///     other => Reply::error(RemoteError::new("TypeError", format!("echo() takes OPAQUE, not {other}"))),
    /// });
    /// assert_eq!(callbacks.len(), 1);
    /// ```
    #[must_use]
    pub fn raw(
        mut self,
        name: impl Into<String>,
        function: impl Fn(crate::tower::Request) -> crate::tower::Reply + Send + Sync + 'static,
    ) -> Self {
        let make = move |name, _| Callback::raw(name, CallbackOptions::default(), function);
        self.push::<()>(name.into(), ErrorsAre::TakenOut, Box::new(make));
        self
    }

    /// Adds a plain function of its parameters and a [`Context`]. The macros write this.
    #[doc(hidden)]
    pub fn add_plain<P, R>(
        &mut self,
        name: impl Into<String>,
        options: CallbackOptions,
        errors: ErrorsAre,
        function: impl Fn(P, &daffi_core::Context) -> Result<R, RemoteError> + Send + Sync + 'static,
    ) where
        P: Params,
        R: Serialize + 'static,
    {
        let make = move |name, formats| Callback::plain(name, options, formats, function);
        self.push::<R>(name.into(), errors, Box::new(make));
    }

    /// Adds an async function of its parameters and a [`Context`]. The macros write this.
    #[doc(hidden)]
    pub fn add_async<P, R, Fut>(
        &mut self,
        name: impl Into<String>,
        options: CallbackOptions,
        errors: ErrorsAre,
        function: impl Fn(P, &daffi_core::Context) -> Fut + Send + Sync + 'static,
    ) where
        P: Params,
        R: Serialize + 'static,
        Fut: Future<Output = Result<R, RemoteError>> + Send + 'static,
    {
        let make = move |name, formats| Callback::asynchronous(name, options, formats, function);
        self.push::<R>(name.into(), errors, Box::new(make));
    }

    /// Adds a plain function that gives a stream of results. For macros.
    #[doc(hidden)]
    pub fn add_plain_stream<P, S, T>(
        &mut self,
        name: impl Into<String>,
        options: CallbackOptions,
        errors: ErrorsAre,
        function: impl Fn(P, &daffi_core::Context) -> Result<S, RemoteError> + Send + Sync + 'static,
    ) where
        P: Params,
        S: Stream<Item = Result<T, RemoteError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        let make = move |name, formats| Callback::streaming(name, options, formats, function);
        self.push::<T>(name.into(), errors, Box::new(make));
    }

    /// Adds an async function that gives a stream of results. For macros.
    #[doc(hidden)]
    pub fn add_async_stream<P, S, T, Fut>(
        &mut self,
        name: impl Into<String>,
        options: CallbackOptions,
        errors: ErrorsAre,
        function: impl Fn(P, &daffi_core::Context) -> Fut + Send + Sync + 'static,
    ) where
        P: Params,
        S: Stream<Item = Result<T, RemoteError>> + Send + 'static,
        T: Serialize + Send + 'static,
        Fut: Future<Output = Result<S, RemoteError>> + Send + 'static,
    {
        let make = move |name, formats| Callback::streaming_async(name, options, formats, function);
        self.push::<T>(name.into(), errors, Box::new(make));
    }

    /// Adds a callback that gives `R`, unless that is a `Result` whose errors would travel as
    /// results.
    fn push<R>(&mut self, name: String, errors: ErrorsAre, make: Make) {
        let is_result = errors == ErrorsAre::NotSeen && type_name::<R>().starts_with("core::result::Result<");
        let make = if is_result { Err(InitializationError::ResultAsValue(name.clone())) } else { Ok(make) };
        self.items.push(Item { name, make });
    }

    pub(crate) fn make(self, formats: &Formats, limits: &Limits) -> Result<Vec<Callback>, InitializationError> {
        let make = |item: Item| Ok(item.make?(MethodName::new(item.name, limits)?, formats.clone()));
        self.items.into_iter().map(make).collect()
    }
}

/// What a node can expose: [`Callbacks`], and instances of types that `#[callback]` was put on the
/// `impl` of, also in an `Arc` where [`SharedCallbacks`] says so.
#[diagnostic::on_unimplemented(
    message = "`{Self}` holds no callbacks",
    note = "put `#[callback]` on its `impl` block, or list functions with `callbacks![..]`"
)]
pub trait IntoCallbacks {
    /// The callbacks.
    fn into_callbacks(self) -> Callbacks;
}

impl IntoCallbacks for Callbacks {
    fn into_callbacks(self) -> Callbacks {
        self
    }
}

/// A type that `#[callback]` was put on the `impl` of, without methods of `&mut self`: the program
/// may keep the instance that it registers, as `.callbacks(Arc::clone(&instance))`.
#[diagnostic::on_unimplemented(
    message = "an `Arc<{Self}>` holds no callbacks",
    note = "put `#[callback]` on the `impl` block of `{Self}`; one with a `&mut self` method is registered as a value, \
            which is put behind a lock"
)]
pub trait SharedCallbacks {
    /// The callbacks, which share this instance.
    fn callbacks_of(this: Arc<Self>) -> Callbacks;
}

impl<T: SharedCallbacks> IntoCallbacks for Arc<T> {
    fn into_callbacks(self) -> Callbacks {
        T::callbacks_of(self)
    }
}

/// A function that `#[callback]` was put on, as a type of the same name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a callback",
    note = "put `#[callback]` on the function, or register a closure with `callback_fn`"
)]
pub trait CallbackItem {
    /// Adds the function to a list.
    fn add_to(callbacks: &mut Callbacks);
}

/// What a closure gives that cannot fail: a value, or a stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a callback",
    note = "a result implements `Serialize`, or is a `Stream` of such; for a `Result` there is `try_callback_fn`"
)]
pub trait CallbackOutput<Kind>: Sized {
    /// Adds a closure that gives it.
    #[doc(hidden)]
    fn add<M, C: CallbackFn<M, Output = Self>>(callbacks: &mut Callbacks, name: String, function: C);
}

/// What a closure gives that can fail: a `Result`, or a stream of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a callback that fails",
    note = "it is a `Result` of what implements `Serialize`, or a `Stream` of such; its error implements `Display`"
)]
pub trait TryCallbackOutput<Kind>: Sized {
    /// Adds a closure that gives it.
    #[doc(hidden)]
    fn add<M, C: CallbackFn<M, Output = Self>>(callbacks: &mut Callbacks, name: String, function: C);
}

/// That what a closure gives is one value.
#[derive(Debug)]
pub enum OneValue {}

/// That what a closure gives goes one by one.
#[derive(Debug)]
pub enum OneByOne {}

/// A function that began, or why it did not. No async block, which would hold the function's own
/// future twice.
fn begun<T>(
    running: Result<impl Future<Output = Result<T, RemoteError>>, RemoteError>,
) -> impl Future<Output = Result<T, RemoteError>> {
    match running {
        Ok(running) => running.left_future(),
        Err(error) => ready(Box::new(error)).map(|error| Err(*error)).right_future(),
    }
}

impl<T: Serialize + 'static> CallbackOutput<OneValue> for T {
    fn add<M, C: CallbackFn<M, Output = T>>(callbacks: &mut Callbacks, name: String, function: C) {
        callbacks.add_async(name.clone(), C::options(), ErrorsAre::NotSeen, move |params, ctx| {
            begun(function.call(params, ctx, &name).map(|running| running.map(Ok)))
        });
    }
}

impl<S> CallbackOutput<OneByOne> for S
where
    S: Stream<Item: Serialize + Send + 'static> + Send + 'static,
{
    fn add<M, C: CallbackFn<M, Output = S>>(callbacks: &mut Callbacks, name: String, function: C) {
        callbacks.add_async_stream(name.clone(), C::options(), ErrorsAre::NotSeen, move |params, ctx| {
            begun(function.call(params, ctx, &name).map(|running| running.map(|results| Ok(results.map(Ok)))))
        });
    }
}

impl<T: Serialize + 'static, E: fmt::Display + 'static> TryCallbackOutput<OneValue> for Result<T, E> {
    fn add<M, C: CallbackFn<M, Output = Self>>(callbacks: &mut Callbacks, name: String, function: C) {
        callbacks.add_async(name.clone(), C::options(), ErrorsAre::TakenOut, move |params, ctx| {
            begun(function.call(params, ctx, &name).map(|running| running.map(|result| result.map_err(remote_error))))
        });
    }
}

impl<S, T, E> TryCallbackOutput<OneByOne> for S
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: Serialize + Send + 'static,
    E: fmt::Display + 'static,
{
    fn add<M, C: CallbackFn<M, Output = S>>(callbacks: &mut Callbacks, name: String, function: C) {
        callbacks.add_async_stream(name.clone(), C::options(), ErrorsAre::TakenOut, move |params, ctx| match function
            .call(params, ctx, &name)
        {
            Ok(running) => running.map(|results| Ok(results.map(|result| result.map_err(remote_error)))).left_future(),
            Err(error) => ready(Err(error)).right_future(),
        });
    }
}

/// An async function or closure of up to twelve parameters, with or without a [`Context`] before
/// them and, as the last of them, an [`Incoming`] of arguments that come one by one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a callback",
    note = "a callback is an `async` function or closure whose parameters implement `DeserializeOwned`; \
            a `Context` parameter comes first; write the parameters' types"
)]
pub trait CallbackFn<Marker>: Send + Sync + 'static {
    /// Its parameters as a tuple.
    type Params: Params;
    /// What it gives.
    type Output;
    /// The future of one run.
    type Future: Future<Output = Self::Output> + Send + 'static;

    /// How it is run.
    #[doc(hidden)]
    fn options() -> CallbackOptions {
        CallbackOptions::default()
    }

    /// Runs the function, as the callback of this name.
    ///
    /// # Errors
    /// Its arguments that come one by one are missing.
    fn call(
        &self,
        params: Self::Params,
        context: &daffi_core::Context,
        name: &str,
    ) -> Result<Self::Future, RemoteError>;
}

macro_rules! callback_fns {
    ($(($($name:ident $var:ident),*))*) => {$(
        impl<Fun, Fut, $($name),*> CallbackFn<(($($name,)*),)> for Fun
        where
            Fun: Fn($($name),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            ($($name,)*): Params,
        {
            type Params = ($($name,)*);
            type Output = Fut::Output;
            type Future = Fut;

            fn call(&self, ($($var,)*): Self::Params, _: &daffi_core::Context, _: &str) -> Result<Fut, RemoteError> {
                Ok(self($($var),*))
            }
        }

        impl<Fun, Fut, $($name),*> CallbackFn<(Context, ($($name,)*))> for Fun
        where
            Fun: Fn(Context, $($name),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            ($($name,)*): Params,
        {
            type Params = ($($name,)*);
            type Output = Fut::Output;
            type Future = Fut;

            fn call(&self, ($($var,)*): Self::Params, context: &daffi_core::Context, _: &str) -> Result<Fut, RemoteError> {
                Ok(self(Context::new(context.clone()), $($var),*))
            }
        }

        impl<Fun, Fut, Item, $($name),*> CallbackFn<(OneByOne, ($($name,)* Item,))> for Fun
        where
            Fun: Fn($($name,)* Incoming<Item>) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Item: Returned,
            ($($name,)* Defaulted<Given<Item>>,): Params,
        {
            type Params = ($($name,)* Defaulted<Given<Item>>,);
            type Output = Fut::Output;
            type Future = Fut;

            fn options() -> CallbackOptions {
                CallbackOptions::default().pieces(are_bytes::<Item>())
            }

            fn call(
                &self,
                ($($var,)* list,): Self::Params,
                context: &daffi_core::Context,
                name: &str,
            ) -> Result<Fut, RemoteError> {
                Ok(self($($var,)* incoming(list, context, name, "items")?))
            }
        }

        impl<Fun, Fut, Item, $($name),*> CallbackFn<(Context, OneByOne, ($($name,)* Item,))> for Fun
        where
            Fun: Fn(Context, $($name,)* Incoming<Item>) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Item: Returned,
            ($($name,)* Defaulted<Given<Item>>,): Params,
        {
            type Params = ($($name,)* Defaulted<Given<Item>>,);
            type Output = Fut::Output;
            type Future = Fut;

            fn options() -> CallbackOptions {
                CallbackOptions::default().pieces(are_bytes::<Item>())
            }

            fn call(
                &self,
                ($($var,)* list,): Self::Params,
                context: &daffi_core::Context,
                name: &str,
            ) -> Result<Fut, RemoteError> {
                let items = incoming(list, context, name, "items")?;
                Ok(self(Context::new(context.clone()), $($var,)* items))
            }
        }
    )*};
}

callback_fns! {
    ()
    (A a)
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
    (A a, B b, C c, D d, E e)
    (A a, B b, C c, D d, E e, F f)
    (A a, B b, C c, D d, E e, F f, G g)
    (A a, B b, C c, D d, E e, F f, G g, H h)
    (A a, B b, C c, D d, E e, F f, G g, H h, I i)
    (A a, B b, C c, D d, E e, F f, G g, H h, I i, J j)
    (A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k)
    (A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k, L l)
}
