//! Who is a member of a Router, and what the others are to be told of it.

use std::collections::HashMap;

use daffi_wire::{
    CallId, EncodeError, EventBody, EventKind, Frame, Handshake, Header, Kind, Level, Limits, Member, NodeName,
    NodeType, Role,
};

/// The members in the order of 3.0.1, and the notices that have not been taken to all of them.
///
/// Notices are one log for all: each member has read it up to some place. So a join costs the same with one member as with
/// thousands, and each member sees every notice in order
/// ([protocol, 5.3](daffi_wire::protocol#5.3)).
#[derive(Debug)]
pub(crate) struct Membership<P> {
    list: Vec<Entry<P>>,
    by_name: HashMap<NodeName, usize>,
    /// Bytes of the list as JSON, at its longest.
    list_bytes: usize,
    log: Vec<Notice>,
    /// The number of the first notice in the log.
    first: u64,
    limits: Limits,
}

#[derive(Debug)]
struct Entry<P> {
    conn: u64,
    peer: P,
    member: Member,
    /// As it stands in lists on level 3 and level 4 links.
    json: [Vec<u8>; 2],
    /// The number of the next notice that this member has not got.
    next: u64,
    /// Its last change that was not told to all yet: the notice of it, and its number.
    changed: Option<(u64, [Frame; 2])>,
}

/// Something to tell all members but the one it is about.
#[derive(Debug)]
struct Notice {
    about: u64,
    what: News,
}

#[derive(Debug)]
enum News {
    /// Frames for level 3 and level 4 links; `None`: nothing is told on such links.
    Frames([Option<Frame>; 2]),
    /// The member of that name exposes other callbacks: it keeps the notice itself, so that of many changes only the last is
    /// told.
    Changed(NodeName),
}

/// What a newcomer changed.
#[derive(Debug)]
pub(crate) struct Joined<P> {
    /// The member that bore the name before, and what it is to be told before its end.
    pub(crate) evicted: Option<(P, Vec<Frame>)>,
}

const LINKS: [Level; 2] = [Level::THREE, Level::FOUR];

fn link(level: Level) -> usize {
    usize::from(level.at_least(Level::FOUR))
}

impl<P> Membership<P> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { list: Vec::new(), by_name: HashMap::new(), list_bytes: 0, log: Vec::new(), first: 0, limits }
    }

    /// Connection `conn` takes its place, and its name from whoever bore it.
    ///
    /// # Errors
    /// When the list grows beyond [`Limits::max_list_bytes`], or a notice does not fit into a frame; nothing has changed then.
    pub(crate) fn join(&mut self, conn: u64, member: Member, peer: P) -> Result<Joined<P>, EncodeError> {
        let notice = self.notice(&member)?;
        let json = LINKS.map(|level| member.to_json(level));
        self.check_length(&member.name, json[1].len())?;
        let connected = self.event(EventKind::Connected, &member.name)?;
        let mut evicted = None;
        if let Some(at) = self.by_name.get(&member.name).copied() {
            let told = self.event(EventKind::Evicted, &member.name)?;
            let mut old = self.remove(at);
            let mut last = Vec::new();
            self.pending(&mut old.next, old.conn, link(old.member.level), &mut last);
            last.push(told.clone());
            self.tell(old.conn, [Some(told.clone()), Some(told)]);
            evicted = Some((old.peer, last));
        }
        self.tell(conn, notice);
        self.tell(conn, [Some(connected.clone()), Some(connected)]);
        self.by_name.insert(member.name.clone(), self.list.len());
        self.list_bytes += json[1].len();
        let next = self.end();
        self.list.push(Entry { conn, peer, member, json, next, changed: None });
        Ok(Joined { evicted })
    }

    /// The peer of the member of that name.
    pub(crate) fn get(&self, name: &NodeName) -> Option<&P> {
        self.by_name.get(name).map(|at| &self.list[*at].peer)
    }

    /// A member's second handshake: it exposes other callbacks now. Gives what it has to be told before the answer; `None`:
    /// it is a member no more.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub(crate) fn update(&mut self, conn: u64, member: Member) -> Result<Option<Vec<Frame>>, EncodeError> {
        let Some(at) = self.position(&member.name, conn) else { return Ok(None) };
        let [three, four] = LINKS.map(|level| self.handshake(level, &member));
        // To the others a change is told even when nothing is exposed any more: `null` empties their entry.
        let notice = [three?, four?];
        let json = LINKS.map(|level| member.to_json(level));
        self.check_length(&member.name, json[1].len())?;
        let mut before = Vec::new();
        self.read(at, &mut before);
        self.list_bytes = self.list_bytes + json[1].len() - self.list[at].json[1].len();
        let changed = Some((self.end(), notice));
        self.log.push(Notice { about: conn, what: News::Changed(member.name.clone()) });
        let entry = &mut self.list[at];
        // Its own notice is not for itself.
        (entry.json, entry.member, entry.changed) = (json, member, changed);
        entry.next = self.first + self.log.len() as u64;
        Ok(Some(before))
    }

    /// Whether the list stays within its limit with this entry in it.
    fn check_length(&self, name: &NodeName, entry: usize) -> Result<(), EncodeError> {
        let replaced = self.by_name.get(name).map_or(0, |at| self.list[*at].json[1].len());
        // A comma each, and what stands around the list.
        let size = self.list_bytes - replaced + entry + self.list.len() + 64;
        let limit = self.limits.max_list_bytes;
        if size > limit { Err(EncodeError::FrameTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Connection `conn` ended. `false`: it was no member, or its name had passed to a newer connection.
    pub(crate) fn leave(&mut self, name: &NodeName, conn: u64) -> bool {
        let Some(at) = self.position(name, conn) else { return false };
        self.remove(at);
        // A name that came in a frame fits into one.
        if let Ok(gone) = self.event(EventKind::Disconnected, name) {
            self.tell(conn, [Some(gone.clone()), Some(gone)]);
        }
        true
    }

    /// The body of the answer to a handshake on a link of this level: all members, in order.
    pub(crate) fn reply(&self, level: Level) -> Vec<u8> {
        let members = self.list.iter().map(|entry| &entry.json[link(level)][..]);
        Handshake::assemble(NodeType::new(Role::Router, level), members)
    }

    /// Gives each member the notices it has not got, in order, and forgets them.
    pub(crate) fn tell_all(&mut self, mut send: impl FnMut(&P, &[Frame])) {
        let mut frames = Vec::new();
        for at in 0..self.list.len() {
            frames.clear();
            self.read(at, &mut frames);
            send(&self.list[at].peer, &frames);
        }
        self.first = self.end();
        for notice in std::mem::take(&mut self.log) {
            if let News::Changed(name) = notice.what
                && let Some(at) = self.by_name.get(&name)
            {
                self.list[*at].changed = None;
            }
        }
    }

    /// Gives one member the notices it has not got, ahead of the others.
    pub(crate) fn tell_one(&mut self, name: &NodeName, conn: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(at) = self.position(name, conn) {
            self.read(at, &mut frames);
        }
        frames
    }

    /// The number of the next notice.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// The members in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Member, &P)> {
        self.list.iter().map(|entry| (&entry.member, &entry.peer))
    }

    fn position(&self, name: &NodeName, conn: u64) -> Option<usize> {
        self.by_name.get(name).copied().filter(|at| self.list[*at].conn == conn)
    }

    /// The last member takes the place of the one removed.
    fn remove(&mut self, at: usize) -> Entry<P> {
        let removed = self.list.swap_remove(at);
        self.by_name.remove(&removed.member.name);
        self.list_bytes -= removed.json[1].len();
        if let Some(moved) = self.list.get(at) {
            self.by_name.insert(moved.member.name.clone(), at);
        }
        removed
    }

    fn tell(&mut self, about: u64, frames: [Option<Frame>; 2]) {
        self.log.push(Notice { about, what: News::Frames(frames) });
    }

    /// What the member at this place has not got; it has, then.
    fn read(&mut self, at: usize, frames: &mut Vec<Frame>) {
        let Entry { mut next, conn, ref member, .. } = self.list[at];
        self.pending(&mut next, conn, link(member.level), frames);
        self.list[at].next = next;
    }

    /// Moves `next` to the end of the log and gives what lies between, for connection `conn`.
    fn pending(&self, next: &mut u64, conn: u64, link: usize, frames: &mut Vec<Frame>) {
        let from = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let unread = self.log.get(from..).unwrap_or_default();
        let numbered = (*next..).zip(unread).filter(|(_, notice)| notice.about != conn);
        frames.extend(numbered.filter_map(|(number, notice)| match &notice.what {
            News::Frames(frames) => frames[link].clone(),
            News::Changed(name) => self.change(name, notice.about, number, link),
        }));
        *next = self.end();
    }

    /// The notice of a change, if this is the last one of that member.
    fn change(&self, name: &NodeName, conn: u64, number: u64, link: usize) -> Option<Frame> {
        let entry = &self.list[self.position(name, conn)?];
        entry.changed.as_ref().filter(|(last, _)| *last == number).map(|(_, frames)| frames[link].clone())
    }

    /// The notice of a newcomer. 3.0.1 sends none for a node without callbacks; on level 4 links there is always one, so
    /// that all lists agree.
    fn notice(&self, member: &Member) -> Result<[Option<Frame>; 2], EncodeError> {
        let three = if member.methods.is_empty() { None } else { Some(self.handshake(Level::THREE, member)?) };
        Ok([three, Some(self.handshake(Level::FOUR, member)?)])
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

#[cfg(test)]
mod tests {
    use daffi_wire::MethodName;

    use super::*;

    fn member(name: &str, methods: &[&str], level: Level) -> Member {
        let limits = Limits::default();
        let methods = methods.iter().map(|m| MethodName::new(m, &limits).unwrap()).collect();
        Member { level, ..Member::new(NodeName::new(name, &limits).unwrap(), methods) }
    }

    fn text(frame: &Frame) -> String {
        String::from_utf8(frame.payload().to_vec()).unwrap()
    }

    fn told(members: &mut Membership<&'static str>) -> Vec<(&'static str, Vec<String>)> {
        let mut all = Vec::new();
        members.tell_all(|peer, frames| all.push((*peer, frames.iter().map(text).collect::<Vec<_>>())));
        all.retain(|(_, frames)| !frames.is_empty());
        all
    }

    fn names(members: &Membership<&'static str>) -> Vec<String> {
        members.iter().map(|(member, _)| member.name.to_string()).collect()
    }

    fn connected(name: &str) -> String {
        format!(r#"{{"type":"connected","member":"{name}"}}"#)
    }

    #[test]
    fn a_newcomer_is_told_to_the_others_only() {
        let mut members = Membership::new(Limits::default());
        members.join(1, member("a", &[], Level::THREE), "a").unwrap();
        assert!(told(&mut members).is_empty());
        members.join(2, member("b", &["f"], Level::THREE), "b").unwrap();
        members.join(3, member("c", &[], Level::THREE), "c").unwrap();
        let notice = r#"{"meta":{"type":"router","error":null},"members":[{"name":"b","methods":["f"]}]}"#;
        assert_eq!(
            told(&mut members),
            [("a", vec![notice.into(), connected("b"), connected("c")]), ("b", vec![connected("c")])]
        );
        assert!(told(&mut members).is_empty(), "each notice once");
    }

    #[test]
    fn level_four_members_hear_of_nodes_without_callbacks_and_of_levels() {
        let mut members = Membership::new(Limits::default());
        members.join(1, member("a", &[], Level::FOUR), "a").unwrap();
        members.join(2, member("b", &[], Level::FOUR), "b").unwrap();
        let notice = r#"{"meta":{"type":"router/4","error":null},"members":[{"name":"b","methods":null,"level":4}]}"#;
        assert_eq!(told(&mut members), [("a", vec![notice.to_owned(), connected("b")])]);
        let list = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":null},{"name":"b","methods":null}]}"#;
        assert_eq!(members.reply(Level::THREE), list.as_bytes());
    }

    #[test]
    fn an_eviction_is_told_before_the_newcomer() {
        let mut members = Membership::new(Limits::default());
        members.join(1, member("a", &[], Level::THREE), "old").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        let joined = members.join(3, member("a", &[], Level::THREE), "new").unwrap();
        let (old, last) = joined.evicted.unwrap();
        let evicted = r#"{"type":"evicted","member":"a"}"#;
        assert_eq!((old, last.iter().map(text).collect::<Vec<_>>()), ("old", vec![connected("b"), evicted.to_owned()]));
        assert_eq!(told(&mut members), [("b", vec![evicted.to_owned(), connected("a")])]);
        let name = NodeName::new("a", &Limits::default()).unwrap();
        assert!(!members.leave(&name, 1), "the name has passed on");
        assert!(members.leave(&name, 3));
        assert_eq!(told(&mut members), [("b", vec![r#"{"type":"disconnected","member":"a"}"#.to_owned()])]);
    }

    #[test]
    fn an_update_reaches_the_others_and_follows_what_was_before() {
        let mut members = Membership::new(Limits::default());
        members.join(1, member("a", &["f"], Level::THREE), "a").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        let before = members.update(1, member("a", &[], Level::THREE)).unwrap().unwrap();
        assert_eq!(before.iter().map(text).collect::<Vec<_>>(), [connected("b")]);
        let emptied = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":null}]}"#;
        assert_eq!(told(&mut members), [("b", vec![emptied.to_owned()])]);
        assert!(members.update(7, member("a", &[], Level::THREE)).unwrap().is_none(), "not its connection");
    }

    #[test]
    fn one_member_can_be_told_ahead() {
        let mut members = Membership::new(Limits::default());
        for (conn, name) in [(1, "a"), (2, "b"), (3, "c")] {
            members.join(conn, member(name, &[], Level::THREE), name).unwrap();
        }
        let name = NodeName::new("a", &Limits::default()).unwrap();
        let ahead = members.tell_one(&name, 1);
        assert_eq!(ahead.iter().map(text).collect::<Vec<_>>(), [connected("b"), connected("c")]);
        assert!(members.tell_one(&name, 9).is_empty(), "not its connection");
        assert_eq!(told(&mut members), [("b", vec![connected("c")])]);
    }

    #[test]
    fn many_changes_at_once_are_told_as_one() {
        let mut members = Membership::new(Limits::default());
        members.join(1, member("a", &[], Level::THREE), "a").unwrap();
        members.join(2, member("b", &[], Level::THREE), "b").unwrap();
        told(&mut members);
        for n in 0..1000 {
            members.update(1, member("a", &[&format!("f{n}")], Level::THREE)).unwrap();
        }
        let last = r#"{"meta":{"type":"router","error":null},"members":[{"name":"a","methods":["f999"]}]}"#;
        assert_eq!(told(&mut members), [("b", vec![last.to_owned()])]);
        members.update(1, member("a", &[], Level::THREE)).unwrap();
        // Who joins between two changes has the first in its list and hears of the second.
        members.join(3, member("c", &[], Level::THREE), "c").unwrap();
        members.update(1, member("a", &["last"], Level::THREE)).unwrap();
        let news = told(&mut members);
        let of_c = news.iter().find(|(peer, _)| *peer == "c").unwrap();
        assert!(of_c.1.len() == 1 && of_c.1[0].contains(r#""methods":["last"]"#), "{of_c:?}");
    }

    #[test]
    fn a_list_that_members_could_not_read_is_not_made() {
        let limits = Limits { max_list_bytes: 145, ..Limits::default() };
        let mut members = Membership::new(limits);
        members.join(1, member("a", &["f"], Level::FOUR), "a").unwrap();
        members.join(2, member("b", &[], Level::FOUR), "b").unwrap();
        let error = members.join(3, member("c", &["f"], Level::FOUR), "c").unwrap_err();
        assert!(matches!(error, EncodeError::FrameTooLarge { limit: 145, .. }), "{error}");
        assert!(members.update(2, member("b", &["a long name"], Level::FOUR)).is_err());
        members.join(4, member("a", &[], Level::FOUR), "in the place of a").unwrap();
        assert!(members.reply(Level::FOUR).len() <= 145);
        assert_eq!(names(&members), ["b", "a"]);
    }

    #[test]
    fn the_last_member_takes_the_place_of_one_that_leaves() {
        let mut members = Membership::new(Limits::default());
        for (conn, name) in ["a", "b", "c"].into_iter().enumerate() {
            members.join(conn as u64, member(name, &[], Level::THREE), name).unwrap();
        }
        assert!(members.leave(&NodeName::new("a", &Limits::default()).unwrap(), 0));
        assert_eq!(names(&members), ["c", "b"]);
        assert!(members.leave(&NodeName::new("c", &Limits::default()).unwrap(), 2));
        assert_eq!(names(&members), ["b"]);
    }
}
