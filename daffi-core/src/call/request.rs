//! A request as far as it is written when the call is made: arguments in the format of its
//! receiver.

use std::{num::NonZeroU32, sync::Arc};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Args, FormatSet, Output, SerdeError};
use daffi_wire::{
    BODY_PART_BYTES, CallId, EncodeError, FormatId, FrameWriter, Header, Kind, Level, NodeName, SPLIT_FROM,
};
use tokio::time::Instant;

use super::{progress::Progress, written_extensions::WrittenExtensions};
use crate::{
    client::{CallOptions, Choice, Client, ClientConn, ClientCore},
    deadline::in_ms,
    error::CallError,
    refusal::AS_A_LIST,
    scratch::Scratch,
    session::Members,
    stats::STATS,
};

/// What making a call gives, before anything is sent.
pub(super) enum Prepared {
    /// Written for a receiver.
    Addressed(Addressed),
    /// There was no receiver to choose, so the arguments are written in every format that the call
    /// may take.
    Unaddressed(Payloads),
    Failed(Box<CallError>),
}

/// A request for a receiver that the connection of that moment told of.
pub(super) struct Addressed {
    /// The connection's number.
    pub(super) conn: u64,
    pub(super) receiver: NodeName,
    pub(super) written: WrittenRequest,
}

/// Arguments of a call, written.
#[derive(Clone)]
pub(super) struct Payload {
    bytes: Bytes,
    text: bool,
}

/// Arguments of a call in every format that it may take.
#[derive(Clone, Default)]
pub(super) struct Payloads(Vec<(FormatId, Result<Payload, SerdeError>)>);

impl Payloads {
    /// The arguments in this format, or in the only one there is if the format was chosen for
    /// another connection.
    pub(super) fn get(&self, format: FormatId) -> (FormatId, Result<Payload, SerdeError>) {
        let exact = self.0.iter().find(|(known, _)| *known == format);
        exact.or(self.0.first()).cloned().unwrap_or((format, Err(SerdeError::UnknownFormat(format))))
    }
}

/// A request that is written and has no number yet.
pub(super) struct WrittenRequest {
    pub(super) frame: Scratch,
    beyond: Beyond,
    /// Bytes of extensions and payload, wherever they are: what credit is paid for.
    pub(super) payload: usize,
    /// Where the payload begins.
    body: u32,
    /// Where it says how much time is left.
    time_left: Option<NonZeroU32>,
    format: FormatId,
    text: bool,
}

/// What of a request is not in its buffer.
enum Beyond {
    Nothing,
    /// The end of its frame, which is sent without a copy.
    Shared(Box<Bytes>),
    /// What of its arguments follows in DATA.
    Follows(Box<Bytes>),
}

impl WrittenRequest {
    /// The length of the whole frame in bytes.
    pub(super) fn len(&self) -> usize {
        let shared = if let Beyond::Shared(shared) = &self.beyond { shared.len() } else { 0 };
        self.frame.get().len() + shared
    }

    /// The end of its frame, if it is sent without a copy.
    pub(super) fn shared(&self) -> Option<Bytes> {
        if let Beyond::Shared(shared) = &self.beyond { Some(Bytes::clone(shared)) } else { None }
    }

    /// Whether some of its arguments follow in DATA.
    pub(super) const fn has_rest(&self) -> bool {
        matches!(self.beyond, Beyond::Follows(_))
    }

    /// What of its arguments follows in DATA.
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        if !self.has_rest() {
            return None;
        }
        match std::mem::replace(&mut self.beyond, Beyond::Nothing) {
            Beyond::Follows(rest) => Some(*rest),
            Beyond::Nothing | Beyond::Shared(_) => None,
        }
    }

    pub(super) const fn format(&self) -> FormatId {
        self.format
    }

    pub(super) fn set_number(&mut self, id: CallId) {
        Header::renumber(self.frame.get_mut(), id);
    }

    /// Says how much time is left until `deadline`, if it is a request that says so.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        if let (Some(at), Some(deadline)) = (self.time_left, deadline)
            && let Some(left) = self.frame.get_mut().get_mut(at.get() as usize..).and_then(|from| from.get_mut(..4))
        {
            let time = deadline.saturating_duration_since(Instant::now());
            left.copy_from_slice(&in_ms(time).to_le_bytes());
        }
    }

    /// Has its final number. A large frame is shared from here on rather than copied into the
    /// queue.
    pub(super) fn with_number(mut self, id: CallId) -> Self {
        self.set_number(id);
        if matches!(self.beyond, Beyond::Nothing) && self.frame.is_large() {
            self.beyond = Beyond::Shared(Box::new(self.frame.take_bytes()));
        }
        self
    }

    /// Its arguments, to be written for another receiver.
    pub(super) fn into_payloads(self) -> Payloads {
        let begun = &self.frame.get()[self.body as usize..];
        let bytes = match self.beyond {
            Beyond::Shared(shared) => *shared,
            Beyond::Nothing => Bytes::copy_from_slice(begun),
            Beyond::Follows(rest) => [begun, &rest[..]].concat().into(),
        };
        Payloads(vec![(self.format, Ok(Payload { bytes, text: self.text }))])
    }
}

/// Chooses the receiver of a call to `method`.
#[inline]
pub(super) fn choose(
    shared: &ClientCore,
    members: &Members,
    method: &str,
    pinned: Option<&str>,
    key: Option<&str>,
) -> Result<Addressee, CallError> {
    let candidates = members.receivers_of(method).map(|c| &c[..]).unwrap_or_default();
    let chosen = match pinned {
        Some(name) => candidates.iter().find(|c| c.as_str() == name),
        None => match candidates {
            [] => None,
            [only] => Some(only),
            several => {
                let choice = Choice { method, candidates: several, key, client: shared.in_group };
                let picked = shared.picker.pick(&choice);
                several.get(picked % several.len())
            }
        },
    };
    match chosen {
        Some(chosen) => Ok(Addressee { name: chosen.clone(), level: members.level_of_listed(chosen) }),
        None => choose_server(shared, members, method, pinned),
    }
}

/// Whether the Router is to choose the receiver of a call that wants an answer.
pub(super) fn is_left_to_router(conn: &ClientConn, method: &str, options: &CallOptions) -> bool {
    (options.by_router || options.waits_at_router() || conn.picker.leaves_to_router())
        && options.receiver.is_none()
        && conn.router_chooses()
        && method != STATS
}

/// Chooses the receiver of a call, or none where the Router does, and its format.
#[inline]
fn choose_or_leave<F: FormatSet>(
    client: &Client<F>,
    (conn, members): (&ClientConn, &Members),
    method: &str,
    options: &CallOptions,
    asked: Option<FormatId>,
    wants_reply: bool,
) -> Result<(Addressee, FormatId), CallError> {
    if wants_reply && is_left_to_router(conn, method, options) {
        // Whoever gets it has to read it.
        let level = if members.are_level_four(method) { Level::FOUR } else { Level::THREE };
        return Ok((Addressee::of_router(), asked.unwrap_or_else(|| default_format(client.formats(), level))));
    }
    let chosen = choose(client.shared(), members, method, options.receiver.as_deref(), options.key.as_deref())?;
    let format = format_for(client.formats(), &chosen, asked)?;
    Ok((chosen, format))
}

/// Whom a call goes to.
pub(super) struct Addressee {
    /// Unnamed where a Router chooses.
    pub(super) name: NodeName,
    pub(super) level: Level,
}

impl Addressee {
    /// The Router of a level 4 link chooses it.
    fn of_router() -> Self {
        Self { name: NodeName::empty(), level: Level::FOUR }
    }
}

/// The server itself, for what a Router answers that is no member. It answers to any name.
#[cold]
fn choose_server(
    shared: &ClientCore,
    members: &Members,
    method: &str,
    pinned: Option<&str>,
) -> Result<Addressee, CallError> {
    let server = NodeName::new(pinned.unwrap_or("router"), &shared.node.config.limits).ok();
    match server.filter(|_| method == STATS) {
        Some(name) => Ok(Addressee { level: members.level(&name), name }),
        None => {
            let (method, receiver) = (method.to_owned(), pinned.map(ToOwned::to_owned));
            Err(CallError::ReceiverNotFound { method, receiver })
        }
    }
}

/// The format of a call: the one asked for, if the receiver can read it, else the default for that
/// receiver.
pub(super) fn format_for(
    formats: &impl FormatSet,
    Addressee { name: receiver, level }: &Addressee,
    asked: Option<FormatId>,
) -> Result<FormatId, CallError> {
    let level = *level;
    match asked {
        Some(format) if !level.at_least(format.min_level()) => {
            Err(CallError::FormatUnsupported { receiver: receiver.to_string(), format })
        }
        Some(format) => Ok(format),
        None => Ok(default_format(formats, level)),
    }
}

/// The format of calls that ask for none, to receivers of this level.
fn default_format(formats: &impl FormatSet, level: Level) -> FormatId {
    let preferred = if level.at_least(Level::FOUR) {
        [FormatId::MSGPACK, FormatId::JSON, FormatId::PICKLE]
    } else {
        [FormatId::PICKLE, FormatId::MSGPACK, FormatId::JSON]
    };
    preferred.into_iter().find(|format| formats.contains(*format)).unwrap_or(FormatId::OPAQUE)
}

/// Writes a request, all but its number.
pub(super) fn write_request(
    shared: &ClientCore,
    (receiver, level): (&NodeName, Level),
    method: &str,
    extensions: &WrittenExtensions,
    format: FormatId,
    wants_reply: bool,
    write: impl FnOnce(&mut Output<'_>) -> Result<(), SerdeError>,
) -> Result<WrittenRequest, CallError> {
    let too_large = |source: EncodeError| CallError::TransmissionFailure { method: method.to_owned(), source };
    if extensions.has_items() && !level.at_least(Level::FOUR) {
        let reason =
            format!("{receiver} is a daffi 3.0.1 node, which takes no arguments of {method} one by one: {AS_A_LIST}");
        let (receiver, method) = (receiver.to_string(), method.to_owned());
        return Err(CallError::LevelUnsupported { receiver, method, reason });
    }
    let mut frame = Scratch::take();
    let mut writer = FrameWriter::begin(frame.get_mut(), &shared.node.name, receiver, method).map_err(too_large)?;
    let names_end = writer.body().len();
    let time_left = extensions.write(&mut writer, shared, receiver, level).and_then(|at| NonZeroU32::new(place(at)));
    let body = writer.body().len();
    let mut out = Output::new(writer.body());
    write(&mut out).map_err(|source| CallError::Encode { method: method.to_owned(), source })?;
    let (payload, text) = (out.take_shared(), out.is_text());
    let header = Header::new(Kind::Request, CallId::NONE, format, text, wants_reply);
    let more = payload.as_ref().map_or(0, Bytes::len);
    let bytes = body - names_end + writer.payload_len() + more;
    let limits = &shared.node.config.limits;
    if wants_reply && writer.payload_len() + more > SPLIT_FROM && level.at_least(Level::FOUR) && !extensions.has_items()
    {
        let payload = payload.unwrap_or_else(|| writer.body().split_off(body).freeze());
        let rest = writer.first_part(payload);
        let body = writer.body().len() - BODY_PART_BYTES;
        writer.finish(header, 0, limits).map_err(too_large)?;
        let (body, beyond) = (place(body), Beyond::Follows(Box::new(rest)));
        return Ok(WrittenRequest { frame, beyond, payload: bytes, body, time_left, format, text });
    }
    writer.finish(header, more, limits).map_err(too_large)?;
    let beyond = payload.map_or(Beyond::Nothing, |payload| Beyond::Shared(Box::new(payload)));
    Ok(WrittenRequest { frame, beyond, payload: bytes, body: place(body), time_left, format, text })
}

/// A place in a frame before its payload, which is behind header, names and extensions at most.
fn place(at: usize) -> u32 {
    u32::try_from(at).expect("header, names and extensions are below 65,536 bytes together")
}

/// Writes a request whose arguments are written.
pub(super) fn write_payload(
    shared: &ClientCore,
    to: (&NodeName, Level),
    method: &str,
    extensions: &WrittenExtensions,
    (format, payload): (FormatId, Result<Payload, SerdeError>),
    wants_reply: bool,
) -> Result<WrittenRequest, CallError> {
    write_request(shared, to, method, extensions, format, wants_reply, |out| {
        let Payload { bytes, text } = payload?;
        if text {
            out.mark_text();
        }
        out.share(bytes);
        Ok(())
    })
}

impl<F: FormatSet> Client<F> {
    /// Makes a call as far as nothing is sent: chooses receiver and format, and writes the request.
    pub(super) fn prepare<A: Args>(
        &self,
        method: &str,
        args: &A,
        options: &CallOptions,
        wants_reply: bool,
    ) -> Prepared {
        let shared = self.shared();
        let current = shared.current();
        let Some(current) = &*current else { return Prepared::Unaddressed(self.payloads(args, options, None)) };
        let at = (&*current.conn, &*current.members);
        let chosen = choose_or_leave(self, at, method, options, options.serde, wants_reply);
        let addressed = chosen.and_then(|(Addressee { name: receiver, level }, format)| {
            let write = |out: &mut Output<'_>| self.formats().encode_args(format, args, out);
            let waits = receiver.is_empty() && options.waits_at_router();
            let extensions = WrittenExtensions::of(options, method, wants_reply, waits)?;
            let to = (&receiver, level);
            let written = write_request(shared, to, method, &extensions, format, wants_reply, write)?;
            Ok(Addressed { conn: current.conn.conn.id, receiver, written })
        });
        match addressed {
            Ok(addressed) => Prepared::Addressed(addressed),
            Err(CallError::ReceiverNotFound { .. })
                if options.wait_for_receiver || shared.find_unwatched(&current.members, method).is_some() =>
            {
                Prepared::Unaddressed(self.payloads(args, options, None))
            }
            Err(error) => Prepared::Failed(Box::new(error)),
        }
    }

    /// The arguments in the format asked for, or in the default ones of receivers of these levels;
    /// of all levels when it is not known who they are.
    pub(super) fn payloads<A: Args>(&self, args: &A, options: &CallOptions, levels: Option<Vec<Level>>) -> Payloads {
        let mut written: Vec<(FormatId, _)> = Vec::with_capacity(2);
        let mut write = |format| {
            if !written.iter().any(|(known, _)| *known == format) {
                written.push((format, self.payload(format, args)));
            }
        };
        match (options.serde, levels) {
            (Some(format), _) => write(format),
            (None, Some(levels)) if !levels.is_empty() => {
                levels.into_iter().for_each(|level| write(default_format(self.formats(), level)));
            }
            _ => [Level::FOUR, Level::THREE].iter().for_each(|level| write(default_format(self.formats(), *level))),
        }
        Payloads(written)
    }

    /// The arguments in one format.
    fn payload<A: Args>(&self, format: FormatId, args: &A) -> Result<Payload, SerdeError> {
        let mut buffer = BytesMut::new();
        let mut out = Output::new(&mut buffer);
        self.formats().encode_args(format, args, &mut out)?;
        let (shared, text) = (out.take_shared(), out.is_text());
        Ok(Payload { bytes: shared.unwrap_or_else(|| buffer.freeze()), text })
    }

    /// Chooses receiver and format of a call that had none when it was made, and writes its
    /// request. Waits as [`until_found`](Self::until_found). Cancel safe.
    pub(super) async fn address(
        &self,
        method: &str,
        payloads: &Payloads,
        options: &CallOptions,
        wants_reply: bool,
        progress: &mut Progress,
    ) -> Result<(Arc<ClientConn>, NodeName, WrittenRequest), CallError> {
        let found = self.find(method, options, options.serde, wants_reply, progress).await?;
        let (conn, Addressee { name: receiver, level }, format) = found;
        let waits = receiver.is_empty() && options.waits_at_router();
        let extensions = WrittenExtensions::of(options, method, wants_reply, waits)?;
        let to = (&receiver, level);
        let written = write_payload(self.shared(), to, method, &extensions, payloads.get(format), wants_reply)?;
        Ok((conn, receiver, written))
    }

    /// Chooses receiver and format. Waits as [`until_found`](Self::until_found). `may_leave`: the
    /// choice may be the Router's. Cancel safe.
    pub(super) async fn find(
        &self,
        method: &str,
        options: &CallOptions,
        asked: Option<FormatId>,
        may_leave: bool,
        progress: &mut Progress,
    ) -> Result<(Arc<ClientConn>, Addressee, FormatId), CallError> {
        let choose = |conn: &ClientConn, members: &Members| {
            choose_or_leave(self, (conn, members), method, options, asked, may_leave)
        };
        let (conn, (receiver, format)) = self.until_found(method, options, progress, choose).await?;
        Ok((conn, receiver, format))
    }

    /// What `choose` finds among the members of the connection of that moment. Waits for a
    /// connection, and while it finds no receiver, as the options say. Cancel safe.
    pub(super) async fn until_found<T>(
        &self,
        method: &str,
        options: &CallOptions,
        progress: &mut Progress,
        choose: impl Fn(&ClientConn, &Members) -> Result<T, CallError>,
    ) -> Result<(Arc<ClientConn>, T), CallError> {
        let shared = self.shared();
        let (mut changes, mut state) = (shared.changes(), shared.state.subscribe());
        loop {
            progress.waits_to_connect(shared);
            let conn = shared.connection(options.wait_for_connection || options.wait_for_receiver).await?;
            let members = conn.members();
            let not_found = match choose(&conn, &members) {
                Ok(found) => return Ok((conn, found)),
                Err(error @ CallError::ReceiverNotFound { .. }) => error,
                Err(error) => return Err(error),
            };
            progress.waits_for_receiver(options.receiver.as_deref());
            if let Some(method) = shared.find_unwatched(&members, method) {
                match shared.watch(&conn, method).await {
                    Ok(()) => continue,
                    // The next connection may tell.
                    Err(_) if options.wait_for_receiver && conn.end_error().is_some() => {}
                    Err(error) => return Err(error),
                }
            } else if !options.wait_for_receiver {
                return Err(not_found);
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = state.changed() => {}
            }
        }
    }
}
