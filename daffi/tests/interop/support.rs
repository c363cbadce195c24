//! Services and clients on the transports that both libraries have.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use daffi::{Callbacks, Client, ClientTls, FormatId, ServerTls, Service};
use daffi_testing::{Certificate, Launch, Peer, SocketPath};
use tokio::sync::Notify;

use crate::exposed::Exposed;

/// The formats that 3.0.1 has.
pub(crate) const FORMATS: [FormatId; 4] = [FormatId::PICKLE, FormatId::JSON, FormatId::MSGPACK, FormatId::OPAQUE];

/// Nothing takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    Tls,
    /// Only Rust clients have it; servers take it on their TCP port.
    Ws,
    /// The same on a TLS port.
    Wss,
}

impl Transport {
    /// A Rust service with the callbacks of [`Exposed`].
    pub(crate) async fn rust_service(self, name: &str, workers: usize) -> Service {
        let service = Service::builder(name).callbacks(Exposed::default()).workers(workers);
        let bound = match self {
            Self::Tcp | Self::Ws => service.bind("tcp://127.0.0.1:0").await,
            Self::Unix => {
                let at = SocketPath::new().endpoint();
                service.bind(&at).await
            }
            Self::Tls | Self::Wss => {
                let tls = Certificate::localhost();
                let tls = ServerTls::from_files(tls.certificate, tls.key).unwrap();
                service.tls(tls).bind("tls://127.0.0.1:0").await
            }
        };
        bound.unwrap()
    }

    pub(crate) fn python_service(self) -> Launch {
        match self {
            Self::Tcp | Self::Ws => Peer::service(),
            Self::Unix => Peer::service().on_socket(),
            Self::Tls | Self::Wss => Peer::service().with_certificate(&Certificate::localhost()),
        }
    }
}

impl Transport {
    /// What a Rust client connects to, of a server that says where it listens.
    pub(crate) fn of_client(self, endpoint: &str) -> String {
        match self {
            Self::Ws => endpoint.replace("tcp://", "ws://"),
            Self::Wss => endpoint.replace("tls://", "wss://"),
            Self::Tcp | Self::Unix | Self::Tls => endpoint.to_owned(),
        }
    }
}

/// Where a service listens.
pub(crate) fn endpoint(service: &Service) -> &str {
    service.endpoints()[0].as_str()
}

/// A Python client of a Rust service, which verifies it when it can.
pub(crate) fn python_client(service: &Service) -> Launch {
    Peer::client(endpoint(service)).trusting(&Certificate::localhost().authority)
}

pub(crate) async fn rust_client(name: &str, endpoint: &str) -> Client {
    let client = Client::builder(name).default_timeout(PATIENCE);
    let client = if endpoint.starts_with("tls://") || endpoint.starts_with("wss://") {
        client.tls(ClientTls::ca_file(Certificate::localhost().authority).unwrap())
    } else {
        client
    };
    client.connect(endpoint).await.unwrap()
}

/// A client with the callbacks of [`Exposed`], one at a time.
pub(crate) async fn rust_worker(name: &str, endpoint: &str) -> Client {
    Client::builder(name).callbacks(Exposed::default()).default_timeout(PATIENCE).connect(endpoint).await.unwrap()
}

/// A callback that tells when it runs and ends when it is told.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) begun: Arc<Notify>,
    pub(crate) end: Arc<Notify>,
}

impl Held {
    /// As the callback `held`, which gives 7.
    pub(crate) fn callbacks(&self) -> Callbacks {
        let held = self.clone();
        Callbacks::new().callback_fn("held", move || {
            let held = held.clone();
            async move {
                held.begun.notify_one();
                held.end.notified().await;
                7
            }
        })
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
