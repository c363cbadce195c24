//! Handshakes, events, credit, pings, extensions, data and cancels.

use daffi_wire::{
    CallCredit, CallId, Cancel, CancelReason, Credit, Data, DataEnd, EventBody, EventKind, Extensions, FlowId,
    FormatId, Frame, Grant, Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeName, NodeType,
    PackedItems, Ping, Role, StreamFlags,
};

use crate::{Signature, Tape, recorded::frames};

const LIMITS: Limits =
    Limits::new().max_frame_bytes(4_096).max_control_bytes(2_048).max_name_bytes(64).max_list_bytes(2_048);

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
    for kind in
        [EventKind::Connected, EventKind::Disconnected, EventKind::Evicted, EventKind::Stopping, EventKind::Stopped]
    {
        seeds.push([&[1], &EventBody { kind, member: "w,1 \u{7}".into() }.to_json()[..]].concat());
    }
    let grant = Grant::new(FlowId(7), 300, 65_536).ok().map(Credit::Grants);
    let credit = [Some(Credit::Begins(FlowId(7))), grant].into_iter().flatten();
    seeds.extend(credit.filter_map(|credit| {
        let frame = credit.frame("a", "b", &LIMITS).ok()?;
        Some([&[if frame.header().wants_reply() { 2 } else { 3 }], frame.payload()].concat())
    }));
    seeds.push([&[4], Ping::Asks(*b"12345678").frame().payload()].concat());
    let flags = StreamFlags { items_follow: true, takes_results: true };
    let said = Extensions::builder().time_left_ms(300).body(1 << 40).window(65_536).stream(flags);
    let said = said.header("tenant", "blue").and_then(|said| said.identity("anna")).and_then(|said| said.build());
    seeds.extend(said.ok().map(|said| [&[5], &said.as_bytes()[..]].concat()));
    seeds.push(b"\x06\x05\x03one\x03two".to_vec());
    seeds.push([7, CancelReason::Dropped.number()].to_vec());
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
    let (which, body) = (tape.byte() % 9, tape.rest());
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
                    // A window that goes beyond all totals is read as what there is of it.
                    if again != frame && Credit::read(&again).ok() != Some(credit) {
                        return Err(format!("{credit:?} is written as {again:?}"));
                    }
                    matches!(credit, Credit::Begins(_)).to_string()
                }
                Err(error) => text(&error),
            }
        }
        5 => match Extensions::read(body.to_vec().into()) {
            Ok(said) if said.as_bytes() != body => return Err(format!("{said:?} is kept as something else")),
            Ok(said) => {
                format!("{} {:?}", said.headers().count().min(3), said.identity().map(str::len).map(|n| n.min(3)))
            }
            Err(error) => text(&error),
        },
        6 => data(body)?,
        8 => match CallCredit::read(&about_call(Kind::Credit, true, body)?) {
            Ok(credit) => {
                let again = credit.frame("a", "b", &Limits::default()).map_err(|error| error.to_string())?;
                if CallCredit::read(&again).ok() != Some(credit) {
                    return Err(format!("{credit:?} is written as {again:?}"));
                }
                String::new()
            }
            Err(error) => text(&error),
        },
        7 => match Cancel::read(&framed(Kind::Cancel, true, body)?) {
            Ok(cancel) => format!("{:?}", cancel.reason),
            Err(error) => text(&error),
        },
        _ => match Ping::read(&framed(Kind::Ping, true, body)?) {
            Ok(ping) if ping.frame().payload() != body => return Err(format!("{ping:?} is written as something else")),
            Ok(_) => String::new(),
            Err(error) => text(&error),
        },
    };
    Ok(Signature::of((which, error)))
}

/// The first byte says what the frame ends and whether it is packed.
fn data(body: &[u8]) -> Result<String, String> {
    let (how, body) = body.split_first().map_or((0, body), |(how, body)| (*how, body));
    let end = [DataEnd::Nothing, DataEnd::Item, DataEnd::Direction][usize::from(how % 3)];
    let data =
        Data { id: CallId(7), from_caller: how & 8 != 0, end, packed: how & 4 != 0, bytes: body.to_vec().into() };
    let frame = data.frame("a", "b", &Limits::default()).map_err(|error| error.to_string())?;
    match Data::read(frame) {
        Ok(read) if read != data => Err(format!("{data:?} is read as {read:?}")),
        Ok(read) => {
            let items: Vec<_> = PackedItems::new(read.bytes).collect();
            let whole = items.iter().filter(|item| item.is_ok()).count();
            if whole + 1 < items.len() {
                return Err(format!("{} items follow an error", items.len() - whole));
            }
            Ok(format!("{} {}", whole.min(3), items.len() - whole))
        }
        Err(error) => Ok(text(&error)),
    }
}

fn framed(kind: Kind, wants_reply: bool, body: &[u8]) -> Result<Frame, String> {
    if kind == Kind::Cancel {
        return about_call(kind, wants_reply, body);
    }
    frame(Header::new(kind, CallId::NONE, FormatId::OPAQUE, false, wants_reply), body)
}

fn about_call(kind: Kind, wants_reply: bool, body: &[u8]) -> Result<Frame, String> {
    frame(Header::new(kind, CallId(7), FormatId::OPAQUE, false, wants_reply), body)
}

fn frame(header: Header, body: &[u8]) -> Result<Frame, String> {
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
