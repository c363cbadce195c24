//! Finds the one large string of bytes in a pickle that has come in part.

use bytes::Bytes;
use daffi_serde::{BytesWithin, ValueLimits};

use crate::{
    envelope, opcode as op,
    read::{Loaded, Unknown, Walk},
};

/// What stands before the bytes has at most so many: a peer makes nobody look at more.
const MOST_BEFORE: usize = 64 * 1024;

/// What closes the tuple of the arguments, the last of which are the bytes. Whichever fits.
const CLOSE: [u8; 4] = [op::TUPLE, op::TUPLE3, op::TUPLE2, op::TUPLE1];

/// What stands behind the bytes of the last argument of a call without keywords, or of a result: as
/// this crate writes it, or CPython, which begins a frame behind a large string.
fn behind(close: u8, size: u64) -> Option<Vec<u8>> {
    let plain = [close, op::EMPTY_DICT, op::TUPLE2, op::STOP];
    let memoized = [op::MEMOIZE, close, op::MEMOIZE, op::EMPTY_DICT, op::MEMOIZE, op::TUPLE2, op::MEMOIZE, op::STOP];
    let framed = [&[op::FRAME][..], &(memoized.len() as u64).to_le_bytes(), &memoized].concat();
    [&plain[..], &memoized, &framed].into_iter().find(|behind| behind.len() as u64 == size).map(<[u8]>::to_vec)
}

/// The last positional argument of a call without keywords, if it is bytes.
pub(crate) fn in_args(first: &[u8], total: u64, limits: ValueLimits) -> Option<BytesWithin> {
    let mut walk = Walk::new(&first[..first.len().min(MOST_BEFORE)]);
    while let Some(string) = walk.next_string() {
        let size = total.checked_sub(string.begin as u64)?.checked_sub(string.len)?;
        let rest = CLOSE.into_iter().find_map(|close| {
            let behind = behind(close, size)?;
            let rest: Bytes = [&first[..string.head], &[op::SHORT_BINBYTES, 0], &behind].concat().into();
            ends_in_bytes(&rest, limits).then_some(rest)
        });
        if let Some(rest) = rest {
            return Some(BytesWithin { before: string.begin, len: string.len, rest });
        }
        walk.pass(string.len)?;
    }
    None
}

/// A result that is bytes, which is a call with one argument.
pub(crate) fn in_result(first: &[u8], total: u64, limits: ValueLimits) -> Option<BytesWithin> {
    in_args(first, total, limits).filter(|found| {
        let loaded = Loaded::new(&found.rest, limits, Unknown::Refuse);
        loaded.is_ok_and(|loaded| envelope::result(&loaded).is_ok())
    })
}

/// Whether these are arguments without keywords that end in an empty string of bytes.
fn ends_in_bytes(payload: &[u8], limits: ValueLimits) -> bool {
    let Ok(loaded) = Loaded::new(payload, limits, Unknown::Refuse) else { return false };
    let Ok((positional, keywords)) = envelope::arguments(&loaded) else { return false };
    keywords.len() == 0 && positional.last().is_some_and(|last| loaded.is_empty_data(last))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use daffi_serde::{Args, Codec, Output};
    use serde::Serialize;

    use super::*;
    use crate::Pickle;

    const LEN: usize = 100_000;

    fn args(args: impl Args) -> BytesMut {
        let mut payload = BytesMut::new();
        Pickle::default().encode_args(&args, &mut Output::new(&mut payload)).unwrap();
        payload
    }

    fn result(value: impl Serialize) -> BytesMut {
        let mut payload = BytesMut::new();
        Pickle::default().encode_result(&value, &mut Output::new(&mut payload)).unwrap();
        payload
    }

    fn find_args(first: &[u8], total: usize) -> Option<BytesWithin> {
        in_args(first, total as u64, ValueLimits::default())
    }

    #[test]
    fn bytes_are_found_behind_anything() {
        let bytes = Bytes::from(vec![7; LEN]);
        let list = vec![(Some(1), None::<u8>, 70_000_u64), (None, Some(2), u64::MAX)];
        for before in [
            args((bytes.clone(),)),
            args(("text", bytes.clone())),
            args((1.5, list.clone(), bytes.clone())),
            args((Bytes::from_static(b"small"), list, -3_i64, bytes.clone())),
        ] {
            let found = find_args(&before[..300], before.len()).unwrap();
            assert_eq!(&before[found.before..found.before + LEN], &bytes[..]);
            assert_eq!(found.len, LEN as u64);
            let whole = [&before[..found.before - 5], b"C\0", &before[found.before + LEN..]].concat();
            assert_eq!(found.rest, whole);
        }
        let all = result(&bytes);
        let found = in_result(&all[..10], all.len() as u64, ValueLimits::default()).unwrap();
        assert_eq!((found.len, found.rest), (LEN as u64, result(Bytes::new()).freeze()));
        let two = args((1, bytes));
        assert_eq!(in_result(&two[..20], two.len() as u64, ValueLimits::default()), None);
    }

    /// `pickle.dumps((("a", 3, b"x" * 70000), {}), protocol=N)`
    #[test]
    fn bytes_are_found_as_python_writes_them() {
        for (before, behind) in [
            (
                &b"\x80\x05\x95\x06\0\0\0\0\0\0\0\x8c\x01a\x94K\x03Bp\x11\x01\0"[..],
                &b"\x95\x08\0\0\0\0\0\0\0\x94\x87\x94}\x94\x86\x94."[..],
            ),
            (b"\x80\x04Bp\x11\x01\0", b"\x95\x08\0\0\0\0\0\0\0\x94\x85\x94}\x94\x86\x94."),
        ] {
            let found = find_args(before, before.len() + 70_000 + behind.len()).unwrap();
            assert_eq!((found.before, found.len), (before.len(), 70_000));
            assert_eq!(found.rest, [&before[..before.len() - 5], b"C\0", behind].concat());
        }
    }

    #[test]
    fn what_is_not_all_of_the_rest_is_not_found() {
        let bytes = Bytes::from(vec![7; 1_000]);
        for all in [args((bytes.clone(), 1)), args(("text",)), args(()), args((vec![bytes.clone()],))] {
            for cut in 0..all.len() {
                assert_eq!(find_args(&all[..cut], all.len()), None);
            }
        }
        let all = args((bytes,));
        assert_eq!(find_args(&all, all.len() + 1), None, "its total is another");
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
            let mut bytes = vec![0x80, 4];
            for _ in 0..random() % 4 {
                bytes.extend(random().to_le_bytes());
            }
            let head = [[0x42, 9, 0, 0, 0, 1, 2, 3], [0x8e, 9, 0, 0, 0, 0, 0, 0]];
            bytes.extend(head[usize::from(random() % 2 == 0)]);
            let total = (random() % 80) as usize;
            if let Some(found) = find_args(&bytes, total) {
                assert!(found.before as u64 + found.len < total as u64);
            }
        }
    }
}
