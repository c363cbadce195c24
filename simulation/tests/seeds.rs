//! A fixed set of seeds; thousands more run with `cargo run --release -p daffi-simulation -- --seeds 5000`.

use daffi_simulation::{Simulation, Topology, Weather};

fn hold(topology: Topology, weathers: &[Weather], seeds: impl Iterator<Item = u64> + Clone) {
    for &weather in weathers {
        for seed in seeds.clone() {
            let simulation = Simulation { topology, weather, seed };
            let report = simulation.run();
            assert!(report.violations.is_empty(), "{simulation:?}:\n{}", report.violations.join("\n"));
            assert!(report.answered > 0, "{simulation:?}: nothing was answered");
        }
    }
}

const WEATHERS: &[Weather] = Weather::ALL.split_at(9).0;

#[test]
fn a_service_holds_in_every_weather() {
    hold(Topology::Service, WEATHERS, 0..1);
}

#[test]
fn a_router_holds_in_every_weather() {
    hold(Topology::Router, WEATHERS, 0..2);
}

#[test]
fn a_connection_may_break_after_any_byte() {
    hold(Topology::Service, &[Weather::EveryByte], (1..1600).step_by(407));
    hold(Topology::Router, &[Weather::EveryByte], (0..3200).step_by(409));
}

/// Without `--cfg tokio_unstable` the order in which ready branches of a `select!` are tried is not seeded.
#[test]
fn a_seed_says_what_is_done() {
    let simulation = Simulation { topology: Topology::Service, weather: Weather::Delay, seed: 3 };
    let (first, second) = (simulation.run(), simulation.run());
    assert_eq!((first.calls, first.log.first()), (second.calls, second.log.first()));
}
