//! A raw server, and API calls, against a Client.

use std::time::Duration;

use bytes::Bytes;
use conformance::Direction;
use daffi_wire::{CallId, Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeType, Role};
use futures::stream;
use tokio::time::{sleep, timeout};

use super::{
    door::Door,
    node::{FOREVER, Node, callback, client, ends, name, no_tasks_are_left, simulated},
    peer::{Raw, Seen, frame},
};
use crate::{Signature, Tape, recorded};

const STEPS: usize = 64;

/// Every call has one, so every call ends within it.
const TIMEOUT: Duration = Duration::from_millis(300);

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for welcome in 0..4 {
        for call in 0..6 {
            for kind in 0..10 {
                // a call; a frame of "worker" to us with number 2; a call; read; time passes.
                seeds.push(vec![welcome, 2, call, 1, 0, 2, 0, 0, 2, 0, kind, 0, 9, 2, call, 3, 4, 20]);
            }
        }
    }
    for (number, conversation) in (0u16..).zip(recorded::native(Direction::ToClient)) {
        let [low, high] = number.to_le_bytes();
        let mut seed = vec![1, 2, 0];
        for item in 0..conversation.items.len().min(30) {
            seed.extend([8, low, high, u8::try_from(item).unwrap_or(u8::MAX), 0, 2, 1]);
        }
        seeds.push(seed);
    }
    seeds
}

/// The answer to a client's handshake that a good server gives.
fn welcome(how: u8) -> Vec<u8> {
    let limits = Limits::default();
    let role = if how & 1 == 1 { Role::Router } else { Role::Service };
    let level = if how & 2 == 2 { Level::FOUR } else { Level::THREE };
    let methods = ["echo", "slow", "chunk"].iter().filter_map(|m| MethodName::new(m, &limits).ok()).collect();
    let body = Handshake::new(NodeType::new(role, level), vec![Member::new(name("worker"), methods)]).to_json();
    let header = Header::control(Kind::Handshake, CallId(1), true);
    daffi_wire::Frame::new(header, "caller", "", "", &body, &limits).map(|f| f.as_bytes().to_vec()).unwrap_or_default()
}

pub(super) fn run(input: &[u8]) -> Result<Signature, String> {
    simulated(async {
        let (mut tape, mut seen) = (Tape::new(input), Seen::default());
        let (door, mut behind) = Door::new();
        let connecting = {
            let door = door.clone();
            tokio::spawn(async move { client(&door, "caller", vec![callback("echo"), callback("slow")]).await })
        };
        let Some(stream) = behind.incoming.recv().await else { return Err("it does not connect".into()) };
        let mut server = Raw::new(stream);
        server.skip_opening().await;
        server.receive(&mut seen).await;
        let how = tape.byte();
        // Now and then a bad server from the first word on.
        if how & 0xf0 == 0xf0 {
            server.send(&frame(&mut tape, Role::Router)).await;
        }
        server.send(&welcome(how)).await;
        let node = match ends("connecting", connecting).await? {
            Ok(Ok(node)) => node,
            Ok(Err(error)) => {
                drop(server);
                no_tasks_are_left().await?;
                return Ok(Signature::of(error.to_string()));
            }
            Err(error) => return Err(format!("connecting panicked: {error}")),
        };
        let mut calls = Vec::new();
        let mut added = 0;
        for _ in 0..STEPS {
            if tape.is_over() {
                break;
            }
            match tape.byte() % 9 {
                0 | 1 => server.send(&frame(&mut tape, Role::Router)).await,
                2 => calls.push(tokio::spawn(call(node.clone(), tape.byte()))),
                3 => server.receive(&mut seen).await,
                4 => sleep(Duration::from_millis(u64::from(tape.byte()))).await,
                5 => server.send(tape.bytes()).await,
                8 => {
                    // Some of what a server of 3.0.1 sent, in the middle of everything else.
                    let (conversation, first, count) = (tape.number(), tape.byte(), tape.byte() % 8);
                    for item in first..=first.saturating_add(count) {
                        server.send(recorded::item(Direction::ToClient, conversation, item)).await;
                    }
                }
                6 => {
                    added += 1;
                    let _too_many = node.add_callbacks(vec![callback(&format!("late-{added}"))]);
                    if tape.byte() & 1 == 1 {
                        node.reannounce();
                    }
                }
                _ => {
                    // The connection ends, or a newer one has come meanwhile: a good server again.
                    if tape.byte() & 1 == 1 {
                        server.shut().await;
                        sleep(Duration::from_millis(300)).await;
                    }
                    while let Ok(stream) = behind.incoming.try_recv() {
                        server = Raw::new(stream);
                        server.skip_opening().await;
                        server.receive(&mut seen).await;
                        server.send(&welcome(how)).await;
                    }
                }
            }
        }
        server.receive(&mut seen).await;
        for call in calls {
            let ended = timeout(FOREVER, call).await.map_err(|_| "a call with a timeout never ended".to_owned())?;
            seen.add(ended.map_err(|error| format!("a call panicked: {error}"))?);
        }
        drop((server, behind));
        ends("stopping", node.stop()).await?;
        drop((node, door));
        no_tasks_are_left().await?;
        Ok(Signature::of(seen))
    })
}

/// Makes a call in one of the styles, and tells how it ended.
async fn call(node: Node, style: u8) -> String {
    let number = u64::from(style);
    let method = if style & 8 == 8 { "slow" } else { "echo" };
    let ended = match style % 6 {
        0 => node.rpc().timeout(TIMEOUT).call::<u64>(method, (number,)).await.map(drop),
        1 => node.rpc().timeout(TIMEOUT).wait_for_connection().call::<Bytes>(method, (number,)).await.map(drop),
        2 => node.rpc_nowait().timeout(TIMEOUT).call(method, (number,)).await,
        3 => node.cast().timeout(TIMEOUT).call::<u64>(method, (number,)).await.map(drop),
        4 => node.cast_nowait().timeout(TIMEOUT).call(method, (number,)).await,
        _ => {
            let chunks = stream::iter(0..4u64);
            let sent = node.stream().serde(daffi_wire::FormatId::MSGPACK).timeout(TIMEOUT).window(2);
            sent.send("chunk", chunks).await.map(drop).map_err(|error| *error.source)
        }
    };
    match ended {
        Ok(()) => "ok".into(),
        Err(error) => error.to_string().chars().filter(|c| c.is_ascii_alphabetic()).take(30).collect(),
    }
}
