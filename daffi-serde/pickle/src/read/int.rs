//! Integers: decimal text, and two's complement bytes with the lowest first.

use daffi_serde::Value;
use num_bigint::BigInt;

use super::work::note_steps;
use crate::{MAX_INT_BYTES, MAX_INT_DIGITS, ReadError};

/// Reads decimal text; `None` when it is none. The number of digits is limited since parsing takes
/// quadratic time.
pub(super) fn from_decimal(text: &[u8]) -> Option<Result<BigInt, ReadError>> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() > MAX_INT_DIGITS {
        return Some(Err(ReadError::IntDigits { digits: digits.len() }));
    }
    // As many steps of a machine word as there are pairs of words of 19 digits.
    note_steps((digits.len() / 19).pow(2) / 2);
    BigInt::parse_bytes(text, 10).map(Ok)
}

/// Checks the announced length of an integer.
pub(super) fn check_len(len: u64) -> Result<u64, ReadError> {
    if len > MAX_INT_BYTES as u64 { Err(ReadError::IntBytes { bytes: len }) } else { Ok(len) }
}

/// An integer that fits into 64 bits.
pub(super) fn small(bytes: &[u8]) -> Option<i64> {
    i64::try_from(sign_extend(bytes)?).ok()
}

/// An integer of any size.
pub(super) fn value(bytes: &[u8]) -> Value {
    sign_extend(bytes).map_or_else(|| BigInt::from_signed_bytes_le(bytes).into(), Value::from)
}

/// An integer of at most 16 bytes.
pub(super) fn sign_extend(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.last().is_some_and(|last| *last >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_s_complement() {
        assert_eq!(small(b""), Some(0));
        assert_eq!(small(b"\xff"), Some(-1));
        assert_eq!(small(b"\xff\x00"), Some(255));
        assert_eq!(small(b"\x00\x80"), Some(-32768));
        assert_eq!(small(&[0xff; 20]), None);
        assert_eq!(value(&[0xff; 20]), Value::Int(-1));
        assert_eq!(value(&i128::MIN.to_le_bytes()), Value::from(i128::MIN));
        assert_eq!(value(&u128::MAX.to_le_bytes()), Value::Int(-1));
        let mut above = u128::MAX.to_le_bytes().to_vec();
        above.push(0);
        assert_eq!(value(&above), Value::from(u128::MAX));
    }

    #[test]
    fn decimal_text() {
        let read = |text: &[u8]| from_decimal(text).map(|number| number.unwrap().to_string());
        assert_eq!(read(b"-12").as_deref(), Some("-12"));
        assert_eq!(read(b"00").as_deref(), Some("0"));
        for text in [&b""[..], b"-", b"+1", b"1_0", b" 1", b"1L", b"--1", b"\xff"] {
            assert_eq!(read(text), None);
        }
        let long = vec![b'9'; MAX_INT_DIGITS + 1];
        assert_eq!(from_decimal(&long), Some(Err(ReadError::IntDigits { digits: MAX_INT_DIGITS + 1 })));
        assert!(from_decimal(&long[1..]).unwrap().is_ok());
    }
}
