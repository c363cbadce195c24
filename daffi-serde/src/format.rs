//! What a format is: written generically as a [`Codec`], used behind a pointer as a [`Format`].

use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use daffi_wire::FormatId;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Args, ArgsSink, BytesLike, BytesWithin, RemoteError, ResultSink, SerdeError, ValueLimits,
    erased::{ArgsRef, ErasedArgs, ErasedArgsSink, ErasedResultSink, SinkRef},
};

/// A payload as it arrived.
#[derive(Clone, Debug)]
pub struct Body {
    /// The bytes, shared with the buffer they were read into.
    pub bytes: Bytes,
    /// Whether the frame marks them as text; OPAQUE tells text from bytes by it.
    pub text: bool,
}

impl Body {
    /// A payload of bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), text: false }
    }

    /// A payload of text.
    #[must_use]
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self { bytes: text.into(), text: true }
    }
}

/// Where a payload is written: the end of a frame's buffer, or shared bytes that are sent behind it
/// without a copy.
#[derive(Debug)]
pub struct Output<'a> {
    buffer: &'a mut BytesMut,
    shared: Option<Bytes>,
    text: bool,
}

impl<'a> Output<'a> {
    /// Writes to the end of `buffer`.
    pub const fn new(buffer: &'a mut BytesMut) -> Self {
        Self { buffer, shared: None, text: false }
    }

    /// The buffer, to which is only appended.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        self.buffer
    }

    /// Gives what appends to the buffer, for libraries that write to [`io::Write`]. Writing to it
    /// never fails.
    pub const fn writer(&mut self) -> impl io::Write {
        Append(self.buffer)
    }

    /// Sends `bytes` as the whole payload, without a copy.
    pub fn share(&mut self, bytes: Bytes) {
        self.shared = Some(bytes);
    }

    /// Marks the payload as text.
    pub const fn mark_text(&mut self) {
        self.text = true;
    }

    /// Whether the payload was marked as text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        self.text
    }

    /// The shared payload, if the writer chose that.
    pub const fn take_shared(&mut self) -> Option<Bytes> {
        self.shared.take()
    }
}

/// Formats write a few bytes at a time, for which `BufMut::writer` takes too many steps.
struct Append<'a>(&'a mut BytesMut);

impl io::Write for Append<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A payload format, written with generic methods so that it costs no indirection per value.
///
/// Implement this for a format of your own; every `Codec` is a [`Format`], which is what a node
/// takes at run time.
pub trait Codec: Send + Sync + fmt::Debug + 'static {
    /// Its number on the wire.
    fn id(&self) -> FormatId;

    /// Writes the arguments of a call.
    ///
    /// # Errors
    /// [`SerdeError`] for what the format cannot hold; the output may then hold half a payload.
    fn encode_args<A: Args>(&self, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError>;

    /// Writes the result of a call.
    ///
    /// # Errors
    /// [`SerdeError`] for what the format cannot hold; the output may then hold half a payload.
    fn encode_result<T: Serialize + ?Sized>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError>;

    /// Writes what a callback returned. It does what [`encode_result`](Self::encode_result) does,
    /// but a `Vec<u8>` travels as bytes in every format that has them, and OPAQUE sends large
    /// [`Bytes`] without a copy.
    ///
    /// # Errors
    /// The errors of [`encode_result`](Self::encode_result).
    fn encode_return<T: Serialize + 'static>(&self, value: &T, out: &mut Output<'_>) -> Result<(), SerdeError> {
        self.encode_result(&BytesLike(value), out)
    }

    /// Reads the arguments of a call into `sink`.
    ///
    /// # Errors
    /// [`SerdeError`] for bytes that are not this format's, break a limit, or are not of the types
    /// asked for.
    fn decode_args<S: ArgsSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError>;

    /// Reads the result of a call into `sink`.
    ///
    /// # Errors
    /// As [`decode_args`](Self::decode_args).
    fn decode_result<S: ResultSink>(&self, body: &Body, sink: &mut S) -> Result<(), SerdeError>;

    /// Reads one of many small results that came together, from where it lies. It does what
    /// [`decode_result`](Self::decode_result) does of a payload of bytes; formats that read from a
    /// slice save its copy here.
    ///
    /// # Errors
    /// As [`decode_args`](Self::decode_args).
    fn decode_item<S: ResultSink>(&self, item: &[u8], sink: &mut S) -> Result<(), SerdeError> {
        self.decode_result(&Body::new(Bytes::copy_from_slice(item)), sink)
    }

    /// The most bytes that reading a payload of `len` bytes holds at one time, beside the payload
    /// itself and what types of the user take beyond their content. A node takes them from its
    /// budget first.
    fn decode_bound(&self, len: usize) -> usize {
        ValueLimits::default().decode_bound(len)
    }

    /// What [`decode_bound`](Self::decode_bound) says, where bytes are read by types that
    /// [keep](crate::Param::keeps_bytes) as many as there are. A format that has bytes and nothing
    /// else overrides it.
    fn decode_bound_of_bytes(&self, len: usize) -> usize {
        self.decode_bound(len)
    }

    /// Reads the failure of a call. Formats in which a pickled traceback can be skip it here.
    ///
    /// # Errors
    /// As [`decode_args`](Self::decode_args).
    fn decode_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        let mut slot = None::<RemoteError>;
        self.decode_result(body, &mut slot)?;
        slot.ok_or_else(|| SerdeError::decode(self.id(), "the payload holds no error"))
    }

    /// Where the bytes lie in arguments of `total` bytes of which the `first` came, if the last of
    /// them is bytes and nothing but their end follows. `None`: they are to be read whole.
    fn bytes_in_args(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        let _unused = (first, total);
        None
    }

    /// Where the bytes lie in a result of `total` bytes of which the `first` came, if it is bytes.
    fn bytes_in_result(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        let _unused = (first, total);
        None
    }
}

/// A payload format behind a pointer: `Arc<dyn Format>`. Implemented for every [`Codec`].
///
/// ```
/// use std::sync::Arc;
/// use bytes::BytesMut;
/// use daffi_serde::{Format, Opaque, Output};
///
/// let format: Arc<dyn Format> = Arc::new(Opaque::default());
/// let mut buffer = BytesMut::new();
/// format.encode_result(&"hello", &mut Output::new(&mut buffer))?;
/// assert_eq!(buffer, "hello");
/// # Ok::<(), daffi_serde::SerdeError>(())
/// ```
pub trait Format: Send + Sync + fmt::Debug + 'static {
    /// Its number on the wire.
    fn id(&self) -> FormatId;

    /// Does what [`Codec::encode_args`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`Codec::encode_args`].
    fn encode_args(&self, args: &dyn ErasedArgs, out: &mut Output<'_>) -> Result<(), SerdeError>;

    /// Does what [`Codec::encode_result`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`Codec::encode_result`].
    fn encode_result(&self, value: &dyn erased_serde::Serialize, out: &mut Output<'_>) -> Result<(), SerdeError>;

    /// Does what [`Codec::decode_args`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`Codec::decode_args`].
    fn decode_args(&self, body: &Body, sink: &mut dyn ErasedArgsSink) -> Result<(), SerdeError>;

    /// Does what [`Codec::decode_result`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`Codec::decode_result`].
    fn decode_result(&self, body: &Body, sink: &mut dyn ErasedResultSink) -> Result<(), SerdeError>;

    /// Does what [`Codec::decode_item`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`Codec::decode_item`].
    fn decode_item(&self, item: &[u8], sink: &mut dyn ErasedResultSink) -> Result<(), SerdeError>;

    /// Does what [`Codec::decode_bound`] does, behind a pointer.
    fn decode_bound(&self, len: usize) -> usize;

    /// Does what [`Codec::decode_bound_of_bytes`] does, behind a pointer.
    fn decode_bound_of_bytes(&self, len: usize) -> usize;

    /// Does what [`Codec::decode_error`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`Codec::decode_error`].
    fn decode_error(&self, body: &Body) -> Result<RemoteError, SerdeError>;

    /// Does what [`Codec::bytes_in_args`] does, behind a pointer.
    fn bytes_in_args(&self, first: &[u8], total: u64) -> Option<BytesWithin>;

    /// Does what [`Codec::bytes_in_result`] does, behind a pointer.
    fn bytes_in_result(&self, first: &[u8], total: u64) -> Option<BytesWithin>;
}

/// The formats of a node, told apart by [`FormatId`]. The core is generic over this.
pub trait FormatSet: Clone + Send + Sync + 'static {
    /// Whether the node has this format.
    fn contains(&self, id: FormatId) -> bool;

    /// Writes the arguments of a call in format `id`.
    ///
    /// # Errors
    /// [`SerdeError::UnknownFormat`], and as [`Codec::encode_args`].
    fn encode_args<A: Args>(&self, id: FormatId, args: &A, out: &mut Output<'_>) -> Result<(), SerdeError>;

    /// Writes the result of a call in format `id`; see [`Codec::encode_return`].
    ///
    /// # Errors
    /// [`SerdeError::UnknownFormat`], and as [`Codec::encode_result`].
    fn encode_result<T: Serialize + 'static>(
        &self,
        id: FormatId,
        value: &T,
        out: &mut Output<'_>,
    ) -> Result<(), SerdeError>;

    /// Reads the arguments of a call in format `id`.
    ///
    /// # Errors
    /// [`SerdeError::UnknownFormat`], and as [`Codec::decode_args`].
    fn decode_args<S: ArgsSink>(&self, id: FormatId, body: &Body, sink: &mut S) -> Result<(), SerdeError>;

    /// Reads the result of a call in format `id`.
    ///
    /// # Errors
    /// [`SerdeError::UnknownFormat`], and as [`Codec::decode_result`].
    fn decode_result<T: DeserializeOwned + 'static>(&self, id: FormatId, body: &Body) -> Result<T, SerdeError>;

    /// Reads one of many small results that came together; see [`Codec::decode_item`].
    ///
    /// # Errors
    /// [`SerdeError::UnknownFormat`], and as [`Codec::decode_item`].
    fn decode_item<T: DeserializeOwned + 'static>(&self, id: FormatId, item: &[u8]) -> Result<T, SerdeError> {
        self.decode_result(id, &Body::new(Bytes::copy_from_slice(item)))
    }

    /// How many bytes reading a payload of `len` bytes in format `id` may hold; see
    /// [`Codec::decode_bound`].
    fn decode_bound(&self, id: FormatId, len: usize) -> usize {
        let _one_bound_for_all = id;
        ValueLimits::default().decode_bound(len)
    }

    /// How many bytes reading such a payload may hold where bytes are read by types that keep as
    /// many as there are; see [`Codec::decode_bound_of_bytes`].
    fn decode_bound_of_bytes(&self, id: FormatId, len: usize) -> usize {
        self.decode_bound(id, len)
    }

    /// Reads the failure of a call in format `id`.
    ///
    /// # Errors
    /// [`SerdeError::UnknownFormat`], and as [`Codec::decode_error`].
    fn decode_error(&self, id: FormatId, body: &Body) -> Result<RemoteError, SerdeError>;

    /// Where the bytes lie in arguments in format `id` of which the first came; see
    /// [`Codec::bytes_in_args`].
    fn bytes_in_args(&self, id: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        let _unused = (id, first, total);
        None
    }

    /// Where the bytes lie in a result in format `id` of which the first came; see
    /// [`Codec::bytes_in_result`].
    fn bytes_in_result(&self, id: FormatId, first: &[u8], total: u64) -> Option<BytesWithin> {
        let _unused = (id, first, total);
        None
    }
}

impl<C: Codec> Format for C {
    fn id(&self) -> FormatId {
        Codec::id(self)
    }

    fn encode_args(&self, args: &dyn ErasedArgs, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Codec::encode_args(self, &ArgsRef(args), out)
    }

    fn encode_result(&self, value: &dyn erased_serde::Serialize, out: &mut Output<'_>) -> Result<(), SerdeError> {
        Codec::encode_result(self, value, out)
    }

    fn decode_args(&self, body: &Body, sink: &mut dyn ErasedArgsSink) -> Result<(), SerdeError> {
        Codec::decode_args(self, body, &mut SinkRef(sink))
    }

    fn decode_result(&self, body: &Body, sink: &mut dyn ErasedResultSink) -> Result<(), SerdeError> {
        Codec::decode_result(self, body, &mut SinkRef(sink))
    }

    fn decode_item(&self, item: &[u8], sink: &mut dyn ErasedResultSink) -> Result<(), SerdeError> {
        Codec::decode_item(self, item, &mut SinkRef(sink))
    }

    fn decode_bound(&self, len: usize) -> usize {
        Codec::decode_bound(self, len)
    }

    fn decode_bound_of_bytes(&self, len: usize) -> usize {
        Codec::decode_bound_of_bytes(self, len)
    }

    fn decode_error(&self, body: &Body) -> Result<RemoteError, SerdeError> {
        Codec::decode_error(self, body)
    }

    fn bytes_in_args(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        Codec::bytes_in_args(self, first, total)
    }

    fn bytes_in_result(&self, first: &[u8], total: u64) -> Option<BytesWithin> {
        Codec::bytes_in_result(self, first, total)
    }
}
