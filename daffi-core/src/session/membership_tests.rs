use daffi_wire::MethodName;

use super::*;

fn member(name: &str, methods: &[&str], level: Level) -> Member {
    let limits = Limits::default();
    let methods = methods.iter().map(|m| MethodName::new(m, &limits).unwrap()).collect();
    Member::new(NodeName::new(name, &limits).unwrap(), methods).with_level(level)
}

fn text(frame: &Frame) -> String {
    String::from_utf8(frame.payload().to_vec()).unwrap()
}

fn tell_everybody(members: &mut Membership<&'static str>) -> Vec<(&'static str, Vec<String>)> {
    told_but(members, "")
}

/// All but one, which takes nothing.
fn told_but(members: &mut Membership<&'static str>, deaf: &str) -> Vec<(&'static str, Vec<String>)> {
    let mut all = Vec::new();
    members
        .tell_all(|peer| *peer != deaf, |peer, frames| all.push((*peer, frames.iter().map(text).collect::<Vec<_>>())));
    all.retain(|(_, frames)| !frames.is_empty());
    all
}

fn membership() -> Membership<&'static str> {
    Membership::new(Limits::default(), 100)
}

fn names(members: &Membership<&'static str>) -> Vec<String> {
    members.iter().map(|(member, _)| member.name.to_string()).collect()
}

fn connected_event(name: &str) -> String {
    format!(r#"{{"type":"connected","member":"{name}"}}"#)
}

#[test]
fn a_newcomer_is_told_to_the_others_only() {
    let mut members = membership();
    members.join(1, member("a", &[], Level::THREE), "a", true).unwrap();
    assert!(tell_everybody(&mut members).is_empty());
    members.join(2, member("b", &["f"], Level::THREE), "b", true).unwrap();
    members.join(3, member("c", &[], Level::THREE), "c", true).unwrap();
    let notice = r#"{"meta":{"type":"router","error":null},"members":[{"name":"b","methods":["f"]}]}"#;
    assert_eq!(
        tell_everybody(&mut members),
        [("a", vec![notice.into(), connected_event("b"), connected_event("c")]), ("b", vec![connected_event("c")])]
    );
    assert!(tell_everybody(&mut members).is_empty(), "each notice once");
}

#[test]
fn level_four_members_hear_of_nodes_without_callbacks_and_of_levels() {
    let mut members = membership();
    members.join(1, member("a", &[], Level::FOUR), "a", true).unwrap();
    members.join(2, member("b", &[], Level::FOUR), "b", true).unwrap();
    let notice = r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"b","methods":null,"level":4}]}"#;
    assert_eq!(tell_everybody(&mut members), [("a", vec![notice.to_owned(), connected_event("b")])]);
    let list = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":null},{"name":"b","methods":null}]}"#;
    assert_eq!(members.reply(Level::THREE), list.as_bytes());
}

#[test]
fn an_eviction_is_told_before_the_newcomer() {
    let mut members = membership();
    members.join(1, member("a", &[], Level::THREE), "old", true).unwrap();
    members.join(2, member("b", &[], Level::THREE), "b", true).unwrap();
    let joined = members.join(3, member("a", &[], Level::THREE), "new", true).unwrap();
    let (old, last) = joined.evicted.unwrap();
    let evicted = r#"{"type":"evicted","member":"a"}"#;
    assert_eq!(
        (old, last.iter().map(text).collect::<Vec<_>>()),
        ("old", vec![connected_event("b"), evicted.to_owned()])
    );
    assert_eq!(tell_everybody(&mut members), [("b", vec![evicted.to_owned(), connected_event("a")])]);
    let name = NodeName::new("a", &Limits::default()).unwrap();
    assert!(!members.leave(&name, 1), "the name has passed on");
    assert!(members.leave(&name, 3));
    assert_eq!(tell_everybody(&mut members), [("b", vec![r#"{"type":"disconnected","member":"a"}"#.to_owned()])]);
}

#[test]
fn an_update_reaches_the_others_and_follows_what_was_before() {
    let mut members = membership();
    members.join(1, member("a", &["f"], Level::THREE), "a", true).unwrap();
    members.join(2, member("b", &[], Level::THREE), "b", true).unwrap();
    assert_eq!(members.update(1, member("a", &[], Level::THREE)).unwrap(), Updated::Changed);
    let emptied = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":null}]}"#;
    assert_eq!(tell_everybody(&mut members), [("a", vec![connected_event("b")]), ("b", vec![emptied.to_owned()])]);
    assert_eq!(members.update(7, member("a", &["f"], Level::THREE)).unwrap(), Updated::Gone);
    assert_eq!(members.update(1, member("a", &[], Level::THREE)).unwrap(), Updated::Same);
    assert!(tell_everybody(&mut members).is_empty());
}

#[test]
fn one_member_can_be_told_ahead() {
    let mut members = membership();
    for (conn, name) in [(1, "a"), (2, "b"), (3, "c")] {
        members.join(conn, member(name, &[], Level::THREE), name, true).unwrap();
    }
    let name = NodeName::new("a", &Limits::default()).unwrap();
    let ahead = members.tell_one(&name, 1);
    assert_eq!(ahead.iter().map(text).collect::<Vec<_>>(), [connected_event("b"), connected_event("c")]);
    assert!(members.tell_one(&name, 9).is_empty(), "not its connection");
    assert_eq!(tell_everybody(&mut members), [("b", vec![connected_event("c")])]);
}

#[test]
fn many_changes_at_once_are_told_as_one() {
    let mut members = membership();
    members.join(1, member("a", &[], Level::THREE), "a", true).unwrap();
    members.join(2, member("b", &[], Level::THREE), "b", true).unwrap();
    tell_everybody(&mut members);
    for n in 0..1000 {
        members.update(1, member("a", &[&format!("f{n}")], Level::THREE)).unwrap();
    }
    let last = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":["f999"]}]}"#;
    assert_eq!(tell_everybody(&mut members), [("b", vec![last.to_owned()])]);
    members.update(1, member("a", &[], Level::THREE)).unwrap();
    // Who joins between two changes has the first in its list and hears of the second.
    members.join(3, member("c", &[], Level::THREE), "c", true).unwrap();
    members.update(1, member("a", &["last"], Level::THREE)).unwrap();
    let news = tell_everybody(&mut members);
    let of_c = news.iter().find(|(peer, _)| *peer == "c").unwrap();
    assert!(of_c.1.len() == 1 && of_c.1[0].contains(r#""methods":["last"]"#), "{of_c:?}");
}

#[test]
fn who_takes_too_much_of_the_list_is_refused_and_the_next_is_not() {
    let limits = Limits::default().max_list_bytes(64 * 1024);
    let mut members = Membership::new(limits, 100);
    let many: Vec<_> = (0..1000).map(|n| format!("f{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    members.join(1, member("a", &["f"], Level::FOUR), "a", true).unwrap();
    let refused = members.join(2, member("greedy", &many, Level::FOUR), "greedy", true).unwrap_err().to_string();
    assert!(refused.contains("1000 callbacks") && refused.contains("max_list_bytes"), "{refused}");
    let refused = members.update(1, member("a", &many, Level::FOUR)).unwrap_err().to_string();
    assert!(refused.contains("1000 callbacks"), "{refused}");
    assert!(tell_everybody(&mut members).is_empty(), "nothing has changed");
    let mut greedy = 0;
    while members
        .join(greedy + 10, member(&format!("greedy{greedy}"), &many[..40], Level::FOUR), "greedy", true)
        .is_ok()
    {
        greedy += 1;
    }
    for n in greedy..99 {
        members.join(n + 10, member(&format!("modest{n}"), &["f", "g"], Level::FOUR), "modest", true).unwrap();
    }
    assert!(greedy > 3 && members.reply(Level::FOUR).len() <= limits.max_list_bytes);
}

/// What a member that takes nothing makes the Router keep is bounded by the members that it
/// knew, not by what happens.
#[test]
fn news_for_one_that_takes_none_are_merged() {
    let mut members = membership();
    for (conn, name) in [(1, "a"), (2, "deaf"), (3, "b"), (4, "c")] {
        members.join(conn, member(name, &[], Level::THREE), name, true).unwrap();
    }
    tell_everybody(&mut members);
    let name = |text: &str| NodeName::new(text, &Limits::default()).unwrap();
    assert!(members.leave(&name("c"), 4));
    let mut most = 0;
    for n in 0..1000 {
        members.update(3, member("b", &[&format!("f{n}")], Level::THREE)).unwrap();
        members.join(100 + n, member("churns", &["f"], Level::THREE), "churns", true).unwrap();
        told_but(&mut members, "deaf");
        if n % 2 == 0 {
            assert!(members.leave(&name("churns"), 100 + n));
        }
        told_but(&mut members, "deaf");
        most = most.max(members.news.len());
    }
    assert!(most <= 8, "{most}");
    let notice = |name, method| {
        format!(r#"{{"meta":{{"type":"router","error":null}},"members":[{{"name":"{name}","methods":["{method}"]}}]}}"#)
    };
    let gone = r#"{"type":"disconnected","member":"c"}"#.to_owned();
    let newest = vec![gone, notice("b", "f999"), notice("churns", "f"), connected_event("churns")];
    assert_eq!(tell_everybody(&mut members), [("deaf", newest)]);
    assert_eq!(members.news.len(), 0);
}

#[test]
fn each_hears_of_those_whom_it_knew_that_they_are_gone() {
    let mut members = membership();
    members.join(1, member("a", &[], Level::THREE), "a", true).unwrap();
    members.join(2, member("b", &[], Level::THREE), "b", true).unwrap();
    let name = |text: &str| NodeName::new(text, &Limits::default()).unwrap();
    // `a` hears of the first of three nodes of one name, `b` of the last as well.
    members.join(3, member("c", &[], Level::THREE), "c", true).unwrap();
    tell_everybody(&mut members);
    members.join(4, member("c", &[], Level::THREE), "c", true).unwrap();
    told_but(&mut members, "a");
    members.leave(&name("c"), 4);
    members.join(5, member("c", &[], Level::THREE), "c", true).unwrap();
    let (evicted, gone) =
        (r#"{"type":"evicted","member":"c"}"#.to_owned(), r#"{"type":"disconnected","member":"c"}"#.to_owned());
    assert_eq!(
        tell_everybody(&mut members),
        [("a", vec![evicted, connected_event("c")]), ("b", vec![gone, connected_event("c")])]
    );
    // Of one that came and went at once those hear who keep up, and nobody later.
    members.join(6, member("d", &["f"], Level::THREE), "d", true).unwrap();
    members.leave(&name("d"), 6);
    let both = [connected_event("d"), r#"{"type":"disconnected","member":"d"}"#.to_owned()];
    let news = told_but(&mut members, "a");
    assert!(news.len() == 2 && news.iter().all(|(_, told)| *told == both), "{news:?}");
    assert!(tell_everybody(&mut members).is_empty() && members.news.len() == 0);
    // One that was told of its coming ahead of the others hears of its end, however late.
    members.join(7, member("d", &["f"], Level::THREE), "d", true).unwrap();
    assert_eq!(members.tell_one(&name("a"), 1).len(), 2);
    members.leave(&name("d"), 7);
    told_but(&mut members, "a");
    assert_eq!(tell_everybody(&mut members), [("a", vec![both[1].clone()])]);
}

#[test]
fn the_last_member_takes_the_place_of_one_that_leaves() {
    let mut members = membership();
    for (conn, name) in ["a", "b", "c"].into_iter().enumerate() {
        members.join(conn as u64, member(name, &[], Level::THREE), name, true).unwrap();
    }
    assert!(members.leave(&NodeName::new("a", &Limits::default()).unwrap(), 0));
    assert_eq!(names(&members), ["c", "b"]);
    assert!(members.leave(&NodeName::new("c", &Limits::default()).unwrap(), 2));
    assert_eq!(names(&members), ["b"]);
}
