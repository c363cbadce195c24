//! The file of a socket: taking its path, and giving it back.

use std::{
    fs::{self, Metadata},
    io::{self, ErrorKind},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixDatagram,
        },
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};

/// Most bytes of a socket's path: what the system's address structure holds, less a closing zero.
pub const MAX_PATH_BYTES: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Dead files that are removed before binding is given up; more than one means that others bind the
/// path and die.
const ATTEMPTS: usize = 8;

/// Refuses a path that the system would refuse, or cut, with a reason.
pub(crate) fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    if length <= MAX_PATH_BYTES {
        return Ok(());
    }
    let text = format!("the path of a socket has at most {MAX_PATH_BYTES} bytes, this one has {length}");
    Err(io::Error::new(ErrorKind::InvalidInput, text))
}

/// The file of a bound socket. It is removed when this is dropped, if it is still that file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// The path, which is absolute so that the file is found after a change of the working
    /// directory.
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // While the socket is open its inode number belongs to no other file.
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket to a path, after removing a dead socket file: one that no socket is bound to any
/// more.
pub(crate) fn bind<S>(path: &Path, socket: impl Fn(&Path) -> io::Result<S>) -> io::Result<(S, SocketFile)> {
    check_length(path)?;
    for _ in 0..ATTEMPTS {
        match socket(path) {
            Ok(socket) => {
                let path = std::path::absolute(path)?;
                let file = fs::symlink_metadata(&path)?;
                return Ok((socket, SocketFile { device: file.dev(), inode: file.ino(), path }));
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => make_room(path)?,
            Err(error) => return Err(about_directory(path, error, "make it first")),
        }
    }
    Err(io::Error::new(ErrorKind::AddrInUse, "other processes keep binding the path"))
}

/// Names the directory if that is what is missing, and says what to do about it.
fn about_directory(path: &Path, error: io::Error, advice: &str) -> io::Error {
    match path.parent() {
        Some(directory)
            if error.kind() == ErrorKind::NotFound && !directory.as_os_str().is_empty() && !directory.exists() =>
        {
            let mut text = format!("there is no directory {}; {advice}", directory.display());
            if path.is_relative() {
                text.push_str(&format!(", or write unix:///{} for a path from the root", path.display()));
            }
            io::Error::new(ErrorKind::NotADirectory, text)
        }
        _ => error,
    }
}

/// Says so if what is at the path could never be connected to.
pub(crate) fn about_socket(path: &Path, error: io::Error) -> io::Error {
    match fs::metadata(path) {
        Ok(found) if error.kind() == ErrorKind::ConnectionRefused && !found.file_type().is_socket() => {
            io::Error::new(error.kind(), "what is at the path is not a socket")
        }
        _ => about_directory(path, error, "check the path"),
    }
}

/// Removes a dead socket file; `Ok` when there is nothing at the path any more, too.
fn make_room(path: &Path) -> io::Result<()> {
    let Some(dead) = find_dead(path)? else { return Ok(()) };
    remove_dead(path, &dead).map_err(|error| {
        let text = match error.kind() {
            ErrorKind::AddrInUse => "another process is taking the path at this moment".to_owned(),
            _ => format!("nobody listens on the socket at the path, but it cannot be removed: {error}"),
        };
        io::Error::new(error.kind(), text)
    })
}

/// What is at the path, if anything: an error unless it is a socket that nobody has bound.
fn find_dead(path: &Path) -> io::Result<Option<Metadata>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "what is at the path is not a socket, and is left alone: choose another path, or remove it",
        ));
    }
    match is_alive(path) {
        Ok(true) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "a process listens on the path already: stop it, or choose another path",
        )),
        Ok(false) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Two processes may find the same dead file, and the slower one must not remove what the faster
/// one has bound since. So only the holder of a claim removes the file: a socket bound for that
/// moment to a name made of the file's identity. Binding is exclusive, and a claim whose holder was
/// killed is a dead socket itself.
fn remove_dead(path: &Path, dead: &Metadata) -> io::Result<()> {
    let name = claim_name(dead);
    let claim = PathClaim::at(path, &name)?;
    let (socket, file) = bind(&claim.path, |path| UnixDatagram::bind(path))?;
    let removed = match find_dead(path) {
        // Nobody else removes it now, and a dead socket never comes alive.
        Ok(Some(found)) if claim_name(&found) == name => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    drop(file);
    drop(socket);
    drop(claim);
    removed
}

fn claim_name(dead: &Metadata) -> String {
    // The time is part of it, because the inode number of a removed file is given out again.
    format!(".{:x}-{:x}", dead.ino(), dead.mtime_nsec())
}

/// The place where a claim is bound, which is beside the socket. The socket's name may be shorter
/// than the claim's and its path near the limit.
struct PathClaim {
    path: PathBuf,
    /// The directory, which is open while `path` goes by way of it.
    _directory: Option<fs::File>,
}

impl PathClaim {
    fn at(socket: &Path, name: &str) -> io::Result<Self> {
        let path = socket.with_file_name(name);
        if path.as_os_str().len() <= MAX_PATH_BYTES || !cfg!(target_os = "linux") {
            return Ok(Self { path, _directory: None });
        }
        // However long the way to the directory is, a descriptor of it is a short name for it.
        let directory = fs::File::open(std::path::absolute(socket)?.with_file_name("."))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }
}

/// Whether any socket is bound to the file; `NotFound` when there is no file.
///
/// A datagram socket is told "wrong type" by every stream socket, also by one that does not listen
/// yet, and does not become a connection that a server would have to accept. Systems that do not
/// tell get asked by a stream socket.
fn is_alive(path: &Path) -> io::Result<bool> {
    for kind in [Type::DGRAM, Type::STREAM] {
        let probe = Socket::new(Domain::UNIX, kind, None)?;
        // A full backlog would block.
        probe.set_nonblocking(true)?;
        match probe.connect(&SockAddr::unix(path)?) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let text = format!("there is a socket at the path, and whether it is in use cannot be told: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
            Ok(()) | Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_does_not_listen_yet_is_alive() {
        let path = std::env::temp_dir().join(format!("daffi-file-{}.sock", std::process::id()));
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        assert!(is_alive(&path).unwrap());
        assert_eq!(make_room(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(socket);
        assert!(!is_alive(&path).unwrap());
        make_room(&path).unwrap();
        assert!(!path.exists());
        make_room(&path).unwrap();
    }

    #[test]
    fn a_claim_holds_others_off_until_its_holder_is_gone() {
        let path = std::env::temp_dir().join(format!("daffi-claim-{}.sock", std::process::id()));
        drop(UnixDatagram::bind(&path).unwrap());
        let claim = path.with_file_name(claim_name(&fs::symlink_metadata(&path).unwrap()));
        let holder = UnixDatagram::bind(&claim).unwrap();
        assert_eq!(make_room(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(holder);
        make_room(&path).unwrap();
        assert!(!path.exists() && !claim.exists());
    }
}
