use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value as Json;

use super::payload;
use crate::{
    Action, By, Difference, Direction, Extension, Format, Frame, Free, Item, Kind, NodeKind, NodeSpec, Only, Outcome,
    Session, Step, What, extension::write_block,
};

/// Why a text is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?}: {why}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// A line and the lines indented below it.
struct Block<'a> {
    at: usize,
    title: &'a str,
    lines: Vec<(usize, &'a str)>,
}

impl Block<'_> {
    fn error(&self, why: impl Into<String>) -> ParseError {
        ParseError { line: self.at, text: self.title.to_owned(), why: why.into() }
    }
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, ParseError> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        let inner = line.trim_start();
        if inner.is_empty() || inner.starts_with('#') {
            continue;
        }
        if inner.len() == line.len() {
            blocks.push(Block { at, title: line, lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.lines.push((at, inner));
        } else {
            return Err(ParseError { line: at, text: line.to_owned(), why: "indented below nothing".into() });
        }
    }
    Ok(blocks)
}

impl Session {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`ParseError`] names the line.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut session = Self::default();
        for block in blocks(text)? {
            let taken = session.head(&block).map_err(|why| block.error(why))?;
            if !taken {
                session.steps.push(step(&block)?);
            }
        }
        if session.name.is_empty() {
            return Err(ParseError { line: 1, text: String::new(), why: "there is no line `session NAME`".into() });
        }
        Ok(session)
    }

    /// Takes a line of the head; `false`: it is a step.
    fn head(&mut self, block: &Block<'_>) -> Result<bool, String> {
        let (word, rest) = split(block.title);
        match word {
            "session" => self.name = rest.to_owned(),
            "about" => self.about = rest.to_owned(),
            "recorded-with" => self.recorded_with = rest.to_owned(),
            "volatile" if rest == "recorded-with" => {}
            "volatile" => return Err("only recorded-with is volatile".into()),
            "holds" => self.holds.push(rest.to_owned()),
            "free" => self.free.push(find_known(&Free::ALL, rest)?),
            "node" => self.nodes.push(node(rest)?),
            "difference" => {
                let (key, kinds) = split(rest);
                let kinds =
                    kinds.split_whitespace().map(|word| find_known(&NodeKind::ALL, word)).collect::<Result<_, _>>()?;
                let field = |name: &str| {
                    let line = block.lines.iter().find_map(|(_, line)| line.strip_prefix(name)?.strip_prefix(' '));
                    line.map(str::to_owned).ok_or_else(|| format!("a difference needs a line `{name}`"))
                };
                self.differences.push(Difference {
                    key: key.to_owned(),
                    kinds,
                    theirs: field("theirs")?,
                    ours: field("ours")?,
                    promise: field("promise")?,
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn find_known<T: Copy>(all: &[(&str, T)], word: &str) -> Result<T, String> {
    all.iter().find(|(name, _)| *name == word).map(|(_, known)| *known).ok_or_else(|| format!("{word:?} is unknown"))
}

/// A JSON string at the front of a text, and what follows it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next().ok_or("a quoted text is missing")?.map_err(|error| error.to_string())?;
    let rest = &text[values.byte_offset()..];
    Ok((value, rest.trim_start()))
}

fn node(text: &str) -> Result<NodeSpec, String> {
    let (name, rest) = unquote(text)?;
    let mut words = rest.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let kind = find_known(&NodeKind::ALL, word())?;
    let by = find_known(&By::ALL, word())?;
    if word() != "workers" {
        return Err("node NAME KIND BY workers N CALLBACK..".into());
    }
    let workers = number(word())?;
    Ok(NodeSpec { name, kind, by, workers, exposes: words.map(str::to_owned).collect() })
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word:?} is not a number that fits"))
}

fn step(block: &Block<'_>) -> Result<Step, ParseError> {
    let mut only = None;
    let mut lines = Vec::new();
    for (at, line) in &block.lines {
        let (word, rest) = split(line);
        match word {
            "only-3.0.1" => only = Some(Only::Theirs(rest.to_owned())),
            "only-ours" => only = Some(Only::Ours(rest.to_owned())),
            _ => lines.push((*at, word, rest)),
        }
    }
    let what = if block.title.starts_with('"') { of_node(block, &lines) } else { of_connection(block, &lines) }?;
    Ok(Step { only, what })
}

type Lines<'a> = [(usize, &'a str, &'a str)];

fn of_node(block: &Block<'_>, lines: &Lines<'_>) -> Result<What, ParseError> {
    let wrong = |why: String| block.error(why);
    let (node, rest) = unquote(block.title).map_err(wrong)?;
    let (verb, rest) = split(rest);
    let (index, rest) = split(rest);
    let index = number(index).map_err(wrong)?;
    match verb {
        "does" => {
            let (verb, rest) = split(rest);
            let (method, _) = unquote(rest).map_err(wrong)?;
            let mut action = Action {
                verb: verb.to_owned(),
                method,
                args: Json::Array(Vec::new()),
                kwargs: Json::Object(serde_json::Map::new()),
                options: BTreeMap::new(),
            };
            for (at, word, rest) in lines {
                let value = serde_json::from_str(rest).map_err(|error| ParseError {
                    line: *at,
                    text: (*rest).into(),
                    why: error.to_string(),
                })?;
                match *word {
                    "args" => action.args = value,
                    "kwargs" => action.kwargs = value,
                    option => drop(action.options.insert(option.to_owned(), value)),
                }
            }
            Ok(What::Does { node, number: index, action })
        }
        "gets" => {
            let Some((_, word, rest)) = lines.first() else { return Err(block.error("what?")) };
            let outcome = match *word {
                "value" => Outcome::Value(serde_json::from_str(rest).map_err(|error| block.error(error.to_string()))?),
                "failed" => Outcome::Failed((*rest).to_owned()),
                "error" => {
                    let (class, text) = split(rest);
                    Outcome::Remote(class.to_owned(), unquote(text).map_err(wrong)?.0)
                }
                _ => return Err(block.error("value, error or failed")),
            };
            Ok(What::Gets { node, number: index, outcome })
        }
        _ => Err(block.error("a node does or gets")),
    }
}

fn of_connection(block: &Block<'_>, lines: &Lines<'_>) -> Result<What, ParseError> {
    let wrong = |why: String| block.error(why);
    let (connection, rest) = split(block.title);
    let connection = number(connection).map_err(wrong)?;
    let (verb, rest) = split(rest);
    let direction = match verb {
        "connects" => {
            let (node, _) = unquote(rest).map_err(wrong)?;
            return Ok(What::Connects { connection, node });
        }
        ">" => Direction::ToServer,
        "<" => Direction::ToClient,
        _ => return Err(block.error("a connection connects, > or <")),
    };
    let (mut names, mut extensions) = (None, Vec::new());
    let mut reader = payload::Reader::default();
    for (at, word, rest) in lines {
        let wrong = |why: String| ParseError { line: *at, text: format!("{word} {rest}"), why };
        if *word == "names" {
            names = Some(three(rest).map_err(wrong)?);
        } else if *word == "extension" {
            extensions.push(Extension::parse(rest).map_err(wrong)?);
        } else if !reader.line(word, rest).map_err(wrong)? {
            return Err(wrong("unknown".into()));
        }
    }
    let mut payload = reader.finish().map_err(wrong)?;
    if !extensions.is_empty() {
        payload = [write_block(&extensions).map_err(wrong)?.into(), payload].concat().into();
    }
    let item = item(rest, names, payload).map_err(wrong)?;
    Ok(What::Sends { connection, direction, item })
}

fn three(text: &str) -> Result<[String; 3], String> {
    let (transmitter, rest) = unquote(text)?;
    let (receiver, rest) = unquote(rest)?;
    let (function, _) = unquote(rest)?;
    Ok([transmitter, receiver, function])
}

fn item(title: &str, names: Option<[String; 3]>, payload: Bytes) -> Result<Item, String> {
    let mut words = title.split(' ');
    let first = words.next().unwrap_or_default();
    Ok(match first {
        "SYN" if payload.is_empty() => Item::Syn(Bytes::from_static(&[0x1f; 9])),
        "SYN" => Item::Syn(payload),
        "UPGRADE" => Item::Upgrade(String::from_utf8(payload.into()).map_err(|_| "not UTF-8")?),
        "RAW" => Item::Raw(payload),
        "END" => Item::End,
        "MESSAGE" => Item::Message(number(words.nth(1).unwrap_or_default())?, payload),
        kind => {
            let kind = Kind::parse(kind).ok_or("unknown kind of step")?;
            let names = names.ok_or("a frame needs a line `names`")?;
            let mut frame = Frame {
                uuid: 0,
                kind,
                format: Format::OPAQUE,
                is_bytes: false,
                wants_reply: false,
                parts: 1,
                little_endian: true,
                names,
                payload,
            };
            while let Some(word) = words.next() {
                match word {
                    "uuid" => frame.uuid = number(words.next().unwrap_or_default())?,
                    "parts" => frame.parts = number(words.next().unwrap_or_default())?,
                    "bytes" => frame.is_bytes = true,
                    "text" => frame.is_bytes = false,
                    "wants-reply" => frame.wants_reply = true,
                    "big-endian" => frame.little_endian = false,
                    format => frame.format = Format::parse(format).ok_or_else(|| format!("{format:?} is unknown"))?,
                }
            }
            Item::Frame(Box::new(frame))
        }
    })
}
