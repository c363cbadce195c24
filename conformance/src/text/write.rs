use std::fmt::Write;

use super::payload;
use crate::{Action, Difference, Direction, Frame, Free, Item, NodeSpec, Only, Outcome, Session, Step, What, value};

impl Session {
    /// The text of its file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        head(self, &mut out);
        let mut stimulus = false;
        for step in &self.steps {
            let from_outside = matches!(
                step.what,
                What::Connects { .. } | What::Does { .. } | What::Sends { direction: Direction::ToServer, .. }
            );
            if from_outside && !stimulus {
                out.push('\n');
            }
            stimulus = from_outside;
            write_step(step, &mut out);
        }
        out
    }
}

// Writing to a String never fails.
macro_rules! line {
    ($out:expr, $($text:tt)*) => { let _ = writeln!($out, $($text)*); };
}

fn head(session: &Session, out: &mut String) {
    line!(out, "session {}", session.name);
    line!(out, "about {}", session.about);
    line!(out, "recorded-with {}", session.recorded_with);
    line!(out, "volatile recorded-with");
    for rule in &session.holds {
        line!(out, "holds {rule}");
    }
    for free in &session.free {
        for (word, _) in Free::ALL.iter().filter(|(_, known)| known == free) {
            line!(out, "free {word}");
        }
    }
    for NodeSpec { name, kind, by, workers, exposes } in &session.nodes {
        let (kind, by) = (kind.word(), by.word());
        let callbacks: String = exposes.iter().map(|name| format!(" {name}")).collect();
        line!(out, "node {} {kind} {by} workers {workers}{callbacks}", quote(name));
    }
    for Difference { key, kinds, theirs, ours, promise } in &session.differences {
        let kinds: String = kinds.iter().map(|kind| format!(" {}", kind.word())).collect();
        line!(out, "difference {key}{kinds}");
        line!(out, "    theirs {theirs}");
        line!(out, "    ours {ours}");
        line!(out, "    promise {promise}");
    }
}

pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The first line of a step.
pub(crate) fn title(what: &What) -> String {
    match what {
        What::Connects { connection, node } => format!("{connection} connects {}", quote(node)),
        What::Does { node, number, action } => {
            format!("{} does {number} {} {}", quote(node), action.verb, quote(&action.method))
        }
        What::Gets { node, number, .. } => format!("{} gets {number}", quote(node)),
        What::Sends { connection, direction, item } => {
            format!("{connection} {} {}", direction.arrow(), item_title(item))
        }
    }
}

pub(crate) fn item_title(item: &Item) -> String {
    match item {
        Item::Syn(_) => "SYN".into(),
        Item::Upgrade(_) => "UPGRADE".into(),
        Item::Message(opcode, _) => format!("MESSAGE opcode {opcode}"),
        Item::Raw(_) => "RAW".into(),
        Item::End => "END".into(),
        Item::Frame(frame) => {
            let Frame { uuid, kind, format, is_bytes, wants_reply, parts, little_endian, .. } = &**frame;
            let mut text = format!("{kind} uuid {uuid} {format} {}", if *is_bytes { "bytes" } else { "text" });
            if *wants_reply {
                text.push_str(" wants-reply");
            }
            if *parts != 1 {
                let _ = write!(text, " parts {parts}");
            }
            if !little_endian {
                text.push_str(" big-endian");
            }
            text
        }
    }
}

fn write_step(step: &Step, out: &mut String) {
    line!(out, "{}", title(&step.what));
    match &step.only {
        Some(Only::Theirs(key)) => {
            line!(out, "    only-3.0.1 {key}");
        }
        Some(Only::Ours(key)) => {
            line!(out, "    only-ours {key}");
        }
        None => {}
    }
    match &step.what {
        What::Connects { .. } => {}
        What::Sends { item, .. } => write_item(item, out),
        What::Does { action: Action { args, kwargs, options, .. }, .. } => {
            line!(out, "    args {args}");
            if kwargs.as_object().is_some_and(|kwargs| !kwargs.is_empty()) {
                line!(out, "    kwargs {kwargs}");
            }
            for (name, value) in options {
                line!(out, "    {name} {value}");
            }
        }
        What::Gets { outcome, .. } => write_outcome(outcome, out),
    }
}

pub(crate) fn write_outcome(outcome: &Outcome, out: &mut String) {
    match outcome {
        Outcome::Value(value) => {
            line!(out, "    value {value}");
        }
        Outcome::Remote(class, text) => {
            line!(out, "    error {class} {}", quote(text));
        }
        Outcome::Failed(how) => {
            line!(out, "    failed {how}");
        }
    }
}

pub(crate) fn write_item(item: &Item, out: &mut String) {
    match item {
        Item::Syn(bytes) if bytes[..] == [0x1f; 9] => {}
        Item::Syn(bytes) | Item::Raw(bytes) | Item::Message(_, bytes) => payload::write(bytes, out),
        Item::Upgrade(text) => {
            for text in text.split_inclusive("\r\n") {
                line!(out, "    quoted {}", quote(text));
            }
        }
        Item::End => {}
        Item::Frame(frame) => {
            let [transmitter, receiver, function] = frame.names.each_ref().map(|name| quote(name));
            line!(out, "    names {transmitter} {receiver} {function}");
            match frame.split_extensions().filter(|(all, _)| !all.is_empty()) {
                Some((all, rest)) => {
                    for extension in all {
                        line!(out, "    extension {}", extension.line());
                    }
                    payload::write(&rest, out);
                }
                None => payload::write(&frame.payload, out),
            }
            if let Some(read) = value::readable(frame) {
                line!(out, "    # {read}");
            }
        }
    }
}
