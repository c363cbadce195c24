//! The constructors of plain data, which are known by name. No other name is ever looked up.

macro_rules! known {
    ($($variant:ident = $module:literal $(| $alias:literal)? . $name:literal,)*) => {
        /// A constructor of plain data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Known {
            $(#[doc = concat!("`", $module, ".", $name, "`")] $variant,)*
        }

        impl Known {
            /// Each of them, by its number.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// The constructor of that name.
            pub(crate) fn find(module: &str, name: &str) -> Option<Self> {
                match (module, name) {
                    $(($module $(| $alias)?, $name) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its module and name in Python 3.
            pub(crate) const fn parts(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$variant => ($module, $name),)*
                }
            }

            /// Its full name in Python 3.
            pub(crate) const fn full_name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($module, ".", $name),)*
                }
            }
        }
    };
}

// The aliases are what Python 3 itself writes in protocols 0 to 2, for Python 2 to read.
known! {
    Bytes = "builtins" | "__builtin__"."bytes",
    ByteArray = "builtins" | "__builtin__"."bytearray",
    Set = "builtins" | "__builtin__"."set",
    FrozenSet = "builtins" | "__builtin__"."frozenset",
    Complex = "builtins" | "__builtin__"."complex",
    Object = "builtins" | "__builtin__"."object",
    Encode = "_codecs"."encode",
    Reconstructor = "copyreg" | "copy_reg"."_reconstructor",
    OrderedDict = "collections"."OrderedDict",
    Date = "datetime"."date",
    DateTime = "datetime"."datetime",
    Time = "datetime"."time",
    TimeDelta = "datetime"."timedelta",
    TimeZone = "datetime"."timezone",
    Decimal = "decimal"."Decimal",
    Uuid = "uuid"."UUID",
    GetAttr = "builtins" | "__builtin__"."getattr",
    ZoneInfo = "zoneinfo"."ZoneInfo",
    UnpickleZone = "zoneinfo"."ZoneInfo._unpickle",
    PytzUtc = "pytz"."_UTC",
    PytzZone = "pytz"."_p",
}
