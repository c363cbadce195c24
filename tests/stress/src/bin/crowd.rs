//! Members of a router that only listen: `crowd HOST:PORT MEMBERS`. Each is a bare socket that did
//! its handshake; then the first line says how many there are. The line `COUNT PER_SECOND` of the
//! standard input makes so many more join at that rate. It is answered, once every listener has
//! heard of each: how many notices they heard, how many of them heard another order than the first,
//! and the median, the 99th and the 100th percentile of the microseconds from the beginning of a
//! newcomer's connecting to a listener's news of it. Ends with its standard input.

use std::{
    env,
    io::{BufRead, stdin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use daffi::BoxError;
use daffi_stress::{hello, message_length, percentile};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, sleep_until},
};

/// When each newcomer sent its handshake, in microseconds of the clock all share.
#[derive(Debug)]
struct Sent {
    clock: Instant,
    at: Vec<AtomicUsize>,
}

impl Sent {
    fn now(&self) -> usize {
        usize::try_from(self.clock.elapsed().as_micros()).unwrap_or(usize::MAX)
    }
}

/// What one listener heard: how long each notice took, and of whom, in order.
#[derive(Default)]
struct Heard {
    took: Vec<Duration>,
    order: Vec<u32>,
}

const NEWCOMER: &[u8] = br#"{"type":"connected","member":"new-"#;

async fn join(address: &str, name: &str) -> Result<TcpStream, BoxError> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&hello(name, "null")).await?;
    let mut header = [0; 9];
    stream.read_exact(&mut header).await?;
    let mut answer = vec![0; message_length(header)];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

/// Reads events until `count` newcomers were heard of.
async fn listen(stream: &mut TcpStream, sent: &Sent, count: usize) -> Result<Heard, BoxError> {
    let mut heard = Heard::default();
    let mut buffer = Vec::with_capacity(64 * 1024);
    while heard.took.len() < count {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err("the router closed a listener".into());
        }
        let now = sent.now();
        let mut at = 0;
        while let Some(header) = buffer[at..].first_chunk::<9>() {
            let Some(message) = buffer.get(at + 9..at + 9 + message_length(*header)) else { break };
            // Behind the metadata `||`.
            if let Some(rest) = message[2..].strip_prefix(NEWCOMER) {
                let digits = std::str::from_utf8(rest.split(|b| *b == b'"').next().unwrap_or_default())?;
                let number: u32 = digits.parse()?;
                let since = sent.at[number as usize].load(Relaxed);
                heard.took.push(Duration::from_micros(now.saturating_sub(since) as u64));
                heard.order.push(number);
            }
            at += 9 + message.len();
        }
        buffer.drain(..at);
    }
    Ok(heard)
}

/// Newcomers of one connection each, which stay and take what they are told.
async fn newcomers(address: String, sent: Arc<Sent>, per_second: usize) -> Result<(), BoxError> {
    let begun = tokio::time::Instant::now();
    let (done, mut joined) = mpsc::unbounded_channel();
    for number in 0..sent.at.len() {
        sleep_until(begun + Duration::from_secs_f64(number as f64 / per_second as f64)).await;
        let (address, sent, done) = (address.clone(), Arc::clone(&sent), done.clone());
        tokio::spawn(async move {
            sent.at[number].store(sent.now(), Relaxed);
            let joined = join(&address, &format!("new-{number}")).await;
            let _main_ended = done.send(joined.as_ref().map(drop).map_err(ToString::to_string));
            drop(done);
            if let Ok(mut stream) = joined {
                let _router_ended = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        });
    }
    drop(done);
    while let Some(joined) = joined.recv().await {
        joined?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [address, members] = &arguments[..] else { return Err("an address and a number are needed".into()) };
    let mut listeners = Vec::new();
    for number in 0..members.parse::<usize>()? {
        listeners.push(join(address, &format!("old-{number}")).await?);
    }
    // They must hear of each other before anything is measured; what is left in their sockets is
    // skipped.
    sleep(Duration::from_millis(300)).await;
    println!("{}", listeners.len());
    let Some(line) = stdin().lock().lines().next() else { return Ok(()) };
    let line = line?;
    let Some((count, per_second)) = line.split_once(' ') else { return Err("COUNT PER_SECOND".into()) };
    let (count, per_second) = (count.parse()?, per_second.parse()?);
    let at = (0..count).map(|_| AtomicUsize::new(0)).collect();
    let sent = Arc::new(Sent { clock: Instant::now(), at });
    let mut listening = Vec::new();
    for mut stream in listeners {
        let sent = Arc::clone(&sent);
        listening.push(tokio::spawn(async move {
            let heard = listen(&mut stream, &sent, count).await;
            (heard.map_err(|error| error.to_string()), stream)
        }));
    }
    newcomers(address.clone(), Arc::clone(&sent), per_second).await?;
    let (mut took, mut disagree, mut order) = (Vec::new(), 0, Vec::new());
    for listener in listening {
        let (heard, _stream) = listener.await?;
        let heard = heard?;
        took.extend(heard.took);
        if order.is_empty() {
            order = heard.order;
        } else if order != heard.order {
            disagree += 1;
        }
    }
    took.sort_unstable();
    let [median, p99, worst] = [50, 99, 100].map(|percent| percentile(&took, percent).as_micros());
    println!("{} {disagree} {median} {p99} {worst}", took.len());
    for line in stdin().lock().lines() {
        line?;
    }
    Ok(())
}
