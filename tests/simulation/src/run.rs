//! One simulation: hosts, calls, faults, and what must hold in the end.

use std::{
    cell::RefCell,
    collections::BinaryHeap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Once},
    time::Duration,
};

use daffi_core::NodeConfig;
use fastrand::Rng;
use parking_lot::Mutex;
use turmoil::Sim;

use crate::{
    adversary::adversary,
    fault::{Fault, SERVER, SILENT, TWIN, Weather, noticed},
    host::{Setting, member, router, service, twin},
    ledger::Ledger,
    network::{Connections, End, Network, Shape},
    times::{CALM, END},
};

/// Which nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Topology {
    /// A Service, and clients that call it.
    Service,
    /// A Router, workers, callers, and nodes that are both.
    Router,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Service, Self::Router];
}

/// What to simulate. The same value does the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Which nodes there are.
    pub topology: Topology,
    /// What goes wrong.
    pub weather: Weather,
    /// All else.
    pub seed: u64,
}

/// What came of a simulation.
#[derive(Clone, Debug)]
pub struct Report {
    /// Calls made.
    pub calls: usize,
    /// Calls answered.
    pub answered: usize,
    /// Two runs with the same digest did the same things at the same times.
    pub digest: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    /// All that happened.
    pub log: Vec<String>,
}

impl Simulation {
    /// Runs it.
    #[must_use]
    pub fn run(self) -> Report {
        note_panics();
        let ledger = Arc::new(Ledger::default());
        let finished = panic::catch_unwind(AssertUnwindSafe(|| self.simulate(&ledger)));
        match finished {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => ledger.violation(error.to_string()),
        }
        let mut violations = PANICS.take();
        violations.extend(ledger.verdict(matches!(self.weather, Weather::Delay | Weather::Adversaries)));
        let (calls, answered) = ledger.counts();
        Report { calls, answered, digest: ledger.digest(), violations, log: ledger.log() }
    }

    fn simulate(self, ledger: &Arc<Ledger>) -> turmoil::Result {
        // What the nodes draw themselves, the jitter of their back-off for one.
        fastrand::seed(self.seed);
        let mut rng = Rng::with_seed(self.seed);
        let mut sim = sim(&mut rng);
        let setting = Arc::new(self.setting(&mut rng, ledger));
        let (topology, shared) = (self.topology, Arc::clone(&setting));
        sim.host(SERVER, move || {
            let setting = Arc::clone(&shared);
            async move {
                match topology {
                    Topology::Service => service(setting).await,
                    Topology::Router => router(setting).await,
                }
            }
        });
        for host in &setting.clients {
            let (exposes, calls) = (setting.workers.contains(host), setting.callers.contains(host));
            let (setting, host) = (Arc::clone(&setting), host.clone());
            sim.host(host.clone(), move || member(Arc::clone(&setting), host.clone(), exposes, calls));
        }
        let shared = Arc::clone(&setting);
        sim.host(TWIN, move || twin(Arc::clone(&shared)));
        if self.weather == Weather::Adversaries {
            for n in 0..rng.usize(1..5) {
                let (setting, host, seed) = (Arc::clone(&setting), format!("adversary-{n}"), rng.u64(..));
                sim.host(host.clone(), move || adversary(Arc::clone(&setting), host.clone(), seed));
            }
        }
        let plan = self.weather.plan(self.seed, &mut rng, &setting.workers, &setting.clients);
        let mut pending: BinaryHeap<Step> = BinaryHeap::new();
        for (at, fault) in plan {
            pending.push(Step::new(at, pending.len(), Action::Begin(fault)));
        }
        pending.push(Step::new(CALM, pending.len(), Action::StopBreaking));
        let mut steps = pending.len();
        while sim.elapsed() < END {
            while pending.peek().is_some_and(|step| step.at <= sim.elapsed()) {
                let Some(step) = pending.pop() else { break };
                for (after, action) in step.action.take(&mut sim, &setting, &mut rng) {
                    steps += 1;
                    pending.push(Step::new(sim.elapsed() + after, steps, action));
                }
            }
            sim.step()?;
            if setting.clients.iter().map(String::as_str).chain([SERVER]).all(|host| !sim.is_host_running(host))
                && pending.is_empty()
            {
                return Ok(());
            }
        }
        for host in setting.clients.iter().map(String::as_str).chain([SERVER]) {
            if sim.is_host_running(host) {
                ledger.violation(format!("{host} did not come to its end"));
            }
        }
        Ok(())
    }

    fn setting(self, rng: &mut Rng, ledger: &Arc<Ledger>) -> Setting {
        let largest_write = if rng.bool() { usize::MAX } else { rng.usize(1..2_000) };
        let network = Arc::new(Network::new(Shape {
            largest_write,
            window: rng.usize(Shape::SMALLEST_WINDOW..Shape::LARGEST_WINDOW),
        }));
        let named = |what: &str, count: usize| (0..count).map(|n| format!("{what}-{n}")).collect::<Vec<_>>();
        let (workers, clients, callers) = match self.topology {
            Topology::Service => {
                let callers = named("caller", rng.usize(1..4));
                (vec![SERVER.to_owned()], callers.clone(), callers)
            }
            Topology::Router => {
                let (workers, callers, both) = (
                    named("worker", rng.usize(1..3)),
                    named("caller", rng.usize(1..3)),
                    named("both", rng.usize(0..3)),
                );
                let clients = [&workers[..], &callers, &both].concat();
                ([&workers[..], &both].concat(), clients, [callers, both].concat())
            }
        };
        Setting {
            seed: self.seed,
            network,
            ledger: Arc::clone(ledger),
            config: config(rng),
            workers,
            clients,
            callers,
            restarted: Mutex::default(),
            starts: Mutex::default(),
            twin_of: Mutex::default(),
            server_first: rng.bool(),
            nobody_leaves: self.weather == Weather::Adversaries,
        }
    }
}

/// Times far below the defaults, so that a simulation sees many of them pass.
fn config(rng: &mut Rng) -> NodeConfig {
    let ms = Duration::from_millis;
    NodeConfig::client()
        .workers(rng.usize(1..4))
        .handshake_timeout(ms(1_000))
        .connect_timeout(ms(1_000))
        .slow_peer_timeout(ms(1_500))
        .grace(ms(1_000))
        .linger(ms(100))
        .reconnect_first(ms(20))
        .reconnect_max(ms(300))
}

fn sim(rng: &mut Rng) -> Sim<'static> {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(rng.u64(..))
        .simulation_duration(END * 2)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(0))
        .max_message_latency(Duration::from_millis(rng.u64(1..100)))
        // In writes; the network's own window is what is reached.
        .tcp_capacity(Shape::LARGEST_WINDOW);
    if rng.bool() {
        builder.enable_random_order();
    }
    builder.build()
}

/// Something to do at a time.
struct Step {
    at: Duration,
    number: usize,
    action: Action,
}

enum Action {
    Begin(Fault),
    Restart(String),
    Release(String),
    Repair(String),
    Break(Connections, End),
    Thaw(Connections, End),
    StopBreaking,
}

impl Step {
    const fn new(at: Duration, number: usize, action: Action) -> Self {
        Self { at, number, action }
    }
}

impl Action {
    /// Does it, and says what follows later.
    fn take(self, sim: &mut Sim<'_>, setting: &Setting, rng: &mut Rng) -> Vec<(Duration, Self)> {
        match self {
            Self::Begin(fault) => {
                setting.ledger.note_at(sim.elapsed(), format!("fault: {fault}"));
                begin(fault, sim, setting, rng)
            }
            Self::Restart(host) => {
                setting.ledger.note_at(sim.elapsed(), format!("{host} starts again"));
                sim.bounce(host.as_str());
                setting.restarted.lock().insert(host);
                Vec::new()
            }
            Self::Release(host) => {
                sim.release(host.as_str(), SERVER);
                Vec::new()
            }
            Self::Repair(host) => {
                sim.repair(host.as_str(), SERVER);
                Vec::new()
            }
            Self::Break(connections, end) => {
                connections.break_at(end, SILENT);
                Vec::new()
            }
            Self::Thaw(connections, end) => {
                connections.freeze(end, false);
                Vec::new()
            }
            Self::StopBreaking => {
                setting.network.stop_breaking();
                Vec::new()
            }
        }
    }
}

fn begin(fault: Fault, sim: &mut Sim<'_>, setting: &Setting, rng: &mut Rng) -> Vec<(Duration, Action)> {
    let opened_by = |host: &str| setting.network.opened_by(host);
    match fault {
        Fault::Crash { host, down } => {
            sim.crash(host.as_str());
            vec![(down, Action::Restart(host))]
        }
        Fault::PowerLoss { host, down } => {
            let cut_off = if host == SERVER { setting.clients.clone() } else { vec![host.clone()] };
            let survivor = if host == SERVER { End::Client } else { End::Server };
            let mut later = vec![(down, Action::Restart(host.clone()))];
            for client in cut_off {
                sim.partition(client.as_str(), SERVER);
                later.push((noticed(rng), Action::Break(opened_by(&client), survivor)));
                later.push((Duration::from_millis(1), Action::Repair(client)));
            }
            sim.crash(host.as_str());
            later
        }
        Fault::Cut { host } => {
            for end in [End::Client, End::Server] {
                opened_by(&host).break_at(end, std::io::ErrorKind::ConnectionReset);
            }
            Vec::new()
        }
        Fault::HalfOpen { host } => {
            sim.partition(host.as_str(), SERVER);
            opened_by(&host).break_at(End::Client, SILENT);
            vec![
                (Duration::from_millis(rng.u64(1..50)), Action::Repair(host.clone())),
                (noticed(rng), Action::Break(opened_by(&host), End::Server)),
            ]
        }
        Fault::Partition { host, time } => {
            sim.hold(host.as_str(), SERVER);
            let mut later = vec![(time, Action::Release(host.clone()))];
            for end in [End::Client, End::Server] {
                let noticed = noticed(rng);
                if noticed < time {
                    later.push((noticed, Action::Break(opened_by(&host), end)));
                }
            }
            later
        }
        Fault::BreakNext { host, end, bytes } => {
            setting.network.break_next(&host, end, bytes);
            opened_by(&host).break_at(End::Client, std::io::ErrorKind::ConnectionReset);
            Vec::new()
        }
        Fault::Twin { host } => {
            setting.restarted.lock().insert(host.clone());
            *setting.twin_of.lock() = Some(host);
            sim.bounce(TWIN);
            Vec::new()
        }
        Fault::Freeze { host, end, time } => {
            opened_by(&host).freeze(end, true);
            vec![(time, Action::Thaw(opened_by(&host), end))]
        }
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Step {}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Step {
    /// The earliest is the greatest: a heap gives the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

thread_local! {
    /// A simulation runs on one thread; a task of a node that panics would go unnoticed.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(format!("a task panicked: {info}")));
            before(info);
        }));
    });
    PANICS.take();
}
