//! The bar: what must hold, and what was measured.

use serde::Serialize;

use crate::{
    Format, Job, Result, Runtime, Subject, Transport, Work,
    measure::{Measured, Sample, Settings, measure},
    report::{short, spread},
    stats::Spread,
    subjects::ROUTER,
};

/// Who must be how good at what, compared with whom.
struct Row {
    what: &'static str,
    /// Measured side by side: subject and work.
    jobs: Vec<(&'static str, Work)>,
    pinned: bool,
    /// So many times the repetitions of others.
    more: usize,
    checks: Vec<Check>,
}

struct Check {
    figure: Figure,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Figure {
    /// CPU of the first job to that of the first one of this subject, per call.
    Cpu(&'static str),
    /// Rate of the first job to that of this subject.
    Rate(&'static str),
    /// Microseconds of CPU per call of the processes of one part.
    CpuOf(&'static str, &'static str),
    /// Microseconds of CPU that a call takes more than with this subject.
    More(&'static str),
    Allocations,
    Faults,
    /// KiB of a connection.
    Resident,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const US: &str = "daffi";

fn rows() -> Vec<Row> {
    use Bound::{AtLeast, AtMost};
    use Figure::{Allocations, Cpu, CpuOf, Faults, More, Rate, Resident};
    let check = |figure, bound| Check { figure, bound };
    let side_by_side = |work: Work, others: &[&'static str]| {
        std::iter::once(US).chain(others.iter().copied()).map(|subject| (subject, work)).collect::<Vec<_>>()
    };
    let add = |format| vec![(US, Work::Add { format, in_flight: 64 }), ("multiplexer", Work::echo(64))];
    let large = |mib: usize| Work::Echo { payload: mib << 20, connections: 1, in_flight: 1 };
    let routed = |in_flight| Work::Routed { payload: 32, in_flight, workers: 1 };
    let python = |work: Work| vec![("python-to-daffi", work), ("python", work)];
    let of_python = |part| vec![check(Rate("python"), AtLeast(0.95)), check(CpuOf(part, "python"), AtMost(1.0))];
    let python_add = |format| python(Work::Add { format, in_flight: 1 });
    let row = |what, jobs, checks| Row { what, jobs, pinned: true, more: 1, checks };
    // Each process falls into one of two modes by where its pages happen to lie.
    let bimodal = |row| Row { more: 3, ..row };
    vec![
        row(
            "64 in flight, one connection",
            side_by_side(Work::echo(64), &["multiplexer", "raw", "tarpc", "tonic"]),
            vec![
                check(Cpu("multiplexer"), AtMost(1.7)),
                check(Cpu("tarpc"), AtMost(1.0 / 3.0)),
                check(Allocations, AtMost(4.0)),
            ],
        ),
        Row {
            what: "512 in flight, unpinned",
            jobs: side_by_side(Work::echo(512), &["multiplexer", "raw", "tarpc", "tonic"]),
            pinned: false,
            more: 1,
            checks: vec![check(Rate("multiplexer"), AtLeast(0.5)), check(Rate("tarpc"), AtLeast(3.0))],
        },
        row("typed add in MSGPACK, 64 in flight", add(Format::Msgpack), vec![check(Cpu("multiplexer"), AtMost(2.2))]),
        row("typed add in postcard, 64 in flight", add(Format::Postcard), vec![check(Cpu("multiplexer"), AtMost(2.0))]),
        row(
            "plain functions, 64 in flight",
            vec![("daffi-plain", Work::echo(64)), ("daffi-inline", Work::echo(64))],
            vec![check(More("daffi-inline"), AtMost(1.5))],
        ),
        row(
            "plain functions, one call at a time",
            vec![("daffi-plain", Work::echo(1)), ("daffi-inline", Work::echo(1))],
            vec![check(More("daffi-inline"), AtMost(15.0))],
        ),
        row(
            "one call at a time",
            side_by_side(Work::echo(1), &["raw", "multiplexer", "tarpc", "tonic"]),
            vec![check(Cpu("raw"), AtMost(1.2))],
        ),
        row(
            "32 connections x 8",
            side_by_side(
                Work::Echo { payload: 32, connections: 32, in_flight: 8 },
                &["multiplexer", "raw", "tarpc", "tonic"],
            ),
            vec![check(Cpu("multiplexer"), AtMost(1.4))],
        ),
        bimodal(row(
            "payload of 1 MiB",
            side_by_side(large(1), &["raw", "multiplexer"]),
            vec![check(Cpu("raw"), AtMost(1.15)), check(Faults, AtMost(10.0))],
        )),
        bimodal(row(
            "payload of 16 MiB",
            side_by_side(large(16), &["raw", "multiplexer"]),
            vec![check(Cpu("raw"), AtMost(1.15)), check(Faults, AtMost(10.0))],
        )),
        row(
            "rpc_nowait",
            side_by_side(Work::Nowait { payload: 32 }, &["multiplexer"]),
            vec![check(Cpu("multiplexer"), AtMost(2.0))],
        ),
        row(
            "routed call, one at a time",
            side_by_side(routed(1), &["raw", "multiplexer", "nats"]),
            vec![check(CpuOf(ROUTER, "raw"), AtMost(1.6)), check(CpuOf(ROUTER, "nats"), AtMost(0.25))],
        ),
        row(
            "routed call, 64 in flight",
            side_by_side(routed(64), &["raw", "multiplexer", "nats"]),
            vec![check(CpuOf(ROUTER, "raw"), AtMost(1.6)), check(CpuOf(ROUTER, "nats"), AtMost(0.25))],
        ),
        row(
            "idle connection, a second after one call",
            side_by_side(Work::Idle { connections: 1000 }, &["raw", "multiplexer", "tarpc", "tonic"]),
            vec![check(Resident, AtMost(12.0))],
        ),
        row(
            "idle member of a Router, a second after one call",
            vec![(US, Work::Members { members: 500 })],
            vec![check(Resident, AtMost(16.0))],
        ),
        row("caller of 3.0.1, our Service, OPAQUE", python(Work::echo(1)), of_python("server")),
        row("caller of 3.0.1, our Service, MSGPACK", python_add(Format::Msgpack), of_python("server")),
        row("caller of 3.0.1, our Service, JSON", python_add(Format::Json), of_python("server")),
        row("caller of 3.0.1, our Service, PICKLE", python_add(Format::Pickle), of_python("server")),
        row("caller and worker of 3.0.1, our Router", python(routed(1)), of_python(ROUTER)),
    ]
}

#[derive(Serialize)]
struct Judged {
    what: &'static str,
    checks: Vec<(String, Option<Spread>, Option<bool>)>,
    measured: Vec<Measured>,
}

/// Measures all rows and prints them.
pub(crate) async fn run(
    subjects: &[Box<dyn Subject>],
    settings: Settings,
    cpu: Option<usize>,
    json: bool,
    progress: impl Fn(Option<&Job>),
) -> Result<()> {
    let mut all = Vec::new();
    for row in rows() {
        let jobs =
            row.jobs.iter().filter(|(name, _)| subjects.iter().any(|s| s.name() == *name)).map(|(name, work)| {
                let cpu = if row.pinned { cpu } else { None };
                Job {
                    subject: (*name).to_owned(),
                    work: *work,
                    transport: Transport::Tcp,
                    runtime: Runtime::Current,
                    cpu,
                }
            });
        let settings = Settings { repetitions: settings.repetitions * row.more, ..settings };
        let measured = measure(subjects, jobs.collect(), settings, &progress).await?;
        let checks = row.checks.iter().map(|check| {
            let value = check.figure.of(&measured);
            (check.to_string(), value, value.map(|v| check.bound.holds(v.median)))
        });
        let result = Judged { what: row.what, checks: checks.collect(), measured };
        if !json {
            if all.is_empty() {
                println!("{HEAD}");
            }
            result.print();
        }
        all.push(result);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

const HEAD: &str = "\
| what | at least | measured (spread) | holds | who: CPU us per call, calls/s, p50 / p99 us |
|---|---|---|---|---|";

impl Judged {
    fn print(&self) {
        let beside: Vec<String> = self.measured.iter().map(summary).collect();
        for (at, (bound, value, holds)) in self.checks.iter().enumerate() {
            let holds = match holds {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "-",
            };
            let what = if at == 0 { self.what } else { "" };
            let beside = if at == 0 { beside.join("; ") } else { String::new() };
            println!("| {what} | {bound} | {} | {holds} | {beside} |", spread(*value));
        }
    }
}

fn summary(measured: &Measured) -> String {
    let median =
        |of: &dyn Fn(&Sample) -> Option<f64>| measured.spread(of).map_or_else(|| "-".to_owned(), |s| short(s.median));
    let who = &measured.job.subject;
    if let Some(resident) = measured.spread(|s| s.resident) {
        return format!("{who} {} KiB", short(resident.median / 1024.0));
    }
    let (cpu, rate) = (median(&|s| Some(s.cpu)), median(&|s| Some(s.rate)));
    format!("{who} {cpu}, {rate}, {} / {}", median(&|s| s.p50), median(&|s| s.p99))
}

impl Figure {
    fn of(self, measured: &[Measured]) -> Option<Spread> {
        let us = measured.first()?;
        let other = |name| measured.iter().skip(1).find(|m| m.job.subject == name);
        match self {
            Self::Cpu(name) => us.ratio(other(name)?, |s| Some(s.cpu)),
            Self::CpuOf(part, name) => us.ratio(other(name)?, |s| s.cpu_of(part)),
            Self::Rate(name) => us.ratio(other(name)?, |s| Some(s.rate)),
            Self::More(name) => {
                let theirs = other(name)?.spread(|s| Some(s.cpu))?.median;
                us.spread(|s| Some(s.cpu - theirs))
            }
            Self::Allocations => Spread::of([us.counts.allocations]),
            Self::Faults => us.spread(|s| Some(s.faults)),
            Self::Resident => us.spread(|s| s.resident.map(|bytes| bytes / 1024.0)),
        }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (words, bound) = match self.bound {
            Bound::AtMost(bound) => ("at most", bound),
            Bound::AtLeast(bound) => ("at least", bound),
        };
        match self.figure {
            Figure::Cpu(whom) => write!(f, "CPU {words} {bound:.2}x {whom}"),
            Figure::CpuOf(part, whom) => write!(f, "{part}'s CPU {words} {bound:.2}x {whom}'s"),
            Figure::More(whom) => write!(f, "{words} {bound} us of CPU more than {whom}"),
            Figure::Rate(whom) => write!(f, "rate {words} {bound:.2}x {whom}"),
            Figure::Allocations => write!(f, "{words} {bound} allocations per call"),
            Figure::Faults => write!(f, "{words} {bound} page faults per call"),
            Figure::Resident => write!(f, "{words} {bound} KiB"),
        }
    }
}
