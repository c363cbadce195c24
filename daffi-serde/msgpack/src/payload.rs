use daffi_serde::guard::Source;

/// The payload itself: rmp-serde gives text that is not UTF-8 as bytes, and only what stands before
/// it tells the two apart.
#[derive(Debug)]
pub(crate) struct Payload<'a>(pub(crate) &'a [u8]);

impl Source for Payload<'_> {
    fn is_text(&self, bytes: &[u8]) -> bool {
        let start = bytes.as_ptr().addr().wrapping_sub(self.0.as_ptr().addr());
        self.0.get(..start).is_some_and(|before| is_head_of_text(before, bytes.len()))
    }
}

/// Whether `before` ends in the head of a `str` of `len` bytes. That of a `bin` has another marker
/// in the same place.
fn is_head_of_text(before: &[u8], len: usize) -> bool {
    match before {
        [.., head] if len < 32 && usize::from(*head) == 0xa0 | len => true,
        [.., 0xd9, a] if usize::from(*a) == len => true,
        [.., 0xda, a, b] if usize::from(u16::from_be_bytes([*a, *b])) == len => true,
        [.., 0xdb, a, b, c, d] => u32::from_be_bytes([*a, *b, *c, *d]) as usize == len,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_tells_text_from_bytes() {
        for (head, len, text) in [
            (&b"\xa3"[..], 3, true),
            (b"\xc4\x03", 3, false),
            (b"\xd9\x20", 32, true),
            (b"\xc4\xd9", 0xd9, false),
            (b"\xc5\xd9\x20", 0xd920, false),
            (b"\xda\xd9\x20", 0xd920, true),
            (b"\xc6\xda\x01\x02\x03", 0xda01_0203, false),
            (b"\xdb\x00\xd9\x01\x02", 0x00d9_0102, true),
            (b"\xc4\x00", 0, false),
            (b"", 3, false),
        ] {
            let payload = [b"\x92\x91", head].concat();
            assert_eq!(is_head_of_text(&payload, len), text, "{head:?}");
        }
    }
}
