use super::*;

fn peer(scheme: &'static str, address: &str) -> PeerInfo {
    PeerInfo::new(scheme, address)
}

fn rule(title: &str, who: &str) -> Rule {
    Rule::new(title).who(who).unwrap()
}

fn wide(who: &str) -> Policy {
    Policy::new().others(Others::Nobody).rule(rule("r", who).names(["*"]).unwrap())
}

#[test]
fn who_is_who() {
    let mut tls = peer("tls", "192.0.2.7:4000");
    tls.certificate_names.uris.push("spiffe://example/worker/1".into());
    tls.certificate_names.dns.push("worker-1.example".into());
    tls.certificate_names.common_name = Some("Worker 1".into());
    let mut unix = peer("unix", "pid=1,uid=1000");
    unix.uid = Some(1000);
    let plain = peer("tcp", "[::ffff:192.0.2.7]:4000");
    let (no, batch) = (None, Some("batch"));
    for (who, peer, token, is) in [
        ("*", &plain, no, true),
        ("addr:192.0.2.0/24", &plain, no, true),
        ("addr:192.0.2.99/24", &plain, no, true),
        ("addr:192.0.2.7", &plain, no, true),
        ("addr:192.0.2.8", &plain, no, false),
        ("addr:::ffff:192.0.2.7", &plain, no, true),
        ("addr:::ffff:192.0.2.0/120", &plain, no, true),
        ("addr:::ffff:0:0/96", &plain, no, true),
        ("addr:::/0", &plain, no, false),
        ("addr:0.0.0.0/0", &unix, no, false),
        ("uri:spiffe://example/worker/*", &tls, no, true),
        ("uri:spiffe://example/worker", &tls, no, false),
        ("dns:*.EXAMPLE", &tls, no, true),
        ("dns:Worker 1", &tls, no, false),
        ("cn:Worker ?", &tls, no, true),
        ("cn:*", &plain, no, false),
        ("uid:1000", &unix, no, true),
        ("uid:1001", &unix, no, false),
        ("uid:0", &plain, no, false),
        ("token:b*", &plain, batch, true),
        ("token:*", &plain, no, false),
    ] {
        assert_eq!(wide(who).access_as(peer, token).is_ok(), is, "{who} {peer}");
    }
    for text in
        ["", "anybody", "uid:x", "uid:-1", "addr:example.org", "addr:1.2.3.4/33", "ip:1.2.3.4", "user:me", "dns:"]
    {
        assert!(Rule::new("r").who(text).is_err(), "{text}");
    }
    assert_eq!(Identity::of(&tls, batch, false).to_string(), "token:batch");
    assert_eq!(Identity::of(&tls, no, false).to_string(), "uri:spiffe://example/worker/1");
    assert_eq!(Identity::of(&unix, no, false).to_string(), "uid:1000");
    assert_eq!(Identity::of(&plain, no, false).to_string(), "addr:192.0.2.7");
    assert_eq!(Identity::of(&peer("mem", "a"), no, false).to_string(), "mem://a");
}

#[test]
fn a_common_name_is_who_somebody_is_where_a_rule_says_so() {
    let mut old = peer("tls", "192.0.2.7:1");
    old.certificate_names.common_name = Some("old-node".to_owned());
    let policy = wide("cn:old-*").rule(Rule::new("all").who("*").unwrap());
    let access = policy.access_as(&old, None).unwrap();
    assert!(policy.knows_common_name(&access, &old));
    let identity = Identity::of(&old, None, true);
    assert_eq!((identity.to_string(), identity.to_wire()), ("cn:old-node".to_owned(), Some("cn:old-node".to_owned())));
    assert_eq!(Identity::from_wire("cn:old-node"), identity);
    for who in ["addr:192.0.2.7", "*", "cn:new-*"] {
        let policy = wide(who).rule(Rule::new("all").who("*").unwrap());
        let access = policy.access_as(&old, None).unwrap();
        assert!(!policy.knows_common_name(&access, &old), "{who}");
    }
    assert_eq!(Identity::of(&old, None, false).to_string(), "addr:192.0.2.7");
    old.certificate_names.dns.push("old.example".to_owned());
    assert_eq!(Identity::of(&old, None, true).to_string(), "dns:old.example", "a name that is checked goes before");
}

#[test]
fn listeners_restrict_rules() {
    let policy = Policy::new().others(Others::Nobody).rule(Rule::new("r").at(["unix:///run/*"]).unwrap());
    let mut one = peer("unix", "pid=1,uid=0");
    assert!(policy.access_as(&one, None).is_err(), "it came from nowhere");
    one.listener = Some("unix:///tmp/a".parse().unwrap());
    assert!(policy.access_as(&one, None).is_err());
    one.listener = Some("unix:///run/a".parse().unwrap());
    assert!(policy.access_as(&one, None).is_ok());
    let nobody = Policy::new().others(Others::Nobody).rule(Rule::new("r").names(["*"]).unwrap());
    assert!(nobody.access_as(&one, None).is_err(), "a rule about nobody applies to nobody");
}

#[test]
fn rules_that_apply_to_nobody_are_told() {
    let token = Token::new("0123456789abcdef").unwrap();
    let rule = |title: &str, who: &[&str]| who.iter().fold(Rule::new(title), |rule, who| rule.who(who).unwrap());
    let policy = Policy::new()
        .token("batch-1", token)
        .rule(rule("known", &["token:batch-*", "uid:1"]))
        .rule(rule("mistyped", &["token:batch-1", "token:bacth-1"]).at(["unix://*"]).unwrap())
        .rule(rule("elsewhere", &["*"]).at(["tcp://*", "unix:///tmp/*"]).unwrap());
    assert_eq!(policy.rules_of_unknown_tokens().collect::<Vec<_>>(), ["mistyped"]);
    let endpoints = ["unix:///run/a", "tls://127.0.0.1:1"].map(|endpoint| endpoint.parse().unwrap());
    assert_eq!(policy.rules_of_other_endpoints(&endpoints).collect::<Vec<_>>(), ["elsewhere"]);
}

#[test]
fn peers_without_a_rule() {
    let (near, far) = (peer("tcp", "127.0.0.1:1"), peer("tcp", "192.0.2.7:1"));
    for (others, is_near_let_in, is_far_let_in) in
        [(Others::Local, true, false), (Others::Nobody, false, false), (Others::Everybody, true, true)]
    {
        let policy = Policy::new().others(others);
        assert_eq!(policy.access_as(&near, None), policy.access_as(&near, None));
        assert_eq!(policy.access_as(&near, None).is_ok(), is_near_let_in, "{others:?}");
        assert_eq!(policy.access_as(&far, None).is_ok(), is_far_let_in, "{others:?}");
    }
    let refused = Policy::new().access_as(&far, None).unwrap_err();
    assert_eq!(refused.text, "refused by the policy of this server: no rule applies to addr:192.0.2.7");
    // A rule that applies takes the place of what holds for others.
    let narrow = Policy::new().rule(rule("here", "addr:127.0.0.0/8").names(["a"]).unwrap());
    let access = narrow.access_as(&near, None).unwrap();
    assert!(narrow.check(&access, Action::Bear("a")).is_ok());
    let refused = narrow.check(&access, Action::Call("f")).unwrap_err();
    assert!(
        refused.text.ends_with("the rule that applies here (here) does not let you call \"f\""),
        "{}",
        refused.text
    );
}

#[test]
fn rules_add_up_and_allow_nothing_else() {
    let policy = Policy::new()
        .rule(rule("a", "*").names(["a-*", "b"]).unwrap().call(["f", "g.*"]).unwrap().formats([FormatId::JSON]))
        .rule(rule("b", "addr:127.0.0.1").expose(["h?"]).unwrap().formats([FormatId::PICKLE]));
    let access = policy.access_as(&peer("tcp", "127.0.0.1:1"), None).unwrap();
    for (action, is) in [
        (Action::Connect, true),
        (Action::Bear("a-1"), true),
        (Action::Bear("a"), false),
        (Action::Bear("b"), true),
        (Action::Bear("B"), false),
        (Action::Bear("ab"), false),
        (Action::Call("f"), true),
        (Action::Call("ff"), false),
        (Action::Call("g."), true),
        (Action::Call("h1"), false),
        (Action::Call(""), false),
        (Action::Expose("h1"), true),
        (Action::Expose("h"), false),
        (Action::Expose("f"), false),
        (Action::Send(FormatId::JSON), true),
        (Action::Send(FormatId::PICKLE), true),
        (Action::Send(FormatId::MSGPACK), false),
        (Action::Send(FormatId::POSTCARD), false),
        (Action::Send(FormatId::user(64).unwrap()), false),
    ] {
        assert_eq!(policy.check(&access, action).is_ok(), is, "{action:?}");
    }
    let refused = policy.check(&access, Action::Send(FormatId::MSGPACK)).unwrap_err();
    assert!(refused.text.ends_with("the rules that apply here (a, b) do not let you send MSGPACK"), "{}", refused.text);
    let elsewhere = policy.access_as(&peer("tcp", "127.0.0.2:1"), None).unwrap();
    assert!(!elsewhere.sends(FormatId::PICKLE));
}

#[test]
fn pickle_has_to_be_allowed_by_name() {
    let policy = Policy::new().rule(rule("r", "*")).no_pickle_from("10.0.0.0/8").unwrap();
    let access = policy.access_as(&peer("tcp", "127.0.0.1:1"), None).unwrap();
    assert!(
        access.sends(FormatId::JSON) && access.sends(FormatId::user(70).unwrap()) && !access.sends(FormatId::PICKLE)
    );
    let policy = Policy::new().rule(rule("r", "*").all_formats()).no_pickle_from("10.1.2.3/8").unwrap();
    let sends = |address: &str| policy.access_as(&peer("tcp", address), None).unwrap().sends(FormatId::PICKLE);
    assert!(sends("127.0.0.1:1") && !sends("10.9.9.9:1") && !sends("[::ffff:10.1.1.1]:1"));
    let open = Policy::open().no_pickle_from("::/0").unwrap();
    let access = open.access_as(&peer("ws", "[2001:db8::1]:80"), None).unwrap();
    let refused = open.check(&access, Action::Send(FormatId::PICKLE)).unwrap_err();
    assert!(refused.text.contains("PICKLE from ::/0 is refused (no-pickle-from)"), "{}", refused.text);
    assert!(open.check(&access, Action::Call("anything")).is_ok());
}

#[test]
fn tokens_are_compared_and_never_shown() {
    let token = |text: &str| Token::new(text).unwrap();
    let policy = Policy::new()
        .token("a", token("0123456789abcdef0"))
        .token("b", token("0123456789abcdef1"))
        .token("a", token("0123456789abcdef2"));
    for (text, name) in [
        ("0123456789abcdef0", Some("a")),
        ("0123456789abcdef1", Some("b")),
        ("0123456789abcdef2", Some("a")),
        ("0123456789abcdef3", None),
        ("0123456789abcdef", None),
    ] {
        assert_eq!(policy.name_of(&token(text)), name);
    }
    assert!(!format!("{policy:?}").contains("0123"));
    assert_eq!(Token::new("short").unwrap_err(), TokenError::Length { size: 5 });
    assert_eq!(Token::new("with a blank in it ..").unwrap_err(), TokenError::Characters);
    assert!(Token::new("x".repeat(513)).is_err());
}

/// A pattern of many stars and a long name that almost fits.
#[test]
fn no_pattern_takes_long() {
    let policy = Policy::new().rule(rule("r", "*").call(["*a".repeat(120) + "b"]).unwrap());
    let access = policy.access_as(&peer("tcp", "127.0.0.1:1"), None).unwrap();
    assert!(policy.check(&access, Action::Call(&"a".repeat(30_000))).is_err());
    assert!(rule("r", "*").call(["x".repeat(257)]).is_err());
}

#[test]
fn rules_that_are_gone_matter_where_others_come_in() {
    let rule = |title: &str| Rule::new(title).who("uid:1000").unwrap();
    let older = Policy::new().rule(rule("guests")).rule(rule("both"));
    let gone = |others| Policy::new().others(others).rule(rule("both")).rule(rule("new"));
    for (others, told) in
        [(Others::Local, vec!["guests"]), (Others::Everybody, vec!["guests"]), (Others::Nobody, vec![])]
    {
        assert_eq!(gone(others).rules_gone_since(&older).collect::<Vec<_>>(), told, "{others:?}");
    }
}
