//! A host that vanishes while something is unacknowledged, and one whose process reads nothing:
//! network namespaces with a router between them, whose forwarding is cut. First as a transport
//! sees it, then as nodes do: a client whose service vanished, a service whose client did, and a
//! caller whose worker behind a Router did, of either level.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    env,
    future::poll_fn,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use daffi::{CallError, Client, MemberEvent, Router, Service};
use daffi_stress::bare_member;
use daffi_transport::{Batch, Connector, Link, LinkConfig, Listener, PATH_DEAD_AFTER};
use daffi_transport_tcp::{TcpConnector, TcpListener};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
use futures::StreamExt;
use tokio::time::sleep;

/// Set for the processes inside the namespaces: what they are.
const ROLE: &str = "DAFFI_VANISHED_ROLE";

/// How long a process that reads nothing is looked at.
const HELD: Duration = Duration::from_secs(15);

/// Promised: a peer that vanished is found within this time.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

#[test]
#[ignore = "makes network namespaces, which takes root and iproute2"]
fn a_host_that_vanished_is_found_and_one_that_reads_nothing_is_left() {
    if plays_a_role() {
        return;
    }
    let network = Network::new();
    let mut peer = Process::start(&network.far, "peer");
    let address = peer.line();
    let mut caller = Process::start(&network.near, &format!("caller {address}"));
    assert_eq!(caller.line(), "a process that reads nothing is left");
    network.forward(false);
    caller.say("cut");
    caller.found("a host that vanished is found");
}

#[test]
#[ignore = "makes network namespaces, which takes root and iproute2"]
fn nodes_on_both_sides_find_a_peer_that_vanished() {
    if plays_a_role() {
        return;
    }
    let network = Network::new();

    let mut service = Process::start(&network.far, "service");
    let mut client = Process::start(&network.near, &format!("client {}", service.line()));
    assert_eq!(client.line(), "connected");
    network.forward(false);
    client.say("call");
    client.found("a client finds that its service vanished");
    network.forward(true);

    let mut service = Process::start(&network.near, "service");
    let mut client = Process::start(&network.far, &format!("client {}", service.line()));
    assert_eq!(client.line(), "connected");
    client.say("call");
    assert_eq!(service.line(), "runs");
    network.forward(false);
    service.say("answer");
    service.found("a service finds that its client vanished");
    network.forward(true);

    let mut router = Process::start(&network.near, "router");
    let address = router.line();
    let workers = ["worker", "old-worker"];
    let mut workers = workers.map(|role| Process::start(&network.far, &format!("{role} {address}")));
    for worker in &mut workers {
        assert_eq!(worker.line(), "joined");
    }
    assert_eq!(router.line(), "both are here");
    network.forward(false);
    router.say("call");
    for worker in ["worker", "old-worker"] {
        router.found(&format!("a caller finds that {worker} behind a router vanished"));
    }
}

/// Whether this process is one of those inside the namespaces; what it has to do there is done
/// then.
fn plays_a_role() -> bool {
    let Ok(role) = env::var(ROLE) else { return false };
    let (role, address) = role.split_once(' ').unwrap_or((&role, ""));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        match role {
            "peer" => listen().await,
            "caller" => call(address).await,
            "service" => serve().await,
            "client" => call_service(address).await,
            "router" => call_workers().await,
            "worker" => work(address).await,
            "old-worker" => {
                let _socket = bare_member(address, "old-worker", r#"["hold"]"#).unwrap();
                tell("joined");
                std::future::pending().await
            }
            other => panic!("no role {other}"),
        }
    });
    true
}

/// Answers when it is told to, and then tells when its caller was found to be gone.
async fn serve() {
    let hold = || async {
        tell("runs");
        listens().await;
    };
    let service = Service::builder("service").callback_fn("hold", hold).bind(&here()).await.unwrap();
    let mut events = service.events();
    tell(service.endpoints()[0].address());
    let mut since = Instant::now();
    while let Some(event) = events.next().await {
        match event {
            MemberEvent::Added(_) => since = Instant::now(),
            _ => tell(&since.elapsed().as_millis().to_string()),
        }
    }
}

/// A call without a timeout.
async fn call_service(address: &str) {
    let client = Client::builder("client").connect(&format!("tcp://{address}")).await.unwrap();
    tell("connected");
    listens().await;
    let sent = Instant::now();
    let error = client.rpc().call::<()>("hold", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    tell(&sent.elapsed().as_millis().to_string());
}

/// A Router with a caller beside it, which calls a worker of each level.
async fn call_workers() {
    let router = Router::builder("router").bind(&here()).await.unwrap();
    tell(router.endpoints()[0].address());
    let client = Client::builder("caller").connect(&router.endpoints()[0].to_string()).await.unwrap();
    client.wait_for_members(&["worker", "old-worker"], None).await.unwrap();
    tell("both are here");
    listens().await;
    let sent = Instant::now();
    let call = |worker: &'static str| {
        let client = client.clone();
        async move {
            let error = client.rpc().receiver(worker).call::<()>("hold", ()).await.unwrap_err();
            assert!(matches!(error, CallError::ReceiverGone { .. }), "{error}");
            tell(&sent.elapsed().as_millis().to_string());
        }
    };
    tokio::join!(call("worker"), call("old-worker"));
}

async fn work(address: &str) {
    let hold = || std::future::pending::<()>();
    let worker = Client::builder("worker").callback_fn("hold", hold);
    let _worker = worker.connect(&format!("tcp://{address}")).await.unwrap();
    tell("joined");
    std::future::pending().await
}

/// Any port of the namespace's own address.
fn here() -> String {
    let shown = Command::new("ip").args(["-4", "-o", "addr", "show", "dev", "host"]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    let address = shown.split_whitespace().find(|word| word.starts_with("10.83.")).unwrap();
    format!("tcp://{}:0", address.split_once('/').unwrap().0)
}

/// Waits for a line of the test.
async fn listens() {
    let line = || std::io::stdin().read_line(&mut String::new());
    assert!(tokio::task::spawn_blocking(line).await.unwrap().unwrap() > 0);
}

/// In the far namespace: one connection is answered, the next is not read.
async fn listen() {
    let mut listener = TcpListener::bind(&"tcp://10.83.2.1:0".parse().unwrap()).await.unwrap();
    tell(listener.endpoint().address());
    let mut answered = accept(&mut listener).await;
    let answering = async {
        while let Some(frame) = answered.receive().await.unwrap() {
            answered.send(&frame).await.unwrap();
        }
    };
    let (_held, ()) = tokio::join!(accept(&mut listener), answering);
}

/// In the near namespace.
async fn call(address: &str) {
    let endpoint = format!("tcp://{address}").parse().unwrap();
    let connector = TcpConnector::new(endpoint);
    let mut lively = connector.connect(&LinkConfig::default()).await.unwrap();
    assert_eq!(ask(&mut lively).await, frame(1));
    let mut held = connector.connect(&LinkConfig::default()).await.unwrap();
    fill(&mut held).await;

    let until = Instant::now() + HELD;
    while Instant::now() < until {
        assert_eq!(silence(&mut lively), None);
        let held = silence(&mut held).unwrap_or_default();
        assert!(held < PATH_DEAD_AFTER / 4, "a peer that reads nothing seems gone after {held:?}");
        sleep(Duration::from_millis(250)).await;
    }
    tell("a process that reads nothing is left");

    listens().await;
    let sent = Instant::now();
    lively.send(&frame(1)).await.unwrap();
    while silence(&mut lively).is_none_or(|silence| silence < PATH_DEAD_AFTER) {
        sleep(Duration::from_millis(250)).await;
    }
    tell(&sent.elapsed().as_millis().to_string());
}

fn silence(link: &mut Link) -> Option<Duration> {
    link.path.as_mut().and_then(|path| path.look()).expect("TCP on Linux tells").silence
}

async fn accept(listener: &mut TcpListener) -> Link {
    poll_fn(|cx| listener.poll_accept(cx, &LinkConfig::default())).await.unwrap().upgrade().await.unwrap()
}

async fn ask(link: &mut Link) -> Frame {
    link.send(&frame(1)).await.unwrap();
    link.receive().await.unwrap().unwrap()
}

/// Writes until the peer's window is closed.
async fn fill(link: &mut Link) {
    let mut batch = Batch::new();
    let full = poll_fn(|cx| {
        loop {
            batch.push_frame(frame(1 << 20).as_bytes());
            match link.writer.poll_write(cx, &mut batch) {
                Poll::Ready(written) => drop(written.unwrap()),
                Poll::Pending => return Poll::Ready(()),
            }
        }
    });
    full.await;
}

fn frame(bytes: usize) -> Frame {
    let header = Header::new(Kind::Request, CallId(1), FormatId::OPAQUE, false, true);
    Frame::new(header, "cli", "svc", "echo", &vec![7; bytes], &Limits::default()).unwrap()
}

fn tell(line: &str) {
    println!("tells: {line}");
}

/// Two hosts and the router between them.
struct Network {
    near: String,
    router: String,
    far: String,
}

impl Network {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |host| format!("daffi-{host}-{}-{number}", std::process::id());
        let network = Self { near: name("near"), router: name("router"), far: name("far") };
        let Self { near, router, far } = &network;
        for host in [near, router, far] {
            ip(&format!("netns add {host}"));
        }
        for (host, subnet) in [(near, 1), (far, 2)] {
            ip(&format!("link add host netns {host} type veth peer name to{subnet} netns {router}"));
            ip(&format!("-n {host} addr add 10.83.{subnet}.1/24 dev host"));
            ip(&format!("-n {router} addr add 10.83.{subnet}.2/24 dev to{subnet}"));
            ip(&format!("-n {host} link set host up"));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {router} link set to{subnet} up"));
            ip(&format!("-n {host} route add default via 10.83.{subnet}.2"));
        }
        network.forward(true);
        network
    }

    /// Whether the router passes anything on.
    fn forward(&self, yes: bool) {
        let set = format!("echo {} > /proc/sys/net/ipv4/ip_forward", u8::from(yes));
        run(Command::new("ip").args(["netns", "exec", &self.router, "sh", "-c", &set]));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in [&self.near, &self.router, &self.far] {
            let _ = Command::new("ip").args(["netns", "del", host]).status();
        }
    }
}

fn ip(words: &str) {
    run(Command::new("ip").args(words.split(' ')));
}

fn run(command: &mut Command) {
    let status = command.status().expect("iproute2 is there");
    assert!(status.success(), "{command:?}: {status}");
}

/// This test again, in a namespace and another role.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(namespace: &str, role: &str) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(env::current_exe().unwrap())
            // One test is enough to play a role.
            .args(["--exact", "nodes_on_both_sides_find_a_peer_that_vanished", "--include-ignored", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// What it tells next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some(told) = line.trim_end().split_once("tells: ") {
                return told.1.to_owned();
            }
            line.clear();
        }
        panic!("the process ended: {:?}", self.child.wait());
    }

    /// It tells how many milliseconds it took to find that a peer vanished.
    fn found(&mut self, what: &str) {
        let found = Duration::from_millis(self.line().parse().unwrap());
        println!("{what} after {found:.1?}");
        assert!(found < FOUND_WITHIN, "{what} after {found:?}");
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
