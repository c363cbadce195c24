//! Arguments that are sent one by one.

use std::{error::Error, fmt, marker::PhantomData, pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use daffi_serde::{FormatSet, Returned, SerdeError};
use futures::Stream;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    engine::{read, to_received},
    opening::StreamingCall,
    span::CallSpan,
};
use crate::{
    client::Client,
    data::{CallData, PumpError, Stopped, pump, write_item},
    error::{CallError, WaitedFor},
};

/// Why a call whose arguments come from a source that can fail gave no result. `C`: what the call
/// fails with. `Display` is the whole sentence, and `source` gives what is behind the cause.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SendError<E, C = CallError> {
    /// The source failed; the call was given up, or the stream ended.
    Source(E),
    /// The call failed.
    Call(C),
}

impl<E: fmt::Display, C: fmt::Display> fmt::Display for SendError<E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the source of the items failed: {error}"),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl<E: Error, C: Error> Error for SendError<E, C> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::Call(error) => error.source(),
        }
    }
}

impl<E, C> From<C> for SendError<E, C> {
    fn from(error: C) -> Self {
        Self::Call(error)
    }
}

/// Sends all items of a call and waits for its answer. The timeout begins when all were sent.
/// Dropped, it gives the call up.
pub(super) async fn send_all<R, T, E, F, S>(
    client: &Client<F>,
    method: &str,
    call: StreamingCall,
    items: S,
    (timeout, span): (Option<Duration>, Option<&CallSpan>),
) -> Result<R, SendError<E>>
where
    R: Returned,
    T: Serialize + 'static,
    F: FormatSet,
    S: Stream<Item = Result<T, E>>,
{
    let StreamingCall { mut pending, data, .. } = call;
    let (level, receiver) = (pending.level(), pending.receiver_text());
    let sending = async {
        send_items(client.formats(), method, &data, items).await?;
        let Some(after) = timeout else { return std::future::pending().await };
        sleep(after).await;
        let (receiver, method) = (receiver, method.to_owned());
        Err(CallError::Timeout { receiver, method, after, waited_for: WaitedFor::Answer, last_failure: None }.into())
    };
    let ended = client.unless_given_up(method, async {
        tokio::select! {
            // The callback may have an answer before it has all items.
            biased;
            answer = &mut pending => Ok(to_received(answer, level, method, None).map_err(SendError::from)),
            failed = sending => Ok(failed),
        }
    });
    let received = ended.await??;
    if let Some(span) = span {
        span.note_peer(received.frame.transmitter());
    }
    Ok(read(client.formats(), received, method)?)
}

/// Sends items as far as the receiver takes them, and then says that they were all.
async fn send_items<T: Serialize + 'static, E>(
    formats: &impl FormatSet,
    method: &str,
    data: &CallData,
    items: impl Stream<Item = Result<T, E>>,
) -> Result<(), SendError<E>> {
    let Some(outflow) = data.outflow() else { return Ok(()) };
    let mut items = pin!(items);
    let sent = pump(outflow, |cx, pack| {
        pack.fill(|out| {
            items.as_mut().poll_next(cx).map(|next| {
                next.map(|item| {
                    let item = item.map_err(SendError::Source)?;
                    write_item(formats, data.format, &item, out).map_err(|error| encode_error(method, error).into())
                })
            })
        })
    });
    match sent.await {
        Err(PumpError::Source(failed)) => return Err(failed),
        // What the receiver wants no more of is not missing.
        Ok(()) | Err(PumpError::Stopped) => drop(outflow.finish()),
    }
    Ok(())
}

fn encode_error(method: &str, source: SerdeError) -> CallError {
    CallError::Encode { method: method.to_owned(), source }
}

/// Sends the arguments of an open call one by one: what [`Rpc::duplex`](super::Rpc::duplex) gives
/// beside the results.
///
/// Dropping it says that these were all, as [`finish`](Self::finish) does. To give the call up,
/// drop its results.
pub struct ItemSender<T, F> {
    client: Client<F>,
    method: String,
    data: Arc<CallData>,
    item: BytesMut,
    items: PhantomData<fn(T)>,
}

impl<T: Serialize + 'static, F: FormatSet> ItemSender<T, F> {
    pub(super) fn new(client: Client<F>, method: &str, data: Arc<CallData>) -> Self {
        Self { client, method: method.to_owned(), data, item: BytesMut::new(), items: PhantomData }
    }

    /// Sends one item. Waits as long as the receiver takes none. Not cancel safe: dropped, it may
    /// have sent a part of a large item, and the call should be given up.
    ///
    /// # Errors
    /// [`CallError::Encode`] for what the format cannot hold, of which nothing is sent;
    /// [`CallError::Items`] when the receiver wants no more, or the call has ended: its results say
    /// how; [`CallError::Cancelled`] when it is made for a callback and nobody waits for that any
    /// more.
    pub async fn send(&mut self, item: T) -> Result<(), CallError> {
        self.item.clear();
        let written = write_item(self.client.formats(), self.data.format, &item, &mut self.item);
        written.map_err(|error| encode_error(&self.method, error))?;
        let Some(outflow) = self.data.outflow() else { return Ok(()) };
        let sending = async {
            outflow.send_item(&self.item).await.map_err(|Stopped| CallError::Items {
                method: self.method.clone(),
                reason: "the receiver takes no more of them".into(),
            })
        };
        self.client.unless_given_up(&self.method, sending).await
    }

    /// Says that these were all.
    pub fn finish(self) {
        drop(self);
    }
}

impl<T, F> Drop for ItemSender<T, F> {
    fn drop(&mut self) {
        if let Some(outflow) = self.data.outflow() {
            // After the end of the call nobody wants to know.
            drop(outflow.finish());
        }
    }
}

impl<T, F> fmt::Debug for ItemSender<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemSender").field("method", &self.method).finish_non_exhaustive()
    }
}
