//! A router with its page, as tests ask it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::Running;

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A router that tells over HTTP what it does.
pub(crate) struct Watched {
    pub(crate) router: Running,
    /// Where nodes connect.
    pub(crate) at: String,
    /// Where its page is.
    pub(crate) page: String,
}

impl Watched {
    /// A router on free ports, with these options beside.
    pub(crate) fn start(options: &[&str]) -> Self {
        let listen = ["router", "-l", "tcp://127.0.0.1:0", "--admin", "127.0.0.1:0", "--name", "crossing"];
        let router = Running::start(&[&listen[..], options].concat());
        let (at, page) = (router.endpoint(), router.answer("http://"));
        Self { router, at, page }
    }

    fn ask(&self, path: &str) -> String {
        let host = self.page.strip_prefix("http://").unwrap();
        let mut asking = TcpStream::connect(host).unwrap();
        asking.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What `/api/node` tells.
    pub(crate) fn node(&self) -> Value {
        serde_json::from_str(&self.ask("/api/node")).unwrap()
    }

    /// A number of `/metrics`; 0 when it is not there yet.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.ask("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse().unwrap())
    }

    /// Waits until a number of `/metrics` is so.
    pub(crate) fn wait_for(&self, name: &str, enough: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        while !enough(self.metric(name)) {
            assert!(begun.elapsed() < PATIENCE, "{name} is {}: {}", self.metric(name), self.node());
            thread::sleep(Duration::from_millis(50));
        }
    }
}
