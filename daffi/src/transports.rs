//! Endpoints to transports.

use daffi_transport::{BindError, ConnectError, Connector, Endpoint, EndpointError, Listener, mem};

/// What listening may need beside the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerSettings {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<daffi_transport_tls::ServerTls>,
}

/// What connecting may need beside the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSettings {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<daffi_transport_tls::ClientTls>,
}

pub(crate) async fn listen(endpoint: &Endpoint, settings: &ServerSettings) -> Result<Box<dyn Listener>, BindError> {
    let _unused_without_tls = settings;
    match endpoint.scheme() {
        #[cfg(feature = "tcp")]
        "tcp" => Ok(Box::new(daffi_transport_tcp::TcpListener::bind(endpoint).await?)),
        #[cfg(feature = "uds")]
        "unix" => Ok(Box::new(daffi_transport_uds::UnixListener::bind(endpoint)?)),
        #[cfg(feature = "tls")]
        "tls" => match &settings.tls {
            Some(tls) => Ok(Box::new(daffi_transport_tls::TlsListener::bind(endpoint, tls.clone()).await?)),
            None => {
                Err(EndpointError::new(endpoint, "listening on tls:// needs a certificate and a key: tls(..)").into())
            }
        },
        "mem" => Ok(Box::new(mem::MemListener::bind(endpoint)?)),
        _ => Err(unknown(endpoint).into()),
    }
}

pub(crate) fn connector(endpoint: Endpoint, settings: &ClientSettings) -> Result<Box<dyn Connector>, ConnectError> {
    let _unused_without_tls = settings;
    match endpoint.scheme() {
        #[cfg(feature = "tcp")]
        "tcp" => Ok(Box::new(daffi_transport_tcp::TcpConnector::new(endpoint))),
        #[cfg(feature = "uds")]
        "unix" => Ok(Box::new(daffi_transport_uds::UnixConnector::new(endpoint))),
        #[cfg(feature = "tls")]
        "tls" => {
            // Without settings the platform's roots: leaving an option out never skips a check.
            let tls = match &settings.tls {
                Some(tls) => tls.clone(),
                None => daffi_transport_tls::ClientTls::platform_roots()
                    .map_err(|e| ConnectError::failed(&endpoint, daffi_transport::Phase::Tls, e))?,
            };
            Ok(Box::new(daffi_transport_tls::TlsConnector::new(endpoint, tls)))
        }
        "mem" => Ok(Box::new(mem::MemConnector::new(endpoint))),
        _ => Err(unknown(&endpoint).into()),
    }
}

fn unknown(endpoint: &Endpoint) -> EndpointError {
    EndpointError::new(endpoint, "the scheme must be tcp, tls, unix or mem, with its feature of the crate daffi on")
}
