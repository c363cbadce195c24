//! tonic: gRPC over one HTTP/2 connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daffi_benchmarks::{Caller, Client, Job, Latencies, Outcome, Over, Part, Result, Subject, Transport, Work, calls};
use futures::{StreamExt, future::BoxFuture};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

#[expect(unused_qualifications, clippy::all, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.Echo.rs"));
}

use generated::{
    echo_client::EchoClient,
    echo_server::{Echo, EchoServer},
};

/// The message in both directions.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// Four numbers, which take as many bytes on the wire as in memory.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Row {
    #[prost(fixed64, tag = "1")]
    a: u64,
    #[prost(fixed64, tag = "2")]
    b: u64,
    #[prost(fixed64, tag = "3")]
    c: u64,
    #[prost(fixed64, tag = "4")]
    d: u64,
}

impl Row {
    const ALL: Self = Self { a: u64::MAX, b: u64::MAX - 1, c: u64::MAX - 2, d: u64::MAX - 3 };
}

pub(crate) struct Tonic;

struct Service;

#[tonic::async_trait]
impl Echo for Service {
    type RepeatStream = futures::stream::BoxStream<'static, std::result::Result<Payload, Status>>;

    type RowsStream = futures::stream::BoxStream<'static, std::result::Result<Row, Status>>;

    async fn rows(&self, _: Request<Payload>) -> std::result::Result<Response<Self::RowsStream>, Status> {
        Ok(Response::new(futures::stream::repeat_with(|| Ok(Row::ALL)).boxed()))
    }

    async fn repeat(&self, request: Request<Payload>) -> std::result::Result<Response<Self::RepeatStream>, Status> {
        let item = request.into_inner();
        Ok(Response::new(futures::stream::repeat_with(move || Ok(item.clone())).boxed()))
    }

    async fn echo(&self, request: Request<Payload>) -> std::result::Result<Response<Payload>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

impl Subject for Tonic {
    fn name(&self) -> &'static str {
        "tonic"
    }

    fn does(&self, job: &Job) -> bool {
        crate::does_calls(job) || job.transport == Transport::Tcp && matches!(job.work, Work::Results { .. } | Work::Rows { .. })
    }

    fn start<'a>(&'a self, _: &'a str, _: &'a Job, _: &'a [String]) -> BoxFuture<'a, Result<Part>> {
        Box::pin(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?.to_string();
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let service = EchoServer::new(Service).max_decoding_message_size(usize::MAX);
            let serving = tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
            Ok(Part::new(address, serving))
        })
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let mut client = Callers { job: job.clone(), address: addresses[0].clone(), open: Vec::new() };
            let connections = match job.work {
                Work::Echo { connections, .. } => connections,
                Work::Results { .. } | Work::Rows { .. } => 1,
                _ => 0,
            };
            for _ in 0..connections {
                client.connect_one().await?;
            }
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

struct Callers {
    job: Job,
    address: String,
    open: Vec<EchoClient<Channel>>,
}

impl Callers {
    async fn connect_one(&mut self) -> Result<EchoClient<Channel>> {
        let channel = Endpoint::from_shared(format!("http://{}", self.address))?.tcp_nodelay(true).connect().await?;
        self.open.push(EchoClient::new(channel).max_decoding_message_size(usize::MAX));
        Ok(self.open.last().expect("one was pushed").clone())
    }
}

struct Calling(EchoClient<Channel>, Bytes);

impl Caller for Calling {
    async fn call(&self) -> Result<()> {
        let back = self.0.clone().echo(Payload { payload: self.1.clone() }).await?.into_inner();
        if back.payload.len() == self.1.len() { Ok(()) } else { Err("the echo is not whole".into()) }
    }
}

impl Client for Callers {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        let payload = Bytes::from(vec![7; self.job.work.payload().max(32)]);
        Box::pin(async move {
            match self.job.work {
                Work::Echo { in_flight, .. } => {
                    let callers = self.open.iter().flat_map(|client| std::iter::repeat_n(client, in_flight));
                    calls(callers.map(|client| Calling(client.clone(), payload.clone())), time).await
                }
                Work::Results { .. } => {
                    let (begun, over, mut came) = (Instant::now(), Over::after(time), 0);
                    let mut results = self.open[0].clone().repeat(Payload { payload }).await?.into_inner();
                    while !over.is_over() {
                        results.message().await?.ok_or("the results have ended")?;
                        came += 1;
                    }
                    Ok(Latencies::new().outcome(came, begun))
                }
                Work::Rows { .. } => {
                    let (begun, over, mut came) = (Instant::now(), Over::after(time), 0);
                    let mut results = self.open[0].clone().rows(Payload { payload }).await?.into_inner();
                    while !over.is_over() {
                        if results.message().await?.ok_or("the results have ended")? != Row::ALL {
                            return Err("a row is another".into());
                        }
                        came += 1;
                    }
                    Ok(Latencies::new().outcome(came, begun))
                }
                Work::Idle { connections } => {
                    let begun = Instant::now();
                    for _ in 0..connections {
                        Calling(self.connect_one().await?, payload.clone()).call().await?;
                    }
                    Ok(Latencies::new().outcome(connections as u64, begun))
                }
                _ => {
                    let (begun, over, mut calls) = (Instant::now(), Over::after(time), 0);
                    while !over.is_over() {
                        Calling(self.connect_one().await?, payload.clone()).call().await?;
                        self.open.clear();
                        calls += 1;
                    }
                    Ok(Latencies::new().outcome(calls, begun))
                }
            }
        })
    }
}
