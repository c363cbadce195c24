//! Other RPC libraries beside daffi: `benches/README.md` says how to run it.

mod nats;
mod tarpc;
mod tonic;

use daffi_benchmarks::{Job, Transport, Work};

fn main() -> daffi_benchmarks::Result<()> {
    let mut subjects = daffi_benchmarks::subjects::all();
    subjects.push(Box::new(tarpc::Tarpc));
    subjects.push(Box::new(tonic::Tonic));
    subjects.push(Box::new(nats::Nats));
    daffi_benchmarks::cli::main(subjects)
}

/// Calls of bytes over TCP, and connections, which all of them have.
fn does_calls(job: &Job) -> bool {
    job.transport == Transport::Tcp && matches!(job.work, Work::Echo { .. } | Work::Idle { .. } | Work::Connect)
}
