//! Lengths in one to three bytes, seven bits in each, the low ones first, and no more bytes than
//! needed.

use bytes::{BufMut, BytesMut};

/// The largest length that three bytes hold.
pub(crate) const MAX: usize = (1 << 21) - 1;

/// The bytes that a length takes.
#[inline]
pub(crate) const fn size(length: usize) -> usize {
    match length {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        _ => 3,
    }
}

/// Appends a length, at most [`MAX`].
pub(crate) fn put(to: &mut BytesMut, mut length: usize) {
    debug_assert!(length <= MAX, "{length} is longer than any frame that has lengths inside");
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        to.put_u8(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            return;
        }
    }
}

/// The length at the beginning, and how many bytes it takes. `None` when it is cut short, longer
/// than three bytes, or not minimal.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Option<(usize, usize)> {
    if let Some(short @ 0..=0x7f) = bytes.first() {
        return Some((usize::from(*short), 1));
    }
    let mut length = 0;
    for (at, byte) in bytes.iter().take(3).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (at == 0 || *byte != 0).then_some((length, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_were_written() {
        for (length, size) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (MAX, 3)] {
            let mut bytes = BytesMut::new();
            put(&mut bytes, length);
            assert_eq!((bytes.len(), read(&bytes)), (size, Some((length, size))));
            assert_eq!(super::size(length), size);
            assert_eq!(read(&bytes[..size - 1]), None);
        }
        assert_eq!(read(b"\x80\x00"), None, "not minimal");
        assert_eq!(read(b"\x80\x80\x80\x01"), None, "four bytes");
    }
}
