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
/// It was started after a [`NodeSpec`](crate::NodeSpec), which names the callbacks it exposes. They are those of
/// `daffi/tests/python/README.md`, as far as recordings use them: `echo`, `add`, `greet`, `none`, `kwargs_only`, `big`,
/// `fail`, `fail_as`, `fail_custom`, `sleep`, `record`, `recorded`, `receive_chunk`, `received`, `total`, `whoami`,
/// `notify` and `count`.
pub trait Node: Send {
    /// To a Service or Router: a new connection. Of a Client: the next connection it opens.
    ///
    /// # Errors
    /// What kept the connection from being made.
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>>;

    /// Asks for something the program around a node would ask for. The future is polled beside the rest of the replay,
    /// and gives how it ended.
    fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome>;

    /// Ends the node. What it sends from here on is not looked at.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}
