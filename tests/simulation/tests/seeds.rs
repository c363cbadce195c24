//! A fixed set of seeds; thousands more run with `cargo run --release -p daffi-simulation --
//! --seeds 5000`.

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

const WEATHERS: &[Weather] = Weather::ALL.split_at(10).0;

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

/// What becomes of them may differ: see the crate's documentation.
#[test]
fn a_seed_makes_the_same_calls() {
    let calls = |seed| {
        let log = Simulation { topology: Topology::Router, weather: Weather::Delay, seed }.run().log;
        let texts = log.iter().filter_map(|line| line.split_once(" calls ")?.1.split_once(": "));
        let mut texts: Vec<_> = texts.map(|(_, text)| text.to_owned()).collect();
        texts.sort();
        texts
    };
    let first = calls(3);
    assert_eq!(first, calls(3));
    assert_ne!(first, calls(4));
}
