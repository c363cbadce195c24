//! Values that one opcode makes by itself, read where they stand in the input.

use std::borrow::Cow;

use num_bigint::BigInt;

use super::{
    input::Input,
    int,
    text::{ascii, quoted_ascii, raw_unicode_escape},
    work::Work,
};
use crate::{MAX_FLOAT_DIGITS, MAX_INT_DIGITS, ReadError, opcode as op};

/// Such a value.
#[derive(Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Two's complement, lowest byte first, of any length.
    Long(&'a [u8]),
    /// An integer beyond 64 bits that was written in digits.
    Big(BigInt),
    Float(f64),
    /// Text that is not checked yet.
    Utf8(&'a [u8]),
    Text(Cow<'a, str>),
    Data(&'a [u8]),
    EmptyTuple,
    EmptyList,
    EmptyDict,
    EmptySet,
}

/// What the opcode at `at` makes. `Machine` has found there an opcode of this kind, and all its
/// bytes.
pub(super) fn read<'a>(input: &'a [u8], at: usize, work: &Work) -> Result<Scalar<'a>, ReadError> {
    let mut input = Input::from(input, at);
    let opcode = input.opcode()?;
    Ok(match opcode {
        op::SHORT_BINUNICODE => {
            let len = input.u8()?.into();
            Scalar::Utf8(input.take(len)?)
        }
        op::BININT1 => Scalar::Int(input.u8()?.into()),
        op::BININT2 => Scalar::Int(input.u16()?.into()),
        op::BININT => Scalar::Int(input.i32()?.into()),
        op::NONE => Scalar::Null,
        op::NEWTRUE => Scalar::Bool(true),
        op::NEWFALSE => Scalar::Bool(false),
        op::BINFLOAT => Scalar::Float(f64::from_be_bytes(input.array()?)),
        op::EMPTY_TUPLE => Scalar::EmptyTuple,
        op::EMPTY_LIST => Scalar::EmptyList,
        op::EMPTY_DICT => Scalar::EmptyDict,
        op::EMPTY_SET => Scalar::EmptySet,
        op::LONG1 | op::LONG4 => {
            let len = if opcode == op::LONG1 { input.u8()?.into() } else { input.u32()?.into() };
            let bytes = input.take(int::check_len(len)?)?;
            int::small(bytes).map_or(Scalar::Long(bytes), Scalar::Int)
        }
        op::BINUNICODE | op::BINUNICODE8 => {
            let len = if opcode == op::BINUNICODE { input.u32()?.into() } else { input.u64()? };
            Scalar::Utf8(input.take(len)?)
        }
        op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
            let len = match opcode {
                op::SHORT_BINBYTES => input.u8()?.into(),
                op::BINBYTES => input.u32()?.into(),
                _ => input.u64()?,
            };
            Scalar::Data(input.take(len)?)
        }
        _ => old_text(opcode, &mut input, work)?,
    })
}

/// What older protocols write as a line of text, and the `str` of Python 2. This reads the latter
/// as ASCII, which is the default of Python 3.
fn old_text<'a>(opcode: u8, input: &mut Input<'a>, work: &Work) -> Result<Scalar<'a>, ReadError> {
    let malformed = |what| ReadError::Malformed { at: input.op_at(), what };
    let no_ascii = malformed("a Python 2 string that is not ASCII");
    match opcode {
        op::SHORT_BINSTRING | op::BINSTRING => {
            let len = if opcode == op::SHORT_BINSTRING { input.u8()?.into() } else { input.u32()?.into() };
            let bytes = input.take(len)?;
            work.take(bytes.len())?;
            let text = ascii(bytes).ok_or(no_ascii)?;
            return Ok(Scalar::Text(Cow::Borrowed(text)));
        }
        _ => {}
    }
    let (not_a_number, not_a_float) = (malformed("no decimal number"), malformed("no float"));
    let line = input.line()?;
    work.take(line.len() + 1)?;
    match (opcode, line) {
        (op::STRING, _) => quoted_ascii(line).map(Scalar::Text).ok_or(no_ascii),
        (op::UNICODE, _) => raw_unicode_escape(line).map(Scalar::Text).ok_or(ReadError::Text { at: input.op_at() }),
        (op::FLOAT, _) => ascii(line).and_then(|line| line.parse().ok()).map(Scalar::Float).ok_or(not_a_float),
        (op::INT, b"00") => Ok(Scalar::Bool(false)),
        (op::INT, b"01") => Ok(Scalar::Bool(true)),
        _ => {
            let digits = if opcode == op::LONG { line.strip_suffix(b"L").unwrap_or(line) } else { line };
            work.take_digits(digits.len().min(MAX_INT_DIGITS))?;
            let big = int::from_decimal(digits).ok_or(not_a_number)??;
            Ok(i64::try_from(&big).map_or_else(|_| Scalar::Big(big), Scalar::Int))
        }
    }
}

/// Moves `input` behind an opcode that makes a value by itself, or that only remembers one. `false`
/// for any other.
#[inline]
pub(super) fn skip(opcode: u8, input: &mut Input<'_>) -> Result<bool, ReadError> {
    let len = match opcode {
        op::NONE | op::NEWTRUE | op::NEWFALSE | op::EMPTY_TUPLE | op::EMPTY_LIST | op::EMPTY_DICT | op::EMPTY_SET => 0,
        op::BININT1 => 1,
        op::BININT2 => 2,
        op::BININT => 4,
        op::BINFLOAT => 8,
        op::SHORT_BINUNICODE | op::SHORT_BINBYTES | op::SHORT_BINSTRING => input.u8()?.into(),
        op::BINUNICODE | op::BINBYTES | op::BINSTRING => input.u32()?.into(),
        op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => input.u64()?,
        op::LONG1 => int::check_len(input.u8()?.into())?,
        op::LONG4 => int::check_len(input.u32()?.into())?,
        op::FLOAT => match input.line()?.len() {
            0..=MAX_FLOAT_DIGITS => return Ok(true),
            digits => return Err(ReadError::FloatDigits { digits }),
        },
        op::INT | op::LONG | op::STRING | op::UNICODE => return input.line().map(|_| true),
        _ => return Ok(false),
    };
    input.take(len)?;
    Ok(true)
}

/// Where the value after the one at `at` begins, in a run of values with nothing but memos and
/// frames between them.
#[inline]
pub(super) fn next_in_run(bytes: &[u8], at: usize) -> usize {
    let mut input = Input::from(bytes, at);
    let next = (|| {
        let opcode = input.opcode()?;
        skip(opcode, &mut input)?;
        loop {
            let at = input.at();
            match input.opcode()? {
                op::MEMOIZE => {}
                op::BINPUT => drop(input.u8()?),
                op::LONG_BINPUT => drop(input.u32()?),
                op::PUT => drop(input.line()?),
                op::FRAME => drop(input.u64()?),
                op::PROTO => drop(input.u8()?),
                _ => return Ok::<_, ReadError>(at),
            }
        }
    })();
    next.unwrap_or(bytes.len())
}
