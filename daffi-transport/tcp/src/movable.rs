//! TCP streams that move between lanes.

use std::io;

use daffi_transport::Movable;
use tokio::net::TcpStream;

/// The stream, which follows the task that uses it to another lane.
#[must_use]
pub fn movable(stream: TcpStream) -> Movable<TcpStream> {
    Movable::new(stream, again)
}

/// Another handle of the same socket.
fn again(stream: &TcpStream) -> io::Result<TcpStream> {
    #[cfg(unix)]
    let again = std::os::fd::AsFd::as_fd(stream).try_clone_to_owned()?;
    #[cfg(windows)]
    let again = std::os::windows::io::AsSocket::as_socket(stream).try_clone_to_owned()?;
    TcpStream::from_std(again.into())
}
