//! Attributes that the macros read and remove, and those they carry over.

use quote::ToTokens;
use syn::{Attribute, Meta, Token, parse_quote, punctuated::Punctuated};

use crate::errors::Errors;

/// Removes all attributes of that name and gives them.
pub(crate) fn take(attrs: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    attrs.extract_if(.., |attr| attr.path().is_ident(name)).collect()
}

/// The attributes with one of these names.
pub(crate) fn find_named<'a>(attrs: &'a [Attribute], names: &'a [&str]) -> impl Iterator<Item = &'a Attribute> {
    attrs.iter().filter(move |attr| names.iter().any(|name| attr.path().is_ident(name)))
}

/// What decides whether the item is there: `#[cfg(..)]`, and the part of a `#[cfg_attr(..)]` that
/// adds one.
pub(crate) fn conditions(attrs: &[Attribute]) -> Vec<Attribute> {
    let conditions = attrs.iter().filter_map(|attr| condition(&attr.meta));
    conditions.map(|meta| parse_quote!(#[#meta])).collect()
}

fn condition(meta: &Meta) -> Option<Meta> {
    if meta.path().is_ident("cfg") {
        return Some(meta.clone());
    }
    let (predicate, added) = conditional(meta)?;
    let added: Vec<Meta> = added.iter().filter_map(condition).collect();
    (!added.is_empty()).then(|| parse_quote!(cfg_attr(#predicate, #(#added),*)))
}

/// The predicate of a `cfg_attr`, and the attributes it adds. One that cannot be read is left to
/// the compiler.
fn conditional(meta: &Meta) -> Option<(Meta, Vec<Meta>)> {
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut all = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?.into_iter();
    Some((all.next()?, all.collect()))
}

/// Notes attributes of ours that only a `cfg_attr` would add: the compiler adds them after this
/// macro is done. Removes them, so that it does not go on to say that there are none of the name.
pub(crate) fn refuse_conditional(attrs: &mut Vec<Attribute>, names: &[&str], errors: &mut Errors) {
    attrs.retain_mut(|attr| {
        let Some((predicate, mut added)) = conditional(&attr.meta) else { return true };
        let before = added.len();
        added.retain(|meta| {
            let is_ours = names.iter().any(|name| meta.path().is_ident(name));
            if is_ours {
                let name = meta.path().to_token_stream();
                errors.at(meta, format!("`{name}` can't depend on a `cfg`: write it as `#[{name}..]` of its own"));
            }
            !is_ours
        });
        if added.len() < before {
            attr.meta = parse_quote!(cfg_attr(#predicate, #(#added),*));
        }
        !added.is_empty() || before == 0
    });
}
