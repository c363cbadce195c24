//! Listening sockets that whoever started this process hands over: `fd://` endpoints.

use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{Mutex, PoisonError},
};

use daffi_transport::{BindError, Endpoint};
use listenfd::ListenFd;

/// The first descriptor that is handed over, by the convention of systemd (`sd_listen_fds(3)`).
const FIRST: usize = 3;

/// A socket that listens already.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error(
        "no socket was handed to this process: {0}. Start it by a systemd .socket unit, or to try it by \
         `systemd-socket-activate -l 5000 -- COMMAND`"
    )]
    None(&'static str),
    #[error("the sockets that were handed over are fd://{FIRST} to fd://{}", FIRST + .count - 1)]
    Number { count: usize },
    #[error("no socket of this name was handed over; their names are {names:?} (LISTEN_FDNAMES)")]
    Name { names: Vec<String> },
    #[error("it is taken already: each socket is taken once in a process")]
    Taken,
    #[error("it listens neither on TCP nor on a Unix socket")]
    Kind(#[source] io::Error),
}

/// What this process was handed, each until it is taken.
struct Handed {
    sockets: ListenFd,
    /// The names, in the order of the sockets.
    names: Vec<String>,
    /// Why there are none.
    absent: &'static str,
}

/// The sockets of the whole process, because the environment speaks of its descriptors once.
static HANDED: Mutex<Option<Handed>> = Mutex::new(None);

impl Handed {
    fn from_env() -> Self {
        let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let absent = match (text("LISTEN_FDS"), text("LISTEN_PID")) {
            (None, _) => "LISTEN_FDS is not set",
            (_, Some(process)) if process != std::process::id().to_string() => "LISTEN_PID names another process",
            _ => "LISTEN_FDS is no number above 0",
        };
        let names = text("LISTEN_FDNAMES").unwrap_or_default().split(':').map(str::to_owned).collect();
        Self { sockets: ListenFd::from_env(), names, absent }
    }

    /// The place of a socket that is given by the number of its descriptor or by its name.
    fn find(&mut self, address: &str) -> Result<Socket, Missing> {
        let count = self.sockets.len();
        if count == 0 {
            return Err(Missing::None(self.absent));
        }
        if let Ok(number) = address.parse::<usize>() {
            let place = number.checked_sub(FIRST).filter(|place| *place < count);
            return self.take(place.ok_or(Missing::Number { count })?)?.ok_or(Missing::Taken);
        }
        // A unit with several addresses gives all its sockets one name.
        let places: Vec<_> = (0..count).filter(|place| self.names.get(*place).is_some_and(|n| n == address)).collect();
        for place in &places {
            if let Some(socket) = self.take(*place)? {
                return Ok(socket);
            }
        }
        Err(if places.is_empty() { Missing::Name { names: self.names.clone() } } else { Missing::Taken })
    }

    /// Takes the socket at this place. `None`: it was taken before.
    fn take(&mut self, place: usize) -> Result<Option<Socket>, Missing> {
        match self.sockets.take_tcp_listener(place) {
            Ok(socket) => Ok(socket.map(Socket::Tcp)),
            Err(_) => self.sockets.take_unix_listener(place).map(|s| s.map(Socket::Unix)).map_err(Missing::Kind),
        }
    }
}

/// The socket that an endpoint means by its address, `fd://3` or `fd://NAME`. The first call reads
/// `LISTEN_FDS` and `LISTEN_PID`, and removes them from the environment, so that children of this
/// process do not take them for theirs.
pub(crate) fn take(endpoint: &Endpoint) -> Result<Socket, BindError> {
    let mut handed = HANDED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = handed.get_or_insert_with(Handed::from_env).find(endpoint.address());
    found.map_err(|missing| BindError::Settings { endpoint: endpoint.clone(), source: Box::new(missing) })
}
