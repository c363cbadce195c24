//! What layers hand on to callbacks.

use std::{
    any::{Any, TypeId, type_name},
    fmt,
    sync::Arc,
};

/// Values that belong to one call, at most one of each type: what a layer found out and a callback
/// reads, such as the user that a call is made for.
///
/// A layer adds them with [`Request::extensions_mut`](super::Request::extensions_mut), a callback
/// reads them with [`Context::extensions`](super::Context::extensions). They stay on this node:
/// nothing of them is sent. A clone shares the values; what is added to it later is its own.
///
/// ```
/// # use daffi_core::RequestExtensions;
/// #[derive(Debug, PartialEq)]
/// struct User(String);
///
/// let mut extensions = RequestExtensions::new();
/// extensions.insert(User("ada".into()));
/// assert_eq!(extensions.get::<User>(), Some(&User("ada".into())));
/// assert_eq!(extensions.get::<String>(), None);
/// ```
// Most calls carry none, and then a clone costs nothing.
#[derive(Clone, Default)]
pub struct RequestExtensions(Option<Arc<Vec<Extension>>>);

#[derive(Clone)]
struct Extension {
    id: TypeId,
    type_name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl RequestExtensions {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Adds a value, and gives the one of the same type that it replaces.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<Arc<T>> {
        let replaced = self.remove();
        let all = Arc::make_mut(self.0.get_or_insert_default());
        all.push(Extension { id: TypeId::of::<T>(), type_name: type_name::<T>(), value: Arc::new(value) });
        replaced
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.as_ref()?.iter().find_map(|extension| extension.value.downcast_ref())
    }

    /// Takes the value of this type out.
    pub fn remove<T: Any + Send + Sync>(&mut self) -> Option<Arc<T>> {
        let all = self.0.as_mut()?;
        let at = all.iter().position(|extension| extension.id == TypeId::of::<T>())?;
        Arc::make_mut(all).remove(at).value.downcast().ok()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|all| all.is_empty())
    }
}

/// Lists the types of the values.
impl fmt::Debug for RequestExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_deref().map(Vec::as_slice).unwrap_or_default();
        f.debug_set().entries(all.iter().map(|extension| format_args!("{}", extension.type_name).to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type() {
        let mut first = RequestExtensions::new();
        assert!(first.is_empty() && first.get::<u8>().is_none() && first.remove::<u8>().is_none());
        assert!(first.insert(1_u8).is_none() && first.insert("text").is_none());
        let mut second = first.clone();
        assert_eq!(second.insert(2_u8).as_deref(), Some(&1));
        assert_eq!((first.get::<u8>(), second.get::<u8>()), (Some(&1), Some(&2)), "a clone has its own");
        assert_eq!(first.remove::<&str>().as_deref(), Some(&"text"));
        assert_eq!((first.get::<&str>(), second.get::<&str>()), (None, Some(&"text")));
        assert_eq!(format!("{first:?}"), r#"{"u8"}"#);
    }
}
