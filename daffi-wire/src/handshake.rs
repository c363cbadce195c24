//! The JSON bodies of HANDSHAKE frames ([protocol, 5.1](crate::protocol#5.1)).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{BodyError, Level, Limits, MethodName, NodeName, NodeType};

/// The body of a HANDSHAKE: who speaks, and which members there are.
///
/// ```
/// use daffi_wire::{Handshake, Level, Limits, Member, MethodName, NodeName, NodeType, Role};
/// let limits = Limits::default();
/// let service = Member::new(NodeName::new("svc", &limits)?, vec![MethodName::new("add", &limits)?]);
/// let body = Handshake::new(NodeType::new(Role::Service, Level::THREE), vec![service]).to_json();
/// assert_eq!(
///     std::str::from_utf8(&body)?,
///     r#"{"meta":{"type":"service","error":null},"members":[{"name":"svc","methods":["add"]}]}"#
/// );
/// assert_eq!(Handshake::parse(&body, &limits)?.members[0].name.as_str(), "svc");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The speaker's role and level.
    pub node_type: NodeType,
    /// Why a server refuses. It has a meaning in a server's answer only, and an empty text counts
    /// as none.
    pub error: Option<String>,
    /// The members; a client lists itself.
    pub members: Vec<Member>,
}

/// A node and the callbacks it exposes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The node.
    pub name: NodeName,
    /// Its callbacks, in the order announced; none travels as `null`.
    pub methods: Vec<MethodName>,
    /// What it speaks, as far as the speaker knows. This travels on level 4 links only
    /// ([protocol, 12](crate::protocol#12)).
    pub level: Level,
}

impl Member {
    /// A member that has shown level 3.
    #[must_use]
    pub const fn new(name: NodeName, methods: Vec<MethodName>) -> Self {
        Self { name, methods, level: Level::THREE }
    }

    /// The same member, which has shown this level.
    #[must_use]
    pub fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The member as it stands in a list on a link of this level; what [`Handshake::assemble`]
    /// takes.
    #[must_use]
    pub fn to_json(&self, link: Level) -> Vec<u8> {
        serde_json::to_vec(&WireMember::new(self, link)).expect("strings and lists always have a JSON form")
    }
}

impl Handshake {
    /// What a client that only looks writes in the function section of its HANDSHAKE
    /// ([level 4](crate::level_four#clients-that-only-look)). 3.0.1 gives that section no meaning.
    pub const LOOK_ONLY: &'static str = "look:only";

    /// What a client writes in the function section of its HANDSHAKE that trusts its Router to say
    /// who calls ([level 4](crate::level_four#who-calls)).
    pub const TELL_IDENTITIES: &'static str = "identity:tell";

    /// What a client writes in the function section of its first HANDSHAKE when its second one
    /// carries a token ([level 4](crate::level_four#tokens)).
    pub const TOKEN_FOLLOWS: &'static str = "token:follows";

    /// What a client writes in the function section of its HANDSHAKE that tells its Router by
    /// [`Watch`](crate::Watch) of whom it wants to hear ([level 4](crate::level_four#watching)).
    pub const WATCH_NONE: &'static str = "watch:none";

    /// What a client writes in the function section of its HANDSHAKE that goes to another address
    /// when its server stops ([level 4](crate::level_four#a-server-that-stops)).
    pub const MOVES_ON: &'static str = "moves:on";

    /// What a client that knows several addresses writes in the function section of its HANDSHAKE
    /// before the [`Attempt`](crate::Attempt) that it belongs to ([level
    /// 4](crate::level_four#attempts)).
    pub const ATTEMPT: &'static str = "attempt:";

    /// What a server that makes something of it writes in its place in the answer.
    pub const KNOWS_ATTEMPTS: &'static str = "attempt:known";

    /// Whether a function section has this word. Several stand there with a comma between them.
    ///
    /// ```
    /// use daffi_wire::Handshake;
    /// assert!(Handshake::says("identity:tell,watch:none", Handshake::WATCH_NONE));
    /// assert!(!Handshake::says("watch:nonesuch", Handshake::WATCH_NONE));
    /// ```
    #[must_use]
    pub fn says(section: &str, word: &str) -> bool {
        section.split(',').any(|said| said == word)
    }

    /// A handshake without an error.
    #[must_use]
    pub const fn new(node_type: NodeType, members: Vec<Member>) -> Self {
        Self { node_type, error: None, members }
    }

    /// A server's refusal, in the only form that a 3.0.1 client can read: an answer with `error`
    /// set.
    #[must_use]
    pub fn refusal(node_type: NodeType, reason: impl Into<String>) -> Self {
        Self { node_type, error: Some(reason.into()), members: Vec::new() }
    }

    /// Writes the body as 3.0.1 does, without blanks and in its order of keys. Levels of members
    /// are told on level 4.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let link = self.node_type.level();
        let wire = Wire {
            meta: WireMeta { node_type: self.node_type.to_string(), error: self.error.clone(), rest: BTreeMap::new() },
            members: self.members.iter().map(|member| WireMember::new(member, link)).collect(),
            rest: BTreeMap::new(),
        };
        serde_json::to_vec(&wire).expect("strings and lists always have a JSON form")
    }

    /// Writes the body with the token by which its client shows who it is.
    ///
    /// ```
    /// use daffi_wire::{Handshake, Level, NodeType, Role};
    /// let body = Handshake::new(NodeType::new(Role::Client, Level::FOUR), vec![]).to_json_with_token("a \"secret\"");
    /// assert_eq!(Handshake::token(&body).as_deref(), Some("a \"secret\""));
    /// ```
    #[must_use]
    pub fn to_json_with_token(&self, token: &str) -> Vec<u8> {
        let mut body = Self { error: None, ..self.clone() }.to_json();
        // Without an error there is no other brace in what stands before.
        let end_of_meta = body.iter().position(|byte| *byte == b'}').unwrap_or_default();
        let token = serde_json::to_string(token).expect("strings always have a JSON form");
        body.splice(end_of_meta..end_of_meta, format!(",\"token\":{token}").into_bytes());
        body
    }

    /// The token that a body carries, if it carries one.
    #[must_use]
    pub fn token(body: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Tokened {
            meta: TokenedMeta,
        }
        #[derive(Deserialize)]
        struct TokenedMeta {
            token: Option<String>,
        }
        serde_json::from_slice::<Tokened>(body).ok()?.meta.token
    }

    /// The same body from members that are JSON already, for servers that send long lists often.
    ///
    /// ```
    /// use daffi_wire::{Handshake, Level, Limits, Member, NodeName, NodeType, Role};
    /// let router = NodeType::new(Role::Router, Level::FOUR);
    /// let member = Member::new(NodeName::new("a", &Limits::default())?, vec![]);
    /// let whole = Handshake::new(router, vec![member.clone(), member.clone()]).to_json();
    /// let json = member.to_json(Level::FOUR);
    /// assert_eq!(Handshake::assemble(router, [&json[..], &json[..]]), whole);
    /// # Ok::<(), daffi_wire::NameError>(())
    /// ```
    #[must_use]
    pub fn assemble<'a>(node_type: NodeType, members: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut body = Self::new(node_type, Vec::new()).to_json();
        body.truncate(body.len() - "]}".len());
        for (index, member) in members.into_iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(member);
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// Reads a body. On a level 3 link it is as strict as 3.0.1; keys that a later level may add
    /// are ignored when the speaker shows level 4 ([protocol, 12](crate::protocol#12)).
    ///
    /// # Errors
    /// [`BodyError`] when the JSON is not a handshake's, or a name is unusable.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, BodyError> {
        if body.len() > limits.max_control_bytes {
            return Err(BodyError::TooLarge { what: "handshake", size: body.len(), limit: limits.max_control_bytes });
        }
        let wire: Wire = serde_json::from_slice(body).map_err(|error| BodyError::json("handshake", &error))?;
        let node_type = NodeType::parse(&wire.meta.node_type);
        if !node_type.level().at_least(Level::FOUR) {
            refuse_unknown(&wire.meta.rest, "meta")?;
            refuse_unknown(&wire.rest, "the top")?;
            for member in &wire.members {
                refuse_unknown(&member.rest, "a member")?;
                if member.level.is_some() {
                    return Err(BodyError::UnknownKey { place: "a member", key: "level".into() });
                }
            }
        }
        let members = wire.members.into_iter().map(|m| m.check(limits)).collect::<Result<_, _>>()?;
        Ok(Self { node_type, error: wire.meta.error.filter(|e| !e.is_empty()), members })
    }
}

type OtherFields = BTreeMap<String, Ignored>;

/// A value nobody looks at. (`IgnoredAny` has no `Serialize`, which the flattened field of a
/// written body asks for.)
#[derive(Deserialize)]
#[serde(transparent)]
struct Ignored(IgnoredAny);

impl Serialize for Ignored {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    meta: WireMeta,
    members: Vec<WireMember>,
    #[serde(flatten)]
    rest: OtherFields,
}

#[derive(Serialize, Deserialize)]
struct WireMeta {
    #[serde(rename = "type")]
    node_type: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(flatten)]
    rest: OtherFields,
}

#[derive(Serialize, Deserialize)]
struct WireMember {
    name: String,
    // `deserialize_with` makes the key required although its value may be null.
    #[serde(deserialize_with = "Option::deserialize")]
    methods: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    #[serde(flatten)]
    rest: OtherFields,
}

impl WireMember {
    fn new(member: &Member, link: Level) -> Self {
        let methods: Vec<_> = member.methods.iter().map(ToString::to_string).collect();
        let told = link.at_least(Level::FOUR) && member.level.at_least(Level::FOUR);
        Self {
            name: member.name.to_string(),
            methods: (!methods.is_empty()).then_some(methods),
            level: told.then_some(member.level.number()),
            rest: BTreeMap::new(),
        }
    }

    fn check(self, limits: &Limits) -> Result<Member, BodyError> {
        // 3.0.1 lists `[""]` as no methods (docs/protocol.md#5.1).
        let methods = self.methods.unwrap_or_default().into_iter().filter(|m| !m.is_empty());
        Ok(Member {
            name: NodeName::new(self.name, limits)?,
            methods: methods.map(|m| MethodName::new(m, limits)).collect::<Result<_, _>>()?,
            level: self.level.map_or(Level::THREE, Level::at_most),
        })
    }
}

fn refuse_unknown(rest: &OtherFields, place: &'static str) -> Result<(), BodyError> {
    match rest.keys().next() {
        None => Ok(()),
        Some(key) => Err(BodyError::UnknownKey { place, key: key.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn parse(body: &str) -> Result<Handshake, BodyError> {
        Handshake::parse(body.as_bytes(), &Limits::default())
    }

    #[test]
    fn what_3_0_1_accepts_is_accepted() {
        for body in [
            r#"{"meta":{"type":"client","error":null},"members":[{"name":"c1","methods":null}]}"#,
            r#" { "members": [ {"methods": [], "name": "c\u0031"} ], "meta": {"error": "", "type": "client"} } "#,
            r#"{"meta":{"type":"client"},"members":[{"name":"c1","methods":[""]}]}"#,
        ] {
            let read = parse(body).unwrap();
            assert_eq!(read.node_type.role(), Some(Role::Client));
            assert_eq!(read.error, None);
            assert_eq!(read.members[0].name.as_str(), "c1");
            assert!(read.members[0].methods.is_empty());
        }
    }

    #[test]
    fn what_3_0_1_refuses_is_refused() {
        for body in [
            r#"{"meta":{"error":null},"members":[]}"#,
            r#"{"meta":{"type":"client","error":null},"members":[{"name":"c1"}]}"#,
            r#"{"meta":{"type":"client","type":"client"},"members":[]}"#,
            r#"{"meta":{"type":"client"},"members":[]}x"#,
            r#"{"meta":{"type":5},"members":[]}"#,
            "",
        ] {
            assert!(matches!(parse(body), Err(BodyError::Json { .. })), "{body}");
        }
        for body in [
            r#"{"meta":{"type":"client","x":1},"members":[]}"#,
            r#"{"meta":{"type":"client"},"members":[],"x":1}"#,
            r#"{"meta":{"type":"client"},"members":[{"name":"a","methods":null,"x":1}]}"#,
            r#"{"meta":{"type":"router"},"members":[{"name":"a","methods":null,"level":4}]}"#,
        ] {
            assert!(matches!(parse(body), Err(BodyError::UnknownKey { .. })), "{body}");
        }
        assert!(matches!(
            parse(r#"{"meta":{"type":"client"},"members":[{"name":"a|b","methods":null}]}"#),
            Err(BodyError::Name(_))
        ));
    }

    #[test]
    fn errors_quote_a_kib_of_a_peers_input_at_most() {
        let long = "\\u001b".repeat(10_000);
        for body in [
            format!(r#"{{"meta":{{"type":"client","{long}":1}},"members":[]}}"#),
            format!(r#"{{"meta":{{"type":"client"}},"members":[{{"name":"a","methods":null,"level":"{long}"}}]}}"#),
            format!(r#"{{"meta":{{"type":"client"}},"members":[{{"name":"a|{long}","methods":null}}]}}"#),
        ] {
            let error = parse(&body).unwrap_err();
            let mut text = error.to_string();
            if let Some(cause) = std::error::Error::source(&error) {
                text += &cause.to_string();
            }
            assert!(text.len() < 8 << 10 && !text.contains('\u{1b}'), "{} bytes", text.len());
        }
    }

    #[test]
    fn later_levels_may_add_keys() {
        let read =
            parse(r#"{"meta":{"type":"router/4","x":{"y":[1]}},"members":[{"name":"a","methods":null,"level":4}]}"#);
        let read = read.unwrap();
        assert_eq!((read.node_type.level(), read.members[0].level), (Level::FOUR, Level::FOUR));
    }

    #[test]
    fn levels_of_members_are_told_on_level_four_only() {
        let member =
            Member { level: Level::FOUR, ..Member::new(NodeName::new("a", &Limits::default()).unwrap(), vec![]) };
        assert_eq!(member.to_json(Level::THREE), br#"{"name":"a","methods":null}"#);
        assert_eq!(member.to_json(Level::FOUR), br#"{"name":"a","methods":null,"level":4}"#);
    }
}
