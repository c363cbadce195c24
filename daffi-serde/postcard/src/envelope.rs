//! The arguments of a call: counted, and each with its length.

use bytes::{BufMut, BytesMut};
use daffi_serde::{Args, ArgsSink, ArgsVisitor, SerdeError, guard::Watch};
use serde::Serialize;

use crate::{
    argument::{self, Problem},
    encode_error, write,
};

/// Appends the arguments.
pub(crate) fn write<A: Args>(args: &A, buffer: &mut BytesMut) -> Result<(), SerdeError> {
    put_count(args.positional_len(), buffer)?;
    let mut writer = Writer { buffer, keyword_len: Some(args.keyword_len()) };
    args.visit(&mut writer)?;
    writer.begin_keywords()
}

struct Writer<'a> {
    buffer: &'a mut BytesMut,
    /// The number of keyword arguments until it is written, which is before the first of them or at
    /// the end.
    keyword_len: Option<usize>,
}

impl Writer<'_> {
    fn begin_keywords(&mut self) -> Result<(), SerdeError> {
        self.keyword_len.take().map_or(Ok(()), |len| put_count(len, self.buffer))
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        let at = self.buffer.len();
        // A length that no reader takes stands here until the true one is known.
        self.buffer.put_u32_le(u32::MAX);
        write::value(value, self.buffer)?;
        let start = at + size_of::<u32>();
        let len = u32::try_from(self.buffer.len() - start).map_err(|_| encode_error("an argument of over 4 GiB"))?;
        self.buffer[at..start].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }
}

impl ArgsVisitor for Writer<'_> {
    type Error = SerdeError;

    fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerdeError> {
        self.put(value)
    }

    fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), SerdeError> {
        self.begin_keywords()?;
        write::own(&name, self.buffer)?;
        self.put(value)
    }
}

fn put_count(count: usize, buffer: &mut BytesMut) -> Result<(), SerdeError> {
    write::own(&count, buffer)
}

/// Reads the arguments into `sink`.
///
/// Every argument takes bytes, so a count that is not true soon runs out of them.
pub(crate) fn read<S: ArgsSink>(bytes: &[u8], watch: &Watch, sink: &mut S) -> Result<(), Problem> {
    let mut rest = Rest(bytes);
    for index in 0..rest.count("the number of arguments")? {
        watch.count::<postcard::Error>()?;
        argument::read(rest.value()?, watch, |argument| sink.positional(index, argument))
            .map_err(|problem| problem.of(|| (index + 1).to_string()))?;
    }
    for _ in 0..rest.count("the number of keyword arguments")? {
        watch.count::<postcard::Error>()?;
        let name = rest.name()?;
        argument::read(rest.value()?, watch, |argument| sink.keyword(name, argument))
            .map_err(|problem| problem.of(|| format!("'{name}'")))?;
    }
    if rest.0.is_empty() { Ok(()) } else { Err(Problem::RestOfCall(rest.0.len())) }
}

/// The bytes of the argument, if there is just one, and no keyword.
pub(crate) fn sole(bytes: &[u8]) -> Result<Option<&[u8]>, Problem> {
    let mut rest = Rest(bytes);
    if rest.count("the number of arguments")? != 1 {
        return Ok(None);
    }
    let value = rest.value()?;
    let keywords = rest.count("the number of keyword arguments")?;
    match (keywords, rest.0) {
        (0, []) => Ok(Some(value)),
        (0, more) => Err(Problem::Rest(more.len())),
        _ => Ok(None),
    }
}

/// What is not read yet.
struct Rest<'de>(&'de [u8]);

impl<'de> Rest<'de> {
    fn count(&mut self, what: &'static str) -> Result<usize, Problem> {
        let (count, rest) = postcard::take_from_bytes(self.0).map_err(|_| Problem::Short(what))?;
        self.0 = rest;
        Ok(count)
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'de [u8], Problem> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Problem::Short(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn name(&mut self) -> Result<&'de str, Problem> {
        let len = self.count("the length of a name")?;
        std::str::from_utf8(self.take(len, "a name")?).map_err(|_| Problem::Name)
    }

    fn value(&mut self) -> Result<&'de [u8], Problem> {
        let (len, rest) = self.0.split_first_chunk().ok_or(Problem::Short("the length of an argument"))?;
        self.0 = rest;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Problem::Short("an argument"))?;
        self.take(len, "an argument")
    }
}
