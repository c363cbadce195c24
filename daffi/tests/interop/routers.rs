//! Routers of both libraries, told apart by nobody behind them.

use daffi::{Client, Router};
use daffi_testing::{Launch, Peer};

use crate::support::{rust_client, rust_worker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouterKind {
    Python,
    Rust,
}

/// A running router, which ends with this value.
#[derive(Debug)]
pub(crate) enum AnyRouter {
    Python(Box<Peer>),
    Rust(Router),
}

impl RouterKind {
    pub(crate) async fn start(self) -> AnyRouter {
        self.start_at("tcp://127.0.0.1:0").await
    }

    pub(crate) async fn start_at(self, at: &str) -> AnyRouter {
        match self {
            Self::Python => AnyRouter::Python(Box::new(Peer::router().at(at).start().await)),
            Self::Rust => AnyRouter::Rust(Router::builder("router").bind(at).await.unwrap()),
        }
    }
}

impl AnyRouter {
    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Python(router) => router.endpoint(),
            Self::Rust(router) => router.endpoints()[0].to_string(),
        }
    }

    /// Without a word to its members.
    pub(crate) fn kill(self) {
        match self {
            Self::Python(router) => router.kill(),
            Self::Rust(router) => drop(router),
        }
    }

    pub(crate) async fn rust_client(&self, name: &str) -> Client {
        rust_client(name, &self.endpoint()).await
    }

    pub(crate) async fn rust_worker(&self, name: &str) -> Client {
        rust_worker(name, &self.endpoint()).await
    }

    /// A Python client, to be started.
    pub(crate) fn python(&self, name: &str) -> Launch {
        Peer::client(&self.endpoint()).name(name)
    }

    pub(crate) async fn python_client(&self, name: &str) -> Peer {
        self.python(name).start().await
    }

    pub(crate) async fn python_worker(&self, name: &str) -> Peer {
        self.python(name).worker().start().await
    }
}

/// Tests that are the same behind a router of either library: `async fn name(kind: RouterKind)`
/// each.
macro_rules! behind_either_router {
    ($($name:ident),* $(,)?) => {
        mod python_router {
            use crate::routers::RouterKind;
            $(#[tokio::test] async fn $name() { super::$name(RouterKind::Python).await; })*
        }

        mod rust_router {
            use crate::routers::RouterKind;
            $(#[tokio::test] async fn $name() { super::$name(RouterKind::Rust).await; })*
        }
    };
}
pub(crate) use behind_either_router;
