//! Who may ask.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use axum::http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HOST, ORIGIN},
    uri::Authority,
};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// Keeps out who has no token, and pages of other origins.
///
/// A page of any host can make its reader's browser ask this machine, and read the answer once its
/// own name points here; but the browser then names that host.
pub(crate) struct Guard {
    token: watch::Sender<Option<String>>,
    hosts: Vec<String>,
}

impl Guard {
    /// With names of hosts as [`host`] gives them.
    pub(crate) fn new(token: Option<String>, hosts: Vec<String>) -> Self {
        Self { token: watch::Sender::new(token), hosts }
    }

    /// Takes this token from now on in the place of the one before.
    /// Gives whether it is another.
    pub(crate) fn set_token(&self, token: String) -> bool {
        self.token.send_if_modified(|old| {
            let is_another = old.as_ref().is_none_or(|old| !bool::from(old.as_bytes().ct_eq(token.as_bytes())));
            if is_another {
                *old = Some(token);
            }
            is_another
        })
    }

    /// Tells when another token is taken.
    pub(crate) fn another_token(&self) -> AnotherToken {
        AnotherToken(self.token.subscribe())
    }

    /// Whether requests have to show a token.
    fn wants_token(&self) -> bool {
        self.token.borrow().is_some()
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
        let token = self.token.borrow();
        let Some(token) = &*token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, shown) = value.as_bytes().split_at_checked(BEARER.len())?;
            scheme.eq_ignore_ascii_case(BEARER).then_some(shown)
        });
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
        is_own || self.hosts.iter().any(|known| known == name || Some(known) == host(name).as_ref())
    }
}

/// Waits until another token is taken than when it was made.
pub(crate) struct AnotherToken(watch::Receiver<Option<String>>);

impl AnotherToken {
    pub(crate) async fn await_take(&mut self) {
        // Without the guard nobody is let in by any.
        let _gone = self.0.changed().await;
    }
}

impl fmt::Debug for Guard {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("wants_token", &self.wants_token()).field("hosts", &self.hosts).finish()
    }
}

/// What stands before a token. Schemes are the same in whatever case.
const BEARER: &[u8] = b"Bearer ";

/// The name of a host as requests that are allowed to it name it, in small letters: a name or an
/// address. A port says nothing, as that of a proxy may be any. `None`: it is no host.
pub(crate) fn host(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    let name = name_of(text)?;
    let port = text.get(name.len()..).filter(|port| !port.is_empty());
    if port.is_some_and(|port| port.strip_prefix(':').is_none_or(|port| port.parse::<u16>().is_err())) {
        return None;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]")),
        None => {
            let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            (!name.is_empty() && name.chars().all(is_of_a_name)).then_some(name)
        }
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
        let hosts = ["Ops.Example", "proxy.example:9955", "2001:DB8:0::1", "192.0.2.9:80", "[2001:db8::2]:9"];
        let guard = Guard::new(None, hosts.iter().map(|text| host(text).unwrap()).collect());
        let passes = |all: &[(&str, &str)]| guard.check_host(&headers(all), LOCAL.into()).is_ok();
        for host in [
            "127.0.0.1:9",
            "localhost",
            "LOCALHOST:80",
            "ops.example:443",
            "[::ffff:127.0.0.1]:9",
            "proxy.example",
            "proxy.example:9955",
            "proxy.example:80",
            "[2001:db8::1]:9955",
            "[2001:DB8::0:1]",
            "[2001:db8::2]",
            "192.0.2.9",
        ] {
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
    fn what_no_request_can_name_is_no_host() {
        for text in ["http://ops.example", "", ":80", "ops.example/", "x@ops.example", "a b", "*", "[::1", "[x]", "a:b"]
        {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_replaced_by_another() {
        let guard = Guard::new(Some("0123456789abcdef".to_owned()), Vec::new());
        let passes = |shown: &str| guard.check_token(&headers(&[("authorization", shown)])).is_ok();
        assert!(guard.set_token("fedcba9876543210".to_owned()));
        assert!(!guard.set_token("fedcba9876543210".to_owned()), "it is the same");
        assert!(!passes("Bearer 0123456789abcdef") && passes("Bearer fedcba9876543210"));
        assert!(!format!("{guard:?}").contains("fedcba"), "{guard:?}");
    }

    #[test]
    fn a_token_is_shown_whole() {
        let guard = Guard::new(Some("0123456789abcdef".to_owned()), Vec::new());
        let passes = |shown: &str| guard.check_token(&headers(&[("authorization", shown)])).is_ok();
        assert!(passes("Bearer 0123456789abcdef") && passes("bearer 0123456789abcdef"));
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
