//! `callbacks![..]`

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Expr, Path, Token,
    parse::{ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::{errors::Errors, root};

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let entries = errors.take(entries.parse2(input)).unwrap_or_default();
    let paths: Vec<Path> = entries.into_iter().filter_map(|entry| path(entry, &mut errors)).collect();
    let (daffi, errors) = (root::root(Span::call_site()), errors.into_tokens());
    let list = quote!(#daffi::Callbacks::new() #(.item::<#paths>())*);
    if errors.is_empty() { list } else { quote!({ #errors #list }) }
}

/// The entries, behind a `crate = path;` if there is one.
fn entries(input: ParseStream<'_>) -> syn::Result<Punctuated<Expr, Token![,]>> {
    if input.peek(Token![crate]) && input.peek2(Token![=]) {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        root::set(input.call(Path::parse_mod_style)?);
        input.parse::<Token![;]>()?;
    }
    Punctuated::parse_terminated(input)
}

fn path(entry: Expr, errors: &mut Errors) -> Option<Path> {
    let message = match &entry {
        Expr::Path(path) if path.qself.is_none() => return Some(path.path.clone()),
        Expr::Group(group) => return path((*group.expr).clone(), errors),
        Expr::Closure(_) => "a closure has no name: register it with `.callback_fn(\"name\", closure)`",
        Expr::Call(call) => {
            return refuse_call(&call.func, &entry, errors);
        }
        _ => "expected the name of a function that `#[callback]` was put on",
    };
    errors.at(&entry, message);
    None
}

fn refuse_call(function: &Expr, entry: &Expr, errors: &mut Errors) -> Option<Path> {
    let name = function.to_token_stream().to_string().replace(' ', "");
    errors.at(
        entry,
        format!("the name alone: `{name}`; an instance of a type is registered by itself, with `.callbacks(instance)`"),
    );
    None
}
