//! The macros of daffi: [`#[callback]`](macro@callback), [`callbacks![]`](callbacks!) and
//! [`#[remote]`](macro@remote).
//!
//! Use them through the crate `daffi`, which exports them (feature `macros`). They write what could
//! be written by hand with `Callbacks` and closures, and add what a closure can't tell: the
//! parameters' names, for keyword arguments; defaults; and errors of the compiler at the argument
//! at fault. Nothing is registered behind your back: a callback is served by the node whose builder
//! it is given to.
//!
//! What they write names the crate as `::daffi`. Where it is renamed, or exported by another, it is
//! named as `crate = path` says: in `#[callback(crate = rpc)]` on a function or an `impl` block, in
//! `#[remote(crate = rpc)]`, and in `callbacks![crate = rpc; add]`.
//!
//! ```
//! use daffi::{callback, callbacks};
//!
//! #[callback]
//! fn add(a: i64, #[default(1)] b: i64) -> i64 {
//!     a + b
//! }
//!
//! assert_eq!(callbacks![add].len(), 1);
//! assert_eq!(add(3, 4), 7); // it is still a function
//! ```
//!
//! # Parameters
//!
//! | parameter | argument of the call |
//! |---|---|
//! | `a: T` | `a`, of any `T` that implements `DeserializeOwned` |
//! | `a: Option<T>` | may be left out: `None` |
//! | `#[default(expression)] a: T` | may be left out: the expression, evaluated per call. A string literal becomes a `T` by `Into` |
//! | `a: &T`, `a: &[T]` | a `T`, a `Vec<T>`, lent to the function; `&str` of text, `&[u8]` of bytes |
//! | `a: Option<&str>`, `a: Option<&[u8]>` | may be left out: `None`, or a default such as `#[default(Some(b".."))]` |
//! | `items: Incoming<T>`, the last | all further ones, of a `T` each: the caller sends them one by one, or gives a list of them. Of `Incoming<Bytes>` also the pieces of one large argument of bytes |
//! | `ctx: Context`, `ctx: &Context` | none: the node fills it in, wherever it stands |
//!
//! There may be at most twelve. They have plain names, which are the names of keyword arguments:
//! `r#type` is called `type`. A function may have lifetimes of its own, and is not generic
//! otherwise.
//!
//! # Results
//!
//! | result | what the caller gets |
//! |---|---|
//! | `T`, none | the value, of any `T` that implements `Serialize` |
//! | `Result<T, E>` | the value, or the error: `E` implements `Display` and is sent under the name of its type |
//! | `impl Stream<Item = T>`, `BoxStream<'static, T>` | its items one by one, as the caller takes them; a caller that knows nothing of streams gets a list |
//! | `impl Stream<Item = Result<T, E>>`, `BoxStream<'static, Result<T, E>>` | its items one by one; an error is the last |
//! | `Result<impl Stream<..>, E>`, `Result<BoxStream<'static, ..>, E>` | one of these streams, or the error |
//!
//! A result is a `Result` if that is the last name of its type (`io::Result`, `anyhow::Result`,
//! ...). An alias of another name is refused when the node starts.
//!
//! What is returned is used after the call is over, so it borrows nothing from `&self` or from a
//! parameter that is lent. An `impl Stream` beside such says so by `+ use<>`, since from edition
//! 2024 on it would borrow from all of them:
//!
//! ```
//! use daffi::callback;
//! use futures::{Stream, stream};
//!
//! #[callback]
//! fn words(text: &str) -> impl Stream<Item = String> + use<> {
//!     let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
//!     stream::iter(words)
//! }
//! ```
//!
//! # Options
//!
//! They stand on a function or a method, as `#[callback(name = "..", inline, blocking, ordered,
//! cancel = "..")]`:
//!
//! | option | means |
//! |---|---|
//! | `name = ".."` | its name on the wire |
//! | `inline` | a plain function that promises to be quick, as async ones do: it runs where requests are read. Not beside methods of `&mut self`, whose lock it would wait for |
//! | `blocking` | an async function that may hold up its thread: it is never polled where requests are read. Plain functions may without saying so |
//! | `ordered` | one caller's requests run one after another, whatever the number of workers |
//! | `cancel = "drop"` | the future of an async function is dropped where it waits once nobody waits for its answer any more; else it hears of it by `ctx.cancelled()` |

mod attributes;
mod borrowing;
mod callback;
mod errors;
mod list;
mod options;
mod params;
mod registration;
mod remote;
mod root;
mod signature;
mod types;

use proc_macro::TokenStream;

/// Makes a function, or the public methods of a type, callable by other nodes.
///
/// Parameters, results and options are described in the [crate's documentation](crate).
///
/// # On a function
///
/// The function stays as it is. Beside it a type of the same name is made, which imports and
/// renames carry along and which [`callbacks!`] names; so no type or module of that name can be in
/// the same place.
///
/// ```
/// use daffi::{Context, callback, callbacks};
///
/// mod greetings {
///     #[daffi::callback(name = "greet")]
///     pub async fn hello(name: String, #[default("hello")] greeting: &str) -> String {
///         format!("{greeting}, {name}")
///     }
/// }
/// use greetings::hello as hi;
///
/// #[callback(ordered)]
/// fn load(ctx: Context, path: String) -> std::io::Result<String> {
///     println!("for {}", ctx.caller());
///     std::fs::read_to_string(path)
/// }
///
/// assert_eq!(format!("{:?}", callbacks![hi, load]), r#"["greet", "load"]"#);
/// ```
///
/// # On an `impl` block
///
/// The `pub` methods with a `self` are exported, except those whose name starts with `_` or that
/// say `#[local]`. An instance is registered: `.callbacks(Counter::default())`. One block per type
/// can be exported. The type may be generic (`impl<D: Db> Api<D>`), its methods not; an instance
/// can be registered whose type is `Send`, `Sync` and `'static`.
///
/// The futures of async methods are `Send`. The compiler cannot see that where a type in them rests
/// on a trait that is implemented for a `'static` reference alone, as `impl Db for &'static str`,
/// and says that the "implementation of `Db` is not general enough", whoever asks: implement the
/// trait for a type of your own around the reference, or for `&str` of any lifetime.
///
/// With `&self` and `self: Arc<Self>` alone the instance is shared as it is, so the type must be
/// `Sync`, and the program may keep it: `.callbacks(Arc::clone(&api))`. With a `&mut self` among
/// them it is behind a lock that is fair: methods with `&mut self` run one at a time, whatever the
/// number of workers, those with `&self` run together in between. Async methods hold the lock until
/// they end, so one that calls back to its own instance waits for itself; plain ones run, and wait,
/// on the pool for blocking functions. A panic does not poison the lock.
///
/// ```
/// use daffi::{IntoCallbacks, callback};
///
/// #[derive(Default)]
/// struct Counter {
///     value: u64,
/// }
///
/// #[callback]
/// impl Counter {
///     pub fn increment(&mut self, #[default(1)] by: u64) -> u64 {
///         self.value += by;
///         self.value
///     }
///
///     #[callback(name = "current")]
///     pub async fn value(&self) -> u64 {
///         self.value
///     }
///
///     #[local]
///     pub fn reset(&mut self) {
///         self.value = 0;
///     }
/// }
///
/// assert_eq!(format!("{:?}", Counter::default().into_callbacks()), r#"["increment", "current"]"#);
/// ```
#[proc_macro_attribute]
pub fn callback(options: TokenStream, item: TokenStream) -> TokenStream {
    root::within(|| callback::expand(options.into(), item.into()).into())
}

/// A list of functions that [`#[callback]`](macro@callback) was put on, by name or path, as
/// `Callbacks`.
///
/// ```
/// use daffi::{callback, callbacks};
///
/// #[callback]
/// fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
/// mod math {
///     #[daffi::callback]
///     pub fn mul(a: i64, b: i64) -> i64 {
///         a * b
///     }
/// }
///
/// let callbacks = callbacks![add, math::mul];
/// assert_eq!(callbacks.len(), 2);
/// ```
#[proc_macro]
pub fn callbacks(input: TokenStream) -> TokenStream {
    root::within(|| list::expand(input.into()).into())
}

/// Makes of one trait what both ends need: a trait for the service to implement, and a client that
/// the compiler checks.
///
/// Every method takes `&self` and, `async` or not, is a call. Parameters and results are described
/// in the [crate's documentation](crate); `#[callback(name = "..", ..)]` with its options may stand
/// on a method.
///
/// - The trait's methods return futures that are `Send`; write `async fn` in the implementation.
///   `into_callbacks` gives the implementation's callbacks. Of one that the program keeps, or that
///   implements several such traits, `Calc::callbacks_of(Arc::clone(&it))` gives those of `Calc`.
/// - The client, `CalcClient` for a trait `Calc` unless `#[remote(client = "..")]` names it, has
///   the same methods, without `Context`. Each sends all its arguments by position and returns
///   `Result<T, CallError>`, also where the trait says `Result<T, E>`. `new(client)` makes one;
///   `with(client.rpc().timeout(..))` sets receiver, timeout and format. The futures that its
///   methods return begin with the arguments written, and hold none of them.
/// - For an `items: Incoming<T>` of the trait, a method of the client takes a stream of `T` that is
///   `Send`. Clients of a trait have no `send_local`: `client.rpc().send_local(..)` takes a stream
///   that is not.
///
/// ```
/// use daffi::{CallError, Client, Service, remote};
///
/// #[remote]
/// pub trait Calc {
///     /// The sum.
///     async fn add(&self, a: i64, b: i64) -> i64;
///     async fn divide(&self, a: i64, b: i64) -> Result<i64, String>;
/// }
///
/// struct Calculator;
///
/// impl Calc for Calculator {
///     async fn add(&self, a: i64, b: i64) -> i64 {
///         a + b
///     }
///
///     async fn divide(&self, a: i64, b: i64) -> Result<i64, String> {
///         a.checked_div(b).ok_or_else(|| format!("{a} / {b}"))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let _service = Service::builder("calc").callbacks(Calculator.into_callbacks()).bind("mem://calc").await?;
///
/// let calc = CalcClient::new(Client::builder("client").connect("mem://calc").await?);
/// assert_eq!(calc.add(3, 4).await?, 7);
/// assert!(matches!(calc.divide(1, 0).await, Err(CallError::Remote { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// The client has setters, which give another client, and further styles: `calc.timeout(after)`,
/// `calc.receiver("east")`, `calc.nowait().add(3, 4)`, which returns once the call is queued, and
/// `calc.cast().add(3, 4)`, which gives the answer of each member by its name.
/// `CalcClient::over(stack)` calls through any stack of tower layers around
/// `Client::into_service`. A nowait call has no streams, nor has one through a stack, which may be
/// made again; `cast()` has methods with a stream of results. A stack owns the arguments: it has no
/// methods that take `&T` or `&[T]`, but those of `&str` and `&[u8]`.
#[proc_macro_attribute]
pub fn remote(options: TokenStream, item: TokenStream) -> TokenStream {
    root::within(|| remote::expand(options.into(), item.into()).into())
}
