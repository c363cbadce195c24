//! How many instructions single steps take. Run by `scripts/micro`.
//!
//! Each benchmark says first how often it does its step, which is what the table divides by; what
//! is made before is not counted.

mod case;
mod choosing;
mod formats;
mod frames;
mod names;
mod open_calls;
mod router;
mod values;

use gungraun::{Callgrind, LibraryBenchmarkConfig, main};

use self::{
    choosing::picking,
    formats::{
        erased::group as erased, json::group as json, msgpack::group as msgpack, opaque::group as opaque,
        pickle::group as pickle, postcard::group as postcard,
    },
    frames::codec,
    open_calls::tables,
    router::routing,
};

main!(
    // Instructions alone are counted: what a simulated cache makes of them depends on where memory
    // happens to lie.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [codec, opaque, json, msgpack, pickle, postcard, erased, tables, picking, routing]
);
