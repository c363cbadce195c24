//! `#[remote]`: a trait for services and a typed client, from one definition.

mod calls;
mod client;
mod definition;
mod service;

use proc_macro2::TokenStream;
use quote::quote;
use syn::Item;

use self::definition::Definition;
use crate::errors::Errors;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = match syn::parse2(item.clone()) {
        Ok(Item::Trait(item)) => item,
        Ok(other) => return syn::Error::new_spanned(other, "put `#[remote]` on a trait").into_compile_error(),
        // Half-written code stays visible to editors.
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #item);
        }
    };
    let mut errors = Errors::default();
    let definition = Definition::read(options, item, &mut errors);
    let correct = errors.is_empty();
    let (service, client) = (service::expand(&definition, correct), client::expand(&definition, correct));
    let errors = errors.into_tokens();
    quote!(#service #client #errors)
}
