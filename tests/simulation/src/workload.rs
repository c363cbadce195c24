//! The calls that a host makes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use daffi_core::{CallError, Client, Rpc};
use daffi_wire::FormatId;
use fastrand::Rng;
use futures::{TryStreamExt, stream};
use tokio::{
    task::{JoinHandle, spawn_local},
    time::{sleep, timeout},
};

use crate::{
    callbacks::{BOTH, CHUNK, ECHO, Formats},
    ledger::{Ledger, Outcome},
    times::{self, CALLS_FROM, CALLS_UNTIL},
};

/// Payloads up to this size, rarely: larger than what a link writes or reads at once.
const LARGE: usize = 100_000;
/// And up to this one more rarely: it travels in parts.
const IN_PARTS: usize = 2_500_000;

/// So often at most what one payload has fits through a connection before all is well again, which
/// takes as long as a window travels each time: several of them share a connection, one after
/// another, and each passes two connections, there and back.
const WINDOWS: usize = 8;

/// What a callback answers.
type Echo = (u64, String, Bytes);

/// Makes calls of all styles until it is time to stop, and gives those that may still be open.
pub(crate) async fn make_calls(
    client: &Client<Formats>,
    ledger: &Arc<Ledger>,
    mut rng: Rng,
    workers: &[String],
    window: usize,
) -> Vec<JoinHandle<()>> {
    let mut open = Vec::new();
    times::until(CALLS_FROM).await;
    while times::now() < CALLS_UNTIL {
        sleep(Duration::from_millis(rng.u64(0..200))).await;
        for _ in 0..rng.usize(1..4) {
            let call = Planned::new(&mut rng, workers, WINDOWS * window);
            open.push(spawn_local(call.make(client.clone(), Arc::clone(ledger))));
        }
    }
    open
}

/// One call, as it was drawn.
struct Planned {
    style: Style,
    /// How long the callback takes, in milliseconds.
    delay: u64,
    pad: Bytes,
    timeout: Option<Duration>,
    wait_for_connection: bool,
    /// The caller drops the call after this time.
    dropped: Option<Duration>,
}

#[derive(Debug)]
enum Style {
    Rpc(Option<String>),
    RpcNowait,
    Cast,
    CastNowait,
    Stream {
        chunks: u64,
        window: usize,
    },
    StreamNowait {
        chunks: u64,
    },
    /// Items that are sent one by one and come back so.
    Both {
        items: u64,
        size: usize,
    },
}

impl Planned {
    fn new(rng: &mut Rng, workers: &[String], largest: usize) -> Self {
        let style = match rng.u8(0..20) {
            0..7 => Style::Rpc(None),
            7..9 => Style::Both { items: rng.u64(0..200), size: rng.usize(0..2_000) },
            9..12 => Style::Rpc(rng.choice(workers).cloned()),
            12..14 => Style::RpcNowait,
            14..17 => Style::Cast,
            17 => Style::CastNowait,
            18 => Style::Stream { chunks: rng.u64(0..20), window: rng.usize(1..5) },
            _ => Style::StreamNowait { chunks: rng.u64(0..20) },
        };
        let size = match rng.u8(0..20) {
            0 if rng.u8(0..4) == 0 => rng.usize(LARGE..IN_PARTS).min(largest),
            0 => rng.usize(0..LARGE),
            1..5 => rng.usize(0..10_000),
            _ => rng.usize(0..50),
        };
        let timeout = match rng.u8(0..10) {
            0..4 => None,
            4 => Some(Duration::from_millis(rng.u64(0..100))),
            _ => Some(Duration::from_millis(rng.u64(100..2_000))),
        };
        Self {
            style,
            delay: if rng.u8(0..4) == 0 { rng.u64(0..200) } else { 0 },
            pad: vec![rng.u8(..); size].into(),
            timeout,
            wait_for_connection: rng.bool(),
            dropped: (rng.u8(0..10) == 0).then(|| Duration::from_millis(rng.u64(0..300))),
        }
    }

    async fn make(self, client: Client<Formats>, ledger: Arc<Ledger>) {
        let what = format!("{:?} {} ms, {} bytes, timeout {:?}", self.style, self.delay, self.pad.len(), self.timeout);
        // The timeout of a stream is one of each chunk.
        let streams = matches!(self.style, Style::Stream { .. } | Style::StreamNowait { .. } | Style::Both { .. });
        let call = ledger.begin(client.name(), what, self.timeout.filter(|_| !streams));
        let id = call.id;
        let outcomes = self.outcomes(&client, &ledger, id);
        match self.dropped {
            None => {
                let outcomes = outcomes.await;
                call.end(outcomes);
            }
            Some(after) => match timeout(after, outcomes).await {
                Ok(outcomes) => call.end(outcomes),
                Err(_) => call.give_up(),
            },
        }
    }

    async fn outcomes(&self, client: &Client<Formats>, ledger: &Ledger, id: u64) -> Vec<(Option<String>, Outcome)> {
        let args = (id, self.delay, self.pad.clone());
        // Options that the styles share, whose types differ.
        macro_rules! with_options {
            ($call:expr) => {{
                let mut call = $call;
                if let Some(timeout) = self.timeout {
                    call = call.timeout(timeout);
                }
                if self.wait_for_connection {
                    call = call.wait_for_connection();
                }
                call
            }};
        }
        match &self.style {
            Style::Rpc(receiver) => {
                let mut call = with_options!(client.rpc());
                if let Some(receiver) = receiver {
                    call = call.receiver(receiver);
                }
                let answer = call.call::<Echo>(ECHO, args).await;
                let outcome = self.checked(ledger, id, receiver.as_deref(), answer);
                vec![(None, outcome)]
            }
            Style::RpcNowait => vec![(None, queued(with_options!(client.rpc_nowait()).call(ECHO, args).await))],
            Style::Cast => match with_options!(client.cast()).call::<Echo>(ECHO, args).await {
                Err(error) => vec![(None, error.into())],
                Ok(answers) => answers
                    .into_iter()
                    .map(|(name, answer)| {
                        let outcome = self.checked(ledger, id, Some(&name), answer);
                        (Some(name), outcome)
                    })
                    .collect(),
            },
            Style::CastNowait => {
                // One receiver may have been asked although another could not: the error tells
                // nothing of any one.
                let _sent = with_options!(client.cast_nowait()).call(ECHO, args).await;
                Vec::new()
            }
            Style::Stream { chunks, window } => {
                let sent = with_options!(client.stream()).window(*window).serde(FormatId::MSGPACK);
                match sent.send(CHUNK, stream::iter((0..*chunks).map(|place| (id, place)))).await {
                    Ok(count) => vec![(None, Outcome::Acknowledged(count, true))],
                    // With a wider window the chunk that failed is not the first without
                    // acknowledgement.
                    Err(error) => {
                        vec![(None, Outcome::Acknowledged(if *window == 1 { error.chunk } else { 0 }, false))]
                    }
                }
            }
            Style::Both { items, size } => {
                // Without a timeout: it ends all the same.
                let call = client.rpc();
                let call = if self.wait_for_connection { call.wait_for_connection() } else { call };
                vec![(None, self.both(ledger, id, both(&call, id, *items, *size).await))]
            }
            Style::StreamNowait { chunks } => {
                let sent = client.stream_nowait().serde(FormatId::MSGPACK);
                let sent = if self.wait_for_connection { sent.wait_for_connection() } else { sent };
                match sent.send(CHUNK, stream::iter((0..*chunks).map(|place| (id, place)))).await {
                    Ok(_) => vec![(None, Outcome::Queued)],
                    Err(error) => vec![(None, Outcome::Unknown(error.to_string()))],
                }
            }
        }
    }

    /// What came back must be what was sent, in order, and all of it unless there is an error.
    fn both(&self, ledger: &Ledger, id: u64, (came, ended): (Vec<u64>, Result<(), CallError>)) -> Outcome {
        let Style::Both { items, .. } = &self.style else { return Outcome::Queued };
        if came.iter().copied().ne(0..came.len() as u64) {
            ledger.violation(format!("call {id} got back in another order: {came:?}"));
        }
        match ended {
            Ok(()) if came.len() as u64 != *items => {
                ledger.violation(format!("call {id} got {} of {items} items and no error", came.len()));
                Outcome::Answered
            }
            Ok(()) => Outcome::Answered,
            Err(error) => failed(ledger, id, error),
        }
    }

    /// An answer must be the call's own.
    fn checked(&self, ledger: &Ledger, id: u64, receiver: Option<&str>, answer: Result<Echo, CallError>) -> Outcome {
        match answer {
            Ok((echoed, node, pad)) => {
                if echoed != id || pad != self.pad || receiver.is_some_and(|receiver| receiver != node) {
                    let text = format!("call {id} to {receiver:?} got the answer of {node} to call {echoed}");
                    ledger.violation(text);
                }
                Outcome::Answered
            }
            Err(error) => failed(ledger, id, error),
        }
    }
}

fn failed(ledger: &Ledger, id: u64, error: CallError) -> Outcome {
    let from_the_network = matches!(
        error,
        CallError::Remote { .. }
            | CallError::Timeout { .. }
            | CallError::ReceiverNotFound { .. }
            | CallError::ReceiverGone { .. }
            | CallError::Overloaded(_)
            | CallError::Disconnected(_)
            | CallError::Evicted
            | CallError::Stopped
    );
    if !from_the_network {
        ledger.violation(format!("call {id} failed with what no network does: {error}"));
    }
    error.into()
}

/// Sends items of one call, takes what comes back, and gives the places of that and how it ended.
async fn both(call: &Rpc<Formats>, id: u64, items: u64, size: usize) -> (Vec<u64>, Result<(), CallError>) {
    let mut came = Vec::new();
    let opened = call.duplex::<(u64, u64, Bytes), (u64, u64, Bytes)>(BOTH, (id,)).await;
    let (mut say, mut heard) = match opened {
        Ok(opened) => opened,
        Err(error) => return (came, Err(error)),
    };
    let sending = async move {
        for place in 0..items {
            // How the call ended its results say.
            if say.send((id, place, vec![7; size].into())).await.is_err() {
                return;
            }
        }
    };
    let taking = async {
        while let Some((echoed, place, _)) = heard.try_next().await? {
            // One of another call is in no order.
            came.push(if echoed == id { place } else { u64::MAX });
        }
        Ok(())
    };
    let (_, ended) = futures::join!(sending, taking);
    (came, ended)
}

fn queued(sent: Result<(), CallError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Queued,
        Err(error) => error.into(),
    }
}
