//! What it costs a router of very many members that some look at it.

#![expect(clippy::unwrap_used, reason = "a step of a test that fails is the test's failure")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use daffi_stress::{Node, bare_member};

const PAGES: usize = 10;
const TIME: Duration = Duration::from_secs(20);

fn ask(at: &str, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    BufReader::new(stream)
}

/// How many events came, and how many bytes, while it lasted.
fn follow(at: &str) -> (usize, usize) {
    let (mut events, mut bytes, begun) = (0, 0, Instant::now());
    let mut lines = ask(at, "/api/live");
    let mut line = Vec::new();
    while begun.elapsed() < TIME {
        line.clear();
        bytes += lines.read_until(b'\n', &mut line).unwrap();
        events += usize::from(line.starts_with(b"data: "));
    }
    (events, bytes)
}

/// The part of a core that `router` takes in that time.
fn cpu(router: &Node, meanwhile: impl FnOnce()) -> f64 {
    let (begun, before) = (Instant::now(), router.cpu());
    meanwhile();
    router.cpu().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// Members in daffi 3.0.1's way, each with callbacks of its own; 500 of them are listed.
#[test]
#[ignore = "measures; scripts/stress runs it"]
fn a_thousand_members_and_ten_pages_cost_little() {
    let router = Node::start(env!("CARGO_BIN_EXE_watched_router"), &[]);
    let (address, at) = router.endpoint().split_once(' ').unwrap();
    let address = address.trim_start_matches("tcp://");
    let members: Vec<_> = (0..1000)
        .map(|number| {
            let methods = format!(r#"["resize_{number}","convert_{number}","describe_{number}"]"#);
            let mut stream = bare_member(address, &format!("worker-{number}"), &methods).unwrap();
            // Whoever takes no news is ended.
            let reads = move || {
                let mut news = [0; 4096];
                while stream.read(&mut news).is_ok_and(|read| read > 0) {}
            };
            thread::Builder::new().stack_size(64 * 1024).spawn(reads).unwrap()
        })
        .collect();
    sleep(Duration::from_secs(3));
    let (idle, memory) = (cpu(&router, || sleep(TIME)), router.resident());
    let mut told = Vec::new();
    let watched = cpu(&router, || {
        thread::scope(|scope| {
            let pages: Vec<_> = (0..PAGES).map(|_| scope.spawn(|| follow(at))).collect();
            // As Prometheus does, but more often.
            let begun = Instant::now();
            while begun.elapsed() < TIME {
                let mut text = String::new();
                ask(at, "/metrics").read_to_string(&mut text).unwrap();
                assert!(text.contains("daffi_members 1000"), "{text}");
                sleep(Duration::from_secs(5));
            }
            told = pages.into_iter().map(|page| page.join().unwrap()).collect();
        });
    });
    let (events, bytes) = told.iter().fold((0, 0), |(events, bytes), page| (events + page.0, bytes + page.1));
    println!(
        "{} members: {:.2} % of a core unwatched, {:.2} % with {PAGES} pages and /metrics every 5 s,",
        members.len(),
        100.0 * idle,
        100.0 * watched
    );
    println!(
        "  an event of {} KiB, {} MiB more memory, {} MiB at most",
        bytes / events / 1024,
        router.resident().saturating_sub(memory) >> 20,
        router.peak() >> 20
    );
    assert!(events >= PAGES * 15, "{events}");
    assert!(watched - idle < 0.02, "pages cost {:.1} % of a core", 100.0 * (watched - idle));
}
