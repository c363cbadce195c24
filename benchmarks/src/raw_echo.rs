//! The ceiling: the same bytes written and read back, batched by hand, no task per call.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::{
    Result,
    cpu::Clock,
    scenario::{Sample, Scenario, Transport},
    server::Child,
};

pub(crate) async fn measure(server: &Child, scenario: Scenario, time: Duration) -> Result<Sample> {
    match server.transport {
        Transport::Tcp => {
            let stream = TcpStream::connect(&server.address).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            exchange(reader, writer, server.pid, scenario, time).await
        }
        Transport::Unix => {
            let (reader, writer) = UnixStream::connect(&server.address).await?.into_split();
            exchange(reader, writer, server.pid, scenario, time).await
        }
    }
}

async fn exchange(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    server: u32,
    scenario: Scenario,
    time: Duration,
) -> Result<Sample> {
    let batch = vec![7; scenario.wire_bytes() * scenario.in_flight];
    let mut back = vec![0; batch.len()];
    let (cpu, begun) = (Clock::start(server), Instant::now());
    let (mut calls, mut latencies) = (0, Vec::new());
    while begun.elapsed() < time {
        let sent = Instant::now();
        // Reads while it writes: a large batch does not fit into the socket's buffers.
        tokio::try_join!(writer.write_all(&batch), reader.read_exact(&mut back))?;
        latencies.push(sent.elapsed());
        calls += scenario.in_flight as u64;
    }
    Ok(Sample { calls, time: begun.elapsed(), cpu: cpu.elapsed(), latencies })
}
