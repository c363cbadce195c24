//! Settings that would do nothing with the endpoints they are given with are refused, so that
//! nobody takes for encrypted, or for closed, what is not.

use daffi_core::InitializationError;
use daffi_transport::Endpoint;

use crate::transports::{ClientSettings, ServerSettings};

/// A setting that was given.
struct Given {
    /// As the builder names it.
    setting: &'static str,
    /// The schemes of the endpoints for which it has a meaning.
    schemes: &'static [&'static str],
    /// Why it has none for others, and what to do.
    rule: &'static str,
}

impl Given {
    /// Whether it does something for one endpoint at least.
    fn fits(&self, endpoints: &[Endpoint]) -> bool {
        endpoints.iter().any(|endpoint| self.schemes.contains(&endpoint.scheme()))
    }

    fn meaningless_error(&self, with: impl Into<String>) -> InitializationError {
        InitializationError::Meaningless { setting: self.setting, with: with.into(), rule: self.rule }
    }
}

/// What takes WebSockets, once it listens.
#[cfg(feature = "ws")]
const WEB: &[&str] = &["tcp", "tls"];

impl ServerSettings {
    /// Whether each setting that was given does something at one of these endpoints, as far as can
    /// be told before they are listened on.
    pub(crate) fn check(&self, endpoints: &[Endpoint]) -> Result<(), InitializationError> {
        all_fit(&self.list_given(&["tcp", "tls", "fd", "tls+fd"]), endpoints)
    }

    /// Checks what shows only when a socket is there: which kind one is that was handed over.
    #[cfg(feature = "ws")]
    pub(crate) fn check_bound(&self, endpoints: &[Endpoint]) -> Result<(), InitializationError> {
        all_fit(&self.list_given_for_web(WEB), endpoints)
    }

    #[cfg(not(feature = "ws"))]
    pub(crate) fn check_bound(&self, _: &[Endpoint]) -> Result<(), InitializationError> {
        Ok(())
    }

    /// Refuses all that was given, for listeners have settings of their own.
    pub(crate) fn refuse_for_listeners(&self, also: usize) -> Result<(), InitializationError> {
        let rule = "the listeners given have settings of their own; make them with this one, and leave it out here";
        let also_bind = (also > 0).then_some(Given {
            setting: "also_bind",
            schemes: &[],
            rule: "it adds endpoints to that of bind; make a listener of this one, too",
        });
        let given = self.list_given(&[]).into_iter().map(|given| Given { rule, ..given });
        given.chain(also_bind).next().map_or(Ok(()), |given| Err(given.meaningless_error("listen")))
    }

    fn list_given(&self, web: &'static [&'static str]) -> Vec<Given> {
        let _unused_without_features = web;
        #[allow(unused_mut, reason = "without features there are no such settings")]
        let mut given = Vec::new();
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            given.push(Given {
                setting: "tls",
                schemes: &["tls", "tls+fd"],
                rule: "nothing is encrypted there; listen on tls://host:port, or leave tls out",
            });
        }
        #[cfg(feature = "ws")]
        given.extend(self.list_given_for_web(web));
        #[cfg(feature = "uds")]
        for (setting, value) in [("socket_mode", self.socket_mode), ("socket_group", self.socket_group)] {
            if value.is_some() {
                given.push(Given {
                    setting,
                    schemes: &["unix"],
                    rule: "it is for the sockets of unix:///path; the file of one that is handed over is its \
                           supervisor's to set (SocketMode= and SocketGroup= of systemd), and others have none, so leave \
                           it out",
                });
            }
        }
        given
    }

    #[cfg(feature = "ws")]
    fn list_given_for_web(&self, schemes: &'static [&'static str]) -> Vec<Given> {
        let rule = "only endpoints of TCP and TLS take WebSockets; listen on one, or leave it out";
        let settings = [("allow_origin", !self.origins.is_empty()), ("websocket_keepalive", self.keepalive.is_some())];
        let given = settings.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(setting, _)| Given { setting, schemes, rule }).collect()
    }
}

impl ClientSettings {
    /// Whether each setting that was given does something at one of these endpoints, and none of
    /// them is plain that was to be encrypted.
    pub(crate) fn check(&self, endpoints: &[Endpoint]) -> Result<(), InitializationError> {
        let given = self.list_given();
        let tls = given.iter().find(|given| given.setting == "tls");
        let plain = endpoints.iter().find(|endpoint| matches!(endpoint.scheme(), "tcp" | "ws"));
        if let (Some(tls), Some(plain)) = (tls, plain) {
            return Err(tls.meaningless_error(plain.as_str()));
        }
        all_fit(&given, endpoints)
    }

    /// Refuses all that was given, for a connector has settings of its own.
    pub(crate) fn refuse_for_connector(&self) -> Result<(), InitializationError> {
        let rule = "the connector given has settings of its own; make it with this one, and leave it out here";
        let first = self.list_given().into_iter().next();
        first.map_or(Ok(()), |given| Err(Given { rule, ..given }.meaningless_error("connect_with")))
    }

    fn list_given(&self) -> Vec<Given> {
        #[allow(unused_mut, reason = "without features there are no such settings")]
        let mut given = Vec::new();
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            given.push(Given {
                setting: "tls",
                schemes: &["tls", "wss"],
                rule: "nothing is encrypted there; connect to tls://host:port or wss://host:port/path, or leave tls out",
            });
        }
        #[cfg(feature = "ws")]
        if self.keepalive.is_some() {
            given.push(Given {
                setting: "websocket_keepalive",
                schemes: &["ws", "wss"],
                rule: "it is for connections to ws:// and wss://; leave it out",
            });
        }
        given
    }
}

fn all_fit(given: &[Given], endpoints: &[Endpoint]) -> Result<(), InitializationError> {
    match given.iter().find(|given| !given.fits(endpoints)) {
        // Nowhere to listen or to connect is a mistake of its own.
        Some(given) if !endpoints.is_empty() => {
            let with: Vec<_> = endpoints.iter().map(Endpoint::as_str).collect();
            Err(given.meaningless_error(with.join(", ")))
        }
        _ => Ok(()),
    }
}
