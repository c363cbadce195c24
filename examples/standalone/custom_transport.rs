//! A transport of its own: a service in a child process, reached over the child's stdin and stdout.

use std::{
    env, io,
    process::Stdio,
    task::{Context, Poll},
};

use daffi::{
    MemberEvent,
    prelude::*,
    transport::{BoxFuture, ConnectError, Connector, Endpoint, Link, LinkConfig, Listener, PeerInfo, Pending, Phase},
};
use futures::StreamExt;
use tokio::process::Command;

/// Starts a program per connection.
struct Child {
    program: Endpoint,
}

impl Connector for Child {
    fn connect(&self, config: &LinkConfig) -> BoxFuture<'static, Result<Link, ConnectError>> {
        let (program, config) = (self.program.clone(), *config);
        Box::pin(async move {
            let failed = |error| ConnectError::failed(&program, Phase::Connect, error);
            let mut command = Command::new(program.address());
            let spawned = command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut child = spawned.map_err(failed)?;
            let (Some(reader), Some(writer)) = (child.stdout.take(), child.stdin.take()) else {
                return Err(failed(io::ErrorKind::BrokenPipe.into()));
            };
            Ok(Link::connect_over(reader, writer, &config, PeerInfo::new("child", program.address())))
        })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.program
    }
}

/// Accepts one connection: that of the parent, which is there from the start.
struct Parent {
    endpoint: Endpoint,
    accepted: bool,
}

impl Listener for Parent {
    fn poll_accept(&mut self, _: &mut Context<'_>, config: &LinkConfig) -> Poll<io::Result<Pending>> {
        if std::mem::replace(&mut self.accepted, true) {
            return Poll::Pending;
        }
        let (peer, config) = (PeerInfo::new("child", "parent"), *config);
        // What takes time, here waiting for the first bytes, belongs into the pending connection.
        let upgrade = {
            let peer = peer.clone();
            async move { Link::accept_over(tokio::io::stdin(), tokio::io::stdout(), &config, peer).await }
        };
        Poll::Ready(Ok(Pending::new(peer, upgrade)))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

#[callback]
fn process_id() -> u32 {
    std::process::id()
}

/// Nothing may be printed here: stdout carries the frames.
async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let parent = Parent { endpoint: "child://stdin".parse()?, accepted: false };
    let service = Service::builder("child").callbacks(callbacks![process_id]).listen(vec![Box::new(parent)])?;
    let mut events = service.events();
    while !matches!(events.next().await, Some(MemberEvent::Removed(_)) | None) {}
    service.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    match &daffi_examples::arguments("")[..] {
        [] => {}
        [word] if word == "serve" => return serve().await,
        [word, ..] => daffi_examples::refuse(&format!("{word:?} is not understood"), ""),
    }
    let program = Endpoint::new("child", &env::current_exe()?.to_string_lossy())?;
    let client = Client::builder("parent").connect_with(Box::new(Child { program })).await?;
    let child: u32 = client.rpc().call("process_id", ()).await?;
    println!("answered by another process: {}", child != std::process::id());
    client.stop().await;
    Ok(())
}
