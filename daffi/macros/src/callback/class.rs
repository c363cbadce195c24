use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{ImplItem, ItemImpl, Type, parse::Parser, parse_quote, spanned::Spanned};

use super::method::{Access, Method};
use crate::{
    attributes,
    errors::Errors,
    options::read_crate,
    registration::{callbacks, instance},
    root::root,
};

/// Gives the block as it was, and implements `IntoCallbacks` for its type, and for what shares an
/// instance of it where that needs no lock.
pub(crate) fn expand(options: TokenStream, mut block: ItemImpl) -> TokenStream {
    let mut errors = Errors::default();
    let parser = syn::meta::parser(|meta| match read_crate(&meta)? {
        true => Ok(()),
        false => {
            Err(meta.error("options belong on the methods: `#[callback(..)]` on one sets its name, blocking, ordered"))
        }
    });
    errors.take(parser.parse2(options));
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
    methods.iter_mut().filter(|_| locked).for_each(|method| method.set_locked(&mut errors));
    let implementation = implementation(&block, &methods, locked, errors.is_empty());
    let errors = errors.into_tokens();
    quote! {
        #[allow(unreachable_pub, reason = "here `pub` says exported")]
        #block
        #errors
        #implementation
    }
}

/// After a mistake the implementations are there all the same, but empty, so that their uses raise
/// no further errors.
fn implementation(block: &ItemImpl, methods: &[Method], locked: bool, correct: bool) -> TokenStream {
    if block.trait_.is_some() {
        return TokenStream::new();
    }
    let mut generics = block.generics.clone();
    if !generics.params.is_empty() {
        // Which types can be shared is known where an instance is registered.
        let shared = parse_quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static);
        generics.make_where_clause().predicates.push(shared);
    }
    let (generics, _, where_clause) = generics.split_for_impl();
    let (self_ty, cfgs) = (&block.self_ty, attributes::conditions(&block.attrs));
    let implement = |of: TokenStream, function: TokenStream| {
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            #[allow(deprecated, reason = "a deprecated method may still be served")]
            impl #generics #of for #self_ty #where_clause {
                #function
            }
        }
    };
    let (daffi, instance) = (root(Span::call_site()), instance());
    let list = list(self_ty, methods, locked, correct);
    let (into, shared) = (quote!(#daffi::IntoCallbacks), quote!(#daffi::SharedCallbacks));
    if locked {
        let lock = quote!(::std::sync::Arc::new(#daffi::__private::RwLock::new(self)));
        return implement(into, quote!(fn into_callbacks(self) -> #daffi::Callbacks { let #instance = #lock; #list }));
    }
    let of_shared = quote!(<Self as #shared>::callbacks_of(::std::sync::Arc::new(self)));
    let into = implement(into, quote!(fn into_callbacks(self) -> #daffi::Callbacks { #of_shared }));
    let callbacks_of = quote! {
        fn callbacks_of(#instance: ::std::sync::Arc<Self>) -> #daffi::Callbacks { #list }
    };
    let shared = implement(shared, callbacks_of);
    quote!(#into #shared)
}

/// The statements that make the list of callbacks of the shared instance.
fn list(self_ty: &Type, methods: &[Method], locked: bool, correct: bool) -> TokenStream {
    let (daffi, callbacks) = (root(Span::call_site()), callbacks());
    let additions = methods.iter().filter(|_| correct).map(|method| method.registration(locked));
    let span = Span::mixed_site().located_at(self_ty.span());
    let daffi_there = root(span);
    let assertion = correct.then(|| quote_spanned!(span=> #daffi_there::__private::assert_shared::<Self>();));
    quote! {
        #assertion
        let mut #callbacks = #daffi::Callbacks::new();
        {
            let #callbacks = &mut #callbacks;
            #(#additions)*
        }
        #callbacks
    }
}
