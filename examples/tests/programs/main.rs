//! Runs every example: each pair with Rust and Python on either side, workers and callers behind
//! routers of both languages, each program that stands alone, and each web page in a browser.
//!
//! What there is comes from the directories, what it prints from the tables in README.md. So a new
//! example needs a row there, and nothing here.

mod catalogue;
mod program;
mod readme;
mod server;

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use daffi_testing::Browser;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::net::TcpSocket;

use crate::{
    catalogue::{Catalogue, Pairing, Routing, Source},
    program::{LONGEST, Program},
    server::{Server, option},
};

fn main() {
    let arguments = Arguments::from_args();
    let catalogue = Catalogue::read();
    let mut trials = vec![];
    for pairing in catalogue.pairings() {
        trials.push(Trial::test(pairing.to_string(), move || pair(&pairing)));
    }
    for routing in catalogue.routings() {
        trials.push(Trial::test(routing.to_string(), move || routed(&routing)));
    }
    for (name, prints) in catalogue.alone() {
        trials.push(Trial::test(name.clone(), move || alone(&name, &prints)));
    }
    for (name, writes) in catalogue.pages() {
        for service in [Source::Rust, Source::Python] {
            let (name, writes) = (name.clone(), writes.clone());
            let title = format!("{name}::{service}_called_from_chromium");
            trials.push(Trial::test(title, move || page(&name, service, &writes)));
        }
    }
    for name in catalogue.of_rust() {
        // To be copied, it is a service and a client and nothing else.
        if name != "quickstart" {
            trials.push(Trial::test(format!("{name}::is_used_so"), move || used(&name)));
        }
    }
    trials.push(Trial::test("readme_has_a_row_for_every_example", move || catalogue.check()));
    libtest_mimic::run(&arguments, trials).exit();
}

fn pair(pairing: &Pairing) -> Result<(), Failed> {
    let Pairing { server: (server, in_language), client: (client, its_language), .. } = pairing;
    let server = Server::start(server, *in_language)?;
    let client = Program::start(client, *its_language, &server.client_options)?.finish()?;
    expect("the client", &client, &pairing.prints)?;

    // It hears of the client's end a moment later.
    let said = server.program.lines(server.prints.len(), Duration::from_secs(10));
    let rest = server.program.stop()?;
    expect("the service", &[said, rest].concat(), &server.prints)
}

/// A worker is started when the one before has joined, the caller when all have: what it sees does
/// not depend on who was first.
fn routed(routing: &Routing) -> Result<(), Failed> {
    let router = Server::start("router", routing.router)?;
    let start_caller = || Program::start(&format!("{}_caller", routing.name), routing.caller, &router.client_options);
    // The example of waiting: its caller has to be first.
    let waiting = if routing.name == "members" { Some(start_caller()?) } else { None };
    let mut printed = waiting.as_ref().map(|caller| caller.lines(1, LONGEST)).unwrap_or_default();

    let mut workers = vec![];
    for worker in &routing.workers {
        let name = worker.app_name.iter().flat_map(|name| option("--name", name));
        let options = router.client_options.iter().cloned().chain(name);
        let program = Program::start(&format!("{}_worker", routing.name), worker.source, &options.collect::<Vec<_>>())?;
        let first = program.lines(1, LONGEST);
        if !first.first().is_some_and(|line| line.starts_with("connected to ")) {
            return Err(program.failure("does not connect"));
        }
        workers.push(program);
    }

    let caller = waiting.map_or_else(start_caller, Ok)?;
    printed.extend(caller.finish()?);
    expect("the caller", &printed, &routing.prints)?;
    for worker in workers {
        expect("a worker", &worker.stop()?, &[])?;
    }
    expect("the router", &router.program.stop()?, &[])
}

/// Whoever asks how it is used is told, and whoever uses it in another way, too.
fn used(name: &str) -> Result<(), Failed> {
    let ended = |options: &[&str]| {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        Program::start(name, Source::Rust, &options)?.end()
    };
    let usage = format!("usage: {name}");
    let (code, said, wrong) = ended(&["--help"])?;
    if code != Some(0) || !said.starts_with(&usage) || !wrong.is_empty() {
        return Err(format!("{name} --help: {code:?}, {said:?}, {wrong:?}").into());
    }
    let takes_address = ["--listen", "--connect"].into_iter().find(|option| said.contains(option));
    for options in [["--nonsense", "x"], ["x", "y"]] {
        let (code, said, wrong) = ended(&options)?;
        if code != Some(2) || !said.is_empty() || !wrong.contains(&usage) {
            return Err(format!("{name} {options:?}: {code:?}, {said:?}, {wrong:?}").into());
        }
    }
    let Some(option) = takes_address else { return Ok(()) };
    // A port at which somebody else listens, and one at which nobody does and nobody else can.
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let unheard = TcpSocket::new_v4()?;
    unheard.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let (address, reason) = if option == "--listen" {
        (taken.local_addr()?, "Address already in use")
    } else {
        (unheard.local_addr()?, "Connection refused")
    };
    let address = if said.contains("://") { format!("tcp://{address}") } else { address.to_string() };
    let (address, reason) = if said.contains("unix://") {
        ("unix:///nowhere/at/all".to_owned(), "there is no directory /nowhere/at")
    } else if said.contains("tls://") {
        // It reads its certificates before it looks at the address.
        (address, "No such file or directory")
    } else {
        (address, reason)
    };
    let (code, _, wrong) = ended(&[option, &address])?;
    // What Rust writes of the parts of an error is for nobody.
    if code != Some(1) || !wrong.contains(reason) || wrong.contains(['{', '}']) {
        return Err(format!("{name} {option} {address}: {code:?}, {wrong:?}").into());
    }
    Ok(())
}

fn alone(name: &str, prints: &[String]) -> Result<(), Failed> {
    let printed = Program::start(name, Source::Rust, &[])?.finish()?;
    let printed: Vec<_> = printed.into_iter().map(|line| without_port(&line)).collect();
    expect(name, &printed, prints)
}

/// The page in a real browser, with its own service or with the one of the same callbacks in
/// Python.
fn page(name: &str, service: Source, writes: &[String]) -> Result<(), Failed> {
    let options = ["--listen", "tcp://127.0.0.1:0", "--pages", "127.0.0.1:0"].map(str::to_owned);
    let program = Program::start(name, Source::Rust, &options)?;
    let lines = program.lines(2, Duration::from_secs(60));
    let [listening, open] = &lines[..] else { return Err(program.failure("does not say where its page is")) };
    let address = listening.strip_prefix("listening on tcp://").ok_or("it says where it listens")?;
    let link = open.strip_prefix("open ").ok_or("it says where its page is")?;

    let python = match service {
        Source::Rust => None,
        Source::Python => Some(Server::start("rpc_service", Source::Python)?),
    };
    let link = match &python {
        None => link.to_owned(),
        Some(server) => {
            let there = server.client_options.last().ok_or("it listens")?.replace("tcp://", "");
            link.replace(&format!("ws://{address}"), &format!("ws://{there}"))
        }
    };
    let browser = Browser::open(&link);
    expect("the page", &browser.console(writes.len()), writes)?;
    if python.is_none() {
        program.stop()?;
        let ended = ["the connection ended with code 1000".to_owned()];
        expect("the page", &browser.console(1), &ended)?;
    }
    Ok(())
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
