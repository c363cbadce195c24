//! Handshakes, events, credit and pings.

use daffi_wire::{
    CallId, Credit, EventBody, EventKind, FlowId, FormatId, Frame, Grant, Handshake, Header, Kind, Level, Limits,
    Member, MethodName, NodeName, NodeType, Ping, Role,
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
    let grant = Grant::new(FlowId(7), 300, 65_536).ok().map(Credit::Grants);
    let credit = [Some(Credit::Begins(FlowId(7))), grant].into_iter().flatten();
    seeds.extend(credit.filter_map(|credit| {
        let frame = credit.frame("a", "b", &LIMITS).ok()?;
        Some([&[if frame.header().wants_reply() { 2 } else { 3 }], frame.payload()].concat())
    }));
    seeds.push([&[4], Ping::Asks(*b"12345678").frame().payload()].concat());
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
    let (which, body) = (tape.byte() % 5, tape.rest());
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
        2 | 3 => {
            let frame = framed(Kind::Credit, which == 2, body)?;
            match Credit::read(&frame) {
                Ok(credit) => {
                    let again = credit.frame("a", "b", &Limits::default()).map_err(|e| e.to_string())?;
                    if again != frame {
                        return Err(format!("{credit:?} is written as {again:?}"));
                    }
                    matches!(credit, Credit::Begins(_)).to_string()
                }
                Err(error) => text(&error),
            }
        }
        _ => match Ping::read(&framed(Kind::Ping, true, body)?) {
            Ok(ping) if ping.frame().payload() != body => return Err(format!("{ping:?} is written as something else")),
            Ok(_) => String::new(),
            Err(error) => text(&error),
        },
    };
    Ok(Signature::of((which, error)))
}

fn framed(kind: Kind, wants_reply: bool, body: &[u8]) -> Result<Frame, String> {
    let header = Header::new(kind, CallId::NONE, FormatId::OPAQUE, false, wants_reply);
    Frame::new(header, "a", "b", "", body, &Limits::default()).map_err(|error| error.to_string())
}

/// An error and its causes without numbers and quoted words, which are the input's own.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(cause) = error.source() {
        text.push_str(&cause.to_string());
    }
    text.chars().filter(|c| c.is_ascii_alphabetic()).take(24).collect()
}
