//! The reading half, and how a link ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use daffi_transport::{LinkError, LinkReader};
use daffi_wire::{DecodeError, Frame, Limits};
use parking_lot::Mutex;
use tokio::{
    io::AsyncRead,
    time::{Sleep, sleep},
};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    NAME,
    keepalive::PingPulse,
    messages::{Event, Messages},
    sink::Sink,
};

/// How long an end of a connection waits until the other took its close frame and closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes read at once of what is thrown away.
const DISCARD_BYTES: usize = 64 * 1024;

pub(crate) struct Reader {
    io: Box<dyn AsyncRead + Unpin + Send>,
    limits: Limits,
    messages: Messages,
    sink: Arc<Mutex<Sink>>,
    pulse: Option<PingPulse>,
    ending: Option<Ending>,
}

/// How this link ends: nothing further is read that counts.
struct Ending {
    result: Result<(), LinkError>,
    /// The peer has not closed: what it still sends is read, so that our close frame is not
    /// destroyed by a reset.
    discard: bool,
    limit: Pin<Box<Sleep>>,
}

impl Reader {
    pub(crate) fn new(
        io: Box<dyn AsyncRead + Unpin + Send>,
        limits: Limits,
        messages: Messages,
        sink: Arc<Mutex<Sink>>,
        pulse: Option<PingPulse>,
    ) -> Self {
        Self { io, limits, messages, sink, pulse, ending: None }
    }

    /// The next frame of what was read. What comes before it is handled: pings, and the end.
    fn digest(&mut self) -> Option<Frame> {
        while self.ending.is_none() {
            match self.messages.next() {
                Ok(Some(Event::Message(message))) => match Frame::from_message(message, &self.limits) {
                    Ok(frame) => return Some(frame),
                    Err(error) => {
                        let code = match error {
                            DecodeError::FrameTooLarge { .. } => CloseCode::Size,
                            _ => CloseCode::Invalid,
                        };
                        self.fail(code, &error.to_string(), error.into());
                    }
                },
                Ok(Some(Event::Ping(payload))) => self.sink.lock().answer_ping(&payload),
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(code, reason))) => self.on_close(code, reason),
                Ok(None) => break,
                Err(violation) => {
                    let error = LinkError::Transport { transport: NAME, rule: violation.rule.clone() };
                    self.fail(violation.code, &violation.rule, error);
                }
            }
        }
        None
    }

    /// Tells the peer that it broke a rule, and ends the link.
    fn fail(&mut self, code: CloseCode, reason: &str, error: LinkError) {
        self.sink.lock().close(code, reason, error.clone());
        self.end(Err(error), true);
    }

    /// Answers the close frame of the peer, and ends the link.
    fn on_close(&mut self, code: Option<CloseCode>, reason: String) {
        let answer = code.unwrap_or(CloseCode::Normal);
        let in_order = matches!(answer, CloseCode::Normal | CloseCode::Away);
        let error = if in_order {
            LinkError::Ended
        } else {
            LinkError::Closed { transport: NAME, code: answer.into(), reason }
        };
        self.sink.lock().close(answer, "", error.clone());
        self.end(if in_order { Ok(()) } else { Err(error) }, false);
    }

    fn end(&mut self, result: Result<(), LinkError>, discard: bool) {
        self.messages.clear();
        self.ending = Some(Ending { result, discard, limit: Box::pin(sleep(CLOSE_TIMEOUT)) });
    }

    /// The stream ended without a close frame.
    fn cut(&self) -> Result<usize, LinkError> {
        if self.messages.is_between() {
            return Ok(0);
        }
        let rule = format!("the stream ended inside a message, after {} bytes of it", self.messages.buffered_bytes());
        Err(LinkError::Transport { transport: NAME, rule })
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, LinkError>> {
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(0)) };
        if ending.limit.as_mut().poll(cx).is_pending() && ready!(self.sink.lock().poll_end(cx)).is_ok() {
            while ending.discard {
                match ready!(self.messages.poll_read(Pin::new(&mut self.io), cx, DISCARD_BYTES)) {
                    Ok(0) | Err(_) => ending.discard = false,
                    Ok(_) => self.messages.clear(),
                }
            }
        }
        Poll::Ready(ending.result.clone().map(|()| 0))
    }
}

impl LinkReader for Reader {
    fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<usize, LinkError>> {
        if self.ending.is_some() {
            return self.poll_end(cx);
        }
        match self.messages.poll_read(Pin::new(&mut self.io), cx, limit) {
            Poll::Ready(Ok(0)) => Poll::Ready(self.cut()),
            Poll::Ready(Ok(read)) => {
                if let Some(pulse) = &mut self.pulse {
                    pulse.on_heard();
                }
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => {
                let mut sink = self.sink.lock();
                if let Some(pulse) = &mut self.pulse
                    && sink.close_error().is_none()
                    && let Poll::Ready(silence) = pulse.poll_silence(cx, &mut sink)
                {
                    let rule = format!("no answer to a ping, silent for {:.1?}", silence?);
                    return Poll::Ready(Err(LinkError::Transport { transport: NAME, rule }));
                }
                sink.see_to_controls(cx)?;
                Poll::Pending
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, LinkError> {
        Ok(self.digest())
    }

    fn buffered_bytes(&self) -> usize {
        self.messages.buffered_bytes()
    }

    fn held_bytes(&self) -> usize {
        self.messages.held_bytes()
    }

    fn growth(&self) -> usize {
        self.messages.growth()
    }

    fn compact(&mut self) {
        self.messages.compact();
    }
}
