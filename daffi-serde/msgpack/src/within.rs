//! Finds the one large string of bytes in a payload that has come in part.

use daffi_serde::BytesWithin;

/// What stands behind the last argument of a call without keywords, and behind a result.
const NO_KEYWORDS: u8 = 0x80;

/// The last positional argument of a call without keywords, if it is bytes.
pub(crate) fn in_args(first: &[u8], total: u64) -> Option<BytesWithin> {
    let mut at = Cursor { bytes: first, at: 0 };
    at.expect(0x92)?;
    let before = match at.byte()? {
        marker @ 0x90..=0x9f => marker & 0xf,
        0xdc => u8::try_from(at.length(2)?).ok()?,
        _ => return None,
    };
    for _ in 1..before {
        at.skip(MAX_DEPTH)?;
    }
    if before == 0 { None } else { at.bytes_to_the_end(total) }
}

/// A result that is bytes.
pub(crate) fn in_result(first: &[u8], total: u64) -> Option<BytesWithin> {
    let mut at = Cursor { bytes: first, at: 0 };
    at.expect(0x92)?;
    at.expect(0x91)?;
    at.bytes_to_the_end(total)
}

/// Containers in each other, in an argument before the bytes.
const MAX_DEPTH: u32 = 32;

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then_some(())
    }

    /// A length in so many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        (0..bytes).try_fold(0, |length, _| Some(length << 8 | usize::from(self.byte()?)))
    }

    fn pass(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    /// One value of any kind, all of which is here.
    fn skip(&mut self, depth: u32) -> Option<()> {
        let values = match self.byte()? {
            0x00..=0x7f | 0xc0..=0xc3 | 0xe0..=0xff => 0,
            marker @ 0x80..=0x8f => 2 * usize::from(marker & 0xf),
            marker @ 0x90..=0x9f => usize::from(marker & 0xf),
            marker @ 0xa0..=0xbf => return self.pass((marker & 0x1f).into()),
            marker @ (0xc4..=0xc6 | 0xd9..=0xdb) => {
                let base = if marker < 0xd0 { 0xc4 } else { 0xd9 };
                let length = self.length(1 << (marker - base))?;
                return self.pass(length);
            }
            marker @ 0xc7..=0xc9 => {
                let length = self.length(1 << (marker - 0xc7))?;
                return self.pass(length.checked_add(1)?);
            }
            0xca => return self.pass(4),
            0xcb => return self.pass(8),
            marker @ 0xcc..=0xcf => return self.pass(1 << (marker - 0xcc)),
            marker @ 0xd0..=0xd3 => return self.pass(1 << (marker - 0xd0)),
            marker @ 0xd4..=0xd8 => return self.pass(1 + (1 << (marker - 0xd4))),
            marker @ (0xdc | 0xdd) => self.length(2 << (marker - 0xdc))?,
            marker @ (0xde | 0xdf) => self.length(2 << (marker - 0xde))?.checked_mul(2)?,
        };
        let depth = depth.checked_sub(1)?;
        (0..values).try_for_each(|_| self.skip(depth))
    }

    /// Bytes, and behind them nothing but that there are no keywords.
    fn bytes_to_the_end(mut self, total: u64) -> Option<BytesWithin> {
        let head = self.at;
        let marker = self.byte().filter(|marker| (0xc4..=0xc6).contains(marker))?;
        let len = self.length(1 << (marker - 0xc4))? as u64;
        if self.at as u64 + len + 1 != total {
            return None;
        }
        let rest = [&self.bytes[..head], &[0xc4, 0, NO_KEYWORDS]].concat();
        Some(BytesWithin { before: self.at, len, rest: rest.into() })
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use daffi_serde::{Args, Codec, Output};
    use serde::Serialize;

    use super::*;
    use crate::Msgpack;

    fn args(args: impl Args) -> BytesMut {
        let mut payload = BytesMut::new();
        Msgpack::default().encode_args(&args, &mut Output::new(&mut payload)).unwrap();
        payload
    }

    fn result(value: impl Serialize) -> BytesMut {
        let mut payload = BytesMut::new();
        Msgpack::default().encode_result(&value, &mut Output::new(&mut payload)).unwrap();
        payload
    }

    #[test]
    fn bytes_are_found_behind_anything() {
        let bytes = Bytes::from(vec![7; 100_000]);
        let before =
            (1.5, "text", -3_i64, vec![Some(1), None], std::collections::BTreeMap::from([("k", [300, 70_000])]));
        let all = args((before.clone(), "x".repeat(40), u64::MAX, bytes.clone()));
        let found = in_args(&all[..400], all.len() as u64).unwrap();
        assert_eq!(&all[found.before..found.before + 100_000], &bytes[..]);
        assert_eq!(found.len, 100_000);
        assert_eq!(found.rest, args((before, "x".repeat(40), u64::MAX, Bytes::new())));
        let all = result(&bytes);
        let found = in_result(&all[..10], all.len() as u64).unwrap();
        assert_eq!((found.len, found.rest), (100_000, result(Bytes::new()).freeze()));
        assert_eq!(all.len(), found.before + 100_000 + 1);
    }

    #[test]
    fn what_is_not_all_of_the_rest_is_not_found() {
        let bytes = Bytes::from(vec![7; 1_000]);
        for all in [args((bytes.clone(), 1)), args(("text",)), args(()), args((vec!["x"; 100],))] {
            for cut in 0..all.len() {
                assert_eq!(in_args(&all[..cut], all.len() as u64), None);
            }
        }
        let all = args((bytes,));
        assert_eq!(in_args(&all, all.len() as u64 + 1), None, "its total is another");
    }

    #[test]
    fn nothing_makes_it_read_beyond_what_is_there() {
        let mut state = 7_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let mut bytes = vec![0x92, 0x93];
            for _ in 0..random() % 5 {
                bytes.extend(random().to_le_bytes());
            }
            let total = random() % 80;
            if let Some(found) = in_args(&bytes, total) {
                assert_eq!(found.before as u64 + found.len + 1, total);
            }
            in_result(&bytes, total);
        }
    }
}
