use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{ImplItem, ItemImpl, parse_quote, spanned::Spanned};

use super::method::{Access, Method};
use crate::{
    attributes,
    errors::Errors,
    registration::{callbacks, instance},
};

/// Gives the block as it was, and implements `IntoCallbacks` for its type.
pub(crate) fn expand(options: TokenStream, mut block: ItemImpl) -> TokenStream {
    let mut errors = Errors::default();
    if !options.is_empty() {
        errors.at(options, "options belong on the methods: `#[callback(..)]` on one sets its name, blocking, ordered");
    }
    if let Some((_, path, _)) = &block.trait_ {
        errors.at(path, "the methods of a trait can't be exported here: use an `impl` block of the type itself");
    }
    for lifetime in block.generics.lifetimes() {
        errors.at(lifetime, "a node keeps what it exports: an exported type owns its data and has no lifetimes");
    }
    let functions = block.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(function) => Some(function),
        _ => None,
    });
    let mut methods: Vec<_> = functions.filter_map(|function| Method::read(function, &mut errors)).collect();
    if methods.is_empty() && errors.is_empty() {
        errors.at(&block.self_ty, "nothing to export: no `pub` method of this block has a `self` and a public name");
    }
    let locked = methods.iter().any(|method| method.access == Access::Exclusive);
    for method in methods.iter().filter(|method| locked && method.access == Access::Handle) {
        errors.at(
            method.name(),
            "with a `&mut self` method beside it the instance is behind a lock: take `&self` in place of `Arc<Self>`",
        );
    }
    let implementation = implementation(&block, &mut methods, locked, errors.is_empty());
    let errors = errors.into_tokens();
    quote! {
        #[allow(unreachable_pub, reason = "here `pub` says exported")]
        #block
        #errors
        #implementation
    }
}

/// After a mistake the implementation is there all the same, but empty, so that its uses raise no
/// further errors.
fn implementation(block: &ItemImpl, methods: &mut [Method], locked: bool, correct: bool) -> TokenStream {
    if block.trait_.is_some() {
        return TokenStream::new();
    }
    let (callbacks, instance) = (callbacks(), instance());
    let mut generics = block.generics.clone();
    if !generics.params.is_empty() {
        // Which types can be shared is known where an instance is registered.
        let shared = parse_quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static);
        generics.make_where_clause().predicates.push(shared);
    }
    let (generics, _, where_clause) = generics.split_for_impl();
    let (self_ty, cfgs) = (&block.self_ty, attributes::conditions(&block.attrs));
    let additions = methods.iter_mut().filter(|_| correct).map(|method| method.registration(locked));
    let wrapped = if locked { quote!(::daffi::__private::RwLock::new(self)) } else { quote!(self) };
    let span = Span::mixed_site().located_at(self_ty.span());
    let assertion = correct.then(|| quote_spanned!(span=> ::daffi::__private::assert_shared::<Self>();));
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated, reason = "a deprecated method may still be served")]
        impl #generics ::daffi::IntoCallbacks for #self_ty #where_clause {
            fn into_callbacks(self) -> ::daffi::Callbacks {
                #assertion
                let #instance = ::std::sync::Arc::new(#wrapped);
                let mut #callbacks = ::daffi::Callbacks::new();
                {
                    let #callbacks = &mut #callbacks;
                    #(#additions)*
                }
                #callbacks
            }
        }
    }
}
