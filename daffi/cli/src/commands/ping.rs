use std::time::{Duration, Instant};

use clap::Args;
use daffi::{Client, Role, Shown, transport::Endpoint};
use serde::Serialize;

use crate::{
    connection::{Connection, endpoint},
    failure::Failure,
    output,
    quantity::brief,
};

/// Tell what answers at an endpoint, and how fast
///
/// Each ping is a connection of its own, from connecting to the answer to the handshake: what a new node needs.
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// Where to connect to; left out: $DAFFI_ADDR
    url: Option<String>,
    /// How many connections, one after another
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    count: std::num::NonZeroU32,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    endpoint: &'a str,
    #[serde(flatten)]
    found: &'a Found,
    connect_ms: Vec<f64>,
}

/// What is known of the other end.
#[derive(Serialize)]
struct Found {
    role: &'static str,
    level: u8,
    members: Vec<String>,
}

impl Ping {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let endpoint = endpoint(self.url.as_deref())?;
        let (found, times) = self.measure(&endpoint).await?;
        if !self.json {
            return Ok(output::answer(&readable(&endpoint, &found, &times))?);
        }
        let connect_ms = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        output::json(&Report { endpoint: endpoint.as_str(), found: &found, connect_ms })
    }

    async fn measure(&self, endpoint: &Endpoint) -> Result<(Found, Vec<Duration>), Failure> {
        let mut times = Vec::new();
        loop {
            let begun = Instant::now();
            let client = self.connection.caller(endpoint).await?;
            times.push(begun.elapsed());
            let found = found(&client);
            client.stop().await;
            if times.len() >= self.count.get() as usize {
                return Ok((found, times));
            }
        }
    }
}

fn found(client: &Client) -> Found {
    let members = client.members();
    let others = members.iter().map(|member| member.name.to_string()).filter(|name| name != client.name());
    Found {
        role: match client.server_role() {
            Some(Role::Service) => "service",
            Some(Role::Router) => "router",
            _ => "unknown",
        },
        level: client.server_level().map_or(3, daffi::Level::number),
        members: others.collect(),
    }
}

/// Shortest, mean and longest.
fn summary(times: &[Duration]) -> (Duration, Duration, Duration) {
    let shortest = times.iter().min().copied().unwrap_or_default();
    let longest = times.iter().max().copied().unwrap_or_default();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    (shortest, times.iter().sum::<Duration>() / count, longest)
}

fn readable(endpoint: &Endpoint, found: &Found, times: &[Duration]) -> String {
    let speaks = if found.level >= 4 { "wire level 4" } else { "wire level 3, that of daffi 3.0.1" };
    let (shortest, mean, longest) = summary(times);
    let who = match (&found.members[..], found.role) {
        ([name], "service") => format!("service {}", Shown::new(name)),
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
    format!("{endpoint}\n{who}\n{speaks}\n{took}")
}
