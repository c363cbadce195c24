use std::collections::BTreeMap;

use clap::Args;
use daffi::{Member, Shown};
use serde::Serialize;

use crate::{
    address::Address,
    commands::{
        no_connection_yet,
        top::{self, Sheet, ToldNode, lasting},
    },
    connection::{Connection, Place, others},
    failure::Failure,
    interrupts::Interrupts,
    names::shown_name,
    output,
    table::{shown_table, table},
};

/// Bytes that are shown of what is looked for.
const FILTER: usize = 100;

/// List who is there and what they expose
///
/// A service lists itself, a router all nodes that are connected to it. The command's own
/// connection is left out, and no node is told of it, but by a router of daffi 3.0.1.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Where the network is; left out: see `daffi context`
    url: Option<String>,
    /// List callbacks, each with the members that expose it
    #[arg(short, long)]
    by_callback: bool,
    /// Tell of each member its level, how long it has been connected, and from where, as far as the
    /// router tells that: see `daffi top`
    #[arg(short, long, conflicts_with = "by_callback")]
    long: bool,
    /// List only members with this text in their names, and callbacks with it in theirs
    #[arg(short, long, value_name = "TEXT")]
    filter: Option<String>,
    /// Print one line of JSON: [{"name": .., "methods": [..]}, ..], by callback [{"method": ..,
    /// "members": [..]}, ..]
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Members {
    pub(crate) async fn run(self, interrupts: &Interrupts) -> Result<(), Failure> {
        let address = self.place.address(self.url.as_deref())?;
        let connecting = self.connection.looker(&address);
        let client = interrupts.cut_noting(connecting, || no_connection_yet(&address)).await?;
        let all = others(&client);
        let known = match self.long {
            true => {
                let unasked = || "the router was still being asked what its nodes do".to_owned();
                interrupts.cut_noting(top::ask_and_read(&client), unasked).await.map(|told| told.nodes)
            }
            false => Ok(Vec::new()),
        };
        client.stop().await;
        let known: BTreeMap<_, _> = known?.into_iter().map(|node| (node.name.clone(), node)).collect();
        let wanted = self.filter.as_deref().unwrap_or_default();
        let members: Vec<_> = all.iter().filter_map(|member| ListedMember::matching(member, wanted)).collect();
        let exposes_nothing = members.iter().all(|member| member.methods.is_empty());
        match (self.by_callback, self.json) {
            (false, true) if self.long => {
                let long: Vec<_> = members.iter().map(|member| LongMember::of(member, &known)).collect();
                return output::json(&long);
            }
            (false, true) => return output::json(&members),
            (true, true) => return output::json(&by_callback(&members)),
            (false, false) if self.long => output::answer(&long_table(&members, &known, output::width()))?,
            (false, false) => {
                let rows = members.iter().map(|member| (&*member.name, &*member.methods));
                output::answer(&table(["NAME", "METHODS"], rows, output::width()))?;
            }
            (true, false) => {
                let exposed = by_callback(&members);
                let rows = exposed.iter().map(|exposed| (&*exposed.method, &*exposed.members));
                output::answer(&table(["METHOD", "MEMBERS"], rows, output::width()))?;
            }
        }
        if members.is_empty() || self.by_callback && exposes_nothing {
            output::tell(&self.nothing_listed(all.len(), &address));
        }
        Ok(())
    }

    /// What is said of a list in which nothing is, where so many are there.
    fn nothing_listed(&self, there: usize, address: &Address) -> String {
        match (there, &self.filter) {
            (0, _) => format!(
                "nobody is there: no node is connected to {address}; `daffi demo --connect {address}` joins one to try \
                 things on, and a client of yours connects to the same address"
            ),
            (_, Some(text)) => format!(
                "no member and no callback has {} in its name; without --filter all are listed, {there} in number",
                Shown::new(text).at_most(FILTER)
            ),
            _ => format!("no member exposes a callback; without --by-callback all are listed, {there} in number"),
        }
    }
}

#[derive(Serialize)]
struct ListedMember {
    name: String,
    methods: Vec<String>,
}

/// A member with what its router tells of it.
#[derive(Serialize)]
struct LongMember<'a> {
    #[serde(flatten)]
    member: &'a ListedMember,
    level: Option<u8>,
    address: Option<&'a str>,
    /// Seconds since it joined.
    age: Option<f64>,
}

impl<'a> LongMember<'a> {
    fn of(member: &'a ListedMember, known: &'a BTreeMap<String, ToldNode>) -> Self {
        let node = known.get(&member.name);
        Self {
            member,
            level: node.map(|node| node.level),
            address: node.map(|node| node.address.as_str()),
            age: node.map(|node| node.age),
        }
    }
}

/// What is known of each member in columns, and beside or below that what it exposes.
fn long_table(members: &[ListedMember], known: &BTreeMap<String, ToldNode>, width: Option<u16>) -> String {
    let rows = members.iter().map(|member| {
        let node = known.get(&member.name);
        let told = |of: fn(&ToldNode) -> String| node.map_or_else(|| "-".to_owned(), of);
        vec![
            shown_name(&member.name),
            told(|node| node.level.to_string()),
            told(|node| lasting(node.age)),
            told(|node| Shown::new(&node.address).to_string()),
        ]
    });
    let columns = top::lines(&Sheet { heads: vec!["NAME", "LEVEL", "FOR", "ADDRESS"], rows: rows.collect() });
    let mut lines = columns.lines().map(ToOwned::to_owned);
    let heads = lines.next().unwrap_or_default();
    shown_table([&heads, "METHODS"], lines.zip(members.iter().map(|member| &member.methods[..])), width)
}

#[derive(Serialize)]
struct Exposed {
    method: String,
    members: Vec<String>,
}

impl ListedMember {
    /// The member with what it exposes: all callbacks when its name has the text in it, else those
    /// that have it in theirs.
    fn matching(member: &Member, text: &str) -> Option<Self> {
        let all = member.name.as_str().contains(text);
        let methods = member.methods.iter().filter(|method| all || method.as_str().contains(text));
        let methods: Vec<_> = methods.map(ToString::to_string).collect();
        (all || !methods.is_empty()).then(|| Self { name: member.name.to_string(), methods })
    }
}

fn by_callback(members: &[ListedMember]) -> Vec<Exposed> {
    let mut exposed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ListedMember { name, methods } in members {
        for method in methods {
            exposed.entry(method).or_default().push(name.clone());
        }
    }
    exposed.into_iter().map(|(method, members)| Exposed { method: method.to_owned(), members }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_expose_fits_beside_or_below_what_is_known_of_them() {
        let methods = (0..20).map(|number| format!("method_{number}")).collect();
        let members = [ListedMember { name: "worker-of-the-north".to_owned(), methods }];
        for width in [40, 60, 100] {
            let text = long_table(&members, &BTreeMap::new(), Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width.into()), "{width}: {text}");
            assert!(text.starts_with("NAME") && text.contains("method_19"), "{text}");
        }
        assert_eq!(long_table(&members, &BTreeMap::new(), None).lines().count(), 2);
    }
}
