//! The same traits without generic methods, so that a format can stand behind a pointer.

use std::fmt;

use bytes::Bytes;
use serde::{Deserializer, Serialize, de::Error as _};

use crate::{Args, ArgsSink, ArgsVisitor, ResultSink};

/// [`Args`] behind a pointer. Implemented for every `Args`.
pub trait ErasedArgs {
    /// Does what [`Args::positional_len`] does, behind a pointer.
    fn positional_len(&self) -> usize;

    /// Does what [`Args::keyword_len`] does, behind a pointer.
    fn keyword_len(&self) -> usize;

    /// Does what [`Args::visit`] does, behind a pointer.
    ///
    /// # Errors
    /// [`Stop`] when the visitor wants no more.
    fn visit(&self, visitor: &mut dyn ErasedArgsVisitor) -> Result<(), Stop>;

    /// Does what [`Args::sole_bytes`] does, behind a pointer.
    fn sole_bytes(&self) -> Option<&Bytes>;
}

impl fmt::Debug for dyn ErasedArgs + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} positional and {} keyword arguments", self.positional_len(), self.keyword_len())
    }
}

impl<A: Args> ErasedArgs for A {
    fn positional_len(&self) -> usize {
        Args::positional_len(self)
    }

    fn keyword_len(&self) -> usize {
        Args::keyword_len(self)
    }

    fn visit(&self, visitor: &mut dyn ErasedArgsVisitor) -> Result<(), Stop> {
        struct Visitor<'a>(&'a mut dyn ErasedArgsVisitor);
        impl ArgsVisitor for Visitor<'_> {
            type Error = Stop;
            fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
                self.0.positional(&value)
            }
            fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Stop> {
                self.0.keyword(name, &value)
            }
        }
        Args::visit(self, &mut Visitor(visitor))
    }

    fn sole_bytes(&self) -> Option<&Bytes> {
        Args::sole_bytes(self)
    }
}

/// The word of a visitor that wants no more. It keeps its own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// [`ArgsVisitor`] behind a pointer.
pub trait ErasedArgsVisitor {
    /// Does what [`ArgsVisitor::positional`] does, behind a pointer.
    ///
    /// # Errors
    /// [`Stop`] when the visitor wants no more.
    fn positional(&mut self, value: &dyn erased_serde::Serialize) -> Result<(), Stop>;

    /// Does what [`ArgsVisitor::keyword`] does, behind a pointer.
    ///
    /// # Errors
    /// [`Stop`] when the visitor wants no more.
    fn keyword(&mut self, name: &str, value: &dyn erased_serde::Serialize) -> Result<(), Stop>;
}

/// A pointer to [`ErasedArgs`] as [`Args`].
#[derive(Debug)]
pub struct ArgsRef<'a>(pub &'a dyn ErasedArgs);

impl Args for ArgsRef<'_> {
    fn positional_len(&self) -> usize {
        self.0.positional_len()
    }

    fn keyword_len(&self) -> usize {
        self.0.keyword_len()
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        struct Visitor<'a, V: ArgsVisitor> {
            inner: &'a mut V,
            error: Option<V::Error>,
        }
        impl<V: ArgsVisitor> Visitor<'_, V> {
            fn keep(&mut self, result: Result<(), V::Error>) -> Result<(), Stop> {
                result.map_err(|error| {
                    self.error = Some(error);
                    Stop
                })
            }
        }
        impl<V: ArgsVisitor> ErasedArgsVisitor for Visitor<'_, V> {
            fn positional(&mut self, value: &dyn erased_serde::Serialize) -> Result<(), Stop> {
                let result = self.inner.positional(value);
                self.keep(result)
            }
            fn keyword(&mut self, name: &str, value: &dyn erased_serde::Serialize) -> Result<(), Stop> {
                let result = self.inner.keyword(name, value);
                self.keep(result)
            }
        }
        let mut visitor = Visitor { inner: visitor, error: None };
        let _stopped = self.0.visit(&mut visitor);
        visitor.error.map_or(Ok(()), Err)
    }

    fn sole_bytes(&self) -> Option<&Bytes> {
        self.0.sole_bytes()
    }
}

/// [`ArgsSink`] behind a pointer. Implemented for every `ArgsSink`.
pub trait ErasedArgsSink {
    /// Does what [`ArgsSink::positional`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`ArgsSink::positional`].
    fn positional(
        &mut self,
        index: usize,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error>;

    /// Does what [`ArgsSink::keyword`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`ArgsSink::keyword`].
    fn keyword(
        &mut self,
        name: &str,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error>;

    /// Does what [`ArgsSink::offer_shared`] does, behind a pointer.
    fn offer_shared(&mut self, bytes: &Bytes) -> bool;

    /// Does what [`ArgsSink::len`] does, behind a pointer.
    fn params(&self) -> usize;
}

impl<S: ArgsSink> ErasedArgsSink for S {
    fn positional(
        &mut self,
        index: usize,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error> {
        ArgsSink::positional(self, index, deserializer)
    }

    fn keyword(
        &mut self,
        name: &str,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error> {
        ArgsSink::keyword(self, name, deserializer)
    }

    fn offer_shared(&mut self, bytes: &Bytes) -> bool {
        ArgsSink::offer_shared(self, bytes)
    }

    fn params(&self) -> usize {
        self.len()
    }
}

/// [`ResultSink`] behind a pointer. Implemented for every `ResultSink`.
pub trait ErasedResultSink {
    /// Does what [`ResultSink::result`] does, behind a pointer.
    ///
    /// # Errors
    /// The errors of [`ResultSink::result`].
    fn result(&mut self, deserializer: &mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>;

    /// Does what [`ResultSink::offer_shared`] does, behind a pointer.
    fn offer_shared(&mut self, bytes: &Bytes) -> bool;
}

impl<S: ResultSink> ErasedResultSink for S {
    fn result(&mut self, deserializer: &mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error> {
        ResultSink::result(self, deserializer)
    }

    fn offer_shared(&mut self, bytes: &Bytes) -> bool {
        ResultSink::offer_shared(self, bytes)
    }
}

/// A pointer to an erased sink as the sink it was.
pub struct SinkRef<'a, S: ?Sized>(pub &'a mut S);

impl<S: ?Sized> fmt::Debug for SinkRef<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sink")
    }
}

impl ArgsSink for SinkRef<'_, dyn ErasedArgsSink + '_> {
    fn positional<'de, D: Deserializer<'de>>(&mut self, index: usize, deserializer: D) -> Result<(), D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        self.0.positional(index, &mut erased).map_err(D::Error::custom)
    }

    fn keyword<'de, D: Deserializer<'de>>(&mut self, name: &str, deserializer: D) -> Result<(), D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        self.0.keyword(name, &mut erased).map_err(D::Error::custom)
    }

    fn offer_shared(&mut self, bytes: &Bytes) -> bool {
        self.0.offer_shared(bytes)
    }

    fn len(&self) -> usize {
        self.0.params()
    }
}

impl ResultSink for SinkRef<'_, dyn ErasedResultSink + '_> {
    fn result<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        self.0.result(&mut erased).map_err(D::Error::custom)
    }

    fn offer_shared(&mut self, bytes: &Bytes) -> bool {
        self.0.offer_shared(bytes)
    }
}
