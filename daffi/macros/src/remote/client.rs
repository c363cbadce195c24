use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Visibility};

use super::definition::{Definition, RemoteMethod};
use crate::{attributes, signature::Returns};

/// Gives a type with a method for each method of the trait, which makes the call.
pub(crate) fn expand(Definition { item, client, methods }: &Definition, correct: bool) -> TokenStream {
    let visibility = &item.vis;
    let methods = methods.iter().filter(|_| correct).map(|definition| method(definition, visibility));
    let attrs: Vec<_> = attributes::named(&item.attrs, &["deprecated", "doc"]).collect();
    let cfgs = attributes::conditions(&item.attrs);
    let summary = format!("A [`{}`] on another node: every method is a call.\n\n", item.ident);
    quote! {
        #[doc = #summary]
        #(#attrs)*
        #(#cfgs)*
        #[allow(dead_code, reason = "a program may only call, or only serve")]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client {
            rpc: ::daffi::Rpc,
        }

        #(#cfgs)*
        #[allow(dead_code, reason = "a program may only call, or only serve")]
        #[allow(clippy::too_many_arguments, reason = "as many as the trait has")]
        #[allow(deprecated, reason = "the type may be deprecated as a whole")]
        impl #client {
            /// Calls over `client`, each method on any member that exposes it.
            #[must_use]
            #visibility fn new(client: ::daffi::Client) -> Self {
                Self { rpc: ::daffi::Client::rpc(&client) }
            }

            /// Calls in this way from now on, which sets receiver, timeout and format:
            /// `.with(client.rpc().timeout(after))`.
            #[must_use]
            #visibility fn with(mut self, rpc: ::daffi::Rpc) -> Self {
                self.rpc = rpc;
                self
            }

            #(#methods)*
        }
    }
}

fn method(RemoteMethod { item, options, signature, result }: &RemoteMethod, visibility: &Visibility) -> TokenStream {
    let ident = &item.sig.ident;
    let wire_name = options.wire_name(ident);
    let summary = attributes::named(&item.attrs, &["doc"]).next().is_none().then(|| {
        let text = format!("Calls `{wire_name}`.");
        quote!(#[doc = #text])
    });
    let attrs = attributes::named(&item.attrs, &["allow", "deprecated", "doc"]);
    let cfgs = attributes::conditions(&item.attrs);
    let generics = &item.sig.generics;
    let items = signature.params.items();
    let streams = matches!(signature.returns, Returns::Stream(_));
    let parameters = signature.params.arguments().filter_map(|param| {
        let (ident, ty) = (&param.ident, &param.ty);
        match items {
            // They are sent by what the method gives.
            Some((items, _)) if items == ident && streams => None,
            Some((items, item)) if items == ident => Some(quote! {
                #ident: impl ::daffi::__private::Stream<Item = #item>
            }),
            _ => Some(quote!(#ident: #ty)),
        }
    });
    let is_sent = |ident: &Ident| items.is_none_or(|(items, _)| items != ident);
    let arguments: Vec<_> = signature.params.arguments().filter(|param| is_sent(&param.ident)).collect();
    let sent = match &arguments[..] {
        [sole] if sole.is_shared() => {
            let sent = sole.send();
            quote!(::daffi::__private::Owned(#sent))
        }
        all => {
            let sent = all.iter().map(|param| param.send());
            quote!((#(#sent,)*))
        }
    };
    // `self` is hygienic: it must come from the same place as the method's own.
    let span = Span::call_site().located_at(ident.span());
    let (call, gives) = match (items, streams) {
        (None, false) => {
            (quote_spanned!(span=> ::daffi::Rpc::call(&self.rpc, #wire_name, #sent).await), result.clone())
        }
        (None, true) => (
            quote_spanned!(span=> ::daffi::Rpc::results(&self.rpc, #wire_name, #sent).await),
            quote!(::daffi::Results<#result>),
        ),
        (Some((ident, _)), false) => {
            (quote_spanned!(span=> ::daffi::Rpc::send(&self.rpc, #wire_name, #sent, #ident).await), result.clone())
        }
        (Some((_, item)), true) => (
            quote_spanned!(span=> ::daffi::Rpc::duplex(&self.rpc, #wire_name, #sent).await),
            quote!((::daffi::ItemSender<#item>, ::daffi::Results<#result>)),
        ),
    };
    quote! {
        #summary
        #(#attrs)*
        #(#cfgs)*
        #visibility async fn #ident #generics(
            &self,
            #(#parameters),*
        ) -> ::core::result::Result<#gives, ::daffi::CallError> {
            #call
        }
    }
}
