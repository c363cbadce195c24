//! Records sessions of daffi 3.0.1, and those of level 4 again, into `sessions/`.
//!
//! ```text
//! cargo run -p conformance --bin record              all of them
//! cargo run -p conformance --bin record NAME ..      these
//! cargo run -p conformance --bin record --check ..   writes nothing; fails when a file would change
//! ```

use std::{fs, process::ExitCode};

use conformance::{Session, directory, record, recording, recordings};
use futures::{StreamExt, stream};

/// Scenarios mostly wait, so several may run at once; but not so many that a node is late.
const AT_ONCE: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let (options, names): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let check = options.iter().any(|option| option == "--check");
    if let Some(unknown) = options.iter().find(|option| *option != "--check") {
        eprintln!("unknown option {unknown}: record [--check] [NAME ..]");
        return ExitCode::from(2);
    }
    let known = match find_known(&names).await {
        Ok(known) => known,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        eprintln!("there is no scenario {unknown}; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let chosen = if names.is_empty() { known } else { names };
    let recorded = stream::iter(chosen).map(|name| async move { one(&name, check).await });
    let bad = recorded.buffer_unordered(AT_ONCE).filter(|good| std::future::ready(!good)).count().await;
    if bad == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{bad} sessions {}", if check { "differ or were not recorded" } else { "were not recorded" });
    ExitCode::FAILURE
}

/// The names of the scenarios: those of level 4, and of 3.0.1 all scenarios where one of them is
/// asked for: to list them takes its Python.
async fn find_known(names: &[String]) -> Result<Vec<String>, record::RecordError> {
    let mut known: Vec<_> =
        recordings()?.into_iter().filter(Session::is_level_four).map(|session| session.name).collect();
    if names.is_empty() || names.iter().any(|name| !known.contains(name)) {
        known.extend(record::scenarios().await?);
    }
    Ok(known)
}

async fn one(name: &str, check: bool) -> bool {
    let recorded = match recording(name) {
        Ok(before) if before.is_level_four() => record::record_again(&before).await,
        _ => record::record(name).await,
    };
    let session = match recorded {
        Ok(session) => session,
        Err(error) => {
            eprintln!("{name}: {error}");
            return false;
        }
    };
    let path = directory().join(name).with_extension("session");
    let text = session.to_text();
    let before = fs::read_to_string(&path).unwrap_or_default();
    let steady =
        |text: &str| text.lines().filter(|line| !line.starts_with("recorded-with ")).collect::<Vec<_>>().join("\n");
    if steady(&before) == steady(&text) {
        println!("{name}: as before");
        return true;
    }
    if check {
        eprintln!("{name}: differs from the file");
        return false;
    }
    match fs::write(&path, text) {
        Ok(()) => {
            println!("{name}: {} steps", session.steps.len());
            true
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            false
        }
    }
}
