//! Listening sockets that whoever started this process hands over: `fd://` endpoints.

use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{Mutex, MutexGuard, PoisonError},
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
    count: usize,
    /// Sockets that were taken by nodes which did not start, by their places.
    returned: Vec<(usize, Socket)>,
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
        let sockets = ListenFd::from_env();
        Self { count: sockets.len(), sockets, returned: Vec::new(), names, absent }
    }

    /// Takes the socket that is given by the number of its descriptor or by its name, and tells its
    /// place.
    fn find(&mut self, address: &str) -> Result<(usize, Socket), Missing> {
        let count = self.count;
        if count == 0 {
            return Err(Missing::None(self.absent));
        }
        if let Ok(number) = address.parse::<usize>() {
            let place = number.checked_sub(FIRST).filter(|place| *place < count);
            let place = place.ok_or(Missing::Number { count })?;
            return self.take(place)?.map(|socket| (place, socket)).ok_or(Missing::Taken);
        }
        // A unit with several addresses gives all its sockets one name.
        let places: Vec<_> = (0..count).filter(|place| self.names.get(*place).is_some_and(|n| n == address)).collect();
        for place in places.iter().copied() {
            if let Some(socket) = self.take(place)? {
                return Ok((place, socket));
            }
        }
        Err(if places.is_empty() { Missing::Name { names: self.names.clone() } } else { Missing::Taken })
    }

    /// Takes the socket at this place. `None`: it was taken before.
    fn take(&mut self, place: usize) -> Result<Option<Socket>, Missing> {
        if let Some(at) = self.returned.iter().position(|(returned, _)| *returned == place) {
            return Ok(Some(self.returned.swap_remove(at).1));
        }
        match self.sockets.take_tcp_listener(place) {
            Ok(socket) => Ok(socket.map(Socket::Tcp)),
            Err(_) => self.sockets.take_unix_listener(place).map(|s| s.map(Socket::Unix)).map_err(Missing::Kind),
        }
    }
}

fn lock_handed() -> MutexGuard<'static, Option<Handed>> {
    HANDED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Socket {
    /// Another handle of the same socket.
    fn again(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }
}

/// A socket that is taken for a node. Dropped before that has started, it can be taken again.
pub(crate) struct Lease(Option<(usize, Socket)>);

impl Lease {
    /// The node has started: nobody else gets the socket, which ends with the listener.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(taken) = self.0.take()
            && let Some(handed) = lock_handed().as_mut()
        {
            handed.returned.push(taken);
        }
    }
}

/// Takes the socket that an endpoint means by its address, `fd://3` or `fd://NAME`. The first call
/// reads `LISTEN_FDS` and `LISTEN_PID`, and removes them from the environment, so that children of
/// this process do not take them for theirs.
pub(crate) fn lease(endpoint: &Endpoint) -> Result<(Socket, Lease), BindError> {
    let found = lock_handed().get_or_insert_with(Handed::from_env).find(endpoint.address());
    let unusable = |missing| BindError::Settings { endpoint: endpoint.clone(), source: Box::new(missing) };
    let lease = Lease(Some(found.map_err(unusable)?));
    match lease.0.as_ref().map(|(_, socket)| socket.again()) {
        Some(Ok(socket)) => Ok((socket, lease)),
        Some(Err(source)) => Err(BindError::Io { endpoint: endpoint.clone(), source }),
        None => Err(unusable(Missing::Taken)),
    }
}

#[cfg(test)]
mod tests {
    use daffi_core::InitializationError;

    use super::*;
    use crate::{Router, Service};

    /// In the place of what a supervisor hands over.
    fn hand(sockets: Vec<Socket>) {
        let count = sockets.len();
        let names = vec!["calls".to_owned(); count];
        let returned = sockets.into_iter().enumerate().collect();
        *lock_handed() = Some(Handed { sockets: ListenFd::empty(), count, returned, names, absent: "" });
    }

    /// One test, because what was handed over is the whole process's.
    #[tokio::test]
    async fn a_node_that_does_not_start_gives_its_sockets_back() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = format!("tcp://{}", socket.local_addr().unwrap());
        let path = std::env::temp_dir().join(format!("daffi-handed-{}.sock", std::process::id()));
        let _left_by_another = std::fs::remove_file(&path);
        let unix = UnixListener::bind(&path).unwrap();
        hand(vec![Socket::Tcp(socket), Socket::Unix(unix)]);

        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = format!("tcp://{}", taken.local_addr().unwrap());
        let _holder = Service::builder("holder").bind("mem://handed-taken").await.unwrap();
        let mut failed = vec![
            Service::builder("a|b").bind("fd://3").await.map(drop),
            Service::builder("s").workers(0).bind("fd://3").await.map(drop),
            Service::builder("s").also_bind("tpc://x").bind("fd://3").await.map(drop),
            Service::builder("s").also_bind("fd://9").bind("fd://3").await.map(drop),
            Service::builder("s").also_bind(&taken).bind("fd://3").await.map(drop),
            Router::builder("r").also_bind("mem://handed-taken").bind("fd://calls").await.map(drop),
        ];
        let twice = [("f", 1), ("f", 2)]
            .into_iter()
            .fold(Service::builder("s"), |builder, (name, n)| builder.callback_fn(name, move || async move { n }));
        failed.push(twice.bind("fd://3").await.map(drop));
        #[cfg(feature = "tls")]
        failed.push(Router::builder("r").also_bind("tls://127.0.0.1:0").bind("fd://3").await.map(drop));
        #[cfg(feature = "ws")]
        failed.push(Service::builder("s").allow_origin("https://a.example").bind("fd://4").await.map(drop));
        for failure in failed {
            let error = failure.unwrap_err();
            assert!(!error.to_string().contains("taken already"), "{error}");
        }
        let service = Service::builder("s").also_bind("fd://4").bind("fd://3").await.unwrap();
        assert_eq!(service.endpoints()[0].as_str(), tcp);
        // What a node has is nobody else's, and gone with it.
        for again in 0..2 {
            let error = Service::builder("t").bind("fd://3").await.unwrap_err();
            assert!(matches!(error, InitializationError::Bind(BindError::Settings { .. })), "{again}: {error:?}");
            service.stop().await;
        }
        let refused = std::net::TcpStream::connect(tcp.trim_start_matches("tcp://")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(path).unwrap();
    }
}
