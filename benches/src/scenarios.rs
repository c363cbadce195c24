//! What is measured by name.

use crate::{Format, Job, Runtime, Subject, Transport, Work};

/// One kind of work, and who is measured at it side by side.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) transport: Transport,
}

impl Scenario {
    fn new(name: impl Into<String>, work: Work) -> Self {
        Self { name: name.into(), work, transport: Transport::Tcp }
    }

    /// The jobs of those subjects that can do it.
    pub(crate) fn jobs<'s>(
        &self,
        subjects: impl Iterator<Item = &'s dyn Subject>,
        runtime: Runtime,
        cpu: Option<usize>,
    ) -> Vec<Job> {
        let job = |subject: &dyn Subject| Job {
            subject: subject.name().to_owned(),
            work: self.work,
            transport: self.transport,
            runtime,
            cpu,
        };
        subjects.map(|s| (s, job(s))).filter(|(s, job)| s.does(job)).map(|(_, job)| job).collect()
    }
}

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![
        Scenario::new("echo-1", Work::echo(1)),
        Scenario::new("echo-64", Work::echo(64)),
        Scenario::new("echo-512", Work::echo(512)),
        Scenario::new("echo-32x8", Work::Echo { payload: 32, connections: 32, in_flight: 8 }),
        Scenario::new("echo-1mib", Work::Echo { payload: 1 << 20, connections: 1, in_flight: 1 }),
        Scenario::new("echo-16mib", Work::Echo { payload: 16 << 20, connections: 1, in_flight: 1 }),
        Scenario::new("nowait", Work::Nowait { payload: 32 }),
        Scenario::new("stream-1", Work::Stream { payload: 1024, window: 1 }),
        Scenario::new("stream-64", Work::Stream { payload: 1024, window: 64 }),
        Scenario::new("results-32", Work::Results { payload: 32 }),
        Scenario::new("rows-msgpack", Work::Rows { format: Format::Msgpack }),
        Scenario::new("rows-postcard", Work::Rows { format: Format::Postcard }),
        Scenario::new("idle", Work::Idle { connections: 1000 }),
        Scenario::new("members", Work::Members { members: 500 }),
        Scenario::new("connect", Work::Connect),
    ];
    for (workers, in_flight) in [(1, 1), (1, 64), (4, 64)] {
        let work = Work::Routed { payload: 32, in_flight, workers };
        all.push(Scenario::new(format!("routed-{workers}-{in_flight}"), work));
    }
    all.push(Scenario::new("cast-8", Work::Cast { payload: 32, workers: 8 }));
    for format in [Format::Msgpack, Format::Json, Format::Pickle, Format::Postcard] {
        for in_flight in [1, 64] {
            let name = format!("add-{format}-{in_flight}");
            all.push(Scenario::new(name, Work::Add { format, in_flight }));
        }
    }
    for transport in [Transport::Unix, Transport::Tls, Transport::Mem] {
        for (name, work) in [("echo-1", Work::echo(1)), ("echo-64", Work::echo(64)), ("connect", Work::Connect)] {
            all.push(Scenario { name: format!("{name}-{transport}"), work, transport });
        }
        let work = Work::Echo { payload: 1 << 20, connections: 1, in_flight: 1 };
        all.push(Scenario { name: format!("echo-1mib-{transport}"), work, transport });
    }
    all
}
