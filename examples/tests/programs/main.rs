//! Runs every example: each pair with Rust and Python on either side, and each program that stands alone.
//!
//! What there is comes from the directories, what it prints from the tables in README.md. So a new example needs a row
//! there, and nothing here.

mod catalogue;
mod program;
mod server;

use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::{
    catalogue::{Catalogue, Pairing, Source},
    program::Program,
    server::Server,
};

fn main() {
    let arguments = Arguments::from_args();
    let catalogue = Catalogue::read();
    let mut trials = vec![];
    for pairing in catalogue.pairings() {
        trials.push(Trial::test(pairing.to_string(), move || pair(&pairing)));
    }
    for (name, prints) in catalogue.alone() {
        trials.push(Trial::test(name.clone(), move || alone(&name, &prints)));
    }
    trials.push(Trial::test("readme_has_a_row_for_every_example", move || catalogue.check()));
    libtest_mimic::run(&arguments, trials).exit();
}

fn pair(pairing: &Pairing) -> Result<(), Failed> {
    let server = Server::start(&pairing.name, pairing.server)?;
    let client = Program::start(&server.client, pairing.client, &server.client_options)?.finish()?;
    expect("the client", &client, &pairing.prints)?;

    // It hears of the client's end a moment later.
    let said = server.program.lines(server.prints.len(), Duration::from_secs(10));
    let rest = server.program.stop()?;
    expect("the service", &[said, rest].concat(), &server.prints)
}

fn alone(name: &str, prints: &[String]) -> Result<(), Failed> {
    let printed = Program::start(name, Source::Rust, &[])?.finish()?;
    let printed: Vec<_> = printed.into_iter().map(|line| without_port(&line)).collect();
    expect(name, &printed, prints)
}

fn expect(who: &str, printed: &[String], expected: &[String]) -> Result<(), Failed> {
    if printed == expected {
        return Ok(());
    }
    Err(format!("{who} printed\n  {}\nand not\n  {}", printed.join("\n  "), expected.join("\n  ")).into())
}

/// `PORT` in place of the port that the operating system chose.
fn without_port(line: &str) -> String {
    match line.rsplit_once(':') {
        Some((before, port)) if before.contains("://") && port.parse::<u16>().is_ok() => format!("{before}:PORT"),
        _ => line.to_owned(),
    }
}
