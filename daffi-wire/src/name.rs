use std::{
    borrow::Borrow,
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock},
};

use crate::{Limits, NameError, limits::MAX_METADATA_BYTES};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name_type! {
    /// The name of a node (`app_name`), checked: not empty, no `|`, not over-long. Only
    /// [`empty`](Self::empty) is empty.
    ///
    /// Commas, blanks, quotes and line feeds work in 3.0.1 and are allowed
    /// ([protocol, 2.1](crate::protocol#2.1)).
    ///
    /// ```
    /// use daffi_wire::{Limits, NodeName};
    /// assert!(NodeName::new("worker 1, the \"fast\" one", &Limits::default()).is_ok());
    /// assert!(NodeName::new("a|b", &Limits::default()).is_err(), "kills a server of 3.0.1");
    /// ```
    NodeName
}

name_type! {
    /// The name of a callback, checked: not empty, no `|`, no comma, no outer blanks, not
    /// over-long.
    ///
    /// A Router of 3.0.1 takes `a,b` for two callbacks and trims blanks
    /// ([protocol, 2.1](crate::protocol#2.1)).
    MethodName
}

impl NodeName {
    /// Checks and takes a node name.
    ///
    /// # Errors
    /// [`NameError`] names the rule that `name` breaks.
    pub fn new(name: impl AsRef<str>, limits: &Limits) -> Result<Self, NameError> {
        let name = name.as_ref();
        check("node", name, &['|'], limits)?;
        Ok(Self(name.into()))
    }

    /// The empty name, which no node bears. It stands in the place of a receiver that a Router is
    /// to choose ([level 4](crate::level_four#the-router-chooses)).
    ///
    /// ```
    /// assert!(daffi_wire::NodeName::empty().is_empty());
    /// ```
    #[must_use]
    pub fn empty() -> Self {
        static EMPTY: LazyLock<NodeName> = LazyLock::new(|| NodeName("".into()));
        EMPTY.clone()
    }
}

impl MethodName {
    /// Checks and takes a callback name.
    ///
    /// # Errors
    /// [`NameError`] names the rule that `name` breaks.
    pub fn new(name: impl AsRef<str>, limits: &Limits) -> Result<Self, NameError> {
        let name = name.as_ref();
        check("callback", name, &['|', ','], limits)?;
        if name.trim() != name {
            return Err(NameError::OuterBlank { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }
}

fn check(what: &'static str, name: &str, separators: &[char], limits: &Limits) -> Result<(), NameError> {
    let limit = limits.max_name_bytes.min(MAX_METADATA_BYTES);
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > limit {
        return Err(NameError::TooLong { what, size: name.len(), limit });
    }
    match name.chars().find(|c| separators.contains(c)) {
        Some(found) => Err(NameError::Separator { what, name: name.to_owned(), found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_break_a_peer_are_refused() {
        let limits = Limits { max_name_bytes: 8, ..Limits::default() };
        assert_eq!(NodeName::new("", &limits), Err(NameError::Empty { what: "node" }));
        assert!(matches!(NodeName::new("123456789", &limits), Err(NameError::TooLong { size: 9, limit: 8, .. })));
        assert!(matches!(MethodName::new("a,b", &limits), Err(NameError::Separator { found: ',', .. })));
        assert!(matches!(MethodName::new(" a", &limits), Err(NameError::OuterBlank { .. })));
        assert!(NodeName::new(" a,b\n", &limits).is_ok());
    }
}
