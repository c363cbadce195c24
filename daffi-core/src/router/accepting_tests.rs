//! The task that takes connections.

use std::{
    io,
    task::{Context, Poll},
};

use daffi_transport::{Endpoint, LinkConfig, Listener, Pending};
use daffi_wire::{Limits, NodeName};

use super::Router;
use crate::error::Ended;

/// A listener with an error in it.
#[derive(Debug)]
struct Broken(Endpoint);

impl Listener for Broken {
    fn poll_accept(&mut self, _: &mut Context<'_>, _: &LinkConfig) -> Poll<io::Result<Pending>> {
        panic!("an error of the listener");
    }

    fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

#[tokio::test]
async fn a_node_that_can_take_no_connections_any_more_ends_and_says_why() {
    let listener = Broken("mem://broken".parse().unwrap());
    let name = NodeName::new("router", &Limits::default()).unwrap();
    let router = Router::builder(name).listen(vec![Box::new(listener)]).unwrap();
    assert_eq!(router.join().await, Ended::Panicked);
}
