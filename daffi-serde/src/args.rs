//! The arguments of a call, on the caller's side.

use bytes::Bytes;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{BytesLike, Value, bytes_like};

/// What a call is made with: positional arguments and keyword arguments.
///
/// Implemented for tuples of up to twelve serialisable values, for `()`, for what
/// [`args!`](crate::args!) builds, and for [`Bytes`], which are the only argument then. References
/// are fine: arguments are written when the call is made, not when it is awaited. A `Vec<u8>` and a
/// `&[u8]` travel as bytes in every format that has them.
///
/// OPAQUE copies `(bytes,)`, and sends `bytes` and [`Owned`]`(bytes)` from where they are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of arguments",
    label = "expected a tuple or `args![..]`",
    note = "one argument is written `(value,)`; every element must implement `Serialize`"
)]
pub trait Args {
    /// How many positional arguments there are.
    fn positional_len(&self) -> usize;

    /// How many keyword arguments there are.
    fn keyword_len(&self) -> usize {
        0
    }

    /// Shows each argument to `visitor`, positional ones first.
    ///
    /// # Errors
    /// The first error of the visitor.
    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error>;

    /// The bytes of the only argument, when there is just one and it is [`Bytes`]: sent without a
    /// copy in OPAQUE.
    fn sole_bytes(&self) -> Option<&Bytes> {
        None
    }
}

/// Sees the arguments of a call one by one.
pub trait ArgsVisitor {
    /// What may go wrong.
    type Error;

    /// A positional argument.
    ///
    /// # Errors
    /// Whatever the visitor makes of it.
    fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error>;

    /// A keyword argument.
    ///
    /// # Errors
    /// Whatever the visitor makes of it.
    fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Self::Error>;
}

/// The positional arguments as a sequence, for formats whose body holds one.
#[derive(Debug)]
pub struct Positional<'a, A: ?Sized>(pub &'a A);

impl<A: Args> Serialize for Positional<'_, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Visitor<S>(S);
        impl<S: SerializeSeq> ArgsVisitor for Visitor<S> {
            type Error = S::Error;
            fn positional<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.serialize_element(value)
            }
            fn keyword<T: Serialize + ?Sized>(&mut self, _: &str, _: &T) -> Result<(), S::Error> {
                Ok(())
            }
        }
        let mut visitor = Visitor(serializer.serialize_seq(Some(self.0.positional_len()))?);
        self.0.visit(&mut visitor)?;
        visitor.0.end()
    }
}

/// The keyword arguments as a map, for formats whose body holds one.
#[derive(Debug)]
pub struct Keywords<'a, A: ?Sized>(pub &'a A);

impl<A: Args> Serialize for Keywords<'_, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Visitor<S>(S);
        impl<S: SerializeMap> ArgsVisitor for Visitor<S> {
            type Error = S::Error;
            fn positional<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), S::Error> {
                Ok(())
            }
            fn keyword<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), S::Error> {
                self.0.serialize_entry(name, value)
            }
        }
        let mut visitor = Visitor(serializer.serialize_map(Some(self.0.keyword_len()))?);
        self.0.visit(&mut visitor)?;
        visitor.0.end()
    }
}

macro_rules! tuple_args {
    ($(($len:literal; $($name:ident . $at:tt),*))*) => {$(
        impl<$($name: Serialize),*> Args for ($($name,)*) {
            fn positional_len(&self) -> usize {
                $len
            }

            fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
                $(visitor.positional(&BytesLike(&self.$at))?;)*
                Ok(())
            }
        }
    )*};
}

impl Args for () {
    fn positional_len(&self) -> usize {
        0
    }

    fn visit<V: ArgsVisitor>(&self, _: &mut V) -> Result<(), V::Error> {
        Ok(())
    }
}

/// The only argument.
impl Args for Bytes {
    fn positional_len(&self) -> usize {
        1
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        visitor.positional(self)
    }

    fn sole_bytes(&self) -> Option<&Bytes> {
        Some(self)
    }
}

/// One argument that owns its data: [`Bytes`] in it are found, whatever the type is called where it
/// is used.
///
/// ```
/// use daffi_serde::{Args, Owned};
/// assert!(Owned(bytes::Bytes::from_static(b"large")).sole_bytes().is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned<T>(pub T);

impl<T: Serialize + 'static> Args for Owned<T> {
    fn positional_len(&self) -> usize {
        1
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        visitor.positional(&BytesLike(&self.0))
    }

    fn sole_bytes(&self) -> Option<&Bytes> {
        bytes_like::as_bytes(&self.0)
    }
}

tuple_args! {
    (1; A.0)
    (2; A.0, B.1)
    (3; A.0, B.1, C.2)
    (4; A.0, B.1, C.2, D.3)
    (5; A.0, B.1, C.2, D.3, E.4)
    (6; A.0, B.1, C.2, D.3, E.4, F.5)
    (7; A.0, B.1, C.2, D.3, E.4, F.5, G.6)
    (8; A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7)
    (9; A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8)
    (10; A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9)
    (11; A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10)
    (12; A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11)
}

/// Positional arguments followed by keyword arguments; made by [`args!`](crate::args!).
#[derive(Clone, Debug)]
pub struct Mixed<P, K> {
    positional: P,
    keywords: K,
}

impl<P: Args> Mixed<P, ()> {
    /// Positional arguments, no keywords yet.
    pub const fn new(positional: P) -> Self {
        Self { positional, keywords: () }
    }
}

impl<P, K> Mixed<P, K> {
    /// The same arguments with one more keyword argument. A raw identifier stands for the name that
    /// it spells: `r#match` for `match`.
    pub fn keyword<T: Serialize>(self, name: &'static str, value: T) -> Mixed<P, (K, Keyword<T>)> {
        let name = name.strip_prefix("r#").unwrap_or(name);
        Mixed { positional: self.positional, keywords: (self.keywords, Keyword { name, value }) }
    }
}

/// One keyword argument.
#[derive(Clone, Debug)]
pub struct Keyword<T> {
    name: &'static str,
    value: T,
}

/// A list of keyword arguments: `()`, or a shorter list and one more.
pub trait KeywordList {
    /// How many there are.
    const LEN: usize;

    /// Shows each to `visitor`.
    ///
    /// # Errors
    /// The first error of the visitor.
    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error>;
}

impl KeywordList for () {
    const LEN: usize = 0;

    fn visit<V: ArgsVisitor>(&self, _: &mut V) -> Result<(), V::Error> {
        Ok(())
    }
}

impl<K: KeywordList, T: Serialize> KeywordList for (K, Keyword<T>) {
    const LEN: usize = K::LEN + 1;

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        self.0.visit(visitor)?;
        visitor.keyword(self.1.name, &BytesLike(&self.1.value))
    }
}

impl<P: Args, K: KeywordList> Args for Mixed<P, K> {
    fn positional_len(&self) -> usize {
        self.positional.positional_len()
    }

    fn keyword_len(&self) -> usize {
        K::LEN
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        self.positional.visit(visitor)?;
        self.keywords.visit(visitor)
    }

    fn sole_bytes(&self) -> Option<&Bytes> {
        if K::LEN == 0 { self.positional.sole_bytes() } else { None }
    }
}

/// Arguments known only at run time, as the command line has them.
impl Args for DynArgs {
    fn positional_len(&self) -> usize {
        self.positional.len()
    }

    fn keyword_len(&self) -> usize {
        self.keywords.len()
    }

    fn visit<V: ArgsVisitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        self.positional.iter().try_for_each(|value| visitor.positional(value))?;
        self.keywords.iter().try_for_each(|(name, value)| visitor.keyword(name, value))
    }
}

/// Arguments known only at run time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DynArgs {
    /// In order.
    pub positional: Vec<Value>,
    /// In order, names not repeated.
    pub keywords: Vec<(String, Value)>,
}

/// Arguments with keywords: `args![3, b = 4]`.
///
/// ```
/// use daffi_serde::{Args, args};
/// let args = args![3, b = 4, c = "five"];
/// assert_eq!((args.positional_len(), args.keyword_len()), (1, 2));
/// assert_eq!(args![1, 2].keyword_len(), 0);
/// // A word of the language is a name as any other, raw or not.
/// assert_eq!(args![r#match = 1, type = 2].keyword_len(), 2);
/// ```
#[macro_export]
macro_rules! args {
    (@list ($($p:expr,)*)) => { $crate::Mixed::new(($($p,)*)) };
    (@list ($($p:expr,)*) $name:ident = $($rest:tt)*) => {
        $crate::args!(@keywords ($crate::Mixed::new(($($p,)*))) $name = $($rest)*)
    };
    (@list ($($p:expr,)*) $next:expr $(, $($rest:tt)*)?) => {
        $crate::args!(@list ($($p,)* $next,) $($($rest)*)?)
    };
    (@keywords ($done:expr)) => { $done };
    (@keywords ($done:expr) $name:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::args!(@keywords ($done.keyword(stringify!($name), $value)) $($($rest)*)?)
    };
    (@keywords ($done:expr) $($rest:tt)+) => {
        compile_error!("positional argument follows keyword argument")
    };
    ($($all:tt)*) => { $crate::args!(@list () $($all)*) };
}
