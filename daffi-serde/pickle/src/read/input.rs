use super::work::note_steps;
use crate::ReadError;

/// The bytes of a pickle, and how far they were read. A length in them is compared with what is
/// left before it is used.
#[derive(Debug)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    op_at: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, op_at: 0 }
    }

    /// The same bytes, from an offset within them on.
    pub(super) const fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, op_at: at }
    }

    /// How far they were read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next opcode.
    pub(super) fn opcode(&mut self) -> Result<u8, ReadError> {
        note_steps(1);
        self.op_at = self.at;
        self.u8()
    }

    /// Offset of the opcode read last.
    pub(super) const fn op_at(&self) -> usize {
        self.op_at
    }

    pub(super) const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn u8(&mut self) -> Result<u8, ReadError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, ReadError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let array = *self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk())
            .ok_or(ReadError::CutOff { at: self.op_at })?;
        self.at += N;
        Ok(array)
    }

    /// As many bytes as the peer announced, if they are there.
    #[inline]
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], ReadError> {
        let (taken, _) = usize::try_from(len)
            .ok()
            .and_then(|len| self.bytes[self.at..].split_at_checked(len))
            .ok_or(ReadError::CutOff { at: self.op_at })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// The rest of the line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a [u8], ReadError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(ReadError::CutOff { at: self.op_at })?;
        note_steps(end);
        self.at += end + 1;
        Ok(&rest[..end])
    }
}
