//! Attributes that the macros read and remove, and those they carry over.

use syn::Attribute;

/// Removes all attributes of that name and gives them.
pub(crate) fn take(attrs: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    attrs.extract_if(.., |attr| attr.path().is_ident(name)).collect()
}

/// The attributes with one of these names.
pub(crate) fn named<'a>(attrs: &'a [Attribute], names: &'a [&str]) -> impl Iterator<Item = &'a Attribute> {
    attrs.iter().filter(move |attr| names.iter().any(|name| attr.path().is_ident(name)))
}
