//! The `daffi` command, which the wheel brings along.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Does what a command line of `daffi` asks for, and gives the exit code.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| daffi_cli::run(args))
}
