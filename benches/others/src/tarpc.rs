//! tarpc over TCP with bincode, as its own examples set it up.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use daffi_benchmarks::{Caller, Client, Job, Latencies, Outcome, Over, Part, Result, Subject, Work, calls};
use futures::{StreamExt, future::BoxFuture};
use tarpc::{
    client, context,
    serde_transport::tcp,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
};

pub(crate) struct Tarpc;

#[tarpc::service]
trait Bench {
    async fn echo(payload: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct Server;

impl Bench for Server {
    async fn echo(self, _: context::Context, payload: Vec<u8>) -> Vec<u8> {
        payload
    }
}

impl Subject for Tarpc {
    fn name(&self) -> &'static str {
        "tarpc"
    }

    fn does(&self, job: &Job) -> bool {
        crate::does_calls(job)
    }

    fn start<'a>(&'a self, _: &'a str, _: &'a Job, _: &'a [String]) -> BoxFuture<'a, Result<Part>> {
        Box::pin(async move {
            let mut listener = tcp::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Bincode::default).await?;
            listener.config_mut().max_frame_length(usize::MAX);
            let address = listener.local_addr().to_string();
            let serving = tokio::spawn(async move {
                while let Some(Ok(transport)) = listener.next().await {
                    transport.get_ref().set_nodelay(true).ok();
                    let requests = BaseChannel::with_defaults(transport).execute(Server.serve());
                    tokio::spawn(requests.for_each(|answer| async {
                        tokio::spawn(answer);
                    }));
                }
            });
            Ok(Part::new(address, serving))
        })
    }

    fn connect<'a>(&'a self, job: &'a Job, addresses: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let mut client = Callers { job: job.clone(), address: addresses[0].clone(), open: Vec::new() };
            if let Work::Echo { connections, .. } = job.work {
                for _ in 0..connections {
                    client.connect_one().await?;
                }
            }
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

struct Callers {
    job: Job,
    address: String,
    open: Vec<BenchClient>,
}

impl Callers {
    async fn connect_one(&mut self) -> Result<&BenchClient> {
        let mut connect = tcp::connect(&self.address, Bincode::default);
        connect.config_mut().max_frame_length(usize::MAX);
        let transport = connect.await?;
        transport.get_ref().set_nodelay(true)?;
        self.open.push(BenchClient::new(client::Config::default(), transport).spawn());
        Ok(self.open.last().expect("one was pushed"))
    }
}

struct Echo(BenchClient, Bytes);

impl Caller for Echo {
    async fn call(&self) -> Result<()> {
        let back = self.0.echo(context::current(), self.1.to_vec()).await?;
        if back.len() == self.1.len() { Ok(()) } else { Err("the echo is not whole".into()) }
    }
}

impl Client for Callers {
    fn run(&mut self, time: Duration) -> BoxFuture<'_, Result<Outcome>> {
        let payload = Bytes::from(vec![7; self.job.work.payload().max(32)]);
        Box::pin(async move {
            match self.job.work {
                Work::Echo { in_flight, .. } => {
                    let callers = self.open.iter().flat_map(|client| std::iter::repeat_n(client, in_flight));
                    calls(callers.map(|client| Echo(client.clone(), payload.clone())), time).await
                }
                Work::Idle { connections } => {
                    let begun = Instant::now();
                    for _ in 0..connections {
                        Echo(self.connect_one().await?.clone(), payload.clone()).call().await?;
                    }
                    Ok(Latencies::new().outcome(connections as u64, begun))
                }
                _ => {
                    let (begun, over, mut calls) = (Instant::now(), Over::after(time), 0);
                    while !over.is_over() {
                        Echo(self.connect_one().await?.clone(), payload.clone()).call().await?;
                        self.open.clear();
                        calls += 1;
                    }
                    Ok(Latencies::new().outcome(calls, begun))
                }
            }
        })
    }
}
