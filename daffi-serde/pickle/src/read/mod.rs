//! Reading, in two steps: a [`Machine`] runs the opcodes and builds a [`Graph`], an [`Expander`] turns parts of it into
//! values.

use bytes::Bytes;
use daffi_serde::{Value, ValueLimits};

use crate::ReadError;

mod calendar;
mod call;
mod expand;
mod graph;
mod input;
mod int;
mod machine;
mod memo;
#[cfg(test)]
mod tests;
mod text;

use self::machine::Machine;
pub(crate) use self::{
    expand::Expander,
    graph::{Graph, Slot},
    machine::Unknown,
};

/// How many bytes of text and bytes an input of `len` bytes may become, shared ones counted each time.
pub(crate) const fn allowance(len: usize) -> usize {
    len.saturating_mul(4).saturating_add(16 << 20)
}

/// A pickle that was run to its end.
#[derive(Debug)]
pub(crate) struct Loaded<'a> {
    graph: Graph<'a>,
    /// What the pickle stands for.
    pub(crate) root: Slot,
    shared: Option<&'a Bytes>,
    input_len: usize,
    limits: ValueLimits,
}

impl<'a> Loaded<'a> {
    /// Runs `bytes`, which large values will share.
    pub(crate) fn from_shared(bytes: &'a Bytes, limits: ValueLimits, unknown: Unknown) -> Result<Self, ReadError> {
        let loaded = Self::from_slice(bytes, limits, unknown)?;
        Ok(Self { shared: Some(bytes), ..loaded })
    }

    /// Runs `bytes`.
    pub(crate) fn from_slice(bytes: &'a [u8], limits: ValueLimits, unknown: Unknown) -> Result<Self, ReadError> {
        let (graph, root) = Machine::new(bytes, limits.max_values, unknown).run()?;
        Ok(Self { graph, root, shared: None, input_len: bytes.len(), limits })
    }

    /// What turns parts of it into values.
    pub(crate) fn expander(&self) -> Expander<'_, 'a> {
        Expander::new(&self.graph, self.shared, self.input_len, self.limits)
    }

    /// All of it as a value.
    pub(crate) fn value(&self) -> Result<Value, ReadError> {
        self.expander().value(self.root)
    }
}
