//! The parameters of a callback, on the serving side: arguments are read into the function's own
//! types.

use bytes::Bytes;
use daffi_wire::Shown;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{DynArgs, RemoteError, Value, bytes_like};

/// A type that a callback can take as a parameter.
///
/// Implemented for every type that can be deserialised and owns its data. A parameter of type
/// `Option` may be missing.
///
/// Of a type that borrows from what it is read from, such as a struct with a `&'a str`, the
/// compiler says that its `Deserialize` is not general enough: take one that owns, with a `String`
/// there. A `Cow<'static, str>` owns what it holds, unless it has `#[serde(borrow)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a callback",
    note = "a parameter must implement `DeserializeOwned` and own its data"
)]
pub trait Param: Sized + Send + 'static {
    /// Reads an argument.
    ///
    /// # Errors
    /// When it is not of this type.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// The value when the caller gave none; `None` when it must give one.
    fn missing() -> Option<Self>;

    /// The value made of an OPAQUE payload without copying, for the type that can.
    fn from_shared(_bytes: &Bytes) -> Option<Self> {
        None
    }

    /// Whether bytes of a payload that are read as this type stay as many. A type that makes a list
    /// of them, or is not known to do otherwise, may take more.
    fn keeps_bytes() -> bool {
        false
    }
}

impl<T: DeserializeOwned + Send + 'static> Param for T {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bytes_like::read(deserializer)
    }

    fn missing() -> Option<Self> {
        Self::deserialize(Missing).ok()
    }

    fn from_shared(bytes: &Bytes) -> Option<Self> {
        bytes_like::from_shared(bytes)
    }

    fn keeps_bytes() -> bool {
        bytes_like::keeps_bytes::<T>()
    }
}

/// A parameter with a default: `#[default(expr)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaulted<T> {
    /// The caller gave a value.
    Given(T),
    /// The caller gave none.
    Missing,
}

impl<T> Defaulted<T> {
    /// The value given, or the default.
    pub fn or_else(self, default: impl FnOnce() -> T) -> T {
        match self {
            Self::Given(value) => value,
            Self::Missing => default(),
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> Param for Defaulted<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bytes_like::read(deserializer).map(Self::Given)
    }

    fn missing() -> Option<Self> {
        Some(Self::Missing)
    }

    fn from_shared(bytes: &Bytes) -> Option<Self> {
        bytes_like::from_shared(bytes).map(Self::Given)
    }

    fn keeps_bytes() -> bool {
        bytes_like::keeps_bytes::<T>()
    }
}

/// A deserializer of nothing, which only types accept that can do without a value.
struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("missing"))
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Where a format puts the arguments it reads.
pub trait ArgsSink {
    /// Takes the positional argument at `index`.
    ///
    /// # Errors
    /// When it is not of the parameter's type. One argument too many is no error here: see
    /// [`Binding::finish`].
    fn positional<'de, D: Deserializer<'de>>(&mut self, index: usize, deserializer: D) -> Result<(), D::Error>;

    /// Takes the keyword argument `name`.
    ///
    /// # Errors
    /// When it is not of the parameter's type. An unknown or doubled name is no error here: see
    /// [`Binding::finish`].
    fn keyword<'de, D: Deserializer<'de>>(&mut self, name: &str, deserializer: D) -> Result<(), D::Error>;

    /// Offers the payload as the only positional argument, shared. `true`: taken.
    fn offer_shared(&mut self, _bytes: &Bytes) -> bool {
        false
    }

    /// How many parameters the callback has; `usize::MAX` when it takes any number.
    fn len(&self) -> usize;

    /// Whether the callback takes no parameters.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Takes whatever it is given; nothing is missing, too much or unknown.
impl ArgsSink for DynArgs {
    fn positional<'de, D: Deserializer<'de>>(&mut self, _: usize, deserializer: D) -> Result<(), D::Error> {
        self.positional.push(Value::deserialize(deserializer)?);
        Ok(())
    }

    fn keyword<'de, D: Deserializer<'de>>(&mut self, name: &str, deserializer: D) -> Result<(), D::Error> {
        self.keywords.push((name.to_owned(), Value::deserialize(deserializer)?));
        Ok(())
    }

    fn len(&self) -> usize {
        usize::MAX
    }
}

/// The parameter types of a callback: a tuple of [`Param`]s.
pub trait Params: Sized + Send + 'static {
    /// One place per parameter.
    type Slots: Default + Send;

    /// How many parameters there are.
    const LEN: usize;

    /// How many of them must be given.
    fn required() -> usize;

    /// Reads an argument into its place.
    ///
    /// # Errors
    /// When it is not of the parameter's type.
    fn read<'de, D: Deserializer<'de>>(slots: &mut Self::Slots, index: usize, deserializer: D) -> Result<(), D::Error>;

    /// Puts shared bytes into the first place, if its type can take them.
    fn share(slots: &mut Self::Slots, bytes: &Bytes) -> bool;

    /// Whether each of them [keeps bytes](Param::keeps_bytes) as they are.
    fn keep_bytes() -> bool;

    /// Whether the place is taken.
    fn is_filled(slots: &Self::Slots, index: usize) -> bool;

    /// All parameters, or the indices of those missing.
    ///
    /// # Errors
    /// The indices of missing parameters.
    fn finish(slots: Self::Slots) -> Result<Self, Vec<usize>>;
}

macro_rules! tuple_params {
    ($(($len:literal; $($name:ident . $at:tt),*))*) => {$(
        impl<$($name: Param),*> Params for ($($name,)*) {
            type Slots = ($(Option<$name>,)*);
            const LEN: usize = $len;

            fn required() -> usize {
                0 $(+ usize::from($name::missing().is_none()))*
            }

            fn read<'de, De: Deserializer<'de>>(
                #[allow(unused_variables, reason = "the empty tuple has no places")] slots: &mut Self::Slots,
                index: usize,
                deserializer: De,
            ) -> Result<(), De::Error> {
                match index {
                    $($at => slots.$at = Some($name::read(deserializer)?),)*
                    _ => {
                        IgnoredAny::deserialize(deserializer)?;
                    }
                }
                Ok(())
            }

            fn share(
                #[allow(unused_variables, reason = "only a first place is shared")] slots: &mut Self::Slots,
                #[allow(unused_variables, reason = "only a first place is shared")] bytes: &Bytes,
            ) -> bool {
                tuple_params!(@share slots bytes $($name.$at)*)
            }

            fn keep_bytes() -> bool {
                true $(&& $name::keeps_bytes())*
            }

            fn is_filled(
                #[allow(unused_variables, reason = "the empty tuple has no places")] slots: &Self::Slots,
                index: usize,
            ) -> bool {
                match index {
                    $($at => slots.$at.is_some(),)*
                    _ => false,
                }
            }

            #[allow(non_snake_case, reason = "a place is named after its type")]
            fn finish(
                #[allow(unused_variables, reason = "the empty tuple has no places")] slots: Self::Slots,
            ) -> Result<Self, Vec<usize>> {
                #[allow(unused_mut, reason = "the empty tuple misses nothing")]
                let mut missing = Vec::new();
                let all = ($(slots.$at.or_else($name::missing).or_else(|| { missing.push($at); None }),)*);
                match all {
                    ($(Some($name),)*) => Ok(($($name,)*)),
                    #[allow(unreachable_patterns, reason = "the empty tuple misses nothing")]
                    _ => Err(missing),
                }
            }
        }
    )*};
    (@share $slots:ident $bytes:ident) => { false };
    (@share $slots:ident $bytes:ident $first:ident . 0 $($rest:tt)*) => {{
        $slots.0 = $first::from_shared($bytes);
        $slots.0.is_some()
    }};
}

tuple_params! {
    (0;)
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

/// Binds the arguments of one call to the parameters of a callback, with Python's rules and
/// Python's words.
///
/// ```
/// use daffi_serde::{ArgsSink, Binding};
/// use serde::de::value::{Error, I64Deserializer};
/// use serde::de::IntoDeserializer;
///
/// let mut call = Binding::<(i64, Option<i64>)>::new("add", &["a", "b"]);
/// let three: I64Deserializer<Error> = 3_i64.into_deserializer();
/// call.positional(0, three)?;
/// assert_eq!(call.finish(), Ok((3, None)));
///
/// let call = Binding::<(i64, i64)>::new("add", &["a", "b"]);
/// assert_eq!(
///     call.finish().unwrap_err().message,
///     "add() missing 2 required positional arguments: 'a' and 'b'"
/// );
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Binding<'a, P: Params> {
    method: &'a str,
    names: &'a [&'static str],
    slots: P::Slots,
    given: usize,
    reading: Option<usize>,
    problem: Option<Problem>,
}

#[derive(Debug)]
enum Problem {
    Unexpected(String),
    Multiple(usize),
}

impl<'a, P: Params> Binding<'a, P> {
    /// A call of `method`, whose parameters bear `names`; closures pass none and take no keyword
    /// arguments.
    #[must_use]
    pub fn new(method: &'a str, names: &'a [&'static str]) -> Self {
        Self { method, names, slots: P::Slots::default(), given: 0, reading: None, problem: None }
    }

    /// The parameters, or Python's `TypeError`.
    ///
    /// # Errors
    /// A `TypeError` for arguments that are too many, missing, unknown or doubled.
    pub fn finish(self) -> Result<P, RemoteError> {
        let Self { method, names, slots, given, problem, .. } = self;
        let text = match problem {
            Some(Problem::Unexpected(name)) => {
                format!("{method}() got an unexpected keyword argument '{}'", Shown::new(&name))
            }
            Some(Problem::Multiple(index)) => {
                format!("{method}() got multiple values for argument {}", quote(names, index))
            }
            None if given > P::LEN => {
                let were = if given == 1 { "was" } else { "were" };
                let takes = match (P::required(), P::LEN) {
                    (least, most) if least < most => format!("from {least} to {most} positional arguments"),
                    (_, most) => format!("{most} positional argument{}", plural(most)),
                };
                format!("{method}() takes {takes} but {given} {were} given")
            }
            None => match P::finish(slots) {
                Ok(params) => return Ok(params),
                Err(missing) => {
                    let (n, s) = (missing.len(), plural(missing.len()));
                    let list = join_words(&missing.iter().map(|&i| quote(names, i)).collect::<Vec<_>>());
                    format!("{method}() missing {n} required positional argument{s}: {list}")
                }
            },
        };
        Err(RemoteError::new("TypeError", text))
    }

    /// Words for a payload that could not be read: which argument it was, and why.
    pub fn explain(&self, error: &crate::SerdeError) -> RemoteError {
        let text = match self.reading {
            Some(index) if index < P::LEN => {
                format!("{}() argument {}: {error}", self.method, quote(self.names, index))
            }
            _ => format!("{}() arguments: {error}", self.method),
        };
        RemoteError::new("TypeError", text)
    }
}

impl<P: Params> ArgsSink for Binding<'_, P> {
    fn positional<'de, D: Deserializer<'de>>(&mut self, index: usize, deserializer: D) -> Result<(), D::Error> {
        self.given = self.given.max(index.saturating_add(1));
        if index < P::LEN && P::is_filled(&self.slots, index) {
            self.problem.get_or_insert(Problem::Multiple(index));
            return IgnoredAny::deserialize(deserializer).map(drop);
        }
        self.reading = Some(index);
        P::read(&mut self.slots, index, deserializer)?;
        self.reading = None;
        Ok(())
    }

    fn keyword<'de, D: Deserializer<'de>>(&mut self, name: &str, deserializer: D) -> Result<(), D::Error> {
        let problem = match self.names.iter().position(|known| *known == name) {
            Some(index) if !P::is_filled(&self.slots, index) => {
                self.reading = Some(index);
                P::read(&mut self.slots, index, deserializer)?;
                self.reading = None;
                return Ok(());
            }
            Some(index) => Problem::Multiple(index),
            None => Problem::Unexpected(name.to_owned()),
        };
        self.problem.get_or_insert(problem);
        IgnoredAny::deserialize(deserializer).map(drop)
    }

    fn offer_shared(&mut self, bytes: &Bytes) -> bool {
        let taken = P::share(&mut self.slots, bytes);
        if taken {
            self.given = 1;
        }
        taken
    }

    fn len(&self) -> usize {
        P::LEN
    }
}

const fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn quote(names: &[&str], index: usize) -> String {
    match names.get(index) {
        Some(name) => format!("'{name}'"),
        None => format!("{}", index + 1),
    }
}

/// `'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`: as Python writes it.
fn join_words(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
    }
}

/// A type that the result of a call can be read as: every type that can be deserialised and owns
/// its data.
///
/// `()` takes any result and drops it unread.
#[diagnostic::on_unimplemented(
    message = "a call cannot give `{Self}`",
    label = "this is no type that the result of a call can be read as",
    note = "if nothing says what the result is (`!`), write `let sum: i64 = ..call(..)..` or `call::<i64>(..)`; \
            `run(..)` is for a result that is not wanted",
    note = "a result implements `Deserialize` and owns its data: `String` in place of `&str`"
)]
pub trait Returned: DeserializeOwned + 'static {
    /// Whether bytes of a payload that are read as this type stay as many.
    fn keeps_bytes() -> bool {
        bytes_like::keeps_bytes::<Self>()
    }
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + 'static> Returned for T {}

/// Where a format puts the result it reads.
pub trait ResultSink {
    /// Takes the result.
    ///
    /// # Errors
    /// When it is not of the type asked for.
    fn result<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error>;

    /// Offers the payload as the result, shared. `true`: taken.
    fn offer_shared(&mut self, _bytes: &Bytes) -> bool {
        false
    }
}

impl<T: DeserializeOwned + 'static> ResultSink for Option<T> {
    fn result<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        *self = Some(bytes_like::read(deserializer)?);
        Ok(())
    }

    fn offer_shared(&mut self, bytes: &Bytes) -> bool {
        *self = bytes_like::from_shared(bytes);
        self.is_some()
    }
}
