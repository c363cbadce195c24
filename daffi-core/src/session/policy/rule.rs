//! One rule of a policy.

use daffi_transport::{Endpoint, PeerInfo};
use daffi_wire::FormatId;

use super::{
    FormatRights,
    pattern::{Pattern, PatternError},
    who::Who,
};

/// What some peers may do at a node.
///
/// It applies to whom [`who`](Self::who) names, and only at the endpoints that [`at`](Self::at)
/// names, if it names any. It allows nothing until it is told what, but for formats, of which it
/// allows all but PICKLE. In names `*` stands for any characters and `?` for one.
#[derive(Clone, Debug)]
#[must_use]
pub struct Rule {
    title: String,
    who: Vec<Who>,
    /// `None`: it applies wherever a peer came in.
    at: Option<Vec<Pattern>>,
    names: Vec<Pattern>,
    expose: Vec<Pattern>,
    call: Vec<Pattern>,
    formats: FormatRights,
}

/// Why something cannot be part of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A pattern that cannot be used.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// It is no network.
    #[error("\"{text}\" is no network: one as 192.0.2.0/24 or 2001:db8::/32 is expected, or an address")]
    Network {
        /// The text.
        text: String,
    },
    /// It names nobody.
    #[error(
        "\"{text}\" names nobody: token:NAME, uri:URI, dns:NAME, cn:NAME, uid:NUMBER, addr:NETWORK or * is expected, as in \
         addr:192.0.2.0/24"
    )]
    Who {
        /// The text.
        text: String,
    },
}

fn patterns<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Vec<Pattern>, RuleError> {
    Ok(texts.into_iter().map(|text| Pattern::new(text.as_ref())).collect::<Result<_, _>>()?)
}

impl Rule {
    /// A rule that allows nothing yet, under a title for logs and refusals.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            who: Vec::new(),
            at: None,
            names: Vec::new(),
            expose: Vec::new(),
            call: Vec::new(),
            formats: FormatRights::SAFE,
        }
    }

    /// Adds whom it is about: `token:NAME`, `uri:URI` or `dns:NAME` of a certificate, `cn:NAME` for
    /// its common name, `uid:NUMBER` of a Unix socket's peer, `addr:192.0.2.0/24`, or `*` for
    /// anybody. One of several is enough.
    ///
    /// # Errors
    /// [`RuleError`] when it is none of these.
    pub fn who(mut self, who: &str) -> Result<Self, RuleError> {
        self.who.push(Who::parse(who)?);
        Ok(self)
    }

    /// Restricts it to connections that came to one of these endpoints, as the node tells them:
    /// `unix:///run/workers.sock`. Without [`who`](Self::who) it is about all who do.
    ///
    /// # Errors
    /// [`RuleError::Pattern`].
    pub fn at<T: AsRef<str>>(mut self, endpoints: impl IntoIterator<Item = T>) -> Result<Self, RuleError> {
        self.at.get_or_insert_default().extend(patterns(endpoints)?);
        Ok(self)
    }

    /// Adds names of nodes that they may bear.
    ///
    /// # Errors
    /// [`RuleError::Pattern`].
    pub fn names<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Result<Self, RuleError> {
        self.names.extend(patterns(names)?);
        Ok(self)
    }

    /// Adds callbacks that they may expose, for a Router.
    ///
    /// # Errors
    /// [`RuleError::Pattern`].
    pub fn expose<T: AsRef<str>>(mut self, callbacks: impl IntoIterator<Item = T>) -> Result<Self, RuleError> {
        self.expose.extend(patterns(callbacks)?);
        Ok(self)
    }

    /// Adds callbacks that they may call, in whatever way: calls, casts, streams, and what asks for
    /// no answer.
    ///
    /// # Errors
    /// [`RuleError::Pattern`].
    pub fn call<T: AsRef<str>>(mut self, callbacks: impl IntoIterator<Item = T>) -> Result<Self, RuleError> {
        self.call.extend(patterns(callbacks)?);
        Ok(self)
    }

    /// Sets the formats that they may send, in calls and in answers. Default: all but PICKLE.
    pub fn formats(mut self, formats: impl IntoIterator<Item = FormatId>) -> Self {
        self.formats = formats.into_iter().collect();
        self
    }

    /// Lets them send every format, PICKLE included: whoever may send that through a Router can run
    /// code in every node of daffi 3.0.1 there.
    pub const fn all_formats(mut self) -> Self {
        self.formats = FormatRights::ALL;
        self
    }

    /// Whether it is about names in certificates, among others or alone.
    pub(super) fn is_of_certificates(&self) -> bool {
        self.who.iter().any(Who::is_of_certificate)
    }

    /// Whether it is about the users of processes.
    pub(super) fn is_of_users(&self) -> bool {
        self.who.iter().any(Who::is_user)
    }

    /// Whether it is about addresses.
    pub(super) fn is_of_addresses(&self) -> bool {
        self.who.iter().any(Who::is_address)
    }

    /// Whether it knows the peer by the common name of its certificate.
    pub(super) fn knows_common_name(&self, peer: &PeerInfo) -> bool {
        self.who.iter().any(|who| who.is_common_name() && who.is(peer, None))
    }

    /// The tokens that it is about, as patterns of their names.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &Pattern> {
        self.who.iter().filter_map(Who::token)
    }

    /// Whether it holds for those who connect to this endpoint.
    pub(super) fn holds_at(&self, endpoint: &Endpoint) -> bool {
        self.at.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.is(endpoint.as_str())))
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) const fn format_rights(&self) -> FormatRights {
        self.formats
    }

    pub(super) fn applies(&self, peer: &PeerInfo, token: Option<&str>) -> bool {
        let is_there = peer.listener.as_ref().map_or(self.at.is_none(), |listener| self.holds_at(listener));
        let is_meant =
            if self.who.is_empty() { self.at.is_some() } else { self.who.iter().any(|who| who.is(peer, token)) };
        is_there && is_meant
    }

    pub(super) fn lets_bear(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| pattern.is(name))
    }

    pub(super) fn lets_expose(&self, callback: &str) -> bool {
        self.expose.iter().any(|pattern| pattern.is(callback))
    }

    pub(super) fn lets_call(&self, callback: &str) -> bool {
        self.call.iter().any(|pattern| pattern.is(callback))
    }
}
