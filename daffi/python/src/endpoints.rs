//! Listeners and connectors of the endpoints that nodes of Python name.

use std::sync::Arc;

use daffi_transport::{BindError, ConnectError, Connector, Endpoint, EndpointError, Listener};
use daffi_transport_tls::{ClientTls, ServerTls, SettingsError};
use daffi_transport_ws::WebSockets;

use crate::options::Tls;

/// Listens at an endpoint; ports of TCP and TLS take WebSockets, too.
pub(crate) async fn listen(endpoint: &Endpoint, tls: &Tls) -> Result<Box<dyn Listener>, BindError> {
    let http = Arc::new(WebSockets::new());
    let unusable = |error: SettingsError| BindError::Settings { endpoint: endpoint.clone(), source: Box::new(error) };
    match endpoint.scheme() {
        "tcp" => Ok(Box::new(daffi_transport_tcp::TcpListener::bind(endpoint).await?.with_http(http))),
        "unix" => Ok(Box::new(daffi_transport_uds::UnixListener::bind(endpoint)?)),
        "tls" => {
            let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) else {
                return Err(EndpointError::new(endpoint, "tls=True needs cert_file and key_file").into());
            };
            let mut server = ServerTls::from_files(cert, key).map_err(unusable)?;
            if let Some(authority) = &tls.ca_file {
                server = server.client_ca_file(authority).map_err(unusable)?;
            }
            Ok(Box::new(daffi_transport_tls::TlsListener::bind(endpoint, server).await?.with_http(http)))
        }
        _ => Err(unknown(endpoint).into()),
    }
}

/// Connects to an endpoint.
pub(crate) fn connector(endpoint: Endpoint, tls: &Tls) -> Result<Box<dyn Connector>, ConnectError> {
    let at = endpoint.clone();
    let unusable = |error: SettingsError| ConnectError::Settings { endpoint: at, source: Box::new(error) };
    match endpoint.scheme() {
        "tcp" => Ok(Box::new(daffi_transport_tcp::TcpConnector::new(endpoint))),
        "unix" => Ok(Box::new(daffi_transport_uds::UnixConnector::new(endpoint))),
        "tls" => {
            let settings = client_tls(tls).map_err(unusable)?;
            Ok(Box::new(daffi_transport_tls::TlsConnector::new(endpoint, settings)))
        }
        "ws" => Ok(Box::new(daffi_transport_ws::WsConnector::new(endpoint))),
        "wss" => {
            let settings = client_tls(tls).map_err(unusable)?;
            Ok(Box::new(daffi_transport_ws::WsConnector::new(endpoint).tls(settings)))
        }
        _ => Err(unknown(&endpoint).into()),
    }
}

fn client_tls(tls: &Tls) -> Result<ClientTls, SettingsError> {
    let settings = match &tls.ca_file {
        Some(file) if tls.any_host => ClientTls::dangerous_ca_file_for_any_host(file)?,
        Some(file) => ClientTls::ca_file(file)?,
        None if tls.unverified => ClientTls::dangerous_accept_any_certificate(),
        None => ClientTls::platform_roots()?,
    };
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => settings.client_certificate(cert, key),
        _ => Ok(settings),
    }
}

fn unknown(endpoint: &Endpoint) -> EndpointError {
    EndpointError::new(endpoint, "the scheme must be tcp, tls, unix or, to connect, ws or wss")
}
