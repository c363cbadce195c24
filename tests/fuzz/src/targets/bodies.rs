//! Handshakes, events and credit.

use bytes::Bytes;
use daffi_wire::{
    EventBody, EventKind, Handshake, Kind, Level, Limits, Member, MethodName, NodeName, NodeType, Role, credit_amount,
    credit_frame,
};

use crate::{Signature, Tape, recorded::frames};

const LIMITS: Limits =
    Limits { max_frame_bytes: 4_096, max_control_bytes: 2_048, max_name_bytes: 64, max_list_bytes: 2_048 };

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let member =
        || Some(Member::new(NodeName::new("wörker", &LIMITS).ok()?, vec![MethodName::new("echo", &LIMITS).ok()?]));
    for (role, level) in [(Role::Client, Level::THREE), (Role::Service, Level::FOUR), (Role::Router, Level::FOUR)] {
        let body = Handshake::new(NodeType::new(role, level), member().into_iter().collect());
        seeds.push([&[0], &body.to_json()[..]].concat());
    }
    seeds.push(
        [&[0], &Handshake::refusal(NodeType::new(Role::Router, Level::THREE), "no \"room\"").to_json()[..]].concat(),
    );
    for kind in [EventKind::Connected, EventKind::Disconnected, EventKind::Evicted] {
        seeds.push([&[1], &EventBody { kind, member: "w,1 \u{7}".into() }.to_json()[..]].concat());
    }
    seeds.extend(credit_frame("a", "b", 300, &LIMITS).ok().map(|frame| [&[2], frame.payload()].concat()));
    seeds.extend(frames().filter_map(|frame| {
        let which = match frame.kind() {
            Kind::Handshake => 0,
            Kind::Events => 1,
            _ => return None,
        };
        Some([&[which], frame.payload()].concat())
    }));
    seeds
}

pub(super) fn run(input: &[u8]) -> Result<Signature, String> {
    let mut tape = Tape::new(input);
    let (which, body) = (tape.byte() % 3, tape.rest());
    let error = match which {
        0 => match Handshake::parse(body, &LIMITS) {
            Ok(parsed) => {
                let written = parsed.to_json();
                let again = Handshake::parse(&written, &Limits::default())
                    .map_err(|e| format!("{parsed:?} is written so that nobody reads it: {e}"))?;
                if again.to_json() != written || again.error != parsed.error {
                    return Err(format!("{parsed:?} became {again:?}"));
                }
                format!("{} {}", parsed.members.len().min(3), parsed.error.is_some())
            }
            Err(error) => text(&error),
        },
        1 => match EventBody::parse(body, &LIMITS) {
            Ok(parsed) => {
                if EventBody::parse(&parsed.to_json(), &Limits::default()).ok().as_ref() != Some(&parsed) {
                    return Err(format!("{parsed:?} is written so that it is read as something else"));
                }
                format!("{:?}", parsed.kind)
            }
            Err(error) => text(&error),
        },
        _ => match credit_amount(&Bytes::copy_from_slice(body)) {
            Ok(amount) => format!("{}", amount.min(1)),
            Err(error) => text(&error),
        },
    };
    Ok(Signature::of((which, error)))
}

/// An error and its causes without numbers and quoted words, which are the input's own.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(cause) = error.source() {
        text.push_str(&cause.to_string());
    }
    text.chars().filter(|c| c.is_ascii_alphabetic()).take(24).collect()
}
