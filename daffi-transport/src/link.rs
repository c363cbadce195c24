//! A link: frames in, frames out.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use daffi_wire::{Frame, Level, Limits};

use crate::{AcceptError, Batch, ConnectError, Endpoint, EndpointError, LinkError, OWN_FROM, PeerInfo};

/// A boxed future, for what happens once per connection.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a node asks of each of its links.
///
/// ```
/// use daffi_transport::LinkConfig;
/// use daffi_wire::Limits;
/// let config = LinkConfig::default().limits(Limits::default().max_frame_bytes(1024 * 1024));
/// assert_eq!(config.limits.max_frame_bytes, 1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LinkConfig {
    /// What is accepted from the wire. Default: what 3.0.1 can send.
    pub limits: Limits,
}

impl LinkConfig {
    /// Sets what is accepted from the wire.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// An established connection: two halves that work independently.
#[non_exhaustive]
pub struct Link {
    /// Frames from the peer.
    pub reader: Box<dyn LinkReader>,
    /// Frames to the peer.
    pub writer: Box<dyn LinkWriter>,
    /// Who the peer is.
    pub peer: PeerInfo,
    /// What the system knows of the way to the peer; `None` where it tells nothing.
    pub path: Option<Box<dyn Path>>,
}

impl Link {
    /// A link of two halves, of a transport whose messages are frames. For byte streams there is
    /// [`Link::from_stream`].
    pub fn new(reader: impl LinkReader, writer: impl LinkWriter, peer: PeerInfo) -> Self {
        Self { reader: Box::new(reader), writer: Box::new(writer), peer, path: None }
    }

    /// The same link, over a way of which the system tells whether it is dead.
    #[must_use]
    pub fn with_path(mut self, path: impl Path) -> Self {
        self.path = Some(Box::new(path));
        self
    }

    /// Sends one frame on its way, for tools and tests; a node batches its frames instead.
    ///
    /// Not cancel safe: a dropped future may leave half a frame written.
    ///
    /// # Errors
    /// [`LinkError`], final.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), LinkError> {
        let mut batch = Batch::new();
        batch.push_frame(frame.as_bytes());
        while batch.has_remaining() {
            poll_fn(|cx| self.writer.poll_write(cx, &mut batch)).await?;
        }
        poll_fn(|cx| self.writer.poll_flush(cx)).await
    }

    /// The next frame; `None` when the peer ended the stream between two frames.
    ///
    /// Cancel safe: a dropped future loses no bytes.
    ///
    /// # Errors
    /// [`LinkError`], final.
    pub async fn receive(&mut self) -> Result<Option<Frame>, LinkError> {
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(Some(frame));
            }
            if poll_fn(|cx| self.reader.poll_fill(cx, usize::MAX)).await? == 0 {
                return Ok(None);
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The reading half. Reading and cutting are two steps, so that a node can work through all that
/// one read brought, and can slow a sender down by reading less.
pub trait LinkReader: Send + 'static {
    /// Reads once, at most `limit` bytes or a little more. `Ok(0)`: the peer ended the stream
    /// between two frames.
    ///
    /// Memory grows with the bytes that arrive, by at most a fixed factor, whatever a header
    /// announces; and by no more than four times `limit`, or 16 KiB, beyond the first 64 KiB.
    ///
    /// # Errors
    /// [`LinkError`], final.
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<usize, LinkError>>;

    /// The next whole frame of what was read. `Ok(None)`: read more.
    ///
    /// # Errors
    /// [`LinkError::Protocol`], final.
    fn next_frame(&mut self) -> Result<Option<Frame>, LinkError>;

    /// What both ends speak, from the next frame on: a reader of streams tells its
    /// [`FrameDecoder`](daffi_wire::FrameDecoder::set_level). A reader that does nothing takes
    /// frames that only level 4 links carry for errors.
    fn set_level(&mut self, _level: Level) {}

    /// Bytes that were read and not taken as frames: of an unfinished one, and of those that wait
    /// behind it. None: [`next_frame`](Self::next_frame) has nothing to give.
    fn buffered_bytes(&self) -> usize;

    /// Bytes of memory that are held for what was read: the capacity of buffers, not the length of
    /// what is in them.
    ///
    /// Frames that were taken and are still alive are not in it, but see [`keep`].
    fn held_bytes(&self) -> usize;

    /// Bytes by which the next [`poll_fill`](Self::poll_fill) may raise
    /// [`held_bytes`](Self::held_bytes), so that a node can find the room first, or not read on.
    /// What arrived warrants it, not what a header announces: at most four times what is there
    /// already, or 64 KiB.
    fn growth(&self) -> usize;

    /// Bytes that the frame lacks which has begun, by its header: how near to its end it is, which
    /// is no reason to take memory for them. `None`: that is not known. Default: it never is.
    fn missing_bytes(&self) -> Option<usize> {
        None
    }

    /// Call this when what was read has to wait: a little of it keeps no large buffer from then on.
    /// A reader that always holds about as much as is [`buffered_bytes`](Self::buffered_bytes) does
    /// nothing.
    fn compact(&mut self) {}
}

/// Makes a frame fit to be kept beyond the turn in which it was read. A small one is copied,
/// because it shares a read buffer of up to 128 KiB with others.
///
/// What comes out owns at most twice its size: exactly its size up to [`OWN_FROM`] bytes.
///
/// ```
/// use daffi_wire::{CallId, Frame, Header, Kind, Limits};
/// let frame = Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", b"{}", &Limits::default())?;
/// assert_eq!(daffi_transport::keep(frame.clone()), frame);
/// # Ok::<(), daffi_wire::EncodeError>(())
/// ```
#[must_use]
pub fn keep(frame: Frame) -> Frame {
    if frame.as_bytes().len() <= OWN_FROM { frame.detach() } else { frame }
}

/// What the system knows of the way to a peer, beside what the peer itself says.
pub trait Path: Send + 'static {
    /// How things stand; `None`: the system does not tell.
    ///
    /// Ask every few seconds while something was sent and nothing is heard. It costs a few system
    /// calls.
    fn look(&mut self) -> Option<Way>;
}

/// How things stand between this host and a peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Bytes that left the process and that the peer's host has not acknowledged: they travel, are
    /// lost, or wait until the peer's process makes room for them there.
    pub unacknowledged: usize,
    /// For how long nothing at all has come back from the peer's host although the system waits for
    /// its acknowledgement and has asked again; `None` when it does not wait.
    ///
    /// It tells a dead way from a slow peer: the host of a process that reads nothing, or is
    /// stopped, still acknowledges, and answers questions after a closed window. A peer whose way
    /// is silent for [`PATH_DEAD_AFTER`] is gone.
    pub silence: Option<Duration>,
}

/// The [silence](Way::silence) of a way after which a peer is gone: of 15 s of questions at growing
/// distances at the least, and of 10 s before them at the most. As in 3.0.1, which has the system
/// end such connections (`TCP_USER_TIMEOUT`).
pub const PATH_DEAD_AFTER: Duration = Duration::from_secs(25);

/// The writing half.
pub trait LinkWriter: Send + 'static {
    /// Writes as much of `batch` as the transport takes, and gives the number of bytes taken out of
    /// it; never 0 unless the batch is empty.
    ///
    /// # Errors
    /// [`LinkError`], final: a frame may be half written.
    fn poll_write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<usize, LinkError>>;

    /// Sends on what the transport holds back, if it does.
    ///
    /// # Errors
    /// [`LinkError`], final.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Ends the stream towards the peer, which may still send.
    ///
    /// # Errors
    /// [`LinkError`], final.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Bytes of memory that are held for what was taken out of batches and has not left.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// A connection that was accepted and still has to become a link: TLS handshake, opening bytes,
/// upgrade.
///
/// Run it beside the accept loop, under a time limit; dropping it closes the connection.
pub struct Pending {
    /// Who connects.
    pub peer: PeerInfo,
    upgrade: BoxFuture<'static, Result<Link, AcceptError>>,
}

impl Pending {
    /// A connection and what makes a link of it.
    pub fn new(peer: PeerInfo, upgrade: impl Future<Output = Result<Link, AcceptError>> + Send + 'static) -> Self {
        Self { peer, upgrade: Box::pin(upgrade) }
    }

    /// Makes the link. Not cancel safe: a dropped upgrade closes the connection.
    ///
    /// # Errors
    /// [`AcceptError`] says which phase failed.
    pub async fn upgrade(self) -> Result<Link, AcceptError> {
        self.upgrade.await
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Accepts connections. Dropping it stops listening and removes what it left behind, a socket file
/// for one.
pub trait Listener: Send + 'static {
    /// The next connection, before any handshake.
    ///
    /// # Errors
    /// An error of the operating system; the listener stays usable, callers pause before they try
    /// again.
    fn poll_accept(&mut self, cx: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>>;

    /// Where it listens, with the real port in place of 0.
    fn endpoint(&self) -> &Endpoint;

    /// Whether another process holds the socket, too, and goes on with it: a supervisor that hands
    /// it to the next process. A node that stops then leaves connections that it has not accepted
    /// to that one. Default: no; they are lost when the listener is dropped.
    fn is_handed_over(&self) -> bool {
        false
    }
}

/// Connects, as often as asked.
pub trait Connector: Send + Sync + 'static {
    /// Makes a new link. Not cancel safe: a dropped attempt is given up.
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>>;

    /// The endpoint that it connects to.
    fn endpoint(&self) -> &Endpoint;

    /// Whether its endpoint can be used, as far as can be told without connecting: a client looks
    /// before it tries for the first time. Default: that shows when connecting.
    ///
    /// # Errors
    /// The rule that the endpoint breaks.
    fn check(&self) -> Result<(), EndpointError> {
        Ok(())
    }

    /// What the last attempt led to is of no use, or was lost: of several addresses that the
    /// endpoint stands for, that one is to be tried last from now on. A host that is stuck takes
    /// connections all the same, and only who waits for a first answer knows. Default: there is no
    /// choice.
    fn give_way(&self) {}
}
