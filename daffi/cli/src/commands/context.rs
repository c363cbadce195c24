use clap::{Args, Subcommand};
use daffi::Shown;
use serde::Serialize;

use crate::{
    address::{Address, parse_address},
    contexts::{Contexts, path},
    failure::Failure,
    output,
};

const AFTER: &str = "\
An address is that of, in this order: the URL, --context NAME, $DAFFI_ADDR, the context in use.

Examples:
  daffi context add prod tls://rpc.example:5000
  daffi members --context prod
  daffi context use prod";

/// Save addresses under names
///
/// They are in $XDG_CONFIG_HOME/daffi/contexts.json, else ~/.config/daffi/contexts.json, which only
/// its owner can read.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Context {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Save an address, in place of what bore the name. The first one saved is in use
    Add {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        /// The address; several endpoints of one network with commas between them
        #[arg(value_parser = parse_address)]
        url: Address,
    },
    /// List what is saved, with a * before the one in use
    List {
        /// Print one line of JSON: [{"name": .., "url": .., "in_use": ..}, ..]
        #[arg(long)]
        json: bool,
    },
    /// Use an address where none is given
    Use {
        /// Its name
        name: String,
    },
    /// Forget an address
    Remove {
        /// Its name
        name: String,
    },
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = Shown::new(text).is_plain() && !text.contains(char::is_whitespace);
    match text {
        "" => Err("a name is not empty: is a variable of the shell not set?".to_owned()),
        text if text.contains("://") => Err("the name comes first, then the URL".to_owned()),
        _ if !is_plain => Err("a name has no blanks or control characters, and at most 1024 bytes".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[derive(Serialize)]
struct ListedContext<'a> {
    name: &'a str,
    url: &'a str,
    in_use: bool,
}

impl Context {
    pub(crate) const fn json(&self) -> bool {
        matches!(self.action, Action::List { json: true })
    }

    pub(crate) fn run(self) -> Result<(), Failure> {
        let path = path()?;
        let mut saved = Contexts::load(&path)?;
        if let Action::List { json } = self.action {
            return list(&saved, json);
        }
        // Whoever names what is not there hears that, and nothing is made or locked for it.
        self.action.change(&mut saved)?;
        Contexts::change(&path, |saved| self.action.change(saved))
    }
}

impl Action {
    /// Does to the saved addresses what was asked for.
    fn change(&self, saved: &mut Contexts) -> Result<(), Failure> {
        match self {
            Self::List { .. } => {}
            Self::Add { name, url } => {
                saved.current.get_or_insert_with(|| name.clone());
                saved.contexts.insert(name.clone(), url.to_string());
            }
            Self::Use { name } => {
                saved.address(name)?;
                saved.current = Some(name.clone());
            }
            Self::Remove { name } => {
                if saved.contexts.remove(name).is_none() {
                    return Err(saved.unknown(name, ""));
                }
                saved.current.take_if(|current| current == name);
            }
        }
        Ok(())
    }
}

fn list(saved: &Contexts, json: bool) -> Result<(), Failure> {
    let listed: Vec<_> = saved
        .contexts
        .iter()
        .map(|(name, url)| ListedContext { name, url, in_use: saved.current.as_ref() == Some(name) })
        .collect();
    if json {
        return output::json(&listed);
    }
    if listed.is_empty() {
        output::tell("no context is saved: `daffi context add NAME URL` saves one");
    }
    let width = listed.iter().map(|context| context.name.chars().count()).max().unwrap_or(0);
    for ListedContext { name, url, in_use } in listed {
        let mark = if in_use { "*" } else { " " };
        output::answer(&format!("{mark} {:<width$}  {}", Shown::new(name).to_string(), Shown::new(url)))?;
    }
    Ok(())
}
