//! What was expected beside what came, field by field.

use std::fmt;

use serde_json::Value as Json;

use crate::{
    Extension, Format, Frame, Free, Item, Kind, Outcome,
    text::{
        payload::{digest, hex},
        write::write_outcome,
    },
    value,
};

/// One field of two items that should be alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// As recorded.
    pub expected: String,
    /// As it came.
    pub got: String,
    /// Whether they are alike, as far as the recording asks.
    pub same: bool,
}

/// Two items that differ, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The fields, in the order of the wire.
    pub fields: Vec<Field>,
}

impl Comparison {
    fn field(&mut self, name: &'static str, expected: impl fmt::Display, got: impl fmt::Display, same: bool) {
        self.fields.push(Field { name, expected: expected.to_string(), got: got.to_string(), same });
    }

    fn plain<T: PartialEq + fmt::Display>(&mut self, name: &'static str, expected: T, got: T) {
        let same = expected == got;
        self.field(name, expected, got, same);
    }

    /// The first field that differs.
    #[must_use]
    pub fn first(&self) -> Option<&Field> {
        self.fields.iter().find(|field| !field.same)
    }

    /// Compares what was recorded with what came.
    #[must_use]
    pub fn of_items(expected: &Item, got: &Item, free: &[Free]) -> Self {
        let mut all = Self::default();
        match (expected, got) {
            (Item::Frame(expected), Item::Frame(got)) => all.frames(expected, got, free),
            (Item::Upgrade(expected), Item::Upgrade(got)) if free.contains(&Free::UpgradeForm) => {
                all.upgrades(expected, got);
            }
            (expected, got) => {
                all.plain("what", crate::text::write::item_title(expected), crate::text::write::item_title(got));
                let same = expected == got;
                all.field("bytes", show(&expected.to_bytes()), show(&got.to_bytes()), same);
            }
        }
        all
    }

    /// Compares how an action ended.
    #[must_use]
    pub fn of_outcomes(expected: &Outcome, got: &Outcome) -> Self {
        let text = |outcome| {
            let mut text = String::new();
            write_outcome(outcome, &mut text);
            text.trim().to_owned()
        };
        let mut all = Self::default();
        all.plain("outcome", text(expected), text(got));
        all
    }

    fn frames(&mut self, expected: &Frame, got: &Frame, free: &[Free]) {
        let (e, g) = (expected, got);
        self.plain("flag", e.kind, g.kind);
        let same = e.uuid == g.uuid;
        self.field("uuid", e.uuid, g.uuid, same);
        self.plain("decoder", e.format, g.format);
        self.plain("is_bytes", u8::from(e.is_bytes), u8::from(g.is_bytes));
        self.plain("return_result", u8::from(e.wants_reply), u8::from(g.wants_reply));
        self.plain("msg_parts", e.parts, g.parts);
        self.plain("endian", u8::from(e.little_endian), u8::from(g.little_endian));
        for (name, at) in [("transmitter", 0), ("receiver", 1), ("function", 2)] {
            self.plain(name, &e.names[at], &g.names[at]);
        }
        if let (Some((said, e_rest)), Some((says, g_rest))) = (e.split_extensions(), g.split_extensions()) {
            let is_free = free.contains(&Free::TimeLeft);
            let same =
                said.len() == says.len() && said.iter().zip(&says).all(|(one, other)| as_said(one, other, is_free));
            self.field("extensions", lines(&said), lines(&says), same);
            let plain = |frame: &Frame, payload| Frame { payload, little_endian: true, ..frame.clone() };
            return self.payloads(&plain(e, e_rest), &plain(g, g_rest), free);
        }
        self.payloads(e, g, free);
    }

    fn payloads(&mut self, e: &Frame, g: &Frame, free: &[Free]) {
        let alike = e.payload == g.payload || e.kind == g.kind && e.format == g.format && same_payload(e, g, free);
        match first_difference(e, g).filter(|_| !alike && e.kind == g.kind) {
            Some((path, expected, got)) => self.field("payload", format!("{expected} at {path}"), got, false),
            None => self.field("payload", payload(e), payload(g), alike),
        }
    }

    fn upgrades(&mut self, expected: &str, got: &str) {
        let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        self.plain("status", line(expected), line(got));
        for name in ["upgrade", "connection", "sec-websocket-accept", "sec-websocket-extensions"] {
            let same_case =
                |name: &str, value: String| if name == "sec-websocket-accept" { value } else { value.to_lowercase() };
            self.plain(name, same_case(name, header(expected, name)), same_case(name, header(got, name)));
        }
    }
}

/// Whether an extension is the one that was recorded; of a call's time some may have passed.
fn as_said(said: &Extension, says: &Extension, is_free: bool) -> bool {
    let is_time = (said.tag, says.tag) == (Extension::TIME_LEFT, Extension::TIME_LEFT);
    said == says || is_free && is_time && (Some(1)..=said.number()).contains(&says.number())
}

fn lines(extensions: &[Extension]) -> String {
    extensions.iter().map(Extension::line).collect::<Vec<_>>().join(", ")
}

fn header(text: &str, name: &str) -> String {
    let value = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn same_payload(expected: &Frame, got: &Frame, free: &[Free]) -> bool {
    let has = |rule| free.contains(&rule);
    match (expected.kind, expected.format) {
        (kind, Format::JSON) if kind.is_call() && has(Free::JsonForm) => {
            let parse = |frame: &Frame| serde_json::from_slice::<Json>(&frame.payload).ok();
            parse(expected).is_some_and(|value| parse(got) == Some(value))
        }
        (kind, Format::PICKLE) if kind.is_call() && has(Free::PickleForm) => {
            // As text: NaN is NaN there, and 1 is not 1.0.
            let read = |frame: &Frame| value::read_pickle(&frame.payload).map(|value| format!("{value:?}"));
            read(expected).is_some_and(|value| read(got) == Some(value))
        }
        (Kind::HANDSHAKE, _) if has(Free::MethodOrder) || has(Free::MemberOrder) => {
            let order = |frame| in_order(frame, has(Free::MethodOrder), has(Free::MemberOrder));
            order(expected).is_some_and(|text| order(got) == Some(text))
        }
        _ => false,
    }
}

/// A handshake's text with what is free put in order; the rest stays as it is, byte for byte.
pub(crate) fn in_order(frame: &Frame, methods: bool, members: bool) -> Option<String> {
    let text = std::str::from_utf8(&frame.payload).ok()?;
    let (head, list) = text.split_once("\"members\":[")?;
    let list = list.strip_suffix("]}")?;
    let mut all: Vec<String> = Vec::new();
    // Members are flat but for the list of methods.
    for member in list.split_inclusive("}").map(|member| member.trim_start_matches(',')) {
        match member.split_once("\"methods\":[") {
            Some((name, rest)) if methods => {
                let (names, end) = rest.rsplit_once(']')?;
                let mut names: Vec<_> = names.split(',').collect();
                names.sort_unstable();
                all.push(format!("{name}\"methods\":[{}]{end}", names.join(",")));
            }
            _ => all.push(member.to_owned()),
        }
    }
    if members {
        all.sort();
    }
    Some(format!("{head}\"members\":[{}]}}", all.join(",")))
}

/// Tells where two JSON payloads differ first: by the path of the member, or by the byte when they
/// are the same value.
fn first_difference(expected: &Frame, got: &Frame) -> Option<(String, String, String)> {
    let parse = |frame: &Frame| serde_json::from_slice::<Json>(&frame.payload).ok();
    let (one, other) = (parse(expected)?, parse(got)?);
    let mut path = String::new();
    match descend(&one, &other, &mut path) {
        Some((one, other)) if !path.is_empty() => Some((path, one, other)),
        _ => {
            let same = expected.payload.iter().zip(&got.payload).take_while(|(one, other)| one == other).count();
            Some((format!("byte {same}"), payload(expected), payload(got)))
        }
    }
}

fn descend(one: &Json, other: &Json, path: &mut String) -> Option<(String, String)> {
    if one == other {
        return None;
    }
    let kept = path.len();
    let inner: Vec<(String, &Json, &Json)> = match (one, other) {
        (Json::Object(one), Json::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().map(|(key, value)| (format!(".{key}"), value, &other[key])).collect()
        }
        (Json::Array(one), Json::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).enumerate().map(|(at, (one, other))| (format!("[{at}]"), one, other)).collect()
        }
        _ => Vec::new(),
    };
    for (step, one, other) in inner {
        path.push_str(&step);
        if let Some(found) = descend(one, other, path) {
            return Some(found);
        }
        path.truncate(kept);
    }
    Some((show(one.to_string().as_bytes()), show(other.to_string().as_bytes())))
}

/// Bytes of a payload that a difference shows.
const SHOWN: usize = 400;

fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        _ if bytes.len() > SHOWN => {
            format!("{} bytes, sha256 {}, beginning {}", bytes.len(), digest(bytes), hex(&bytes[..SHOWN / 10]))
        }
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(text) => format!("{text:?}"),
        Err(_) => hex(bytes),
    }
}

fn payload(frame: &Frame) -> String {
    match value::readable(frame) {
        Some(read) if frame.payload.len() <= SHOWN => format!("{read}  ({})", hex(&frame.payload)),
        _ => show(&frame.payload),
    }
}

impl fmt::Display for Comparison {
    /// A table; the first difference is marked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.fields.iter().position(|field| !field.same);
        for (at, Field { name, expected, got, same }) in self.fields.iter().enumerate() {
            let mark = if Some(at) == first { ">>" } else { "  " };
            if *same && expected == got {
                writeln!(f, "  {mark} {name:<14} {expected}")?;
            } else if *same {
                writeln!(f, "  {mark} {name:<14} {expected}  (alike: {got})")?;
            } else {
                writeln!(f, "  {mark} {name:<14} expected {expected}")?;
                writeln!(f, "     {:<14} got      {got}", "")?;
            }
        }
        Ok(())
    }
}
