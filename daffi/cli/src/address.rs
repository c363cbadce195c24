//! Where a network is found: one endpoint, or several with commas between them.

use std::fmt;

use daffi::transport::Endpoint;

use crate::connection::{SCHEMES, of_schemes};

/// The endpoints of one network, one at least: any of them will do.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    endpoints: Vec<Endpoint>,
}

impl Address {
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.endpoints.iter().map(Endpoint::as_str).collect();
        f.write_str(&texts.join(","))
    }
}

/// Reads endpoints at which another process can be reached.
pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    let endpoints: Vec<_> = split(text)?.iter().map(|text| of_schemes(text, &SCHEMES)).collect::<Result<_, _>>()?;
    for (at, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..at].contains(endpoint) {
            return Err(format!("{endpoint} stands there twice: name each endpoint once"));
        }
    }
    Ok(Address { endpoints })
}

/// The endpoints of a list. The path of a socket may have commas, so that one which no scheme
/// follows is a part of it.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',') {
        match parts.last_mut() {
            Some(before) if before.starts_with("unix://") && !part.contains("://") => {
                before.push(',');
                before.push_str(part);
            }
            Some(_) if !part.contains("://") => {
                return Err(format!(
                    "{part:?} behind a comma is no endpoint: write it with its scheme, as in tcp://{part}"
                ));
            }
            _ => parts.push(part.trim().to_owned()),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        parse_address(text).map(|address| address.endpoints().iter().map(Endpoint::to_string).collect())
    }

    #[test]
    fn endpoints_stand_between_commas_and_paths_may_have_some() {
        assert_eq!(read("tcp://a:1").unwrap(), ["tcp://a:1"]);
        assert_eq!(read("tcp://a:1,tls://b:2, ws://c:3/x").unwrap(), ["tcp://a:1", "tls://b:2", "ws://c:3/x"]);
        assert_eq!(read("unix:///run/a,b.sock,unix:///c").unwrap(), ["unix:///run/a,b.sock", "unix:///c"]);
        assert_eq!(parse_address("tcp://a:1,tcp://b:2").unwrap().to_string(), "tcp://a:1,tcp://b:2");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(read("tcp://a:1,tcp://a:1").unwrap_err().contains("twice"));
        for wrong in ["", "tcp://a:1,", "tcp://a:1,b:2", ",tcp://a:1", "tcp://a:1,mem://b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
