//! The attack, in a process of its own that gives way to the honest caller's.

use std::{
    env, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use daffi_stress::Node;
use tokio::time::sleep;

use crate::attack::{Attack, Target};

/// The process that attacks; it ends with this.
#[derive(Debug)]
pub(crate) struct Flood(Node);

impl Flood {
    pub(crate) fn start(attack: Attack, target: &Target, connections: usize) -> Self {
        let own = env::current_exe().unwrap_or_else(|error| panic!("this program does not know where it is: {error}"));
        let (connections, attack) = (connections.to_string(), attack.name());
        // It runs when nobody else wants its CPU: one that is only nice keeps it for milliseconds.
        let mut arguments = vec!["--idle", "0", own.to_str().unwrap_or("adversary"), &target.address, &attack];
        arguments.extend(["--connections", &connections, "--callback", &target.callback]);
        arguments.extend(["--receiver", &target.receiver]);
        Self(Node::start("chrt", &arguments))
    }

    /// CPU time that it took.
    pub(crate) fn cpu(&self) -> Duration {
        self.0.cpu()
    }

    /// Ends it, and gives how often one of its connections was ended.
    pub(crate) fn end(&mut self) -> String {
        self.0.ask("ended")
    }
}

/// Does it on so many connections, until the standard input ends. Answers each line of it with how
/// often a connection was ended.
pub(crate) fn attack(attack: Attack, target: &Target, connections: usize) -> io::Result<()> {
    let ended = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for number in 0..connections {
        let (target, ended) = (target.clone(), Arc::clone(&ended));
        runtime.spawn(async move {
            let me = format!("adversary-{number}");
            loop {
                // How it ended is the node's decision; it is counted, and tried again.
                let _ended_by_the_node = attack.run(&target, &me).await;
                ended.fetch_add(1, Relaxed);
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    println!("{connections} connections");
    for _line in io::stdin().lines() {
        println!("{}", ended.load(Relaxed));
    }
    Ok(())
}
