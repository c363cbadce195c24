//! Arguments that come one by one.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use daffi_serde::{FormatSet, Returned, SerdeError};
use daffi_transport::BoxFuture;
use futures::Stream;

use super::context::Context;
use crate::{
    conn::{Account, NoRoom, Reading},
    data::{CallData, Came, Hand},
    error::CallError,
};

/// Arguments that come one by one: a stream that a callback takes.
///
/// It ends when the caller has sent all. An error is the last thing that it gives: the caller gave
/// the call up or left, an item is not a `T`, or is larger than a frame may be. Dropping it tells
/// the caller to send no more.
///
/// Of bytes it also reads one large argument of a plain call, in pieces as they come
/// ([`CallbackOptions::pieces`](crate::CallbackOptions::pieces)): in OPAQUE, MSGPACK and PICKLE,
/// and there with no limit. In other formats the call is put together first, up to
/// [`max_body`](crate::NodeConfig::max_body).
///
/// A caller that knows nothing of streams, such as one of daffi 3.0.1, gives a list in its place.
pub struct Incoming<T> {
    inner: ItemSupply<T>,
    method: String,
}

enum ItemSupply<T> {
    /// They came as a list.
    List(std::vec::IntoIter<T>),
    Data(Box<ItemReader<T>>),
    Ended,
}

struct ItemReader<T> {
    data: Arc<CallData>,
    hand: Hand,
    read: Box<ReadFn<T>>,
    /// How much reading so many bytes may hold, by the bound of the format.
    bound: Box<dyn Fn(usize) -> usize + Send + Sync>,
    account: Arc<Account>,
    /// Items that came.
    count: u64,
    /// What the item before may hold.
    memory: Option<Reading>,
    /// Resolves when nobody waits for the call any more.
    given_up: BoxFuture<'static, ()>,
}

type ReadFn<T> = dyn Fn(Came<'_>) -> Result<T, SerdeError> + Send + Sync;

impl<T> ItemReader<T> {
    /// The next item, read once what it may hold is taken from the budget.
    fn poll_item(&mut self, cx: &TaskContext<'_>, method: &str) -> Poll<Option<Result<T, CallError>>> {
        let Some(inflow) = &self.data.inflow else { return Poll::Ready(None) };
        let came = match ready!(inflow.poll_next(&mut self.hand, cx)) {
            Some(Ok(came)) => came,
            Some(Err(error)) => {
                let (method, reason) = (method.to_owned(), error.to_string());
                return Poll::Ready(Some(Err(CallError::Items { method, reason })));
            }
            None => return Poll::Ready(None),
        };
        self.count += 1;
        self.memory = None;
        // A piece is what its frame holds.
        if !self.data.are_pieces() {
            let (size, bound) = (came.len(), &self.bound);
            match self.account.read_arguments(size, || bound(size), false, Instant::now) {
                Ok(memory) => self.memory = Some(memory),
                Err(no_room) => return Poll::Ready(Some(Err(unread(method, size, &no_room)))),
            }
        }
        let read = (self.read)(came);
        let number = self.count;
        Poll::Ready(Some(read.map_err(|source| CallError::Item { method: method.to_owned(), number, source })))
    }
}

fn unread(method: &str, size: usize, NoRoom { may_hold, share }: &NoRoom) -> CallError {
    let reason =
        format!("reading one of {size} bytes may take {may_hold} of memory; as things stand {share} may be held");
    CallError::Items { method: method.to_owned(), reason }
}

impl<T> Drop for ItemReader<T> {
    fn drop(&mut self) {
        if let Some(inflow) = &self.data.inflow {
            inflow.stop_reading();
        }
    }
}

impl<T> Incoming<T> {
    /// Arguments that are there already, to call a callback as the function that it is.
    pub fn from_items(items: impl IntoIterator<Item = T>) -> Self {
        Self { inner: ItemSupply::List(items.into_iter().collect::<Vec<_>>().into_iter()), method: String::new() }
    }
}

impl<T: Returned> Incoming<T> {
    /// The arguments that follow the call of this context, in the format of the call. `None`: none
    /// follow.
    pub(super) fn of_call<F: FormatSet>(context: &Context, method: &str, formats: F) -> Option<Self> {
        let data = context.call().data().filter(|data| data.inflow.is_some())?;
        let (own, format, bounds) = (context.clone(), data.format, formats.clone());
        let items = Arc::clone(data);
        let reader = ItemReader {
            data: Arc::clone(data),
            hand: Hand::default(),
            read: Box::new(move |came| items.read_item(&formats, came)),
            bound: Box::new(move |bytes| match T::keeps_bytes() {
                true => bounds.decode_bound_of_bytes(format, bytes),
                false => bounds.decode_bound(format, bytes),
            }),
            account: Arc::clone(context.conn().inbound.account()),
            count: 0,
            memory: None,
            given_up: Box::pin(async move { own.cancelled().await }),
        };
        Some(Self { inner: ItemSupply::Data(Box::new(reader)), method: method.to_owned() })
    }
}

impl<T> Unpin for Incoming<T> {}

impl<T> Stream for Incoming<T> {
    type Item = Result<T, CallError>;

    /// Cancel safe: an item that was not given is still there.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let reader = match &mut this.inner {
            ItemSupply::List(items) => return Poll::Ready(items.next().map(Ok)),
            ItemSupply::Ended => return Poll::Ready(None),
            ItemSupply::Data(reader) => reader,
        };
        let item = match reader.poll_item(cx, &this.method) {
            Poll::Pending if reader.given_up.as_mut().poll(cx).is_pending() => return Poll::Pending,
            Poll::Pending => Err(CallError::Cancelled { method: this.method.clone() }),
            Poll::Ready(Some(item)) => item,
            Poll::Ready(None) => {
                this.inner = ItemSupply::Ended;
                return Poll::Ready(None);
            }
        };
        if item.is_err() {
            this.inner = ItemSupply::Ended;
        }
        Poll::Ready(Some(item))
    }
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("method", &self.method).finish_non_exhaustive()
    }
}
