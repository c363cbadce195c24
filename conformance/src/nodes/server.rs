//! Services and Routers of this project.

use std::io;

use daffi::{Router, Service};
use futures::future::BoxFuture;
use tokio::{io::DuplexStream, net::TcpStream, sync::mpsc};

use super::{Over, PipeListener, callbacks, callbacks::configure, callbacks::late, pipe};
use crate::{Action, Node, NodeSpec, Outcome, Started, Stream};

/// Where the replay's connections go.
enum Door {
    Pipe(mpsc::Sender<DuplexStream>),
    Tcp(String),
}

impl Door {
    async fn open(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Self::Pipe(incoming) => {
                let (ours, theirs) = pipe::ends();
                incoming.send(theirs).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
                Box::new(ours)
            }
        })
    }
}

/// Starts a [`Service`] after its description.
#[must_use]
pub fn service(spec: &NodeSpec, over: Over) -> Started {
    let spec = spec.clone();
    Box::pin(async move {
        let builder = Service::builder(&spec.name)
            .callbacks(callbacks(&spec.exposes)?)
            .workers(spec.workers)
            .configure(configure);
        let (service, door) = match over {
            Over::Tcp => {
                let service = builder.bind("tcp://127.0.0.1:0").await.map_err(io::Error::other)?;
                let address = service.endpoints()[0].address().to_owned();
                (service, Door::Tcp(address))
            }
            Over::Memory => {
                let (door, incoming) = pipe();
                let listener = Box::new(PipeListener::new(incoming));
                (builder.listen(vec![listener]).map_err(io::Error::other)?, Door::Pipe(door))
            }
        };
        Ok(Box::new(ServiceNode { service, door }) as Box<dyn Node>)
    })
}

struct ServiceNode {
    service: Service,
    door: Door,
}

/// Starts a [`Router`] after its description.
#[must_use]
pub fn router(spec: &NodeSpec, over: Over) -> Started {
    let spec = spec.clone();
    Box::pin(async move {
        let builder = Router::builder(&spec.name).configure(configure);
        let (router, door) = match over {
            Over::Tcp => {
                let router = builder.bind("tcp://127.0.0.1:0").await.map_err(io::Error::other)?;
                let address = router.endpoints()[0].address().to_owned();
                (router, Door::Tcp(address))
            }
            Over::Memory => {
                let (door, incoming) = pipe();
                let listener = Box::new(PipeListener::new(incoming));
                (builder.listen(vec![listener]).map_err(io::Error::other)?, Door::Pipe(door))
            }
        };
        Ok(Box::new(RouterNode { router, door }) as Box<dyn Node>)
    })
}

struct RouterNode {
    router: Router,
    door: Door,
}

impl Node for RouterNode {
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.door.open())
    }

    fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome> {
        let outcome = Outcome::Failed(format!("a router cannot {}", action.verb));
        Box::pin(std::future::ready(outcome))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Dropping the last handle ends it at once.
        drop(self.router);
        Box::pin(std::future::ready(()))
    }
}

impl Node for ServiceNode {
    fn open(&mut self) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(self.door.open())
    }

    fn act(&mut self, action: &Action) -> BoxFuture<'static, Outcome> {
        let outcome = match action.verb.as_str() {
            "late" => match self.service.add_callbacks(late(&action.method)) {
                Ok(()) => Outcome::Value(serde_json::Value::Null),
                Err(error) => Outcome::Failed(error.to_string()),
            },
            verb => Outcome::Failed(format!("a service cannot {verb}")),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        // Dropping the last handle ends it at once.
        drop(self);
        Box::pin(std::future::ready(()))
    }
}
