//! Rust nodes in processes of their own.

use std::{
    env,
    io::{BufRead, stdin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::ValueEnum;
use daffi::{BoxError, Client, Router, Value};
use daffi_stress::Node;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use crate::calls::{Tally, make_calls};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Router,
    Worker,
    Caller,
}

/// Runs a node until its standard input ends.
pub(crate) async fn run(kind: Kind, endpoint: &str, name: &str) -> Result<(), BoxError> {
    let (over, stop) = watch::channel(false);
    match kind {
        Kind::Router => {
            let router = loop {
                match Router::builder(name).bind(endpoint).await {
                    Ok(router) => break router,
                    // The one before was killed just now.
                    Err(error) => eprintln!("{error}"),
                }
                sleep(Duration::from_millis(50)).await;
            };
            println!("{}", router.endpoints()[0]);
            wait_for_the_end().await?;
            router.stop().await;
        }
        Kind::Worker => {
            let worker = loop {
                let worker = Client::builder(name).workers(4).callback_fn("echo", |value: Value| async move {
                    if fastrand::u8(..) < 8 {
                        sleep(Duration::from_millis(fastrand::u64(1..50))).await;
                    }
                    value
                });
                match worker.connect(endpoint).await {
                    Ok(worker) => break worker,
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            };
            println!("{name}");
            wait_for_the_end().await?;
            worker.stop().await;
        }
        Kind::Caller => {
            let calls = tokio::spawn(make_calls(endpoint.to_owned(), name.to_owned(), Arc::<Tally>::default(), stop));
            println!("{name}");
            wait_for_the_end().await?;
            over.send_replace(true);
            calls.await?;
        }
    }
    Ok(())
}

async fn wait_for_the_end() -> Result<(), BoxError> {
    Ok(spawn_blocking(|| stdin().lock().lines().try_for_each(|line| line.map(drop))).await??)
}

/// A node that is started again when it was killed.
#[derive(Clone)]
pub(crate) struct Kept {
    kind: Kind,
    endpoint: String,
    name: String,
    running: Arc<Mutex<Node>>,
}

impl Kept {
    pub(crate) async fn start(kind: Kind, endpoint: &str, name: &str) -> Result<Self, BoxError> {
        let running = Arc::new(Mutex::new(spawn(kind, endpoint.to_owned(), name.to_owned()).await?));
        let mut kept = Self { kind, endpoint: endpoint.to_owned(), name: name.to_owned(), running };
        if kind == Kind::Router {
            kept.endpoint = kept.first_line();
        }
        Ok(kept)
    }

    /// Kills it with SIGKILL and starts it again, as the same node.
    pub(crate) async fn kill_and_restart(&self) -> Result<(), BoxError> {
        self.with(Node::kill);
        sleep(Duration::from_millis(fastrand::u64(0..500))).await;
        let (kept, next) = (self.clone(), spawn(self.kind, self.endpoint.clone(), self.name.clone()));
        let started = async move {
            let next = next.await?;
            kept.with(|running| *running = next);
            Ok::<_, BoxError>(())
        };
        // A worker comes up once there is a router; nobody waits for it.
        if self.kind == Kind::Router {
            return started.await;
        }
        tokio::spawn(started);
        Ok(())
    }

    pub(crate) fn first_line(&self) -> String {
        self.with(|running| running.endpoint().to_owned())
    }

    /// Bytes resident, and descriptors.
    pub(crate) fn usage(&self) -> (usize, usize) {
        self.with(|running| (running.resident(), running.descriptors()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Node) -> T) -> T {
        act(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn spawn(kind: Kind, endpoint: String, name: String) -> Result<Node, BoxError> {
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let kind = kind.to_possible_value().ok_or("every kind has a word")?.get_name().to_owned();
    Ok(spawn_blocking(move || Node::start(&program, &["node", &kind, &endpoint, &name])).await?)
}
