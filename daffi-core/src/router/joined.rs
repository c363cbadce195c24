//! Members that have joined a Router that no task moves. For tests.

use daffi_wire::{CallId, Frame, Handshake, Header, Kind, Level, Limits, Member, MethodName, NodeName, NodeType, Role};

use super::bare::{BareMember, BareRouter};

/// The HANDSHAKE of a member of that level that exposes these.
pub(super) fn hello(name: &str, level: Level, exposes: &[&str]) -> Frame {
    let limits = Limits::default();
    let methods = exposes.iter().map(|method| MethodName::new(*method, &limits).unwrap()).collect();
    let member = Member::new(NodeName::new(name, &limits).unwrap(), methods);
    let body = Handshake::new(NodeType::new(Role::Client, level), vec![member]).to_json();
    Frame::new(Header::control(Kind::Handshake, CallId(1), true), name, "", "", &body, &limits).unwrap()
}

/// A member that has said so, and has taken what it was told.
pub(super) fn joined(router: &BareRouter, name: &str, level: Level, exposes: &[&str]) -> BareMember {
    let mut joined = router.connect();
    joined.handle(hello(name, level, exposes)).unwrap();
    joined.take_frames();
    joined
}
