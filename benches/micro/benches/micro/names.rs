//! Names as they might be in a network.

use daffi_wire::{Limits, MethodName, NodeName};

pub(crate) fn node(name: impl AsRef<str>) -> NodeName {
    NodeName::new(name.as_ref(), &Limits::default()).expect("a name without separators")
}

pub(crate) fn method(name: impl AsRef<str>) -> MethodName {
    MethodName::new(name.as_ref(), &Limits::default()).expect("a name without separators")
}
