//! Who may do what at a node that listens: a table of rules, and what it says of one peer.
//!
//! It is a function of who the peer is and of what it wants. Who asks it keeps the answer.

mod formats;
mod pattern;
#[cfg(test)]
mod policy_tests;
mod rule;
mod token;
mod who;

use daffi_transport::{Endpoint, PeerInfo};
use daffi_wire::{FormatId, MethodName, NodeName, Shown};
use ipnet::IpNet;

pub(crate) use self::token::ShownToken;
use self::{formats::FormatRights, pattern::Pattern};
pub use self::{
    pattern::PatternError,
    rule::{Rule, RuleError},
    token::{Token, TokenError},
    who::Identity,
};

/// Bytes that are shown of a name in a refusal: what a peer makes up is no reason to write much.
const NAME: usize = 100;

/// Who may be connected to a Service or a Router, and what they may do there.
///
/// What no rule allows is refused. All rules that apply to a peer count together. A peer to which
/// none applies may do all when it is on this host, and is refused otherwise, unless
/// [`others`](Self::others) says something else.
///
/// ```
/// use daffi_core::{Policy, Rule};
/// use daffi_wire::FormatId;
/// let policy = Policy::new()
///     .rule(Rule::new("workers").who("uri:spiffe://example/worker/*")?.names(["worker-*"])?.expose(["resize", "img.*"])?)
///     .rule(Rule::new("office").who("addr:192.0.2.0/24")?.names(["*"])?.call(["resize"])?.formats([FormatId::JSON]));
/// # Ok::<(), daffi_core::RuleError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Policy {
    rules: Vec<Rule>,
    others: Others,
    no_pickle_from: Vec<IpNet>,
    tokens: Vec<(String, Token)>,
}

/// What a peer may do to which no rule of a [`Policy`] applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Others {
    /// Everything, when it is on this host: over a Unix socket, memory, or from a loopback address.
    /// Nothing from elsewhere.
    #[default]
    Local,
    /// Nothing.
    Nobody,
    /// Everything.
    Everybody,
}

/// What a policy says of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The rules that apply, by their places. `None`: it may do all that is not said of formats.
    rules: Option<Box<[usize]>>,
    formats: FormatRights,
    /// The network from which nobody may send PICKLE.
    no_pickle: Option<IpNet>,
}

/// What a peer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    Connect,
    Bear(&'a str),
    Expose(&'a str),
    Call(&'a str),
    Send(FormatId),
}

/// What a policy refuses, in words for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    /// What was wanted, in one word.
    pub(crate) action: &'static str,
    pub(crate) text: String,
}

impl Policy {
    /// A policy without rules: peers on this host may do all, and others nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A policy that refuses nothing, for what [`no_pickle_from`](Self::no_pickle_from) takes off.
    pub fn open() -> Self {
        Self::new().others(Others::Everybody)
    }

    /// Whether it says who may do what, and does more than take formats off.
    pub(crate) fn decides(&self) -> bool {
        !self.rules.is_empty() || self.others != Others::Everybody
    }

    /// Adds a rule.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets what peers may do to which no rule applies. Default: [`Others::Local`].
    pub const fn others(mut self, others: Others) -> Self {
        self.others = others;
        self
    }

    /// Refuses PICKLE, in calls and in answers, of whoever connects from this network, whatever
    /// rules say. It reaches nobody: neither nodes of daffi 3.0.1, where reading it may run any
    /// code, nor others. A peer of a Unix socket or of memory is in no network; `0.0.0.0/0` is all
    /// of IPv4 and `::/0` all of IPv6.
    ///
    /// # Errors
    /// [`RuleError::Network`] when it is neither a network, such as `192.0.2.0/24`, nor an address.
    pub fn no_pickle_from(mut self, network: &str) -> Result<Self, RuleError> {
        let unknown = || RuleError::Network { text: Shown::new(network).at_most(NAME).to_string() };
        self.no_pickle_from.push(who::network(network).ok_or_else(unknown)?);
        Ok(self)
    }

    /// Takes this token for an identity, `token:NAME` in rules. Several tokens may bear one name,
    /// while one takes the place of another.
    pub fn token(mut self, name: impl Into<String>, token: Token) -> Self {
        self.tokens.push((name.into(), token));
        self
    }

    /// The titles of the rules that are about names in certificates: where nodes show none, they
    /// apply to nobody.
    pub fn rules_of_certificates(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| rule.is_of_certificates()).map(Rule::title)
    }

    /// The titles of the rules that are about users: where nobody comes by a Unix socket, they
    /// apply to nobody.
    pub fn rules_of_users(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| rule.is_of_users()).map(Rule::title)
    }

    /// The titles of the rules that are about addresses: where everybody comes by a Unix socket,
    /// they apply to nobody.
    pub fn rules_of_addresses(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| rule.is_of_addresses()).map(Rule::title)
    }

    /// The titles of the rules about a token whose name no token of this policy has: of that they
    /// apply to nobody.
    pub fn rules_of_unknown_tokens(&self) -> impl Iterator<Item = &str> {
        let is_known = |pattern: &Pattern| self.tokens.iter().any(|(name, _)| pattern.is(name));
        self.rules.iter().filter(move |rule| !rule.tokens().all(is_known)).map(Rule::title)
    }

    /// The titles of the rules that hold at none of these endpoints, so that they apply to nobody
    /// who connects there.
    pub fn rules_of_other_endpoints(&self, endpoints: &[Endpoint]) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| !endpoints.iter().any(|endpoint| rule.holds_at(endpoint))).map(Rule::title)
    }

    /// The titles of the rules of `older` that this policy has no more, where it lets those in to
    /// whom none applies: whom such a rule restricted may do all that [`others`](Self::others) may.
    pub fn rules_gone_since<'a>(&self, older: &'a Self) -> impl Iterator<Item = &'a str> {
        let is_there = |title: &str| self.rules.iter().any(|rule| rule.title() == title);
        let gone = older.rules.iter().map(Rule::title).filter(move |title| !is_there(title));
        gone.filter(|_| self.others != Others::Nobody)
    }

    /// The name of a token. Takes as long whichever it is, and whether it is one.
    pub(crate) fn name_of(&self, token: &Token) -> Option<&str> {
        self.tokens.iter().fold(None, |found, (name, known)| if known.is(token) { Some(name.as_str()) } else { found })
    }

    /// What `peer` may do, which showed that token.
    ///
    /// # Errors
    /// When it may not even be connected, or its token is known no more.
    pub(crate) fn access(&self, peer: &PeerInfo, shown: Option<&ShownToken>) -> Result<Access, Denied> {
        let token = match shown.map(|shown| self.name_of(&shown.token)) {
            Some(None) => {
                return Err(Denied {
                    action: Action::Connect.word(),
                    text: policy("this token is not known".to_owned()),
                });
            }
            name => name.flatten(),
        };
        self.access_as(peer, token)
    }

    fn access_as(&self, peer: &PeerInfo, token: Option<&str>) -> Result<Access, Denied> {
        let applying: Box<[usize]> = (0..self.rules.len()).filter(|at| self.rules[*at].applies(peer, token)).collect();
        let ip = peer.ip();
        let no_pickle = ip.and_then(|ip| self.no_pickle_from.iter().find(|network| network.contains(&ip))).copied();
        let is_open = match self.others {
            _ if !applying.is_empty() => false,
            Others::Everybody => true,
            Others::Local => peer.is_local(),
            Others::Nobody => false,
        };
        if applying.is_empty() && !is_open {
            let text = format!("no rule applies to {}", Identity::of(peer, token, false));
            return Err(Denied { action: Action::Connect.word(), text: policy(text) });
        }
        let mut formats = match is_open {
            true => FormatRights::ALL,
            false => {
                applying.iter().map(|at| self.rules[*at].format_rights()).fold(FormatRights::NONE, FormatRights::or)
            }
        };
        if no_pickle.is_some() {
            formats = formats.without(FormatId::PICKLE);
        }
        Ok(Access { rules: (!is_open).then_some(applying), formats, no_pickle })
    }

    /// Whether a rule that applies to the peer of this access knows it by the common name of its
    /// certificate.
    pub(crate) fn knows_common_name(&self, access: &Access, peer: &PeerInfo) -> bool {
        access.rules.as_ref().is_some_and(|rules| self.any(rules, |rule| rule.knows_common_name(peer)))
    }

    /// Whether the peer of this access may do that.
    pub(crate) fn check(&self, access: &Access, action: Action<'_>) -> Result<(), Denied> {
        let allowed = match (action, &access.rules) {
            (Action::Send(format), _) => access.formats.has(format),
            (_, None) => true,
            (Action::Connect, _) => true,
            (Action::Bear(name), Some(rules)) => self.any(rules, |rule| rule.lets_bear(name)),
            (Action::Expose(name), Some(rules)) => self.any(rules, |rule| rule.lets_expose(name)),
            (Action::Call(name), Some(rules)) => self.any(rules, |rule| rule.lets_call(name)),
        };
        if allowed { Ok(()) } else { Err(self.deny(access, action)) }
    }

    /// Whether the peer of this access may bear a name and expose these callbacks.
    pub(crate) fn check_member<'a>(
        &self,
        access: &Access,
        name: &NodeName,
        mut methods: impl Iterator<Item = &'a MethodName>,
    ) -> Result<(), Denied> {
        self.check(access, Action::Bear(name))?;
        methods.try_for_each(|method| self.check(access, Action::Expose(method)))
    }

    fn any(&self, rules: &[usize], is: impl Fn(&Rule) -> bool) -> bool {
        rules.iter().filter_map(|at| self.rules.get(*at)).any(is)
    }

    #[cold]
    fn deny(&self, access: &Access, action: Action<'_>) -> Denied {
        let text = match (action, access.no_pickle) {
            (Action::Send(FormatId::PICKLE), Some(network)) => {
                format!("PICKLE from {network} is refused (no-pickle-from); send JSON or MSGPACK")
            }
            _ => {
                let rules = access.rules.iter().flatten().filter_map(|at| self.rules.get(*at));
                let rules = rules.map(Rule::title).collect::<Vec<_>>();
                let (those, lets) =
                    if rules.len() == 1 { ("the rule that applies", "does") } else { ("the rules that apply", "do") };
                format!("{those} here ({}) {lets} not let you {}", rules.join(", "), action.phrase())
            }
        };
        Denied { action: action.word(), text: policy(text) }
    }
}

fn policy(text: String) -> String {
    format!("refused by the policy of this server: {text}")
}

impl Access {
    /// Whether the peer may send payloads of that format.
    #[inline]
    pub(crate) const fn sends(&self, format: FormatId) -> bool {
        self.formats.has(format)
    }

    /// The access of a peer where there is no policy.
    pub(crate) const OPEN: Self = Self { rules: None, formats: FormatRights::ALL, no_pickle: None };
}

impl Action<'_> {
    const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bear(_) => "name",
            Self::Expose(_) => "expose",
            Self::Call(_) => "call",
            Self::Send(_) => "format",
        }
    }

    fn phrase(self) -> String {
        let shown = |name| Shown::name(name).at_most(NAME).to_string();
        match self {
            Self::Connect => "connect".to_owned(),
            Self::Bear(name) => format!("bear the name \"{}\"", shown(name)),
            Self::Expose(name) => format!("expose a callback \"{}\"", shown(name)),
            Self::Call(name) => format!("call \"{}\"", shown(name)),
            Self::Send(format) => format!("send {format}"),
        }
    }
}
