//! The `daffi` command; what it does is in the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(daffi_cli::run(std::env::args_os().collect()))
}
