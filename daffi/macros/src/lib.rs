//! The macros of daffi.

mod attributes;
mod callback;
mod errors;
mod list;
mod options;
mod params;
mod registration;
mod remote;
mod signature;
mod types;

use proc_macro::TokenStream;

/// x
#[proc_macro_attribute]
pub fn callback(options: TokenStream, item: TokenStream) -> TokenStream {
    callback::expand(options.into(), item.into()).into()
}

/// x
#[proc_macro]
pub fn callbacks(input: TokenStream) -> TokenStream {
    list::expand(input.into()).into()
}

/// x
#[proc_macro_attribute]
pub fn remote(options: TokenStream, item: TokenStream) -> TokenStream {
    remote::expand(options.into(), item.into()).into()
}
