//! What comes with a call beside its names and arguments.

use std::{sync::Arc, time::Duration};

use daffi_serde::RemoteError;
use daffi_wire::{Extensions, FIRST_CALL_WINDOW, Frame, Level, StreamFlags};
use tokio::time::{Instant, sleep_until};

use crate::{refusal::Refusal, trace::TraceContext};

/// What came with one call: when its caller stops waiting, and its headers.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadExtensions {
    deadline: Option<Instant>,
    /// The extensions of a call with headers, a trace or an identity: most calls that say something
    /// say no more than their deadline.
    said: Option<Arc<Extensions>>,
}

/// What a caller asks to come in DATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) flags: StreamFlags,
    /// What it takes of the results before it grants more.
    pub(super) window: u32,
    /// All bytes of its arguments, of which the first are here.
    pub(super) body: Option<u64>,
}

impl Streams {
    pub(super) const fn is_none(self) -> bool {
        !self.flags.items_follow && !self.flags.takes_results && self.body.is_none()
    }
}

impl ReadExtensions {
    /// Takes it from a REQUEST that came on a link of this level. The error is for its caller.
    #[inline]
    pub(super) fn take(frame: &mut Frame, link: Level) -> Result<(Self, Streams), RemoteError> {
        if !frame.header().has_extensions() || !link.at_least(Level::FOUR) {
            return Ok((Self::default(), Streams::default()));
        }
        Self::take_said(frame)
    }

    fn take_said(frame: &mut Frame) -> Result<(Self, Streams), RemoteError> {
        let taken = frame.take_extensions();
        let refused =
            |why: String| Refusal::ExtensionUnsupported.error(format!("{} did not run: {why}", frame.method()));
        let said = taken.map_err(|error| refused(error.to_string()))?;
        let window = said.window().unwrap_or(FIRST_CALL_WINDOW);
        let streams = Streams { flags: said.stream(), window, body: said.body() };
        if streams.body.is_some() && streams.flags.items_follow {
            return Err(refused("items follow its arguments, which come in several frames".into()));
        }
        if !streams.is_none() && !frame.header().wants_reply() {
            return Err(refused("nobody waits for its answer, so nothing can come in DATA".into()));
        }
        if streams.window < FIRST_CALL_WINDOW {
            return Err(refused(format!(
                "its window is {} bytes, and {FIRST_CALL_WINDOW} is the least",
                streams.window
            )));
        }
        // The clocks of two hosts need not agree: what is left counts from the arrival.
        let deadline = said.time_left_ms().map(|ms| Instant::now() + Duration::from_millis(ms.into()));
        let keeps = said.has_headers() || said.trace().is_some() || said.has_identity();
        // A callback may keep them for long, and must not keep a read buffer with them.
        Ok((Self { deadline, said: keeps.then(|| Arc::new(said.to_unshared())) }, streams))
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.said.iter().flat_map(|said| said.headers())
    }

    /// Who calls, as a Router says, or who claims to be one.
    pub(super) fn identity(&self) -> Option<&str> {
        self.said.as_ref()?.identity()
    }

    /// The trace that the call belongs to.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        let said = self.said.as_ref()?;
        Some(TraceContext::new(said.trace()?, said.trace_state().unwrap_or_default()))
    }

    pub(super) fn is_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Waits until the deadline; without one, for ever. Cancel safe.
    pub(super) async fn await_deadline(&self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use daffi_wire::{CallId, FormatId, FrameWriter, Header, Kind, Limits};

    use super::*;

    #[test]
    fn headers_keep_no_read_buffer_alive() {
        let (limits, mut bytes) = (Limits::default(), BytesMut::new());
        let mut writer = FrameWriter::begin(&mut bytes, "caller", "svc", "f").unwrap();
        writer.extensions(&Extensions::builder().header("tenant", "blue").unwrap().build().unwrap());
        let header = Header::new(Kind::Request, CallId(2), FormatId::JSON, true, true);
        writer.finish(header, 0, &limits).unwrap();
        let end = bytes.len();
        bytes.resize(1 << 20, 0);
        let buffer: Bytes = bytes.freeze();
        let mut frame = Frame::from_message(buffer.slice(..end), &limits).unwrap();
        let (read, streams) = ReadExtensions::take(&mut frame, Level::FOUR).unwrap();
        assert!(streams.is_none());
        drop(frame);
        assert!(buffer.is_unique());
        assert_eq!(read.headers().collect::<Vec<_>>(), [("tenant", "blue")]);
    }
}
