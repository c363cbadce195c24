//! What a replay needs of a node under test.

use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Action, Outcome};

/// A byte stream to a node: a socket, a pipe, a TLS stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// A byte stream of any kind.
pub type Stream = Box<dyn ByteStream>;

/// A node under test, running: whatever its language, process and transport.
///
/// It was started after a [`NodeSpec`](crate::NodeSpec), which names the callbacks it exposes:
///
/// | callback | does |
/// |---|---|
/// | `echo(payload)`, `add(a, b)`, `total(data)`, `none()` | gives its argument, the sum, the length, nothing |
/// | `greet(name)`, `whoami()` | gives `"Hello, NAME!"`, the name of the node |
/// | `kwargs_only(a, *, b=2)` | gives `[a, b]` |
/// | `big(n)` | gives n bytes `x` |
/// | `sleep(seconds)` | gives its argument after that time |
/// | `fail(message)`, `fail_as(name, message)` | fails with a `ValueError`, with the builtin exception of that name |
/// | `fail_custom()` | fails with `CustomError` of module `callbacks`: `custom failure` |
/// | `notify(value)`, `count()` | counts calls, gives their number |
/// | `rows(n)`, `tear(n)`, `endless(n)` | gives 0 to n-1 one by one; then fails with a `ValueError`: `torn`; then waits |
/// | `sum(numbers)`, `shout(lines)` | takes its arguments one by one; gives their sum; each in capitals, one by one |
/// | `first(numbers)` | takes one of those, wants no more, and ends when it is given up |
/// | `hang()` | ends when it is given up |
/// | `has_deadline()`, `header(key)` | gives whether its caller will give up, what stands under a key in the headers |
/// | `relay()` | calls `none` |
/// | `receive_chunk(data)`, `received()` | takes bytes or text; gives `[chunks, bytes, sha256]` of all |
pub trait Node: Send {
    /// Opens a new connection to a Service or Router, or waits for the next one that a Client
    /// opens.
    ///
    /// # Errors
    /// What kept the connection from being made.
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>>;

    /// Asks for something the program around a node would ask for. The future is polled beside the
    /// rest of the replay, and gives how it ended.
    fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome>;

    /// Ends the node. What it sends from here on is not looked at.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}
