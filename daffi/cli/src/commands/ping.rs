use std::time::{Duration, Instant};

use clap::Args;
use daffi::{Client, Role};
use serde::Serialize;

use crate::{
    address::Address,
    commands::no_connection_yet,
    connection::{Connection, Place, others},
    failure::Failure,
    interrupts::Interrupts,
    names::shown_name,
    output,
    quantity::{Count, brief, rounded},
    tally::Tally,
};

/// Tell what answers at an endpoint, and how fast
///
/// Each ping is a connection of its own, from connecting to the answer to the handshake: what a new
/// node needs. Of several, those that fail are counted; Ctrl-C ends them early, and what was
/// measured is told. No node is told of it, but by a router of daffi 3.0.1.
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// Where to connect to; left out: see `daffi context`
    url: Option<String>,
    /// How many connections, one after another
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    count: Count,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Pings<'a> {
    #[serde(flatten)]
    found: &'a Found,
    connect_ms: Vec<f64>,
    failed: u64,
    errors: &'a Tally,
}

/// What is known of the other end.
#[derive(Serialize)]
struct Found {
    endpoint: String,
    role: &'static str,
    level: u8,
    members: Vec<String>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    found: Option<Found>,
    times: Vec<Duration>,
    errors: Tally,
    first_failure: Option<Failure>,
}

impl Ping {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let address = self.place.address(self.url.as_deref())?;
        let mut seen = Seen::default();
        let none_yet = || no_connection_yet(&address);
        let ended = interrupts.cut_noting(self.measure(&address, &mut seen), none_yet).await;
        let Seen { found, times, errors, first_failure } = seen;
        let failed = errors.total();
        if let Some(found) = &found {
            if self.json {
                let connect_ms = times.iter().map(|time| rounded(time.as_secs_f64() * 1e3, 3)).collect();
                output::json(&Pings { found, connect_ms, failed, errors: &errors })?;
            } else {
                output::answer(&readable(found, &times))?;
            }
        }
        match (ended, &found) {
            (Err(Failure::Cancelled(signal, _)), Some(_)) => return Err(Failure::Interrupted(signal)),
            (ended, _) => ended?,
        }
        match first_failure {
            None => Ok(()),
            Some(only) if self.count.0 == 1 => Err(only),
            Some(first) => Err(first.preceded_by(&format!("{failed} of {} failed, the first: ", self.count))),
        }
    }

    async fn measure(&self, address: &Address, seen: &mut Seen) -> Result<(), Failure> {
        for _ in 0..self.count.0 {
            let begun = Instant::now();
            match self.connection.looker(address).await {
                Ok(client) => {
                    seen.times.push(begun.elapsed());
                    seen.found = Some(find(&client));
                    client.stop().await;
                }
                // The next attempt would go wrong in the same way.
                Err(wrong @ Failure::Usage(_)) => return Err(wrong),
                Err(failure) => {
                    seen.errors.count(failure.sentence());
                    seen.first_failure.get_or_insert(failure);
                }
            }
        }
        Ok(())
    }
}

fn find(client: &Client) -> Found {
    Found {
        endpoint: client.endpoint().to_string(),
        role: match client.server_role() {
            Some(Role::Service) => "service",
            Some(Role::Router) => "router",
            _ => "unknown",
        },
        level: client.server_level().map_or(3, daffi::Level::number),
        members: others(client).iter().map(|member| member.name.to_string()).collect(),
    }
}

/// The shortest, the mean and the longest time.
fn summary(times: &[Duration]) -> (Duration, Duration, Duration) {
    let shortest = times.iter().min().copied().unwrap_or_default();
    let longest = times.iter().max().copied().unwrap_or_default();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    (shortest, times.iter().sum::<Duration>() / count, longest)
}

fn readable(found: &Found, times: &[Duration]) -> String {
    let speaks = if found.level >= 4 { "wire level 4" } else { "wire level 3, that of daffi 3.0.1" };
    let (shortest, mean, longest) = summary(times);
    let who = match (&found.members[..], found.role) {
        ([name], "service") => format!("service {}", shown_name(name)),
        ([_], role) => format!("{role}, 1 member"),
        (members, role) => format!("{role}, {} members", members.len()),
    };
    let took = match times {
        [_] => format!("connected in {}", brief(mean)),
        _ => format!(
            "connected {} times in {} on average\nfastest {}, slowest {}",
            times.len(),
            brief(mean),
            brief(shortest),
            brief(longest)
        ),
    };
    let endpoint = &found.endpoint;
    format!("{endpoint}\n{who}\n{speaks}\n{took}")
}
