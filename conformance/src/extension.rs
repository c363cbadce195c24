//! The extensions of a call as `daffi-wire/LEVEL_FOUR.md` lays them out, read and written without
//! this project's codec.

use std::fmt::Write;

use bytes::Bytes;

use crate::text::payload::{hex, unhex};

/// The most bytes of a block.
const MOST: usize = 8_192;

const NAMES: [&str; 8] = ["TIME_LEFT", "TRACE", "TRACESTATE", "BODY", "STREAM", "WINDOW", "HEADER", "IDENTITY"];

/// One extension of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// What it is.
    pub tag: u8,
    /// What it says.
    pub value: Bytes,
}

impl Extension {
    /// How much time is left.
    pub const TIME_LEFT: u8 = 1;

    /// Its name, or its tag.
    #[must_use]
    pub fn name(&self) -> String {
        let known = usize::from(self.tag).checked_sub(1).and_then(|at| NAMES.get(at));
        known.map_or_else(|| format!("TAG-{}", self.tag), |name| (*name).to_owned())
    }

    /// Reads what [`line`](Self::line) writes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default();
        let known = NAMES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at + 1).ok());
        let tag = known.or_else(|| name.strip_prefix("TAG-")?.parse().ok()).ok_or(format!("{name:?} is unknown"))?;
        Ok(Self { tag, value: unhex(words.next().unwrap_or_default())?.into() })
    }

    /// Its line in a recording.
    pub(crate) fn line(&self) -> String {
        let mut text = format!("{} {}", self.name(), hex(&self.value));
        match (self.tag, self.number()) {
            (Self::TIME_LEFT, Some(left)) => drop(write!(text, "  # {left} ms")),
            (4 | 6, Some(bytes)) => drop(write!(text, "  # {bytes} bytes")),
            (7, _) => {
                let length = self.value.first().map_or(0, |length| usize::from(*length));
                let parts = self.value.get(1..).and_then(|pair| pair.split_at_checked(length));
                if let Some((key, value)) = parts {
                    let [key, value] = [key, value].map(String::from_utf8_lossy);
                    let _ = write!(text, "  # {}", format!("{key}: {value}").replace(char::is_control, "."));
                }
            }
            _ => {}
        }
        text
    }

    /// The number that its value is.
    pub(crate) fn number(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..self.value.len())?.copy_from_slice(&self.value);
        Some(u64::from_le_bytes(bytes))
    }
}

/// The extensions at the front of what stands behind the names, and the payload behind them.
pub(crate) fn read_block(bytes: &Bytes) -> Option<(Vec<Extension>, Bytes)> {
    let size = usize::from(u16::from_le_bytes(*bytes.first_chunk::<2>()?));
    if size > MOST || bytes.len() < 2 + size {
        return None;
    }
    let mut block = bytes.slice(2..2 + size);
    let mut all = Vec::new();
    while !block.is_empty() {
        let tag = *block.first()?;
        let (length, at) = match *block.get(1)? {
            low @ 128.. => (usize::from(low & 0x7f) | usize::from(*block.get(2)?) << 7, 3),
            short => (usize::from(short), 2),
        };
        // As it would be written.
        if (length >= 128) != (at == 3) || length >= 1 << 14 || block.len() < at + length {
            return None;
        }
        all.push(Extension { tag, value: block.slice(at..at + length) });
        block = block.slice(at + length..);
    }
    Some((all, bytes.slice(2 + size..)))
}

/// The block of these extensions, with its length.
pub(crate) fn write_block(all: &[Extension]) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    for Extension { tag, value } in all {
        block.push(*tag);
        let length = u16::try_from(value.len()).ok().filter(|length| *length < 1 << 14).ok_or("too long")?;
        let [low, high] = [length & 0x7f, length >> 7].map(|part| part.to_le_bytes()[0]);
        if high == 0 {
            block.push(low);
        } else {
            block.extend([low | 0x80, high]);
        }
        block.extend_from_slice(value);
    }
    let size = u16::try_from(block.len()).map_err(|_| "too many extensions")?;
    Ok([size.to_le_bytes().to_vec(), block].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_survive_and_payloads_are_none() {
        let all = [(1, vec![0x88, 0x13, 0, 0]), (7, b"\x06tenantblue".to_vec()), (200, vec![7; 300])];
        let all: Vec<_> = all.map(|(tag, value)| Extension { tag, value: value.into() }).into();
        let mut block = write_block(&all).unwrap();
        block.extend(b"payload");
        let read = read_block(&block.into()).unwrap();
        assert_eq!(read, (all.clone(), Bytes::from_static(b"payload")));
        for extension in &all {
            assert_eq!(Extension::parse(&extension.line()).unwrap(), *extension);
        }
        assert_eq!(all[0].line(), "TIME_LEFT 88130000  # 5000 ms");
        assert_eq!(all[1].line(), "HEADER 0674656e616e74626c7565  # tenant: blue");
        for payload in [&b"{\"args\": []}"[..], b"\x92\x91\x01\x80", b"", b"\x05", b"\x02\0\x01\x80"] {
            assert_eq!(read_block(&Bytes::copy_from_slice(payload)), None);
        }
    }
}
