//! Who a peer is.

use std::{fmt, net::IpAddr};

use daffi_transport::PeerInfo;
use daffi_wire::{MAX_IDENTITY_BYTES, Shown};
use ipnet::IpNet;

use super::{RuleError, pattern::Pattern};

/// Who a peer is, by the best that is known of it: its token, a name of its certificate, the user
/// at the other end of a Unix socket, or its address.
///
/// What it is not is the name of the node, which anybody may choose who is allowed to bear it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// The name under which the server knows its token.
    Token(String),
    /// The first URI of its certificate.
    Uri(String),
    /// The first DNS name of its certificate.
    Dns(String),
    /// The common name of its certificate, where that has no such name and a rule about `cn:`
    /// applies to it: elsewhere nobody has said that its authority checks what it writes there.
    CommonName(String),
    /// The user of its process, on this host.
    Uid(u32),
    /// Its IP address.
    Address(IpAddr),
    /// Where its transport knows no more.
    Other(String),
    /// A caller of whom a Router that is trusted to tell says nothing.
    Unknown,
}

impl Identity {
    /// `knows_common_name`: a rule knows the peer by it.
    pub(crate) fn of(peer: &PeerInfo, token: Option<&str>, knows_common_name: bool) -> Self {
        let names = &peer.certificate_names;
        if let Some(token) = token {
            Self::Token(token.to_owned())
        } else if let Some(uri) = names.uris.first() {
            Self::Uri(uri.clone())
        } else if let Some(name) = names.dns.first() {
            Self::Dns(name.clone())
        } else if let Some(name) = names.common_name.as_ref().filter(|_| knows_common_name) {
            Self::CommonName(name.clone())
        } else if let Some(uid) = peer.uid {
            Self::Uid(uid)
        } else if let Some(ip) = peer.ip() {
            Self::Address(ip)
        } else {
            Self::Other(peer.to_string())
        }
    }
}

impl Identity {
    /// As a Router tells it to others ([level 4](daffi_wire::level_four#who-calls)).
    pub(crate) fn to_wire(&self) -> Option<String> {
        let text = match self {
            Self::Token(name) => format!("token:{name}"),
            Self::Uri(uri) => format!("uri:{uri}"),
            Self::Dns(name) => format!("dns:{name}"),
            Self::CommonName(name) => format!("cn:{name}"),
            Self::Uid(uid) => format!("uid:{uid}"),
            Self::Address(ip) => format!("addr:{ip}"),
            Self::Other(_) | Self::Unknown => return None,
        };
        (text.len() <= MAX_IDENTITY_BYTES).then_some(text)
    }

    /// As a Router told it.
    pub(crate) fn from_wire(text: &str) -> Self {
        let Some((kind, value)) = text.split_once(':') else { return Self::Unknown };
        match kind {
            "token" => Self::Token(value.to_owned()),
            "uri" => Self::Uri(value.to_owned()),
            "dns" => Self::Dns(value.to_owned()),
            "cn" => Self::CommonName(value.to_owned()),
            "uid" => value.parse().map_or(Self::Unknown, Self::Uid),
            "addr" => value.parse().map_or(Self::Unknown, Self::Address),
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Identity {
    /// As rules write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => write!(f, "token:{}", Shown::new(name)),
            Self::Uri(uri) => write!(f, "uri:{}", Shown::new(uri)),
            Self::Dns(name) => write!(f, "dns:{}", Shown::new(name)),
            Self::CommonName(name) => write!(f, "cn:{}", Shown::new(name)),
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Address(ip) => write!(f, "addr:{ip}"),
            Self::Other(peer) => f.write_str(peer),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Whom a rule is about.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Anybody,
    Token(Pattern),
    Uri(Pattern),
    Dns(Pattern),
    CommonName(Pattern),
    Uid(u32),
    Network(IpNet),
}

impl Who {
    pub(super) const fn is_of_certificate(&self) -> bool {
        matches!(self, Self::Uri(_) | Self::Dns(_) | Self::CommonName(_))
    }

    pub(super) const fn is_common_name(&self) -> bool {
        matches!(self, Self::CommonName(_))
    }

    pub(super) const fn is_user(&self) -> bool {
        matches!(self, Self::Uid(_))
    }

    pub(super) const fn is_address(&self) -> bool {
        matches!(self, Self::Network(_))
    }

    /// The pattern of a token's name, where it is that.
    pub(super) const fn token(&self) -> Option<&Pattern> {
        match self {
            Self::Token(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        if text == "*" {
            return Ok(Self::Anybody);
        }
        let unknown = || RuleError::Who { text: Shown::new(text).at_most(100).to_string() };
        let (kind, value) = text.split_once(':').ok_or_else(unknown)?;
        Ok(match kind {
            "token" => Self::Token(Pattern::new(value)?),
            "uri" => Self::Uri(Pattern::new(value)?),
            "dns" => Self::Dns(Pattern::new(&value.to_ascii_lowercase())?),
            "cn" => Self::CommonName(Pattern::new(value)?),
            "uid" => Self::Uid(value.parse().map_err(|_| unknown())?),
            "addr" => Self::Network(network(value).ok_or_else(unknown)?),
            _ => return Err(unknown()),
        })
    }

    pub(super) fn is(&self, peer: &PeerInfo, token: Option<&str>) -> bool {
        let names = &peer.certificate_names;
        match self {
            Self::Anybody => true,
            Self::Token(pattern) => token.is_some_and(|name| pattern.is(name)),
            Self::Uri(pattern) => names.uris.iter().any(|uri| pattern.is(uri)),
            Self::Dns(pattern) => names.dns.iter().any(|name| pattern.is(name)),
            Self::CommonName(pattern) => names.common_name.as_deref().is_some_and(|name| pattern.is(name)),
            Self::Uid(uid) => peer.uid == Some(*uid),
            Self::Network(network) => peer.ip().is_some_and(|ip| network.contains(&ip)),
        }
    }
}

/// A network as `192.0.2.0/24`, or one address. One of IPv4 addresses within IPv6 is that of the
/// IPv4 addresses, as which peers are seen.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    if let IpNet::V6(mapped) = network
        && let Some(address) = mapped.addr().to_ipv4_mapped()
        && let Some(bits) = mapped.prefix_len().checked_sub(96)
    {
        return Some(IpNet::new(address.into(), bits).ok()?.trunc());
    }
    Some(network.trunc())
}
