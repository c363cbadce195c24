//! A large body as its parts come, until it is whole.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use daffi_wire::{BodyError, BodyParts, Data, DataEnd, FIRST_CALL_WINDOW, Frame, NodeName};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{CallEnd, FlowError, Grants};
use crate::{
    conn::{Account, BodyPlace, BodyProgress, Charge, TakesRoom, Whose, body_line},
    error::ProtocolError,
    session::ReceiveWindow,
};

/// A body of one direction of a call, at an end that wants it whole.
pub(crate) struct Gathering {
    grants: Arc<Grants>,
    state: Mutex<GatheringState>,
    on_lost: Box<OnLost>,
}

type OnLost = dyn Fn(&Gathering) + Send + Sync;

struct GatheringState {
    window: ReceiveWindow,
    /// `None`: it is whole, or has ended.
    parts: Option<BodyParts>,
    /// What it may hold before it has its room.
    reserved: Option<Charge>,
    /// Its place in the line for room.
    place: Option<BodyPlace>,
    has_room: bool,
    /// Bytes that came in DATA.
    came: usize,
}

/// What a part made of a body.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// Nothing that its reader has to know.
    Nothing,
    /// It is whole. The place is to be kept as long as the body is held.
    Whole(Frame, BodyPlace),
    /// It breaks a rule.
    Broken(FlowError),
}

impl Gathering {
    /// Begins with the frame that has the first part, whose extensions were taken. `reserved`:
    /// memory for that and for a first window, which may come before there is credit; `on_lost`:
    /// called when it has to end, because it stalls while others wait.
    pub(crate) fn begin(
        end: CallEnd,
        (first, total): (Frame, u64),
        reserved: Charge,
        on_lost: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<Self>, FlowError> {
        let whose = Whose { conn: end.conn.id, name: end.other.clone(), are_results: end.is_caller };
        let account = Arc::clone(end.conn.data_account());
        Self::begin_for((whose, &account), end, (first, total), reserved, move |_| on_lost())
    }

    /// Begins as [`begin`](Self::begin) does; it takes a place of somebody else than who sends it,
    /// and room in that one's account. `on_lost` hears of which body it is.
    pub(crate) fn begin_for(
        (whose, account): (Whose, &Arc<Account>),
        end: CallEnd,
        (first, total): (Frame, u64),
        reserved: Charge,
        on_lost: impl Fn(&Self) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, FlowError> {
        let parts = BodyParts::begin(first, total)?;
        let state = GatheringState {
            window: ReceiveWindow::default(),
            parts: Some(parts),
            reserved: Some(reserved),
            place: None,
            has_room: false,
            came: 0,
        };
        let gathering =
            Arc::new(Self { grants: Grants::new(end, None), state: Mutex::new(state), on_lost: Box::new(on_lost) });
        let takes: Weak<Self> = Arc::downgrade(&gathering);
        let bytes = usize::try_from(total).unwrap_or(usize::MAX);
        let from = gathering.grants.end().conn.id;
        gathering.state.lock().place = Some(body_line::line_up(account, (whose, from), bytes, takes));
        Ok(gathering)
    }

    /// The name of the end that puts it together, or in whose place a Router does.
    pub(crate) fn in_place_of(&self) -> &NodeName {
        &self.grants.end().me
    }

    /// Lets it have its room as soon as there is some. Once whoever finds its parts knows it.
    pub(crate) fn line_up(&self) {
        let place = self.state.lock().place.as_ref().map(BodyPlace::id);
        if let Some(place) = place {
            // Without the lock, which that takes itself.
            body_line::let_begin(self.grants.end().conn.data_account().budget(), place);
        }
    }

    pub(crate) fn on_data(&self, data: Data) -> Result<Gathered, ProtocolError> {
        let mut state = self.state.lock();
        state.window.receive(data.cost())?;
        if state.window.asks_when() {
            state.window.note_arrival(Instant::now().into_std());
        }
        let Some(parts) = &mut state.parts else { return Ok(Gathered::Nothing) };
        let cost = data.cost();
        match add(parts, &data) {
            Ok(false) => {
                state.came += data.bytes.len();
                let is_news = state.window.work_off(cost);
                if is_news && state.has_room {
                    self.grant(&mut state);
                }
                Ok(Gathered::Nothing)
            }
            Ok(true) => {
                self.grants.close();
                let whole = state.parts.take().map(BodyParts::finish);
                let place = state.place.take();
                drop(state);
                Ok(match (whole, place) {
                    (Some(Ok(frame)), Some(place)) => Gathered::Whole(frame, place),
                    (Some(Err(error)), _) => Gathered::Broken(error.into()),
                    _ => Gathered::Nothing,
                })
            }
            Err(error) => {
                self.grants.close();
                let ended = state.end();
                drop(state);
                drop(ended);
                Ok(Gathered::Broken(error))
            }
        }
    }

    /// Lets the sender go on: there is room for all that is still to come.
    fn grant(&self, state: &mut GatheringState) {
        let wanted = state.window.wanted_window();
        let (worked_off, window) = state.window.tell(wanted, Instant::now().into_std());
        self.grants.tell(worked_off, window);
    }

    /// Bytes that `first` and a first window take.
    pub(crate) fn first_bytes(first: &Frame) -> usize {
        first.as_bytes().len() + FIRST_CALL_WINDOW as usize
    }

    /// Whether something can still come of it.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().parts.is_some()
    }

    /// The call has ended: what came is dropped. `false`: it was whole, or had ended before.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        self.grants.close();
        let ended = state.end();
        drop(state);
        // Without the lock: others may have its room.
        ended.0.is_some()
    }
}

impl GatheringState {
    fn end(&mut self) -> (Option<BodyParts>, Option<BodyPlace>, Option<Charge>) {
        (self.parts.take(), self.place.take(), self.reserved.take())
    }
}

/// Adds what came. `true`: that was all.
fn add(parts: &mut BodyParts, data: &Data) -> Result<bool, FlowError> {
    if data.packed || data.end == DataEnd::Item {
        return Err(FlowError::Malformed("items in the place of the rest of a body".into()));
    }
    parts.push(&data.bytes)?;
    Ok(data.end == DataEnd::Direction)
}

impl From<BodyError> for FlowError {
    fn from(error: BodyError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl TakesRoom for Gathering {
    fn on_room(&self) {
        let mut state = self.state.lock();
        state.has_room = true;
        state.reserved = None;
        if state.parts.is_some() && state.window.is_owed() {
            self.grant(&mut state);
        }
    }

    fn progress(&self) -> BodyProgress {
        let conn = &self.grants.end().conn;
        BodyProgress { bytes: self.state.lock().came, holds: conn.times_held_back(), read: conn.read_bytes() }
    }

    fn on_lost(&self) {
        // The last part may have come just now.
        if self.close() {
            (self.on_lost)(self);
        }
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering").field("end", self.grants.end()).finish_non_exhaustive()
    }
}
