//! DATA of one open call at one of its ends: what came and waits for the program, and what the
//! program sends as far as the other end takes it. Each direction has a window of its own.

mod gathering;
mod grants;
mod hand;
mod inflow;
mod outflow;
mod pack;
mod pump;

use std::{
    any::TypeId,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use daffi_serde::{Body, BytesWithin, FormatSet, Output, Returned, SerdeError};
use daffi_wire::{CallCredit, CallId, Cancel, CancelReason, Data, FormatId, Frame, Limits, NodeName};
use parking_lot::Mutex;
use serde::{Serialize, de::value::BytesDeserializer};

pub(crate) use self::{
    gathering::{Gathered, Gathering},
    grants::Grants,
    hand::{Came, Hand},
    inflow::{FlowError, Inflow},
    outflow::{Outflow, Stopped},
    pack::{Filled, Pack},
    pump::{PUMP_COST, PumpError, Stint, pump},
};
use crate::{
    conn::{Class, Conn, DataFrom, DataKey},
    error::ProtocolError,
};

/// One end of an open call, for what it says about the call.
#[derive(Debug)]
pub(crate) struct CallEnd {
    pub(crate) conn: Arc<Conn>,
    pub(crate) me: NodeName,
    pub(crate) other: NodeName,
    pub(crate) id: CallId,
    /// Whether this node made the call, rather than runs it.
    pub(crate) is_caller: bool,
    /// From where its DATA goes.
    pub(crate) from: DataFrom,
    pub(crate) limits: Limits,
}

impl CallEnd {
    const fn key(&self) -> DataKey {
        DataKey { from: self.from, id: self.id, from_caller: self.is_caller }
    }

    fn say(&self, frame: &Frame) {
        // A connection that has ended has no open calls.
        drop(self.conn.send(Class::Terminal, frame));
    }

    /// Says that the other end need send no more.
    fn cancel(&self, reason: CancelReason) {
        if let Ok(frame) = (Cancel { id: self.id, reason }).frame(&self.me, &self.other, &self.limits) {
            self.say(&frame);
        }
    }
}

/// Writes one item, in the format of its call, to the end of `to`.
#[inline]
pub(crate) fn write_item<T: Serialize + 'static>(
    formats: &impl FormatSet,
    format: FormatId,
    item: &T,
    to: &mut BytesMut,
) -> Result<(), SerdeError> {
    let mut out = Output::new(to);
    formats.encode_result(format, item, &mut out)?;
    if let Some(shared) = out.take_shared() {
        to.extend_from_slice(&shared);
    }
    Ok(())
}

/// Where in a payload of so many bytes, of which the first are here, the bytes lie.
struct FindBytes(Box<FindBytesFn>);

type FindBytesFn = dyn Fn(&[u8], u64) -> Option<BytesWithin> + Send + Sync;

impl fmt::Debug for FindBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FindBytes")
    }
}

/// Both directions of an open call at one of its ends.
#[derive(Debug)]
pub(crate) struct CallData {
    /// In which items are written.
    pub(crate) format: FormatId,
    pub(crate) inflow: Option<Inflow>,
    /// Set later where nobody asked for it: a large body goes in DATA in any case.
    outflow: OnceLock<Outflow>,
    /// A large body that comes, and is wanted whole.
    body: OnceLock<Arc<Gathering>>,
    /// Finds the bytes of a large result, for a caller that reads them in pieces.
    within: Option<FindBytes>,
    /// What comes is bytes in pieces, and not items in a format.
    are_pieces: AtomicBool,
    /// Who answers the call, where somebody listens to spans.
    receiver: OnceLock<Box<str>>,
    /// Why the call has failed at this end.
    fault: OnceLock<FlowError>,
    /// Until the call has ended, which may be remembered for longer.
    counted: Mutex<Option<StreamPlace>>,
}

impl CallData {
    pub(crate) fn new(
        format: FormatId,
        inflow: Option<Inflow>,
        outflow: Option<Outflow>,
        counted: Option<StreamPlace>,
    ) -> Self {
        let (body, fault) = (OnceLock::new(), OnceLock::new());
        let outflow = outflow.map_or_else(OnceLock::new, OnceLock::from);
        let are_pieces = AtomicBool::new(false);
        let (receiver, counted) = (OnceLock::new(), Mutex::new(counted));
        Self { format, inflow, outflow, body, within: None, are_pieces, receiver, fault, counted }
    }

    /// The caller reads a large result of bytes in pieces, if `within` finds where they lie.
    pub(crate) fn in_pieces(
        mut self,
        within: impl Fn(&[u8], u64) -> Option<BytesWithin> + Send + Sync + 'static,
    ) -> Self {
        self.within = Some(FindBytes(Box::new(within)));
        self
    }

    /// Who gives the results of the call, which a Router may have chosen, as far as that was noted.
    pub(crate) fn receiver(&self) -> Option<&str> {
        self.receiver.get().map(|name| &**name)
    }

    /// Notes who gives the results.
    pub(crate) fn note_receiver(&self, name: &str) {
        self.receiver.get_or_init(|| name.into());
    }

    /// The pieces of a large result come. `false`: it is wanted whole.
    pub(crate) fn begin_result(&self, first: &Frame, total: u64) -> Result<bool, FlowError> {
        // Text is no bytes, and none that may be cut anywhere.
        if first.header().is_text() {
            return Ok(false);
        }
        let payload = first.payload_bytes();
        let within = self.within.as_ref().and_then(|within| (within.0)(&payload, total));
        within.map_or(Ok(false), |within| self.begin_pieces(&payload, total, &within))
    }

    /// The bytes in a body of `total`, the `first` of which are here, are read in pieces. `false`:
    /// nobody reads anything.
    pub(crate) fn begin_pieces(&self, first: &Bytes, total: u64, within: &BytesWithin) -> Result<bool, FlowError> {
        let Some(inflow) = &self.inflow else { return Ok(false) };
        let Some(missing) = total.checked_sub(first.len() as u64) else { return Ok(false) };
        // Relaxed: who reads them finds them behind a lock.
        let before = self.are_pieces.swap(true, Relaxed);
        let end = first.len().min(usize::try_from(within.before as u64 + within.len).unwrap_or(usize::MAX));
        let begun = inflow.begin_pieces(&first.slice(within.before.min(end)..end), within.len, missing);
        if begun.is_err() {
            // What came before is read as what it is.
            self.are_pieces.store(before, Relaxed);
        }
        begun.map(|()| true)
    }

    /// Whether what comes is bytes in pieces.
    pub(crate) fn are_pieces(&self) -> bool {
        self.are_pieces.load(Relaxed)
    }

    /// Reads what came: an item in the format of the call, or a piece of bytes.
    #[inline]
    pub(crate) fn read_item<T: Returned>(&self, formats: &impl FormatSet, came: Came<'_>) -> Result<T, SerdeError> {
        let bytes = match came {
            Came::Packed(item) if self.format == FormatId::OPAQUE && TypeId::of::<T>() == TypeId::of::<Bytes>() => {
                item.share()
            }
            Came::Packed(item) => return formats.decode_item(self.format, item.bytes()),
            Came::Whole(bytes) if !self.are_pieces() => {
                return formats.decode_result(self.format, &Body::new(bytes));
            }
            Came::Whole(bytes) => bytes,
        };
        castaway::cast!(bytes, T).or_else(|bytes| {
            let piece = BytesDeserializer::<serde::de::value::Error>::new(&bytes);
            T::deserialize(piece).map_err(|error| SerdeError::decode(self.format, error))
        })
    }

    /// What goes from here, if anything does.
    pub(crate) fn outflow(&self) -> Option<&Outflow> {
        self.outflow.get()
    }

    /// What goes from here; `new` makes it where nobody asked for any.
    pub(crate) fn outflow_or(&self, new: impl FnOnce() -> Outflow) -> &Outflow {
        self.outflow.get_or_init(new)
    }

    /// From here on DATA is the rest of this body. `false`: it has one already.
    pub(crate) fn gather(&self, body: &Arc<Gathering>) -> bool {
        self.body.set(Arc::clone(body)).is_ok()
    }

    /// The call has failed at this end.
    pub(crate) fn fail(&self, fault: FlowError) {
        let _first = self.fault.set(fault);
        self.end();
    }

    /// Why it has.
    pub(crate) fn fault(&self) -> Option<&FlowError> {
        self.fault.get()
    }

    /// Handles DATA of the other end. What nobody reads is dropped.
    ///
    /// # Errors
    /// More came than was granted, which ends the connection.
    pub(crate) fn on_data(&self, data: Data) -> Result<Gathered, ProtocolError> {
        if let Some(body) = self.body.get() {
            return body.on_data(data);
        }
        self.inflow.as_ref().map_or(Ok(()), |inflow| inflow.on_data(data)).map(|()| Gathered::Nothing)
    }

    /// Handles a CREDIT of the other end.
    pub(crate) fn on_credit(&self, credit: CallCredit) {
        if let Some(outflow) = self.outflow() {
            outflow.on_credit(credit);
        }
    }

    /// The results of the call follow.
    pub(crate) fn begin(&self) {
        if let Some(inflow) = &self.inflow {
            inflow.begin();
        }
    }

    /// The other end wants no more.
    pub(crate) fn stop_sending(&self) {
        if let Some(outflow) = self.outflow() {
            outflow.stop();
        }
    }

    /// The call has ended: nothing more is sent, and what waits is dropped.
    pub(crate) fn end(&self) {
        self.stop_sending();
        self.close();
    }

    /// The call has its terminal, before which all was sent: nothing more is read, and others have
    /// the room that it took.
    pub(crate) fn close(&self) {
        if let Some(inflow) = &self.inflow {
            inflow.close();
        }
        if let Some(body) = self.body.get() {
            let _was_open = body.close();
        }
        self.counted.lock().take();
    }
}

/// One of the open calls with DATA of one caller. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct StreamPlace(Arc<AtomicUsize>);

impl StreamPlace {
    /// Counts one more, unless there are `most`.
    pub(crate) fn one_of(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        // Relaxed: nothing but the number itself depends on it.
        let more = open.fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1));
        more.is_ok().then(|| Self(Arc::clone(open)))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
