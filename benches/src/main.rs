//! What a call and a connection cost: `daffi-benchmarks bar`, and the rest in `benches/README.md`.

fn main() -> daffi_benchmarks::Result<()> {
    daffi_benchmarks::cli::main(daffi_benchmarks::subjects::all())
}
