//! Makes `DIFFERENCES.md` and `RULES.md` anew, after a run of all recordings against all nodes.

use std::{fs, process::ExitCode};

use conformance::{Replay, nodes, nodes::Over, recordings, tables};

#[tokio::main]
async fn main() -> Result<ExitCode, std::io::Error> {
    let sessions = recordings()?;
    let mut replays = 0;
    for session in &sessions {
        for part in session.parts() {
            let ended = Replay::of(session, &part.name).run(|spec| nodes::start(spec, Over::Tcp)).await;
            if let Err(mismatch) = ended {
                eprintln!("{mismatch}\nno table says that this holds");
                return Ok(ExitCode::FAILURE);
            }
            replays += 1;
        }
    }
    for (path, text) in tables(&sessions)? {
        fs::write(&path, text)?;
    }
    println!("{replays} replays of {} sessions hold; the tables are written", sessions.len());
    Ok(ExitCode::SUCCESS)
}
