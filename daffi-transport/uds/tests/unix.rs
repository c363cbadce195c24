//! Links over real sockets, in a directory of their own for each test.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    fs,
    future::poll_fn,
    io::ErrorKind,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener as StdListener,
    },
    path::PathBuf,
    sync::Barrier,
    thread,
};

use daffi_transport::{BindError, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, Pending};
use daffi_transport_uds::{MAX_PATH_BYTES, SocketOptions, UnixConnector, UnixListener};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};

/// A directory that goes away with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("daffi-uds-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::new("unix", self.path(name).to_str().unwrap()).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn frame(id: u16, size: usize) -> Frame {
    let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let header = Header::new(Kind::Request, CallId(id), FormatId::OPAQUE, false, true);
    Frame::new(header, "cli", "svc", "echo", &payload, &Limits::default()).unwrap()
}

async fn accept(listener: &mut UnixListener) -> Pending {
    poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap()
}

async fn connect(endpoint: &Endpoint) -> Result<Link, ConnectError> {
    UnixConnector::new(endpoint.clone()).connect(&LinkConfig::default()).await
}

fn refusal(endpoint: &Endpoint) -> (ErrorKind, String) {
    match UnixListener::bind(endpoint).unwrap_err() {
        BindError::Io { source, .. } => (source.kind(), source.to_string()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn frames_of_any_size_go_both_ways() {
    let dir = Dir::new("frames");
    let mut listener = UnixListener::bind(&dir.endpoint("s")).unwrap();
    let mut client = connect(listener.endpoint()).await.unwrap();
    assert_eq!(client.peer.address, dir.path("s").to_str().unwrap());
    let there = async {
        for (id, size) in (1..).zip([0, 1, 5000, 16 << 20]) {
            let frame = frame(id, size);
            client.send(&frame).await.unwrap();
            assert_eq!(client.receive().await.unwrap(), Some(frame));
        }
        drop(client);
    };
    let back = async {
        let mut server = accept(&mut listener).await.upgrade().await.unwrap();
        while let Some(frame) = server.receive().await.unwrap() {
            server.send(&frame).await.unwrap();
        }
    };
    tokio::join!(there, back);
}

#[tokio::test]
async fn a_silent_connection_does_not_stop_the_next() {
    let dir = Dir::new("silent");
    let mut listener = UnixListener::bind(&dir.endpoint("s")).unwrap();
    let _silent = connect(listener.endpoint()).await.unwrap();
    let hanging = tokio::spawn(accept(&mut listener).await.upgrade());
    let mut client = connect(listener.endpoint()).await.unwrap();
    client.send(&frame(1, 1)).await.unwrap();
    let mut server = accept(&mut listener).await.upgrade().await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 1)));
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn an_unnamed_peer_is_known_by_its_process() {
    let dir = Dir::new("peer");
    let mut listener = UnixListener::bind(&dir.endpoint("s")).unwrap();
    let _client = connect(listener.endpoint()).await.unwrap();
    let peer = accept(&mut listener).await.peer;
    let pid = format!("pid={},uid=", std::process::id());
    assert!(cfg!(not(target_os = "linux")) || peer.address.starts_with(&pid), "{peer}");
}

#[tokio::test]
async fn the_file_goes_with_its_listener_only() {
    let dir = Dir::new("drop");
    let first = UnixListener::bind(&dir.endpoint("s")).unwrap();
    fs::remove_file(dir.path("s")).unwrap();
    let second = UnixListener::bind(&dir.endpoint("s")).unwrap();
    drop(first);
    assert!(dir.path("s").exists());
    drop(second);
    assert!(!dir.path("s").exists());
}

#[tokio::test]
async fn a_dead_socket_is_replaced() {
    let dir = Dir::new("dead");
    drop(StdListener::bind(dir.path("s")).unwrap());
    assert!(dir.path("s").exists());
    let _listener = UnixListener::bind(&dir.endpoint("s")).unwrap();
    connect(&dir.endpoint("s")).await.unwrap();
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
}

#[tokio::test]
async fn a_live_socket_is_never_taken() {
    let dir = Dir::new("live");
    let live = StdListener::bind(dir.path("s")).unwrap();
    let (kind, text) = refusal(&dir.endpoint("s"));
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert!(text.contains("listens on the path already"), "{text}");
    connect(&dir.endpoint("s")).await.unwrap();
    // The attempt to bind made no connection that the live one would have to accept: the first is
    // ours.
    live.accept().unwrap();
    live.set_nonblocking(true).unwrap();
    assert_eq!(live.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let dir = Dir::new("foreign");
    fs::write(dir.path("file"), "precious").unwrap();
    fs::create_dir(dir.path("directory")).unwrap();
    drop(StdListener::bind(dir.path("dead")).unwrap());
    symlink(dir.path("dead"), dir.path("link")).unwrap();
    for name in ["file", "directory", "link"] {
        let (kind, text) = refusal(&dir.endpoint(name));
        assert_eq!(kind, ErrorKind::AlreadyExists);
        assert!(text.contains("not a socket"), "{text}");
        assert!(dir.path(name).symlink_metadata().is_ok());
    }
    assert_eq!(fs::read_to_string(dir.path("file")).unwrap(), "precious");
}

#[tokio::test]
async fn the_length_of_a_path_is_limited() {
    let dir = Dir::new("length");
    let room = MAX_PATH_BYTES - dir.path("").as_os_str().len();
    let longest = dir.endpoint(&"x".repeat(room));
    let _listener = UnixListener::bind(&longest).unwrap();
    connect(&longest).await.unwrap();

    let longer = dir.endpoint(&"x".repeat(room + 1));
    let rule = format!("at most {MAX_PATH_BYTES} bytes, this one has {}", MAX_PATH_BYTES + 1);
    let (kind, text) = refusal(&longer);
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(text.contains(&rule), "{text}");
    let ConnectError::Failed { source, .. } = connect(&longer).await.unwrap_err() else { panic!("another error") };
    assert!(source.to_string().contains(&rule), "{source}");
}

#[tokio::test]
async fn relative_paths_work() {
    let name = format!("daffi-uds-{}.sock", std::process::id());
    let endpoint = Endpoint::new("unix", &name).unwrap();
    let listener = UnixListener::bind(&endpoint).unwrap();
    connect(&endpoint).await.unwrap();
    assert!(std::env::current_dir().unwrap().join(&name).exists());
    drop(listener);
    assert!(!std::env::current_dir().unwrap().join(&name).exists());
}

#[tokio::test]
async fn endpoints_of_other_transports_are_refused() {
    for text in ["tcp://127.0.0.1:1", "unix:///tmp/a\0b"] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert!(matches!(UnixListener::bind(&endpoint), Err(BindError::Endpoint(_))));
        assert!(matches!(connect(&endpoint).await, Err(ConnectError::Endpoint(_))));
    }
}

#[test]
fn of_many_starters_on_a_dead_socket_one_gets_it() {
    const STARTERS: usize = 4;
    let dir = Dir::new("race");
    for round in 0..50 {
        let name = round.to_string();
        drop(StdListener::bind(dir.path(&name)).unwrap());
        let start = Barrier::new(STARTERS);
        let tried = Barrier::new(STARTERS);
        let winners: usize = thread::scope(|scope| {
            let starter = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                let _guard = runtime.enter();
                start.wait();
                let bound = UnixListener::bind(&dir.endpoint(&name));
                tried.wait();
                usize::from(bound.is_ok())
            };
            let threads: Vec<_> = (0..STARTERS).map(|_| scope.spawn(starter)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(winners, 1, "round {round}");
    }
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dead_socket_is_replaced_however_long_its_path_is() {
    let dir = Dir::new("long");
    let room = MAX_PATH_BYTES - dir.path("").as_os_str().len() - "/s".len();
    let deep = dir.path(&"d".repeat(room));
    fs::create_dir(&deep).unwrap();
    let path = deep.join("s");
    assert_eq!(path.as_os_str().len(), MAX_PATH_BYTES);
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists(), "a dead socket");
    let listener = UnixListener::bind(&Endpoint::new("unix", path.to_str().unwrap()).unwrap()).unwrap();
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "nothing else is left");
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let dir = Dir::new("missing");
    let endpoint = dir.endpoint("nowhere/a.sock");
    let says = format!("there is no directory {}", dir.path("nowhere").display());
    let Err(BindError::Io { source, .. }) = UnixListener::bind(&endpoint) else { panic!("of the system") };
    assert!(source.to_string().contains(&says), "{source}");
    let Err(ConnectError::Failed { source, .. }) = UnixConnector::new(endpoint).connect(&LinkConfig::default()).await
    else {
        panic!()
    };
    assert!(source.to_string().contains(&says), "{source}");
    let relative = Endpoint::new("unix", "nowhere-at-all/a.sock").unwrap();
    let Err(BindError::Io { source, .. }) = UnixListener::bind(&relative) else { panic!("of the system") };
    let says = "make it first, or write unix:///nowhere-at-all/a.sock for a path from the root";
    assert!(source.to_string().ends_with(says), "{source}");
}

#[tokio::test]
async fn a_socket_that_is_handed_over_keeps_its_file() {
    let dir = Dir::new("handed-over");
    let kept = StdListener::bind(dir.path("kept.sock")).unwrap();
    let take = || UnixListener::handed_over(kept.try_clone().unwrap()).unwrap();
    let first = take();
    assert!(first.is_handed_over());
    assert_eq!(first.endpoint(), &dir.endpoint("kept.sock"));
    drop(first);
    let mut client = connect(&dir.endpoint("kept.sock")).await.unwrap();
    client.send(&frame(1, 10)).await.unwrap();
    let mut server = accept(&mut take()).await.upgrade().await.unwrap();
    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 10)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_without_a_path_is_refused() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let address = SocketAddr::from_abstract_name(format!("daffi-{}", std::process::id())).unwrap();
    let error = UnixListener::handed_over(StdListener::bind_addr(&address).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("not to a path"), "{error}");
}

#[tokio::test]
async fn who_may_connect_is_said_before_anybody_can() {
    let dir = Dir::new("options");
    let endpoint = dir.endpoint("s");
    let own = fs::metadata(&dir.0).unwrap().gid();
    for mode in [0o600, 0o666] {
        let options = SocketOptions::new().mode(mode).group(own);
        let listener = UnixListener::bind_with(&endpoint, options).unwrap();
        let file = fs::metadata(dir.path("s")).unwrap();
        assert_eq!((file.permissions().mode() & 0o777, file.gid()), (mode, own));
        drop(listener);
        assert!(!dir.path("s").exists());
    }
    // No system has so many groups.
    match UnixListener::bind_with(&endpoint, SocketOptions::new().group(u32::MAX - 1)) {
        Ok(listener) => drop(listener),
        Err(BindError::Io { source, .. }) => {
            assert!(source.to_string().contains("cannot be given to the group 4294967294"), "{source}");
        }
        Err(other) => panic!("{other}"),
    }
    assert!(!dir.path("s").exists());
}
