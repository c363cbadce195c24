//! How a client gets one connection.

use std::sync::Arc;

use daffi_transport::LinkConfig;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{ClientConn, ClientCore, callers::Callers, connection::ClientHandler, token};
use crate::{
    conn::{Alive, Class, Conn, Driver},
    error::{Disconnected, InitializationError},
    session::{ClientSession, InFlight},
};

/// Where a connection that has ended says so, and why.
pub(super) type Ends = mpsc::UnboundedSender<(u64, Disconnected)>;

/// Tries each address once, beginning with the one whose turn it is. The one that works has it from
/// then on.
///
/// `round`: how often that was done before, counted from 0. `before`: the connection whose call
/// numbers go on.
pub(super) async fn establish_any(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    round: u32,
) -> Result<Arc<ClientConn>, InitializationError> {
    let mut failed = Vec::new();
    loop {
        match establish(shared, ends, before, round).await {
            Ok(conn) => return Ok(conn),
            Err(error) => failed.push(error),
        }
        shared.addresses.advance();
        if failed.len() == shared.addresses.len() {
            return Err(InitializationError::of_all(failed));
        }
    }
}

/// Makes a connection to the address whose turn it is, and waits for the server's answer to the
/// handshake.
pub(super) async fn establish(
    shared: &Arc<ClientCore>,
    ends: &Ends,
    before: Option<&ClientConn>,
    round: u32,
) -> Result<Arc<ClientConn>, InitializationError> {
    let (node, config, addresses) = (&shared.node, &shared.node.config, &shared.addresses);
    let endpoint = addresses.endpoint().to_string();
    let after = addresses.patience(config.connect_timeout, round);
    let link = match timeout(after, addresses.connector().connect(&LinkConfig::default().limits(config.limits))).await {
        Ok(link) => link?,
        Err(_) => return Err(InitializationError::ConnectTimeout { endpoint, after }),
    };
    let conn = Conn::new(link.peer.clone(), &node.budget);
    let in_flight = before.map(|conn| InFlight::follow(&conn.session.lock().in_flight)).unwrap_or_default();
    let mut session = ClientSession::new(node.name.clone(), config.limits, in_flight)
        .look_only(shared.looks)
        .with_token(shared.token.clone());
    let failed = |source| InitializationError::Handshake { endpoint, source };
    if shared.token.is_some() && !token::may_pass(&link.peer) {
        return Err(failed(token::NOT_HERE));
    }
    let hello =
        session.first_hello(shared.serving.methods()).map_err(|source| InitializationError::Hello { source })?;
    let client = ClientConn::new(shared, Arc::clone(&conn), session);
    let (opened, answer) = oneshot::channel();
    let handler = ClientHandler {
        shared: Arc::clone(shared),
        connection: Arc::clone(&client),
        opened: Some(opened),
        ends: ends.clone(),
        unshown: false,
        answered_all: false,
        untold: Vec::new(),
        caller: None,
        intake: shared.serving.intake(),
        callers: Callers::new(Arc::clone(conn.inbound.account())),
        alive: Alive::default(),
    };
    // The connection is new: its outbox is open and empty.
    let _open = conn.send(Class::Notice, &hello);
    let patience = addresses.patience(config.handshake_timeout, round);
    let driver = Driver::new(link, Arc::clone(&conn), handler, config, patience, None);
    let cut = node.life.cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = driver.run() => {}
            () = cut.cancelled() => {}
        }
    });
    match answer.await {
        Ok(Ok(())) => Ok(client),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed(Disconnected::Stopped)),
    }
}
