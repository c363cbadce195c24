use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{ReturnType, TraitItem, parse_quote, parse_quote_spanned, spanned::Spanned};

use super::definition::{Definition, RemoteMethod};
use crate::{
    attributes,
    registration::{Receiver, Registration, callbacks, instance},
    root::root,
};

/// Gives the trait, whose methods return futures that are `Send`, and which knows its callbacks.
pub(crate) fn expand(definition: &Definition, correct: bool) -> TokenStream {
    let mut item = definition.item.clone();
    item.attrs.push(parse_quote!(#[allow(dead_code, reason = "a program may only call, or only serve")]));
    item.colon_token.get_or_insert_default();
    item.supertraits.extend::<[syn::TypeParamBound; 3]>([
        parse_quote!(::core::marker::Send),
        parse_quote!(::core::marker::Sync),
        parse_quote!('static),
    ]);
    item.items.extend(definition.methods.iter().map(method));
    if correct {
        item.items.push(TraitItem::Verbatim(as_callbacks(definition)));
    }
    quote!(#item)
}

fn method(method: &RemoteMethod) -> TraitItem {
    let mut item = method.item.clone();
    let span = Span::call_site().located_at(item.sig.output.span());
    let output = match &item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    item.sig.asyncness = None;
    item.sig.output = parse_quote_spanned! {span=>
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
    TraitItem::Fn(item)
}

/// The methods that give the callbacks, of an instance or of what shares one.
fn as_callbacks(Definition { item, methods, .. }: &Definition) -> TokenStream {
    let (daffi, callbacks, instance) = (root(Span::call_site()), callbacks(), instance());
    let additions = methods.iter().map(|method| {
        let ident = &method.item.sig.ident;
        let cfgs = attributes::conditions(&method.item.attrs);
        let name = &item.ident;
        let registration = Registration {
            ident,
            options: &method.options,
            signature: &method.signature,
            callee: quote!(<Self as #name>::#ident),
            receiver: Some(Receiver::Ref),
        };
        let add = registration.to_tokens();
        quote! {
            #(#cfgs)*
            {
                let #instance = ::std::sync::Arc::clone(&#instance);
                #add
            }
        }
    });
    let (trait_name, shared) = (&item.ident, quote!(::std::sync::Arc<Self>));
    let of_shared = format!(
        "The methods as callbacks of an instance that the program keeps, or that implements several such traits: \
         `.callbacks({trait_name}::callbacks_of(Arc::clone(&instance)))`."
    );
    quote! {
        /// The methods as callbacks, to register:
        /// `Service::builder(..).callbacks(implementation.into_callbacks())`.
        #[must_use]
        fn into_callbacks(self) -> #daffi::Callbacks
        where
            Self: ::core::marker::Sized,
        {
            <Self as #trait_name>::callbacks_of(::std::sync::Arc::new(self))
        }

        #[doc = #of_shared]
        #[must_use]
        #[allow(deprecated, reason = "a deprecated method may still be served")]
        fn callbacks_of(#instance: #shared) -> #daffi::Callbacks
        where
            Self: ::core::marker::Sized,
        {
            let mut #callbacks = #daffi::Callbacks::new();
            {
                let #callbacks = &mut #callbacks;
                #(#additions)*
            }
            #callbacks
        }
    }
}
