//! Who is a member of a Router, and what the others are to be told of it.

use daffi_wire::{
    CallId, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits, Member, NodeName,
    NodeType, Role,
};

use super::{
    list_shares::{ListShares, TooLong},
    news::News,
};
use crate::keyed::ByName;

/// The members in the order of 3.0.1, and the news that have not been taken to all of them
/// ([protocol, 5.3](daffi_wire::protocol#5.3)).
///
/// News are kept once for all, and each member has read them up to some place. So a join costs the
/// same with one member as with thousands, and what is kept for one that reads nothing is bounded
/// by the members, not by what happens.
#[derive(Debug)]
pub(crate) struct Membership<P> {
    list: Vec<Entry<P>>,
    by_name: ByName<NodeName, usize>,
    shares: ListShares,
    /// Bytes of the list as JSON, at its longest.
    list_bytes: usize,
    news: News,
    limits: Limits,
}

#[derive(Debug)]
struct Entry<P> {
    conn: u64,
    peer: P,
    member: Member,
    /// As it stands in lists on level 3 and level 4 links.
    json: [Vec<u8>; 2],
    /// The number of the next piece of news that this member has not got.
    next: u64,
    /// The numbers of the news of its coming, and of its last change.
    came: u64,
    changed: Option<u64>,
}

/// What a newcomer changed.
#[derive(Debug)]
pub(crate) struct Joined<P> {
    /// The member that bore the name before, and what it is to be told before its end.
    pub(crate) evicted: Option<(P, Vec<Frame>)>,
}

/// What a second handshake changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updated {
    Changed,
    /// It exposes the same as before.
    Same,
    /// It is a member no more.
    Gone,
}

/// Why a member cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotListed {
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error("the names of its callbacks do not fit into a notice: {0}")]
    Notice(#[from] EncodeError),
}

const LINKS: [Level; 2] = [Level::THREE, Level::FOUR];

fn link(level: Level) -> usize {
    usize::from(level.at_least(Level::FOUR))
}

impl<P> Membership<P> {
    /// For `most` members at a time.
    pub(crate) fn new(limits: Limits, most: usize) -> Self {
        Self {
            list: Vec::new(),
            by_name: ByName::default(),
            shares: ListShares::new(limits.max_list_bytes, most),
            list_bytes: 0,
            news: News::default(),
            limits,
        }
    }

    /// Connection `conn` takes its place, and its name from whoever bore it.
    ///
    /// # Errors
    /// When its names take more of the list than it may, or do not fit into a frame; nothing has
    /// changed then.
    pub(crate) fn join(&mut self, conn: u64, member: Member, peer: P) -> Result<Joined<P>, NotListed> {
        let json = LINKS.map(|level| member.to_json(level));
        self.check_share(&member, &json)?;
        let connected = self.event(EventKind::Connected, &member.name)?;
        let coming = self.announce(&member, &connected)?;
        let mut evicted = None;
        if let Some(at) = self.by_name.get(&member.name).copied() {
            let told = self.event(EventKind::Evicted, &member.name)?;
            let old = self.remove(at, &told);
            let mut last: Vec<_> = self.news.unread(old.next, old.conn, link(old.member.level)).cloned().collect();
            last.push(told);
            evicted = Some((old.peer, last));
        }
        let came = self.news.add_member(conn, coming);
        self.by_name.insert(member.name.clone(), self.list.len());
        self.list_bytes += json[1].len();
        self.shares.change(0, cost(&member, &json));
        self.list.push(Entry { conn, peer, member, json, next: self.end(), came, changed: None });
        Ok(Joined { evicted })
    }

    /// The peer of the member of that name.
    pub(crate) fn get(&self, name: &NodeName) -> Option<&P> {
        self.by_name.get(name).map(|at| &self.list[*at].peer)
    }

    /// A member's second handshake: it exposes other callbacks now.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub(crate) fn update(&mut self, conn: u64, member: Member) -> Result<Updated, NotListed> {
        let Some(at) = self.position(&member.name, conn) else { return Ok(Updated::Gone) };
        if self.list[at].member == member {
            return Ok(Updated::Same);
        }
        let json = LINKS.map(|level| member.to_json(level));
        self.check_share(&member, &json)?;
        let connected = self.event(EventKind::Connected, &member.name)?;
        let coming = self.announce(&member, &connected)?;
        // To the others a change is told even when nothing is exposed any more: `null` empties
        // their entry.
        let [three, four] = LINKS.map(|level| self.handshake(level, &member));
        let frames = [vec![three?], vec![four?]];
        let entry = &mut self.list[at];
        // Who has not heard of its coming yet hears of that, and of what it exposes by then.
        self.news.replace(entry.came, coming);
        entry.changed = Some(self.news.add_change(conn, entry.came, entry.changed, frames));
        self.shares.change(cost(&entry.member, &entry.json), cost(&member, &json));
        self.list_bytes = self.list_bytes + json[1].len() - entry.json[1].len();
        (entry.json, entry.member) = (json, member);
        Ok(Updated::Changed)
    }

    /// Whether the member may have that much of the list.
    fn check_share(&self, member: &Member, json: &[Vec<u8>; 2]) -> Result<(), TooLong> {
        let before = self.by_name.get(&member.name).map(|at| &self.list[*at]);
        let before = before.map_or(0, |entry| cost(&entry.member, &entry.json));
        self.shares.check(before, cost(member, json), member.methods.len())
    }

    /// Connection `conn` ended. `false`: it was no member, or its name had passed to a newer
    /// connection.
    pub(crate) fn leave(&mut self, name: &NodeName, conn: u64) -> bool {
        let Some(at) = self.position(name, conn) else { return false };
        // A name that came in a frame fits into one.
        if let Ok(gone) = self.event(EventKind::Disconnected, name) {
            self.remove(at, &gone);
        }
        true
    }

    /// The body of the answer to a first handshake on a link of this level: all members, in order.
    pub(crate) fn reply(&self, level: Level) -> Vec<u8> {
        let members = self.list.iter().map(|entry| &entry.json[link(level)][..]);
        Handshake::assemble(NodeType::new(Role::Router, level), members)
    }

    /// The body of the answer to a second handshake on a level 4 link: the member itself.
    pub(crate) fn reply_to_update(&self, name: &NodeName) -> Vec<u8> {
        let own = self.by_name.get(name).map(|at| &self.list[*at].json[link(Level::FOUR)][..]);
        Handshake::assemble(NodeType::new(Role::Router, Level::FOUR), own)
    }

    /// Bytes of such answers, about.
    pub(crate) const fn reply_bytes(&self) -> usize {
        self.list_bytes + self.list.len()
    }

    /// Gives each member that `takes` them the news it has not got, in order. Gives the bytes of
    /// what nobody was told before.
    pub(crate) fn tell_all(&mut self, takes: impl Fn(&P) -> bool, mut send: impl FnMut(&P, &[Frame])) -> usize {
        let (mut frames, mut behind) = (Vec::new(), Vec::new());
        for at in 0..self.list.len() {
            if self.list[at].next == self.end() {
                continue;
            }
            if !takes(&self.list[at].peer) {
                behind.push(self.list[at].next);
                continue;
            }
            frames.clear();
            self.read(at, &mut frames);
            send(&self.list[at].peer, &frames);
        }
        self.news.finish_round(behind)
    }

    /// Gives one member the news it has not got, ahead of the others.
    pub(crate) fn tell_one(&mut self, name: &NodeName, conn: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(at) = self.position(name, conn) {
            self.read(at, &mut frames);
        }
        frames
    }

    /// Bytes of the news that a member has not got.
    pub(crate) fn unread_bytes(&self, name: &NodeName, conn: u64) -> usize {
        let Some(at) = self.position(name, conn) else { return 0 };
        let Entry { next, conn, ref member, .. } = self.list[at];
        self.news.unread(next, conn, link(member.level)).map(|frame| frame.as_bytes().len()).sum()
    }

    /// The number of the next piece of news.
    pub(crate) const fn end(&self) -> u64 {
        self.news.end()
    }

    /// The members in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Member, &P)> {
        self.list.iter().map(|entry| (&entry.member, &entry.peer))
    }

    fn position(&self, name: &NodeName, conn: u64) -> Option<usize> {
        self.by_name.get(name).copied().filter(|at| self.list[*at].conn == conn)
    }

    /// The last member takes the place of the one removed, of which `told` tells.
    fn remove(&mut self, at: usize, told: &Frame) -> Entry<P> {
        let removed = self.list.swap_remove(at);
        self.by_name.remove(&removed.member.name);
        self.list_bytes -= removed.json[1].len();
        self.shares.change(cost(&removed.member, &removed.json), 0);
        if let Some(moved) = self.list.get(at) {
            self.by_name.insert(moved.member.name.clone(), at);
        }
        self.news.add_end(removed.conn, removed.came, removed.changed, told);
        removed
    }

    /// What the member at this place has not got; it has, then.
    fn read(&mut self, at: usize, frames: &mut Vec<Frame>) {
        let Entry { next, conn, ref member, .. } = self.list[at];
        frames.extend(self.news.unread(next, conn, link(member.level)).cloned());
        self.list[at].next = self.news.end();
        self.news.note_told();
    }

    /// What is told of a newcomer: a notice and an event. 3.0.1 sends no notice of a node without
    /// callbacks; on level 4 links there is always one, so that all lists agree.
    fn announce(&self, member: &Member, connected: &Frame) -> Result<[Vec<Frame>; 2], EncodeError> {
        let three = if member.methods.is_empty() { None } else { Some(self.handshake(Level::THREE, member)?) };
        let three = three.into_iter().chain([connected.clone()]).collect();
        Ok([three, vec![self.handshake(Level::FOUR, member)?, connected.clone()]])
    }

    fn handshake(&self, level: Level, member: &Member) -> Result<Frame, EncodeError> {
        let body = Handshake::new(NodeType::new(Role::Router, level), vec![member.clone()]).to_json();
        Frame::new(Header::control(Kind::Handshake, CallId::NONE, false), "", "", "", &body, &self.limits)
    }

    fn event(&self, kind: EventKind, name: &NodeName) -> Result<Frame, EncodeError> {
        let body = EventBody { kind, member: name.to_string() }.to_json();
        Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", &body, &self.limits)
    }
}

/// What an entry takes of the list.
fn cost(member: &Member, json: &[Vec<u8>; 2]) -> usize {
    super::list_shares::cost(json[1].len(), member.methods.len())
}

#[cfg(test)]
mod tests {
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
        members.tell_all(
            |peer| *peer != deaf,
            |peer, frames| all.push((*peer, frames.iter().map(text).collect::<Vec<_>>())),
        );
        all.retain(|(_, frames)| !frames.is_empty());
        all
    }

    fn membership() -> Membership<&'static str> {
        Membership::new(Limits::default(), 100)
    }

    fn names(members: &Membership<&'static str>) -> Vec<String> {
        members.iter().map(|(member, _)| member.name.to_string()).collect()
    }

    fn connected(name: &str) -> String {
        format!(r#"{{"type":"connected","member":"{name}"}}"#)
    }

    #[test]
    fn a_newcomer_is_told_to_the_others_only() {
        let mut members = membership();
        members.join(1, member("a", &[], Level::THREE), "a").unwrap();
        assert!(tell_everybody(&mut members).is_empty());
        members.join(2, member("b", &["f"], Level::THREE), "b").unwrap();
        members.join(3, member("c", &[], Level::THREE), "c").unwrap();
        let notice = r#"{"meta":{"type":"router","error":null},"members":[{"name":"b","methods":["f"]}]}"#;
        assert_eq!(
            tell_everybody(&mut members),
            [("a", vec![notice.into(), connected("b"), connected("c")]), ("b", vec![connected("c")])]
        );
        assert!(tell_everybody(&mut members).is_empty(), "each notice once");
    }

    #[test]
    fn level_four_members_hear_of_nodes_without_callbacks_and_of_levels() {
        let mut members = membership();
        members.join(1, member("a", &[], Level::FOUR), "a").unwrap();
        members.join(2, member("b", &[], Level::FOUR), "b").unwrap();
        let notice = r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"b","methods":null,"level":4}]}"#;
        assert_eq!(tell_everybody(&mut members), [("a", vec![notice.to_owned(), connected("b")])]);
        let list = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":null},{"name":"b","methods":null}]}"#;
        assert_eq!(members.reply(Level::THREE), list.as_bytes());
    }

    #[test]
    fn an_eviction_is_told_before_the_newcomer() {
        let mut members = membership();
        members.join(1, member("a", &[], Level::THREE), "old").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        let joined = members.join(3, member("a", &[], Level::THREE), "new").unwrap();
        let (old, last) = joined.evicted.unwrap();
        let evicted = r#"{"type":"evicted","member":"a"}"#;
        assert_eq!((old, last.iter().map(text).collect::<Vec<_>>()), ("old", vec![connected("b"), evicted.to_owned()]));
        assert_eq!(tell_everybody(&mut members), [("b", vec![evicted.to_owned(), connected("a")])]);
        let name = NodeName::new("a", &Limits::default()).unwrap();
        assert!(!members.leave(&name, 1), "the name has passed on");
        assert!(members.leave(&name, 3));
        assert_eq!(tell_everybody(&mut members), [("b", vec![r#"{"type":"disconnected","member":"a"}"#.to_owned()])]);
    }

    #[test]
    fn an_update_reaches_the_others_and_follows_what_was_before() {
        let mut members = membership();
        members.join(1, member("a", &["f"], Level::THREE), "a").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        assert_eq!(members.update(1, member("a", &[], Level::THREE)).unwrap(), Updated::Changed);
        let emptied = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":null}]}"#;
        assert_eq!(tell_everybody(&mut members), [("a", vec![connected("b")]), ("b", vec![emptied.to_owned()])]);
        assert_eq!(members.update(7, member("a", &["f"], Level::THREE)).unwrap(), Updated::Gone);
        assert_eq!(members.update(1, member("a", &[], Level::THREE)).unwrap(), Updated::Same);
        assert!(tell_everybody(&mut members).is_empty());
    }

    #[test]
    fn one_member_can_be_told_ahead() {
        let mut members = membership();
        for (conn, name) in [(1, "a"), (2, "b"), (3, "c")] {
            members.join(conn, member(name, &[], Level::THREE), name).unwrap();
        }
        let name = NodeName::new("a", &Limits::default()).unwrap();
        let ahead = members.tell_one(&name, 1);
        assert_eq!(ahead.iter().map(text).collect::<Vec<_>>(), [connected("b"), connected("c")]);
        assert!(members.tell_one(&name, 9).is_empty(), "not its connection");
        assert_eq!(tell_everybody(&mut members), [("b", vec![connected("c")])]);
    }

    #[test]
    fn many_changes_at_once_are_told_as_one() {
        let mut members = membership();
        members.join(1, member("a", &[], Level::THREE), "a").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        tell_everybody(&mut members);
        for n in 0..1000 {
            members.update(1, member("a", &[&format!("f{n}")], Level::THREE)).unwrap();
        }
        let last = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":["f999"]}]}"#;
        assert_eq!(tell_everybody(&mut members), [("b", vec![last.to_owned()])]);
        members.update(1, member("a", &[], Level::THREE)).unwrap();
        // Who joins between two changes has the first in its list and hears of the second.
        members.join(3, member("c", &[], Level::THREE), "c").unwrap();
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
        members.join(1, member("a", &["f"], Level::FOUR), "a").unwrap();
        let refused = members.join(2, member("greedy", &many, Level::FOUR), "greedy").unwrap_err().to_string();
        assert!(refused.contains("1000 callbacks") && refused.contains("max_list_bytes"), "{refused}");
        let refused = members.update(1, member("a", &many, Level::FOUR)).unwrap_err().to_string();
        assert!(refused.contains("1000 callbacks"), "{refused}");
        assert!(tell_everybody(&mut members).is_empty(), "nothing has changed");
        let mut greedy = 0;
        while members.join(greedy + 10, member(&format!("greedy{greedy}"), &many[..40], Level::FOUR), "greedy").is_ok()
        {
            greedy += 1;
        }
        for n in greedy..99 {
            members.join(n + 10, member(&format!("modest{n}"), &["f", "g"], Level::FOUR), "modest").unwrap();
        }
        assert!(greedy > 3 && members.reply(Level::FOUR).len() <= limits.max_list_bytes);
    }

    /// What a member that takes nothing makes the Router keep is bounded by the members that it
    /// knew, not by what happens.
    #[test]
    fn news_for_one_that_takes_none_are_merged() {
        let mut members = membership();
        for (conn, name) in [(1, "a"), (2, "deaf"), (3, "b"), (4, "c")] {
            members.join(conn, member(name, &[], Level::THREE), name).unwrap();
        }
        tell_everybody(&mut members);
        let name = |text: &str| NodeName::new(text, &Limits::default()).unwrap();
        assert!(members.leave(&name("c"), 4));
        let mut most = 0;
        for n in 0..1000 {
            members.update(3, member("b", &[&format!("f{n}")], Level::THREE)).unwrap();
            members.join(100 + n, member("churns", &["f"], Level::THREE), "churns").unwrap();
            told_but(&mut members, "deaf");
            if n % 2 == 0 {
                assert!(members.leave(&name("churns"), 100 + n));
            }
            told_but(&mut members, "deaf");
            most = most.max(members.news.len());
        }
        assert!(most <= 8, "{most}");
        let notice = |name, method| {
            format!(
                r#"{{"meta":{{"type":"router","error":null}},"members":[{{"name":"{name}","methods":["{method}"]}}]}}"#
            )
        };
        let gone = r#"{"type":"disconnected","member":"c"}"#.to_owned();
        let newest = vec![gone, notice("b", "f999"), notice("churns", "f"), connected("churns")];
        assert_eq!(tell_everybody(&mut members), [("deaf", newest)]);
        assert_eq!(members.news.len(), 0);
    }

    #[test]
    fn each_hears_of_those_whom_it_knew_that_they_are_gone() {
        let mut members = membership();
        members.join(1, member("a", &[], Level::THREE), "a").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        let name = |text: &str| NodeName::new(text, &Limits::default()).unwrap();
        // `a` hears of the first of three nodes of one name, `b` of the last as well.
        members.join(3, member("c", &[], Level::THREE), "c").unwrap();
        tell_everybody(&mut members);
        members.join(4, member("c", &[], Level::THREE), "c").unwrap();
        told_but(&mut members, "a");
        members.leave(&name("c"), 4);
        members.join(5, member("c", &[], Level::THREE), "c").unwrap();
        let (evicted, gone) =
            (r#"{"type":"evicted","member":"c"}"#.to_owned(), r#"{"type":"disconnected","member":"c"}"#.to_owned());
        assert_eq!(
            tell_everybody(&mut members),
            [("a", vec![evicted, connected("c")]), ("b", vec![gone, connected("c")])]
        );
        // Of one that came and went at once those hear who keep up, and nobody later.
        members.join(6, member("d", &["f"], Level::THREE), "d").unwrap();
        members.leave(&name("d"), 6);
        let both = [connected("d"), r#"{"type":"disconnected","member":"d"}"#.to_owned()];
        let news = told_but(&mut members, "a");
        assert!(news.len() == 2 && news.iter().all(|(_, told)| *told == both), "{news:?}");
        assert!(tell_everybody(&mut members).is_empty() && members.news.len() == 0);
        // One that was told of its coming ahead of the others hears of its end, however late.
        members.join(7, member("d", &["f"], Level::THREE), "d").unwrap();
        assert_eq!(members.tell_one(&name("a"), 1).len(), 2);
        members.leave(&name("d"), 7);
        told_but(&mut members, "a");
        assert_eq!(tell_everybody(&mut members), [("a", vec![both[1].clone()])]);
    }

    #[test]
    fn the_last_member_takes_the_place_of_one_that_leaves() {
        let mut members = membership();
        for (conn, name) in ["a", "b", "c"].into_iter().enumerate() {
            members.join(conn as u64, member(name, &[], Level::THREE), name).unwrap();
        }
        assert!(members.leave(&NodeName::new("a", &Limits::default()).unwrap(), 0));
        assert_eq!(names(&members), ["c", "b"]);
        assert!(members.leave(&NodeName::new("c", &Limits::default()).unwrap(), 2));
        assert_eq!(names(&members), ["b"]);
    }
}
