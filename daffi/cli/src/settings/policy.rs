//! The section `[policy]` of a router's file: who may do what.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use daffi::{
    FormatId, Shown,
    policy::{Others, Policy, Rule, RuleError, Token},
};
use serde::Deserialize;
use toml::Spanned;

use super::{Origin, options};
use crate::{
    cli::Cli,
    connection::sentence,
    failure::{Failure, not_read},
    suggestion::nearest,
};

/// The key of the section.
pub(super) const SECTION: &str = "policy";

/// The keys that stand in it.
const KEYS: [&str; 10] = ["others", "tokens", "rules", "title", "who", "at", "names", "expose", "call", "formats"];

#[derive(Deserialize)]
struct File {
    policy: Option<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    others: Option<Peers>,
    #[serde(default)]
    tokens: BTreeMap<String, Spanned<PathBuf>>,
    #[serde(default)]
    rules: Vec<RuleEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Peers {
    Local,
    Nobody,
    Everybody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    title: Spanned<String>,
    who: Option<Texts>,
    at: Option<Texts>,
    names: Option<Texts>,
    expose: Option<Texts>,
    call: Option<Texts>,
    formats: Option<Texts>,
}

type Texts = Spanned<Vec<String>>;

/// What is told of a section that is another.
pub(crate) const CHANGED: &str = "the policy";

/// What tells one section from another, and tokens from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seals {
    section: Option<u64>,
    tokens: Option<u64>,
    /// It says who comes in to whom no rule applies, and does not leave that to the default.
    pub(crate) says_others: bool,
}

/// A policy, and what tells it from another.
pub(crate) type Sealed = (Policy, Seals);

impl Seals {
    /// What differs, in words.
    pub(super) fn list_changed(self, other: Self) -> Vec<&'static str> {
        let section = (self.section != other.section).then_some(CHANGED);
        let tokens = (self.tokens != other.tokens).then_some("tokens of the policy");
        section.into_iter().chain(tokens).collect()
    }
}

fn seal(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Reads the section, if there is one. `at` tells where something stands.
pub(super) fn read(text: &str, at: impl Fn(usize) -> Origin) -> Result<Option<Sealed>, Failure> {
    let about = |start: usize, what: &str| Failure::Usage(format!("{}: [{SECTION}]: {what}", at(start)));
    let file: File = toml::from_str(text)
        .map_err(|error| about(error.span().map_or(0, |span| span.start), &explain(error.message())))?;
    let Some(Section { others, tokens, rules }) = file.policy else { return Ok(None) };
    // Comments, and how it is written, make no other section.
    let table: toml::Table = toml::from_str(text).map_err(|error| about(0, error.message()))?;
    let section = seal(&table.get(SECTION).map(ToString::to_string));
    let mut texts = Vec::new();
    let says_others = others.is_some();
    let mut policy = Policy::new().others(match others.unwrap_or(Peers::Local) {
        Peers::Local => Others::Local,
        Peers::Nobody => Others::Nobody,
        Peers::Everybody => Others::Everybody,
    });
    for (name, file) in tokens {
        let (found, text) = tokens_of(file.get_ref()).map_err(|what| about(file.span().start, &what))?;
        for token in found {
            policy = policy.token(&name, token);
        }
        texts.push(seal(&text));
    }
    for entry in rules {
        let title = entry.title.clone();
        policy = policy.rule(entry.rule(&about)?);
        if policy.rules_of_unknown_tokens().next().is_some() {
            let what = format!(
                "the rule {} is about a token that [{SECTION}.tokens] does not name",
                Shown::new(title.get_ref())
            );
            return Err(about(title.span().start, &what));
        }
    }
    Ok(Some((policy, Seals { section: Some(section), tokens: Some(seal(&texts)), says_others })))
}

/// What serde says, in fewer words where a key is mistyped.
fn explain(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((key, _)) = unknown else { return message.to_owned() };
    if options(&Cli::command()).iter().any(|arg| arg.get_long() == Some(key)) {
        return format!("{key} is no key here, but an option: options stand before [{SECTION}]");
    }
    let meant = nearest(key, KEYS.into_iter())
        .map_or_else(|| "`daffi config example` shows all".to_owned(), |meant| format!("did you mean {meant}?"));
    format!("{} is no key here; {meant}", Shown::new(key))
}

/// The tokens in a file, one a line, and its text.
fn tokens_of(path: &Path) -> Result<(Vec<Token>, String), String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file {shown} {}", not_read(&error)))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // The error does not show the token.
    let tokens: Vec<_> =
        lines.map(Token::new).collect::<Result<_, _>>().map_err(|error| format!("the file {shown}: {error}"))?;
    if tokens.is_empty() { Err(format!("the file {shown} has no token in it")) } else { Ok((tokens, text)) }
}

impl RuleEntry {
    fn rule(self, about: &impl Fn(usize, &str) -> Failure) -> Result<Rule, Failure> {
        let Self { title, who, at, names, expose, call, formats } = self;
        let mut rule = Rule::new(title.get_ref());
        if who.is_none() && at.is_none() {
            let what =
                format!("the rule {} is about nobody: who = [..] or at = [..] is needed", Shown::new(title.get_ref()));
            return Err(about(title.span().start, &what));
        }
        for (key, texts) in [("who", &who), ("at", &at)] {
            if let Some(texts) = texts
                && texts.get_ref().is_empty()
            {
                let what = format!(
                    "{key} of the rule {} is an empty list: name somebody, or take the rule out",
                    Shown::new(title.get_ref())
                );
                return Err(about(texts.span().start, &what));
            }
        }
        let mut add = |texts: Option<Texts>, add: fn(Rule, &[String]) -> Result<Rule, RuleError>| {
            let Some(texts) = texts else { return Ok::<_, Failure>(()) };
            let added = add(rule.clone(), texts.get_ref());
            rule = added.map_err(|error| about(texts.span().start, &sentence(&error)))?;
            Ok(())
        };
        add(who, |rule, texts| texts.iter().try_fold(rule, |rule, who| rule.who(who)))?;
        add(at, |rule, texts| rule.at(texts))?;
        add(names, |rule, texts| rule.names(texts))?;
        add(expose, |rule, texts| rule.expose(texts))?;
        add(call, |rule, texts| rule.call(texts))?;
        let Some(texts) = formats else { return Ok(rule) };
        if texts.get_ref().iter().any(|text| text == "*") {
            return Ok(rule.all_formats());
        }
        let formats = texts.get_ref().iter().map(|text| format(text)).collect::<Result<Vec<_>, _>>();
        Ok(rule.formats(formats.map_err(|what| about(texts.span().start, &what))?))
    }
}

fn format(text: &str) -> Result<FormatId, String> {
    const OTHER: FormatId = FormatId::user(64).expect("64 is free");
    match text.to_ascii_lowercase().as_str() {
        "opaque" => Ok(FormatId::OPAQUE),
        "json" => Ok(FormatId::JSON),
        "pickle" => Ok(FormatId::PICKLE),
        "msgpack" => Ok(FormatId::MSGPACK),
        "postcard" => Ok(FormatId::POSTCARD),
        // Users' own go together.
        "other" => Ok(OTHER),
        _ => Err(format!(
            "{} is no format: opaque, json, pickle, msgpack, postcard, other or * is expected",
            Shown::new(text)
        )),
    }
}

/// What an example says of it, in comments.
pub(super) const EXAMPLE: &str = "\
# Who may do what. Without this section everybody may do everything. With it, peers on this host may
# do everything unless a rule applies to them, others what the rules that apply to them allow.
# It stands behind all options.
#
# [policy]
# others = \"local\"                 # to whom no rule applies: local, nobody or everybody
#
# [policy.tokens]                   # each file has a token a line
# batch = \"/etc/daffi/tokens/batch\"
#
# [[policy.rules]]
# title = \"workers\"               # for logs and refusals
# who = [\"uri:spiffe://example/worker/*\", \"dns:*.example\", \"cn:NAME\", \"token:batch\"]
# names = [\"worker-*\"]            # which they may bear
# expose = [\"*\"]                  # callbacks
# call = [\"*\"]                    # callbacks
# formats = [\"json\", \"msgpack\"] # default: all but pickle
#
# [[policy.rules]]
# title = \"python\"
# who = [\"uid:1000\", \"addr:192.0.2.0/24\"]
# at = [\"unix:///run/daffi.sock\", \"tcp://*\"]
# names = [\"*\"]
# call = [\"resize\", \"img.*\"]
# formats = [\"*\"]                 # a peer that sends pickle can run code in nodes of 3.0.1
";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Sealed>, String> {
        let at = |start: usize| Origin::File { path: "r.toml".into(), line: 1 + text[..start].matches('\n').count() };
        super::read(text, at).map_err(|failure| failure.sentence().to_owned())
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert!(read("listen = \"x\"\n").unwrap().is_none());
        assert!(read("[policy]\n").unwrap().is_some());
        for (text, told) in [
            ("[policy]\nother = 1\n", "r.toml:2: [policy]: other is no key here; did you mean others?"),
            ("[policy]\nothers = \"all\"\n", "r.toml:2: [policy]: unknown variant `all`, expected one of `local`, "),
            (
                "[policy]\n[[policy.rules]]\ntitle = \"a\"\nnmes = []\n",
                "r.toml:4: [policy]: nmes is no key here; did you mean names?",
            ),
            (
                "[policy]\n[[policy.rules]]\ntitle = \"a\"\nwho = []\nat = [\"tcp://*\"]\n",
                "r.toml:4: [policy]: who of the rule a is an empty list",
            ),
            (
                "[policy]\n[[policy.rules]]\ntitle = \"a\"\nwho = [\"*\"]\nat = []\n",
                "r.toml:5: [policy]: at of the rule a is an empty list",
            ),
            ("[policy]\n[[policy.rules]]\ntitle = \"a\"\n", "r.toml:3: [policy]: the rule a is about nobody: who"),
            ("[policy]\n[[policy.rules]]\nwho = [\"*\"]\n", "r.toml:2: [policy]: missing field `title`"),
            (
                "[[policy.rules]]\ntitle = \"a\"\nwho = [\"*\",\n\"me\"]\n",
                "r.toml:3: [policy]: \"me\" names nobody: token:NAME, ",
            ),
            (
                "[[policy.rules]]\ntitle = \"a\"\nwho = [\"*\"]\nformats = [\"xml\"]\n",
                "r.toml:4: [policy]: xml is no format: opaque, json, ",
            ),
            (
                "[[policy.rules]]\ntitle = \"a\"\nwho = [\"uid:1\", \"token:me\"]\n",
                "r.toml:2: [policy]: the rule a is about a token that [policy.tokens] does not name",
            ),
            ("[policy.tokens]\nbatch = \"/none/token\"\n", "r.toml:2: [policy]: the file /none/token cannot be read: "),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.starts_with(told), "{text:?}: {refused}");
        }
    }

    #[test]
    fn another_policy_is_told_from_one_that_is_written_otherwise() {
        let seals = |text: &str| read(text).unwrap().unwrap().1;
        let one = seals("[policy]\nothers = \"nobody\"\n");
        assert_eq!(one.list_changed(seals("# why\n[policy]\nothers = 'nobody'")), [""; 0]);
        assert_eq!(one.list_changed(seals("[policy]\nothers = \"local\"\n")), ["the policy"]);
        assert_eq!(one.list_changed(Seals::default()), ["the policy", "tokens of the policy"]);
    }

    #[test]
    fn the_example_is_a_policy() {
        let lines =
            EXAMPLE.lines().skip(4).filter(|line| !line.contains("batch = ")).map(|line| line.trim_start_matches("# "));
        let text = lines.filter(|line| *line != "#").collect::<Vec<_>>().join("\n");
        // Its token is in no file here.
        let text = text.replace(", \"token:batch\"", "");
        assert!(read(&text).unwrap().is_some(), "{text}");
    }
}
