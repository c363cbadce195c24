//! Who may connect to a socket.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
    },
    path::Path,
};

use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that wait to be accepted. Of more than the system allows, it takes as many as it
/// does.
const BACKLOG: i32 = 4096;

/// Owner and permissions of a socket's file.
///
/// They are set before the socket listens, so that nobody connects who may not.
///
/// ```
/// use daffi_transport_uds::SocketOptions;
/// // The owner and its group may connect.
/// let options = SocketOptions::new().mode(0o660);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    mode: Option<u32>,
    group: Option<u32>,
}

impl SocketOptions {
    /// What the system does by itself: everything that the process's umask leaves, and the
    /// process's group.
    #[must_use]
    pub const fn new() -> Self {
        Self { mode: None, group: None }
    }

    /// The permissions, as `chmod` takes them: `0o660`. Who may write may connect.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The group, by its number. A process that is not root's can give the file to groups that it
    /// is in.
    #[must_use]
    pub const fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// A socket that listens on the path.
    pub(crate) fn listen(self, path: &Path) -> io::Result<UnixListener> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        self.apply(path).inspect_err(|_| {
            // It is this socket's, which is bound and goes with this function.
            let _gone = fs::remove_file(path);
        })?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    fn apply(self, path: &Path) -> io::Result<()> {
        let about = |what: String| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        if let Some(group) = self.group {
            chown(path, None, Some(group))
                .map_err(about(format!("the socket cannot be given to the group {group}")))?;
        }
        if let Some(mode) = self.mode {
            let set = fs::set_permissions(path, Permissions::from_mode(mode));
            set.map_err(about(format!("the mode of the socket cannot be {mode:o}")))?;
        }
        Ok(())
    }
}
