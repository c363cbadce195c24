//! Who may ask.

use std::net::IpAddr;

use axum::http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HOST, ORIGIN},
    uri::Authority,
};
use subtle::ConstantTimeEq;

/// Keeps out who has no token, and pages of other origins.
///
/// A page of any host can make its reader's browser ask this machine, and read the answer once its
/// own name points here; but the browser then names that host.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Option<String>,
    hosts: Vec<String>,
}

impl Guard {
    pub(crate) fn new(token: Option<String>, hosts: Vec<String>) -> Self {
        Self { token, hosts: hosts.into_iter().map(|host| host.to_lowercase()).collect() }
    }

    /// Whether a request that came to `local` is of this host. `Err`: the answer to it.
    pub(crate) fn check_host(&self, headers: &HeaderMap, local: IpAddr) -> Result<(), (StatusCode, String)> {
        let forbid = |what: String| Err((StatusCode::FORBIDDEN, what));
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return forbid("one Host is needed\n".to_owned());
        };
        let Some(name) = host.to_str().ok().and_then(name_of).filter(|name| self.knows(name, local)) else {
            return forbid("this is another host's: AdminBuilder::host or --admin-host allows it\n".to_owned());
        };
        for origin in headers.get_all(ORIGIN) {
            let of_page = origin.to_str().ok().and_then(|origin| {
                origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).and_then(name_of)
            });
            if of_page.as_ref() != Some(&name) {
                return forbid("pages of other origins are not answered\n".to_owned());
            }
        }
        Ok(())
    }

    /// Whether a request shows the token. `Err`: the answer to it.
    pub(crate) fn check_token(&self, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        // Only its length is told by the time that this takes.
        match shown.is_some_and(|shown| bool::from(shown.ct_eq(token.as_bytes()))) {
            true => Ok(()),
            false => Err((StatusCode::UNAUTHORIZED, "Authorization: Bearer TOKEN is needed\n".to_owned())),
        }
    }

    fn knows(&self, name: &str, local: IpAddr) -> bool {
        let local = local.to_canonical();
        let is_own = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical() == local,
            Err(_) => name == "localhost" && local.is_loopback(),
        };
        is_own || self.hosts.iter().any(|host| host == name)
    }
}

/// The name in `name:port`, in small letters.
fn name_of(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    (!host.contains('@')).then(|| authority.host().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [u8; 4] = [127, 0, 0, 1];

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            let name: axum::http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn foreign_hosts_and_origins_are_kept_out() {
        let guard = Guard::new(None, vec!["Ops.Example".to_owned()]);
        let passes = |all: &[(&str, &str)]| guard.check_host(&headers(all), LOCAL.into()).is_ok();
        for host in ["127.0.0.1:9", "localhost", "LOCALHOST:80", "ops.example:443", "[::ffff:127.0.0.1]:9"] {
            assert!(passes(&[("host", host)]), "{host}");
        }
        for host in ["evil.example", "127.0.0.2", "10.0.0.1", "localhost.evil.example", "x@localhost", "", "[::1]"] {
            assert!(!passes(&[("host", host)]), "{host}");
        }
        assert!(!passes(&[]));
        assert!(!passes(&[("host", "localhost"), ("host", "evil.example")]));
        assert!(passes(&[("host", "localhost:9"), ("origin", "http://localhost:9")]));
        for origin in ["null", "http://evil.example", "file://localhost", "http://127.0.0.1"] {
            assert!(!passes(&[("host", "localhost:9"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn a_token_is_shown_whole() {
        let guard = Guard::new(Some("0123456789abcdef".to_owned()), Vec::new());
        let passes = |shown: &str| guard.check_token(&headers(&[("authorization", shown)])).is_ok();
        assert!(passes("Bearer 0123456789abcdef"));
        for shown in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeg",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
        ] {
            assert!(!passes(shown), "{shown}");
        }
        assert!(guard.check_token(&HeaderMap::new()).is_err());
    }
}
