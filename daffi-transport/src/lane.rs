//! Lanes: threads with a runtime each, between which a connection may move.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

thread_local! {
    static HERE: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work` as a part of what the lane of this number runs. The number 0 stands for no lane.
///
/// A number stands for one runtime as long as the process lives.
pub fn run_on_lane<T>(number: u32, work: impl FnOnce() -> T) -> T {
    struct Back(u32);
    impl Drop for Back {
        fn drop(&mut self) {
            HERE.set(self.0);
        }
    }
    let _back = Back(HERE.replace(number));
    work()
}

/// A byte stream over a socket that follows the task which uses it to the runtime of another lane.
///
/// It is registered with the runtime that it came from until it is used [on a lane](run_on_lane)
/// with another number; from then on that one wakes its task. Used on no lane it stays where it is.
/// Where the system refuses to register it again it stays as well, and works on, at the price of a
/// wake-up from one thread to the other.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use daffi_transport::{Movable, run_on_lane};
/// use futures::FutureExt;
/// use tokio::io::AsyncWriteExt;
/// // Sockets are registered anew; what lies in memory needs no more than itself.
/// let mut stream = Movable::new(Vec::new(), |all: &Vec<u8>| Ok(all.clone()));
/// stream.write_all(b"here ").await.unwrap();
/// run_on_lane(7, || stream.write_all(b"and there").now_or_never()).unwrap().unwrap();
/// assert_eq!(stream.get_ref(), b"here and there");
/// # });
/// ```
#[derive(Debug)]
pub struct Movable<S> {
    socket: S,
    lane: u32,
    /// Another handle of the same socket, registered with the runtime that this is called on.
    again: fn(&S) -> io::Result<S>,
    /// What the socket is told when the stream is dropped.
    last: fn(&S),
}

impl<S> Movable<S> {
    /// A stream that was registered with the runtime of this lane. `again` makes another handle of
    /// the same socket and registers it with the runtime in whose context it is called.
    pub fn new(socket: S, again: fn(&S) -> io::Result<S>) -> Self {
        Self { socket, lane: HERE.get(), again, last: |_| {} }
    }

    /// The same stream, which calls `last` with its socket when it is dropped: to say that nothing
    /// more is written, for one, so that the peer reads all before it hears of what was left
    /// unread.
    #[must_use]
    pub fn with_last(mut self, last: fn(&S)) -> Self {
        self.last = last;
        self
    }

    /// The stream itself.
    pub const fn get_ref(&self) -> &S {
        &self.socket
    }

    fn follow(&mut self) -> Pin<&mut S>
    where
        S: Unpin,
    {
        let here = HERE.get();
        if here != self.lane && here != 0 {
            self.lane = here;
            if let Ok(again) = (self.again)(&self.socket) {
                self.socket = again;
            }
        }
        Pin::new(&mut self.socket)
    }
}

impl<S> Drop for Movable<S> {
    fn drop(&mut self) {
        (self.last)(&self.socket);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Movable<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().follow().poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Movable<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().follow().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().follow().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().follow().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().follow().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    static REGISTERED: AtomicUsize = AtomicUsize::new(0);

    #[expect(clippy::ptr_arg, reason = "the socket of this test is a vector")]
    fn again(socket: &Vec<u8>) -> io::Result<Vec<u8>> {
        REGISTERED.fetch_add(1, Ordering::Relaxed);
        if socket.len() > 2 { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(socket.clone()) }
    }

    #[test]
    fn a_socket_is_registered_once_for_each_move_and_works_on_where_that_fails() {
        let mut stream = run_on_lane(1, || Movable::new(Vec::new(), again));
        let mut write = |lane, times| {
            run_on_lane(lane, || stream.write_all(b".").now_or_never().unwrap()).unwrap();
            assert_eq!((REGISTERED.load(Ordering::Relaxed), stream.get_ref().len()), times, "on lane {lane}");
        };
        write(1, (0, 1));
        write(0, (0, 2));
        write(2, (1, 3));
        write(2, (1, 4));
        write(1, (2, 5));
        write(1, (2, 6));
    }
}
