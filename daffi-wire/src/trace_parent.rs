//! The trace of a call, as W3C Trace Context has it.

use crate::ExtensionError;

/// Which trace a call belongs to, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) has
/// it: the trace, the span of who calls, and whether the trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// The tag of its extension.
    pub(crate) const TAG: u8 = 2;

    /// The bytes of its extension.
    const LEN: usize = 25;

    /// The span `span_id` of the trace `trace_id`. Bit 0 of the flags says that the trace is
    /// recorded.
    ///
    /// # Errors
    /// [`ExtensionError::Value`] when one of the numbers has no bit set, which means that there is
    /// none.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Result<Self, ExtensionError> {
        if trace_id == [0; 16] || span_id == [0; 8] {
            return Err(ExtensionError::Value(Self::TAG));
        }
        Ok(Self { trace_id, span_id, flags })
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(self) -> [u8; 16] {
        self.trace_id
    }

    /// The span of the caller.
    #[must_use]
    pub const fn span_id(self) -> [u8; 8] {
        self.span_id
    }

    /// Bit 0: the trace is recorded.
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.flags
    }

    pub(crate) fn bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.span_id);
        bytes[24] = self.flags;
        bytes
    }

    pub(crate) fn read(bytes: [u8; Self::LEN]) -> Result<Self, ExtensionError> {
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&bytes[..16]);
        span_id.copy_from_slice(&bytes[16..24]);
        Self::new(trace_id, span_id, bytes[24])
    }
}
