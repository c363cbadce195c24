//! A host that vanishes while something is unacknowledged, and one whose process reads nothing: network namespaces with a
//! router between them, whose forwarding is cut.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    env,
    future::poll_fn,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    task::Poll,
    time::{Duration, Instant},
};

use daffi_transport::{Batch, Connector, Link, LinkConfig, Listener, PATH_DEAD_AFTER};
use daffi_transport_tcp::{TcpConnector, TcpListener};
use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
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
    if let Ok(role) = env::var(ROLE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(async {
            match role.strip_prefix("caller ") {
                Some(address) => call(address).await,
                None => listen().await,
            }
        });
    }
    let network = Network::new();
    let mut peer = Process::start(&network.far, "peer");
    let address = peer.line();
    let mut caller = Process::start(&network.near, &format!("caller {address}"));
    assert_eq!(caller.line(), "a process that reads nothing is left");
    network.forward(false);
    caller.say("cut");
    let found = Duration::from_millis(caller.line().parse().unwrap());
    println!("a host that vanished was found after {found:.1?}");
    assert!(found < FOUND_WITHIN, "{found:?}");
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

    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let sent = Instant::now();
    lively.send(&frame(1)).await.unwrap();
    while silence(&mut lively).is_none_or(|silence| silence < PATH_DEAD_AFTER) {
        sleep(Duration::from_millis(250)).await;
    }
    tell(&sent.elapsed().as_millis().to_string());
}

fn silence(link: &mut Link) -> Option<Duration> {
    link.path.as_mut().expect("TCP on Linux tells").silence()
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
        let name = |host| format!("daffi-{host}-{}", std::process::id());
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
            .args(["--include-ignored", "--nocapture"])
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
