//! The same through a daffi Client: one task per call in flight, OPAQUE bytes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use daffi::{Client, FormatId};
use futures::future::try_join_all;

use crate::{
    Result,
    cpu::Clock,
    scenario::{Sample, Scenario},
    server::Child,
};

/// Calls before the measurement, which a callback needs to show that it is quick.
const WARM_UP: usize = 200;

pub(crate) async fn measure(server: &Child, scenario: Scenario, time: Duration) -> Result<Sample> {
    let client = Client::builder("bench").connect(&format!("{}://{}", server.transport, server.address)).await?;
    let rpc = client.rpc().serde(FormatId::OPAQUE);
    let payload = Bytes::from(vec![7; scenario.payload]);
    for _ in 0..WARM_UP.min(64 * 1024 * 1024 / scenario.payload) {
        rpc.call::<Bytes>("echo", (payload.clone(),)).await?;
    }
    let (cpu, begun) = (Clock::start(server.pid), Instant::now());
    let tasks = (0..scenario.in_flight).map(|_| {
        let (rpc, payload) = (rpc.clone(), payload.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while begun.elapsed() < time {
                let sent = Instant::now();
                let back: Bytes = rpc.call("echo", (payload.clone(),)).await?;
                latencies.push(sent.elapsed());
                assert_eq!(back.len(), payload.len(), "the echo is whole");
            }
            Ok::<_, daffi::CallError>(latencies)
        })
    });
    let mut latencies = Vec::new();
    for of_task in try_join_all(tasks).await? {
        latencies.append(&mut of_task?);
    }
    let (time, cpu) = (begun.elapsed(), cpu.elapsed());
    client.stop().await;
    Ok(Sample { calls: latencies.len() as u64, time, cpu, latencies })
}
