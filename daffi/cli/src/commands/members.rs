use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use daffi::{Member, Shown};
use serde::Serialize;

use crate::{
    connection::{Connection, endpoint},
    failure::Failure,
    output,
};

/// List who is there and what they expose
///
/// A service lists itself, a router all nodes that are connected to it. The command's own connection is left out.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Where the network is; left out: $DAFFI_ADDR
    url: Option<String>,
    /// Print one line of JSON: [{"name": .., "methods": [..]}, ..]
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Members {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = self.connection.caller(&endpoint(self.url.as_deref())?).await?;
        let members = client.members();
        client.stop().await;
        let others = members.iter().filter(|member| member.name.as_str() != client.name());
        let members: Vec<_> = others.map(Listed::from).collect();
        if self.json { output::json(&members) } else { Ok(output::answer(&table(&members, output::width()))?) }
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    methods: Vec<String>,
}

impl From<&Member> for Listed {
    fn from(member: &Member) -> Self {
        Self { name: member.name.to_string(), methods: member.methods.iter().map(ToString::to_string).collect() }
    }
}

/// Two columns, of which the second is wrapped where it leaves the terminal.
fn table(members: &[Listed], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["NAME", "METHODS"]);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for Listed { name, methods } in members {
        let methods = if methods.is_empty() { "-".to_owned() } else { methods.join(", ") };
        table.add_row([Shown::new(name).to_string(), Shown::new(&methods).at_most(usize::MAX).to_string()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, methods: &[&str]) -> Listed {
        Listed { name: name.to_owned(), methods: methods.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn methods_are_wrapped_on_a_narrow_terminal() {
        let members = [listed("worker-1", &["add", "echo", "greet", "receive_chunk"]), listed("viewer", &[])];
        assert_eq!(table(&members, None), "NAME      METHODS\nworker-1  add, echo, greet, receive_chunk\nviewer    -");
        assert_eq!(
            table(&members, Some(30)),
            "NAME      METHODS\nworker-1  add, echo, greet,\n          receive_chunk\nviewer    -"
        );
    }
}
