//! `#[callback]`, on a function or on the methods of a type.

mod class;
mod function;
mod method;

use proc_macro2::{Span, TokenStream};
use syn::Item;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    match syn::parse2(item.clone()) {
        Ok(Item::Fn(function)) => function::expand(options, function),
        Ok(Item::Impl(block)) => class::expand(options, block),
        Ok(Item::Trait(item)) => refuse(&item.trait_token, "for a trait there is `#[remote]`"),
        Ok(other) => refuse(&other, "put `#[callback]` on a function or on an `impl` block"),
        // Half-written code stays visible to editors.
        Err(error) => {
            let error = error.into_compile_error();
            quote::quote_spanned!(Span::call_site()=> #error #item)
        }
    }
}

fn refuse(tokens: &impl quote::ToTokens, message: &str) -> TokenStream {
    syn::Error::new_spanned(tokens, message).into_compile_error()
}
