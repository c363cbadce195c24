use daffi_serde::ArgsVisitor;
use serde::Serialize;

use super::{Writer, compound::close_tuple};
use crate::{WriteError, opcode as op};

/// Writes the arguments of a call as `(args, kwargs)`: positional ones first, then the others.
#[derive(Debug)]
pub(crate) struct ArgsWriter<'b> {
    writer: Writer<'b>,
    announced: usize,
    positional: usize,
    keywords: usize,
}

impl<'b> ArgsWriter<'b> {
    pub(crate) fn new(mut writer: Writer<'b>, announced: usize) -> Self {
        if announced > 3 {
            writer.op(op::MARK);
        }
        let mut args = Self { writer, announced, positional: 0, keywords: 0 };
        args.close_when_complete();
        args
    }

    /// Ends the pickle.
    pub(crate) fn end(mut self) -> Result<(), WriteError> {
        self.check_complete()?;
        if self.keywords > 0 {
            self.writer.op(op::SETITEMS);
        }
        self.writer.op(op::TUPLE2);
        self.writer.stop();
        Ok(())
    }

    fn close_when_complete(&mut self) {
        if self.positional == self.announced {
            close_tuple(&mut self.writer, self.announced);
            self.writer.op(op::EMPTY_DICT);
        }
    }

    const fn check_complete(&self) -> Result<(), WriteError> {
        if self.positional == self.announced {
            Ok(())
        } else {
            Err(WriteError::Length { announced: self.announced, written: self.positional })
        }
    }
}

impl ArgsVisitor for ArgsWriter<'_> {
    type Error = WriteError;

    fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.positional += 1;
        if self.positional > self.announced {
            return self.check_complete();
        }
        value.serialize(&mut self.writer)?;
        self.close_when_complete();
        Ok(())
    }

    fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), WriteError> {
        self.check_complete()?;
        if self.keywords == 0 {
            self.writer.op(op::MARK);
        }
        self.keywords += 1;
        self.writer.text(name);
        value.serialize(&mut self.writer)
    }
}
