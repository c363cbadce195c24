//! Nodes that are stopped and started again in their place, under callers that go on calling.
//!
//! A client of 3.0.1 connects again at its next call, once: refused, it is lost for good
//! (docs/protocol.md#10.15).

use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use daffi::Client;
use daffi_testing::{Peer, SocketPath};
use serde_json::json;
use tokio::task::block_in_place;

use crate::support::{Running, TempFile, command, finished, handed, run, signal};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls without end. What went well is counted, the last failure is kept.
#[derive(Default)]
struct Caller {
    answers: AtomicUsize,
    failure: Mutex<String>,
}

impl Caller {
    async fn call_on(
        &self,
        over: &AtomicBool,
        pause: Duration,
        mut call: impl AsyncFnMut() -> Result<Option<i64>, String>,
    ) {
        while !over.load(Ordering::SeqCst) {
            match call().await {
                Ok(sum) => {
                    assert_eq!(sum, Some(7));
                    self.answers.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => {
                    *self.failure.lock().unwrap() = error;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn python(&self, over: &AtomicBool, pause: Duration, peer: &Peer) {
        let call = async || {
            let sum = peer.call("add", json!([3, 4])).timeout(20).outcome().await;
            sum.map(|sum| sum.as_i64()).map_err(|error| error.to_string())
        };
        self.call_on(over, pause, call).await;
    }

    async fn rust(&self, over: &AtomicBool, client: &Client) {
        let call = async || {
            let sum = client.rpc().timeout(PATIENCE).call("add", (3, 4)).await;
            sum.map(Some).map_err(|error| error.to_string())
        };
        self.call_on(over, Duration::from_millis(1), call).await;
    }

    /// Waits until some more calls went well.
    async fn goes_on(&self, who: &str) {
        let (begun, before) = (Instant::now(), self.answers.load(Ordering::SeqCst));
        while self.answers.load(Ordering::SeqCst) < before + 3 {
            assert!(begun.elapsed() < PATIENCE, "{who} is lost: {}", self.failure.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Stops a node as systemd does, and starts the next one.
fn restart(node: &mut Running, start: impl Fn() -> Running) {
    node.signal("TERM");
    assert_eq!(node.end().code(), Some(0), "{}", node.told());
    *node = start();
    node.endpoint();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_socket_that_is_handed_over_a_router_loses_no_busy_caller() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", socket.local_addr().unwrap());
    let start = || handed(socket.try_clone().unwrap(), "calls", &["router", "--listen", "fd://3"]);
    let mut router = start();
    assert_eq!(router.endpoint(), at);
    let _worker = Running::worker(&at, "rust-worker");
    // One that only serves finds out when it calls next: this one calls, too.
    let python_worker = Peer::client(&at).name("python-worker").worker().expose(&["add", "whoami"]).start().await;
    let python = Peer::client(&at).name("python").start().await;
    let rust = Client::builder("rust").connect(&at).await.unwrap();
    for peer in [&python, &python_worker] {
        peer.wait_for_members(&["rust-worker"]).await;
    }

    let (over, [one, two, three]) = (AtomicBool::new(false), [(); 3].map(|()| Caller::default()));
    let calling = async {
        tokio::join!(
            one.python(&over, Duration::ZERO, &python),
            two.python(&over, Duration::ZERO, &python_worker),
            three.rust(&over, &rust),
        )
    };
    let restarting = async {
        for _ in 0..4 {
            for (caller, who) in [(&one, "python"), (&two, "python-worker"), (&three, "rust")] {
                caller.goes_on(who).await;
            }
            block_in_place(|| restart(&mut router, start));
        }
        for (caller, who) in [(&one, "python"), (&two, "python-worker"), (&three, "rust")] {
            caller.goes_on(who).await;
        }
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(calling, restarting);
    let served = run(&["call", &at, "whoami", "-r", "python-worker"]);
    assert_eq!(served.answer(), "python-worker\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_socket_that_is_handed_over_a_service_loses_no_busy_caller() {
    let path = SocketPath::new();
    let socket = UnixListener::bind(path.path()).unwrap();
    let start = || handed(socket.try_clone().unwrap(), "calls", &["demo", "--listen", "fd://calls"]);
    let mut service = start();
    assert_eq!(service.endpoint(), path.endpoint());
    let python = Peer::client(&path.endpoint()).name("python").start().await;
    let rust = Client::builder("rust").connect(&path.endpoint()).await.unwrap();

    let (over, [one, two]) = (AtomicBool::new(false), [(); 2].map(|()| Caller::default()));
    let restarting = async {
        for _ in 0..4 {
            one.goes_on("python").await;
            two.goes_on("rust").await;
            block_in_place(|| restart(&mut service, start));
            assert!(path.path().exists(), "the file is the supervisor's");
        }
        one.goes_on("python").await;
        two.goes_on("rust").await;
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(one.python(&over, Duration::ZERO, &python), two.rust(&over, &rust), restarting);
}

/// Without such a socket somebody has to be quicker than the callers: those that wait a moment
/// after an error are not lost if the restart takes no longer. A machine that is too busy for that
/// gets further tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_restarted_is_back_before_callers_that_wait_a_moment() {
    const MOMENT: Duration = Duration::from_millis(900);
    const TRIES: usize = 3;
    let mut quick = 0;
    for _ in 0..4 * TRIES {
        let mut router = Running::router();
        let at = router.endpoint();
        let _worker = Running::worker(&at, "worker");
        let python = Peer::client(&at).name("python").start().await;
        python.wait_for_members(&["worker"]).await;
        let (over, caller) = (AtomicBool::new(false), Caller::default());
        let restarting = async {
            caller.goes_on("python").await;
            let begun = Instant::now();
            block_in_place(|| restart(&mut router, || Running::start(&["router", "--listen", &at])));
            // What the first call after it needs to be made and to fail is the moment's last tenth.
            let was_quick = begun.elapsed() < MOMENT * 9 / 10;
            if was_quick {
                caller.goes_on("python").await;
            }
            over.store(true, Ordering::SeqCst);
            was_quick
        };
        let ((), was_quick) = tokio::join!(caller.python(&over, MOMENT, &python), restarting);
        quick += usize::from(was_quick);
        if quick == TRIES {
            return;
        }
    }
    panic!("only {quick} restarts took less than {MOMENT:?}");
}

#[test]
fn without_a_socket_it_says_what_to_do() {
    let refused = |args: &[&str]| finished(command(args).spawn().unwrap()).failure(2).to_owned();
    let error = refused(&["router", "--listen", "fd://3"]);
    assert!(error.contains("LISTEN_FDS is not set") && error.contains(".socket"), "{error}");
    let foreign = command(&["demo", "-l", "fd://3"]).env("LISTEN_FDS", "1").env("LISTEN_PID", "1").spawn();
    assert!(finished(foreign.unwrap()).failure(2).contains("LISTEN_PID names another process"));
    let error = refused(&["router", "--listen", "tls+fd://3"]);
    assert!(error.contains("--tls-cert"), "{error}");
    let error = refused(&["call", "fd://3", "add", "3", "4"]);
    assert!(error.contains("there is no fd://"), "{error}");

    for (address, words) in
        [("fd://4", "fd://3 to fd://3"), ("fd://2", "fd://3 to fd://3"), ("fd://other", "[\"calls\"] (LISTEN_FDNAMES)")]
    {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut node = handed(socket, "calls", &["router", "--listen", address]);
        assert_eq!(node.end().code(), Some(2));
        assert!(node.log("error: ").contains(words), "{}", node.told());
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut twice = handed(socket, "calls", &["router", "-l", "fd://3", "-l", "fd://calls"]);
    assert_eq!(twice.end().code(), Some(2));
    assert!(twice.log("error: ").contains("taken already"), "{}", twice.told());

    // What a socket is shows when it is taken.
    let path = SocketPath::new();
    let socket = UnixListener::bind(path.path()).unwrap();
    let mut web = handed(socket, "calls", &["router", "-l", "fd://3", "--allow-origin", "https://app.example"]);
    assert_eq!(web.end().code(), Some(2));
    assert!(web.log("error: ").contains("--allow-origin has no meaning with unix://"), "{}", web.told());
}

/// How long it drains, and for whom, is seen from outside.
#[test]
fn who_only_looks_is_let_in_to_the_end() {
    let mut router = Running::router();
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    let open = command(&["call", &at, "sleep", "30"]).spawn().unwrap();
    // The only worker is busy: the call runs.
    while run(&["call", &at, "echo", "1", "--timeout", "0.2"]).code == Some(0) {}
    router.signal("TERM");
    while !run(&["call", &at, "echo", "1", "--timeout", "0.2"]).stderr.contains("is stopping") {}
    assert!(run(&["members", &at]).answer().contains("w1"));
    assert!(run(&["ping", &at, "-n", "1"]).answer().contains("router, "));
    signal(&open, "INT");
    assert_eq!(finished(open).code, Some(130));
    assert_eq!(router.end().code(), Some(0), "{}", router.told());
}

/// Not that it was down when it was restarted.
#[test]
fn a_worker_that_is_refused_after_a_restart_says_why() {
    let mut router = Running::router();
    let at = router.endpoint();
    let worker = Running::worker(&at, "w1");
    router.signal("KILL");
    router.end();
    worker.log("no connection yet");
    let rules = TempFile::new("nobody.toml", b"[policy]\nothers = \"nobody\"\n");
    let _router = Running::start(&["router", "-l", &at, "--config", rules.path()]);
    worker.log_until(|lines| lines.iter().any(|line| line.contains("no connection yet") && line.contains("policy")));
}

/// Systemd listens at the address of `daffi-router.socket`, and the packaged settings at the same.
#[test]
fn a_socket_that_nobody_takes_is_told() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("tcp://{}", socket.local_addr().unwrap());
    let mut router = handed(socket, "router", &["router", "--listen", &at]);
    assert_eq!(router.end().code(), Some(5));
    router.log("sockets that a supervisor hands over are not taken: listen at fd://NAME for each");
    router.log("error: ");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let router = handed(other, "router", &["router", "--listen", "fd://router"]);
    router.endpoint();
    router.log("listening");
    assert!(!router.told().contains("are not taken"), "{}", router.told());
}
