//! The command line.

use std::{io::IsTerminal, time::Duration};

use crate::{
    Job, Result, Runtime, Subject, bar, beside, end,
    measure::{Settings, measure},
    report, scenarios, threads,
};

const USAGE: &str = "\
usage: daffi-benchmarks bar [OPTIONS]            the bar, with what is measured beside it
       daffi-benchmarks SCENARIO... [OPTIONS]    single scenarios; `all` for all of them
       daffi-benchmarks list                     their names
       daffi-benchmarks threads [RUNS [MILLIS [NAME]]]   what a Router's threads cost at each load
       daffi-benchmarks beside [ROUNDS [MILLIS]]   small calls beside large results and slow readers

  --repetitions N        interleaved runs of each subject (7)
  --millis N             length of a run (500)
  --runtime multi|current   the tokio runtime of each process (current)
  --cpu N|any            the CPU that all processes share, or none (the last one)
  --only NAME,..         only these subjects
  --json                 every sample instead of the table";

struct Options {
    scenarios: Vec<String>,
    settings: Settings,
    runtime: Runtime,
    cpu: Option<usize>,
    only: Option<Vec<String>>,
    json: bool,
}

/// Runs the command with these subjects. A child process comes here too.
///
/// # Errors
/// What makes a measurement impossible.
pub fn main(subjects: Vec<Box<dyn Subject>>) -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, part, job, addresses] = &args[..]
        && word == "end"
    {
        return end::main(&subjects, part, job, addresses);
    }
    if let Some((word, rest)) = args.split_first()
        && word == "threads"
    {
        return threads::main(rest);
    }
    if let Some((word, rest)) = args.split_first()
        && word == "beside"
    {
        return beside::main(rest);
    }
    let options = parse(&args)?;
    let subjects: Vec<_> = subjects
        .into_iter()
        .filter(|s| options.only.as_ref().is_none_or(|only| only.iter().any(|name| name == s.name())))
        .collect();
    Runtime::Current.build()?.block_on(run(&subjects, &options))
}

fn parse(args: &[String]) -> Result<Options> {
    let last = std::thread::available_parallelism().map_or(0, |n| n.get() - 1);
    let mut options = Options {
        scenarios: Vec::new(),
        settings: Settings { repetitions: 7, time: Duration::from_millis(500) },
        runtime: Runtime::Current,
        cpu: Some(last),
        only: None,
        json: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--repetitions" => options.settings.repetitions = value()?.parse()?,
            "--millis" => options.settings.time = Duration::from_millis(value()?.parse()?),
            "--runtime" => options.runtime = value()?.parse()?,
            "--cpu" => {
                let value = value()?;
                options.cpu = if value == "any" { None } else { Some(value.parse()?) };
            }
            "--only" => options.only = Some(value()?.split(',').map(ToOwned::to_owned).collect()),
            "--json" => options.json = true,
            name if !name.starts_with('-') => options.scenarios.push(name.to_owned()),
            other => return Err(format!("unknown option {other}\n{USAGE}").into()),
        }
    }
    if options.scenarios.is_empty() || options.settings.repetitions == 0 {
        return Err(USAGE.into());
    }
    Ok(options)
}

async fn run(subjects: &[Box<dyn Subject>], options: &Options) -> Result<()> {
    let words: Vec<&str> = options.scenarios.iter().map(String::as_str).collect();
    let watched = std::io::stderr().is_terminal();
    let progress = |job: Option<&Job>| match job {
        _ if !watched => {}
        Some(job) => eprint!("\r\x1b[K{}: {}", job.subject, job.work),
        None => eprint!("\r\x1b[K"),
    };
    match words[..] {
        ["list"] => {
            for scenario in scenarios::all() {
                println!("{:20} {} over {}", scenario.name, scenario.work, scenario.transport);
            }
            return Ok(());
        }
        ["bar"] => return bar::run(subjects, options.settings, options.cpu, options.json, progress).await,
        _ => {}
    }
    let known = scenarios::all();
    let chosen: Vec<_> = known.into_iter().filter(|s| words.contains(&"all") || words.contains(&&*s.name)).collect();
    if chosen.is_empty() {
        return Err("no such scenario: `list` names them".into());
    }
    let mut all = Vec::new();
    for scenario in chosen {
        let usual = subjects.iter().map(AsRef::as_ref).filter(|s| options.only.is_some() || s.is_usual());
        let jobs = scenario.jobs(usual, options.runtime, options.cpu);
        let measured = measure(subjects, jobs, options.settings, progress).await?;
        if let Some(first) = measured.first()
            && !options.json
        {
            if all.is_empty() {
                println!("settings: {}\n\n{}", report::settings(first, options.settings.time), report::HEAD);
            }
            for one in &measured {
                println!("{}", report::row(&scenario.name, one, first));
            }
        }
        all.extend(measured);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}
