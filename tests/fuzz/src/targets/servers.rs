//! Raw peers against a Service or a Router, beside honest nodes that must not notice.

use std::time::Duration;

use conformance::Direction;
use daffi_core::{Router, Service};
use daffi_wire::{Role, SYN};
use tokio::time::sleep;

use super::{
    door::Door,
    node::{FOREVER, Node, callback, client, config, ends, formats, honest_call, name, no_tasks_are_left, simulated},
    peer::{Raw, Seen, frame},
};
use crate::{Signature, Tape, recorded};

/// Raw connections at a time.
const RAW: usize = 4;

/// Steps of one input.
const STEPS: usize = 64;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // connect, handshake as "raw" with callbacks, one request to each of some receivers, read,
    // let time pass.
    let hello = [1, 0, 0, 0, 0, 0, 1, 0, 1, 3, 0, 9];
    let request = |receiver: u8, payload: u8| [1, 0, 0, receiver, 0, 2, 1, 5, payload, 9];
    let mut seeds = vec![[&[0, 0], &hello[..]].concat()];
    for receiver in 0..7 {
        for kind in 5..10 {
            let mut call = request(receiver, 0);
            call[7] = kind;
            seeds.push([&[0, 0], &hello[..], &call, &[4, 0], &call, &[5, 0, 20], &[4, 0]].concat());
        }
    }
    for (number, conversation) in (0u16..).zip(recorded::native(Direction::ToServer)) {
        // Without the SYN, which the connection brings: its items, then what comes back.
        let [low, high] = number.to_le_bytes();
        let mut seed = vec![0, 0];
        for item in 1..conversation.items.len().min(30) {
            seed.extend([10, 0, low, high, u8::try_from(item).unwrap_or(u8::MAX), 0, 4, 0]);
        }
        seeds.push(seed);
    }
    seeds
}

pub(super) fn service(input: &[u8]) -> Result<Signature, String> {
    simulated(async {
        let (door, behind) = Door::new();
        let exposed = ["echo", "slow"].map(callback).into();
        let service = Service::builder(name("server"), formats())
            .config(config())
            .callbacks(exposed)
            .listen(vec![Box::new(behind)])
            .map_err(|error| error.to_string())?;
        let honest = client(&door, "honest", Vec::new()).await.map_err(|error| format!("{error:?}"))?;
        let mut added = 0;
        let seen = play(
            input,
            &door,
            || {
                added += 1;
                let _too_many = service.add_callbacks(vec![callback(&format!("late-{added}"))]);
            },
            &honest,
            "server",
        )
        .await?;
        sleep(Duration::from_secs(5)).await;
        honest_call(&honest, "server", 1_000).await?;
        if service.clients() != ["honest"] {
            return Err(format!("all raw peers are gone, and the clients are {:?}", service.clients()));
        }
        ends("stopping the honest node", honest.stop()).await?;
        ends("stopping the service", service.stop()).await?;
        drop((service, honest, door));
        no_tasks_are_left().await?;
        Ok(Signature::of(seen))
    })
}

pub(super) fn router(input: &[u8]) -> Result<Signature, String> {
    simulated(async {
        let (door, behind) = Door::new();
        let router = Router::builder(name("router"))
            .config(config())
            .listen(vec![Box::new(behind)])
            .map_err(|error| error.to_string())?;
        let exposed = ["echo", "slow"].map(callback).into();
        let server = client(&door, "server", exposed).await.map_err(|error| format!("{error:?}"))?;
        let honest = client(&door, "honest", vec![callback("echo")]).await.map_err(|error| format!("{error:?}"))?;
        let mut added = 0;
        let seen = play(
            input,
            &door,
            || {
                added += 1;
                let _too_many = server.add_callbacks(vec![callback(&format!("late-{added}"))]);
            },
            &honest,
            "server",
        )
        .await;
        sleep(Duration::from_secs(5)).await;
        // A raw peer may bear the honest worker's name: the newest has it, and the worker is told.
        let evicted = !server.is_connected();
        let seen = match seen {
            Err(_) if evicted => Seen::default(),
            seen => seen?,
        };
        if !evicted {
            honest_call(&honest, "server", 1_000).await?;
            honest_call(&server, "honest", 1_001).await?;
        }
        let mut members: Vec<_> = router.members().iter().map(|member| member.name.to_string()).collect();
        members.sort();
        let expected: &[&str] = if evicted { &["honest"] } else { &["honest", "server"] };
        if members != expected {
            return Err(format!("all raw peers are gone, and the members are {members:?}"));
        }
        let stats = router.stats();
        if (stats.open_calls, stats.held_requests, stats.members) != (0, 0, expected.len()) {
            return Err(format!("all raw peers are gone, and the router holds {stats:?}"));
        }
        ends("stopping an honest node", honest.stop()).await?;
        ends("stopping an honest node", server.stop()).await?;
        ends("stopping the router", router.stop()).await?;
        drop((router, server, honest, door));
        no_tasks_are_left().await?;
        Ok(Signature::of((seen, evicted)))
    })
}

/// Does what the input says.
async fn play(
    input: &[u8],
    door: &Door,
    mut add_callback: impl FnMut(),
    honest: &Node,
    receiver: &str,
) -> Result<Seen, String> {
    let (mut tape, mut seen) = (Tape::new(input), Seen::default());
    let mut raw: Vec<Raw> = Vec::new();
    let mut calls = Vec::new();
    for number in 0..STEPS as u64 {
        if tape.is_over() {
            break;
        }
        let step = tape.byte() % 11;
        if step == 0 {
            let mut peer = match door.connect() {
                Some(stream) => Raw::new(stream),
                None => return Err("nobody listens any more".into()),
            };
            if tape.byte() % 8 != 7 {
                peer.send(&SYN).await;
            }
            raw.truncate(RAW - 1);
            raw.push(peer);
            continue;
        }
        let which = usize::from(tape.byte());
        match (step, raw.len()) {
            (5, _) => sleep(Duration::from_millis(which as u64)).await,
            (6, _) => add_callback(),
            (7, _) => {
                let (honest, receiver) = (honest.clone(), receiver.to_owned());
                calls.push(tokio::spawn(async move { honest_call(&honest, &receiver, number).await }));
            }
            (_, 0) => {}
            (1 | 9, peers) => raw[which % peers].send(&frame(&mut tape, Role::Client)).await,
            (10, peers) => {
                // Some of what a client of 3.0.1 sent, in the middle of everything else.
                let (conversation, first, count) = (tape.number(), tape.byte(), tape.byte() % 8);
                for item in first..=first.saturating_add(count) {
                    raw[which % peers].send(recorded::item(Direction::ToServer, conversation, item)).await;
                }
            }
            (2, peers) => raw[which % peers].send(tape.bytes()).await,
            (3, peers) => raw[which % peers].shut().await,
            (4, peers) => raw[which % peers].receive(&mut seen).await,
            (_, peers) => drop(raw.swap_remove(which % peers)),
        }
    }
    for peer in &mut raw {
        peer.receive(&mut seen).await;
    }
    drop(raw);
    for call in calls {
        match tokio::time::timeout(FOREVER * 2, call).await {
            Ok(Ok(ended)) => ended?,
            Ok(Err(error)) => return Err(format!("an honest call panicked: {error}")),
            Err(_) => return Err("an honest call never ended".into()),
        }
    }
    Ok(seen)
}
