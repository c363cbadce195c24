//! Payloads as lines: text where it is text, else hex, long runs of one byte as an expression.

use std::fmt::Write;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A run of so many equal bytes is written as an expression.
const RUN: usize = 256;

/// Bytes in a line of hex.
const LINE: usize = 48;

/// One part of a payload.
enum Part<'a> {
    Bytes(&'a [u8]),
    Run(u8, usize),
}

fn parts(mut bytes: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let same = bytes[at..].iter().take_while(|byte| **byte == bytes[at]).count();
        if same < RUN {
            at += same;
            continue;
        }
        if at > 0 {
            parts.push(Part::Bytes(&bytes[..at]));
        }
        parts.push(Part::Run(bytes[at], same));
        bytes = &bytes[at + same..];
        at = 0;
    }
    if !bytes.is_empty() {
        parts.push(Part::Bytes(bytes));
    }
    parts
}

/// Writes a payload; nothing when it is empty.
pub(super) fn write(payload: &[u8], out: &mut String) {
    let parts = parts(payload);
    if parts.iter().any(|part| matches!(part, Part::Run(..))) {
        let _ = writeln!(out, "    bytes {} sha256 {}", payload.len(), digest(payload));
    }
    for part in parts {
        match part {
            Part::Run(byte, count) => {
                let _ = writeln!(out, "    repeat {byte:02x} {count}");
            }
            Part::Bytes(bytes) => literal(bytes, out),
        }
    }
}

fn literal(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim() == text && !text.contains(|c: char| c.is_control() || c == '\u{feff}') => {
            let _ = writeln!(out, "    text {text}");
        }
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => {
            let _ = writeln!(out, "    quoted {}", serde_json::Value::from(text));
        }
        _ => {
            for line in bytes.chunks(LINE) {
                let _ = writeln!(out, "    hex {}", hex(line));
            }
        }
    }
}

/// Reads what [`write()`] wrote.
#[derive(Default)]
pub(super) struct Reader {
    payload: Vec<u8>,
    announced: Option<(usize, String)>,
}

impl Reader {
    /// Takes one line; `false`: it is no line of a payload.
    pub(super) fn line(&mut self, word: &str, rest: &str) -> Result<bool, String> {
        match word {
            "text" => self.payload.extend(rest.as_bytes()),
            "quoted" => {
                let text: String = serde_json::from_str(rest).map_err(|error| error.to_string())?;
                self.payload.extend(text.into_bytes());
            }
            "hex" => self.payload.extend(unhex(rest)?),
            "repeat" => {
                let (byte, count) = rest.split_once(' ').ok_or("repeat BYTE COUNT")?;
                let (byte, count) = (unhex(byte)?, count.parse::<usize>().map_err(|error| error.to_string())?);
                if byte.len() != 1 || count > 1 << 25 {
                    return Err("one byte, at most 33554432 times".into());
                }
                self.payload.resize(self.payload.len() + count, byte[0]);
            }
            "bytes" => {
                let (size, sum) = rest.split_once(" sha256 ").ok_or("bytes COUNT sha256 DIGEST")?;
                self.announced = Some((size.parse().map_err(|_| "bytes COUNT")?, sum.to_owned()));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn finish(self) -> Result<Bytes, String> {
        if let Some((size, sum)) = self.announced {
            let found = (self.payload.len(), digest(&self.payload));
            if found != (size, sum.clone()) {
                return Err(format!("{size} bytes with digest {sum} announced, found {} with {}", found.0, found.1));
            }
        }
        Ok(self.payload.into())
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hex digits".into());
    }
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).map_err(|_| "no hex digit")?;
        u8::from_str_radix(text, 16).map_err(|_| format!("{text:?} is not hex"))
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_survives() {
        let mut large = vec![1, 2, 3];
        large.resize(1 << 20, b'x');
        large.extend(b" end");
        let mixed = ["a".repeat(300), "naïve \u{2603}".into(), "\0".repeat(300)].concat();
        for payload in [&b""[..], b"text", b" blank ", b"two\nlines", b"\xff\0", b"\x1b[0m", &large, mixed.as_bytes()] {
            let mut lines = String::new();
            write(payload, &mut lines);
            assert!(lines.len() < 4 * payload.len() + 100 && lines.len() < 1000, "{lines}");
            let mut reader = Reader::default();
            for line in lines.lines() {
                let (word, rest) = line.trim_start().split_once(' ').unwrap();
                assert!(reader.line(word, rest).unwrap());
            }
            assert_eq!(reader.finish().unwrap(), payload);
        }
    }

    #[test]
    fn a_wrong_digest_is_told() {
        let mut reader = Reader::default();
        reader.line("bytes", "3 sha256 00").unwrap();
        reader.line("text", "abc").unwrap();
        assert!(reader.finish().unwrap_err().contains("digest"));
    }
}
