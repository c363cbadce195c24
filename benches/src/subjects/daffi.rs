//! A daffi Service and Clients of it, as users write them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daffi::{Cast, Client as Node, ClientBuilder, ClientTls, FormatId, Router, Rpc, ServerTls, Service};
use futures::{
    future::BoxFuture,
    stream::{self, StreamExt},
};

use super::{ROUTER, socket::fixture};
use crate::{Caller, Client, Format, Job, Latencies, Outcome, Over, Part, Result, Subject, Transport, Work, calls};

/// The callbacks of all nodes that answer; both builders have the same methods.
macro_rules! callbacks {
    ($builder:expr) => {
        $builder
            .callback_fn("echo", |payload: Bytes| async move { payload })
            .callback_fn("add", |a: i64, b: i64| async move { a + b })
            .callback_fn("take", |_: Bytes| async {})
            .callbacks(daffi::callbacks![streams::repeat, streams::rows])
    };
}

/// Results one by one.
mod streams {
    use bytes::Bytes;
    use futures::stream::{Stream, repeat as over_and_over, repeat_with};
    use serde::{Deserialize, Serialize};

    /// 32 bytes in memory, and numbers that are as large on the wire.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Row(u64, u64, u64, u64);

    impl Row {
        pub(super) const ALL: Self = Self(u64::MAX, u64::MAX - 1, u64::MAX - 2, u64::MAX - 3);
    }

    #[daffi::callback]
    pub(super) fn repeat(item: Bytes) -> impl Stream<Item = Bytes> {
        over_and_over(item)
    }

    #[daffi::callback]
    pub(super) fn rows() -> impl Stream<Item = Row> {
        repeat_with(|| Row::ALL)
    }
}

/// Plain functions, which run on threads of their own.
mod plain {
    use bytes::Bytes;

    #[daffi::callback]
    pub(super) fn echo(payload: Bytes) -> Bytes {
        payload
    }
}

/// Plain functions that promise to be quick, and run where their request was read.
mod inline {
    use bytes::Bytes;

    #[daffi::callback(inline)]
    pub(super) fn echo(payload: Bytes) -> Bytes {
        payload
    }
}

/// What the callbacks are written as.
#[derive(Clone, Copy)]
pub(super) enum Functions {
    Async,
    Plain,
    Inline,
}

pub(super) struct Daffi(pub(super) Functions);

impl Subject for Daffi {
    fn name(&self) -> &'static str {
        match self.0 {
            Functions::Async => "daffi",
            Functions::Plain => "daffi-plain",
            Functions::Inline => "daffi-inline",
        }
    }

    fn does(&self, job: &Job) -> bool {
        matches!(self.0, Functions::Async) || matches!(job.work, Work::Echo { .. })
    }

    fn parts(&self, job: &Job) -> Vec<&'static str> {
        match job.work.workers() {
            Some(workers) => std::iter::once(ROUTER).chain(std::iter::repeat_n("worker", workers)).collect(),
            None if job.transport == Transport::Mem => Vec::new(),
            None => vec!["server"],
        }
    }

    fn start<'a>(&'a self, part: &'a str, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Part>> {
        Box::pin(async move {
            if part == ROUTER {
                let router = route(job.transport).await?;
                return Ok(Part::new(router.endpoints()[0].as_str().to_owned(), router));
            }
            if let Some(router) = addresses.first() {
                let name = format!("worker-{}", addresses.len());
                let worker = callbacks!(client(&name, job.transport)?).connect(router).await?;
                return Ok(Part::new(name, worker));
            }
            let service = serve(job.transport, self.0).await?;
            let address = service.endpoints()[0].as_str().to_owned();
            Ok(Part::new(address, service))
        })
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let (address, service) = match addresses.first() {
                Some(address) => (address.clone(), None),
                None => {
                    let service = serve(job.transport, self.0).await?;
                    (service.endpoints()[0].as_str().to_owned(), Some(service))
                }
            };
            let payload = Bytes::from(vec![7; job.work.payload()]);
            let mut client = Nodes { job: job.clone(), address, payload, open: Vec::new(), made: 0, _service: service };
            let connections = match job.work {
                Work::Echo { connections, .. } => connections,
                Work::Idle { .. } | Work::Members { .. } | Work::Connect => 0,
                _ => 1,
            };
            for _ in 0..connections {
                client.connect_one().await?;
            }
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

fn endpoint(transport: Transport) -> String {
    match transport {
        Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
        Transport::Tls => "tls://127.0.0.1:0".to_owned(),
        Transport::Mem => "mem://bench".to_owned(),
        Transport::Unix => {
            let path = std::env::temp_dir().join(format!("daffi-bench-{}", std::process::id()));
            format!("unix://{}", path.display())
        }
    }
}

pub(super) async fn serve(transport: Transport, functions: Functions) -> Result<Service> {
    let builder = Service::builder("echo");
    let mut builder = match functions {
        Functions::Async => callbacks!(builder),
        Functions::Plain => builder.callbacks(daffi::callbacks![plain::echo]),
        Functions::Inline => builder.callbacks(daffi::callbacks![inline::echo]),
    };
    if transport == Transport::Tls {
        builder = builder.tls(ServerTls::from_files(fixture("localhost.pem"), fixture("localhost.key"))?);
    }
    Ok(builder.bind(&endpoint(transport)).await?)
}

pub(super) async fn route(transport: Transport) -> Result<Router> {
    let mut builder = Router::builder("crossing");
    if transport == Transport::Tls {
        builder = builder.tls(ServerTls::from_files(fixture("localhost.pem"), fixture("localhost.key"))?);
    }
    Ok(builder.bind(&endpoint(transport)).await?)
}

fn client(name: &str, transport: Transport) -> Result<ClientBuilder> {
    let mut builder = Node::builder(name);
    if transport == Transport::Tls {
        builder = builder.tls(ClientTls::ca_file(fixture("authority.pem"))?);
    }
    Ok(builder)
}

struct Nodes {
    job: Job,
    address: String,
    payload: Bytes,
    open: Vec<Node>,
    made: usize,
    _service: Option<Service>,
}

impl Nodes {
    async fn connect_one(&mut self) -> Result<&Node> {
        self.made += 1;
        let node = client(&format!("bench-{}", self.made), self.job.transport)?.connect(&self.address).await?;
        if let Some(workers) = self.job.work.workers() {
            let names: Vec<_> = (1..=workers).map(|n| format!("worker-{n}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            node.wait_for_members(&names, Some(Duration::from_secs(10))).await?;
        }
        self.open.push(node);
        Ok(self.open.last().expect("one was pushed"))
    }

    async fn echo_once(&mut self) -> Result<()> {
        let node = self.connect_one().await?;
        let _back: Bytes = node.rpc().serde(FormatId::OPAQUE).call("echo", (Bytes::from_static(&[7; 32]),)).await?;
        Ok(())
    }
}

impl Client for Nodes {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            let payload = self.payload.clone();
            match self.job.work {
                Work::Echo { in_flight, .. } | Work::Routed { in_flight, .. } => {
                    echo(&self.open, payload, in_flight, time).await
                }
                Work::Cast { .. } => cast(&self.open[0], payload, time).await,
                Work::Add { format, in_flight } => add(&self.open[0], format_id(format), in_flight, time).await,
                Work::Nowait { .. } => nowait(&self.open[0], payload, time).await,
                Work::Stream { window, .. } => chunks(&self.open[0], payload, window, time).await,
                Work::Results { .. } => results(&self.open[0], payload, time).await,
                Work::Rows { format } => rows(&self.open[0], format_id(format), time).await,
                Work::Idle { connections } | Work::Members { members: connections } => {
                    let begun = Instant::now();
                    for _ in 0..connections {
                        self.echo_once().await?;
                    }
                    Ok(Latencies::new().outcome(connections as u64, begun))
                }
                Work::Connect => {
                    let (begun, over, mut calls) = (Instant::now(), Over::after(time), 0);
                    let mut latencies = Latencies::new();
                    while !over.is_over() {
                        let sent = Instant::now();
                        self.echo_once().await?;
                        self.open.clear();
                        latencies.note(sent.elapsed());
                        calls += 1;
                    }
                    Ok(latencies.outcome(calls, begun))
                }
            }
        })
    }
}

fn format_id(format: Format) -> FormatId {
    match format {
        Format::Msgpack => FormatId::MSGPACK,
        Format::Json => FormatId::JSON,
        Format::Pickle => FormatId::PICKLE,
        Format::Postcard => FormatId::POSTCARD,
    }
}

struct Echo {
    rpc: Rpc,
    payload: Bytes,
}

impl Caller for Echo {
    async fn call(&self) -> Result<()> {
        let back: Bytes = self.rpc.call("echo", self.payload.clone()).await?;
        if back.len() == self.payload.len() { Ok(()) } else { Err("the echo is not whole".into()) }
    }
}

async fn echo(nodes: &[Node], payload: Bytes, in_flight: usize, time: Duration) -> Result<Outcome> {
    let nodes = nodes.iter().flat_map(|node| std::iter::repeat_n(node, in_flight));
    calls(nodes.map(|node| Echo { rpc: node.rpc().serde(FormatId::OPAQUE), payload: payload.clone() }), time).await
}

struct Add(Rpc);

impl Caller for Add {
    async fn call(&self) -> Result<()> {
        let sum: i64 = self.0.call("add", (3, 4)).await?;
        if sum == 7 { Ok(()) } else { Err(format!("3 + 4 = {sum}").into()) }
    }
}

async fn add(node: &Node, format: FormatId, in_flight: usize, time: Duration) -> Result<Outcome> {
    calls((0..in_flight).map(|_| Add(node.rpc().serde(format))), time).await
}

struct ToAll(Cast, Bytes);

impl Caller for ToAll {
    async fn call(&self) -> Result<()> {
        for (_, back) in self.0.call::<Bytes>("echo", self.1.clone()).await? {
            back?;
        }
        Ok(())
    }
}

async fn cast(node: &Node, payload: Bytes, time: Duration) -> Result<Outcome> {
    calls([ToAll(node.cast().serde(FormatId::OPAQUE), payload)], time).await
}

async fn nowait(node: &Node, payload: Bytes, time: Duration) -> Result<Outcome> {
    let (begun, over, mut sent) = (Instant::now(), Over::after(time), 0);
    let rpc = node.rpc_nowait().serde(FormatId::OPAQUE);
    while !over.is_over() {
        rpc.call("take", payload.clone()).await?;
        sent += 1;
    }
    // One worker: when this is answered, all that came before has run.
    node.rpc().call::<i64>("add", (3, 4)).await?;
    Ok(Latencies::new().outcome(sent, begun))
}

async fn chunks(node: &Node, payload: Bytes, window: usize, time: Duration) -> Result<Outcome> {
    let (begun, over, sent) = (Instant::now(), Over::after(time), std::sync::atomic::AtomicU64::new(0));
    let source = stream::repeat(payload).take_while(|_| {
        let more = !over.is_over();
        sent.fetch_add(u64::from(more), std::sync::atomic::Ordering::Relaxed);
        std::future::ready(more)
    });
    node.stream().window(window).send("take", source).await?;
    Ok(Latencies::new().outcome(sent.into_inner(), begun))
}

async fn results(node: &Node, payload: Bytes, time: Duration) -> Result<Outcome> {
    let (begun, over, mut came) = (Instant::now(), Over::after(time), 0);
    let mut results = node.rpc().serde(FormatId::OPAQUE).results::<Bytes>("repeat", (payload.clone(),)).await?;
    while !over.is_over() {
        let item = results.next().await.ok_or("the results have ended")??;
        debug_assert_eq!(item.len(), payload.len(), "each is what was asked for");
        came += 1;
    }
    Ok(Latencies::new().outcome(came, begun))
}

async fn rows(node: &Node, format: FormatId, time: Duration) -> Result<Outcome> {
    let (begun, over, mut came) = (Instant::now(), Over::after(time), 0);
    let mut results = node.rpc().serde(format).results::<streams::Row>("rows", ()).await?;
    while !over.is_over() {
        if results.next().await.ok_or("the results have ended")?? != streams::Row::ALL {
            return Err("a row is another".into());
        }
        came += 1;
    }
    Ok(Latencies::new().outcome(came, begun))
}
