//! The masking of what clients send (RFC 6455, section 5.3).

/// Masks or unmasks.
pub(crate) fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The key for what follows `done` bytes.
pub(crate) fn rotate(mut key: [u8; 4], done: usize) -> [u8; 4] {
    key.rotate_left(done % 4);
    key
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_byte_meets_its_byte_of_the_key() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for size in 0..20 {
            let plain: Vec<u8> = (100..).take(size).collect();
            let masked: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            let mut bytes = plain.clone();
            super::apply(&mut bytes, key);
            assert_eq!(bytes, masked);
            for cut in 0..=size {
                let mut bytes = plain.clone();
                super::apply(&mut bytes[..cut], key);
                super::apply(&mut bytes[cut..], super::rotate(key, cut));
                assert_eq!(bytes, masked);
            }
        }
    }
}
