use proc_macro2::{Span, TokenStream};
use quote::quote;

use super::{
    calls::{Style, methods},
    definition::Definition,
};
use crate::{attributes, root::root};

/// Gives a type with a method for each method of the trait, which makes the call: to one member,
/// over a tower stack, without an answer, or to all members.
pub(crate) fn expand(definition: &Definition, correct: bool) -> TokenStream {
    let daffi = root(Span::call_site());
    let of = |style| methods(definition, style, correct);
    let (one, stack, nowait, cast) = (of(Style::One), of(Style::Stack), of(Style::Nowait), of(Style::Cast));
    let (making, stacking, further) = (making(definition), stacking(definition), further(definition));
    let client = &definition.client;
    let blocks = [
        quote!(impl #client { #making #one }),
        quote!(impl<S> #client<#daffi::tower::RpcOver<S>> { #stacking }),
        quote! {
            impl<S> #client<#daffi::tower::RpcOver<S>>
            where
                S: #daffi::__private::Service<#daffi::tower::Call> + ::core::clone::Clone,
                S::Response: #daffi::tower::ReadAnswer,
                S::Error: ::core::convert::Into<#daffi::BoxError>,
            {
                #stack
            }
        },
        quote!(impl #client<#daffi::RpcNowait> { #nowait }),
        quote!(impl #client<#daffi::Cast> { #further #cast }),
    ];
    let (declaration, cfgs) = (declaration(definition), attributes::conditions(&definition.item.attrs));
    let shared = quote! {
        #(#cfgs)*
        #[allow(dead_code, reason = "a program may only call, or only serve")]
        #[allow(clippy::too_many_arguments, reason = "as many as the trait has")]
        #[allow(deprecated, reason = "the type may be deprecated as a whole")]
    };
    quote!(#declaration #(#shared #blocks)*)
}

/// The type itself, whose parameter is the style of its calls.
fn declaration(Definition { item, client, .. }: &Definition) -> TokenStream {
    let (daffi, visibility) = (root(Span::call_site()), &item.vis);
    let attrs = attributes::find_named(&item.attrs, &["deprecated", "doc"]);
    let cfgs = attributes::conditions(&item.attrs);
    let summary = format!("A [`{}`] on another node: every method is a call.\n\n", item.ident);
    quote! {
        #[doc = #summary]
        #(#attrs)*
        #(#cfgs)*
        #[allow(dead_code, reason = "a program may only call, or only serve")]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client<S = #daffi::Rpc> {
            calls: S,
        }
    }
}

/// How a client is made that calls one member, and what it leads to.
fn making(Definition { item, client, .. }: &Definition) -> TokenStream {
    let (daffi, visibility) = (root(Span::call_site()), &item.vis);
    quote! {
        /// Calls over `client`, each method on any member that exposes it.
        #[must_use]
        #visibility fn new(client: #daffi::Client) -> Self {
            Self { calls: #daffi::Client::rpc(&client) }
        }

        /// Calls in this way from now on, which sets receiver, timeout, format and headers:
        /// `.with(client.rpc().header("tenant", "blue"))`.
        #[must_use]
        #visibility fn with(mut self, rpc: #daffi::Rpc) -> Self {
            self.calls = rpc;
            self
        }

        /// The same client whose calls have so much time.
        #[must_use]
        #visibility fn timeout(&self, timeout: ::core::time::Duration) -> Self {
            Self { calls: #daffi::Rpc::timeout(::core::clone::Clone::clone(&self.calls), timeout) }
        }

        /// The same client that calls this member.
        #[must_use]
        #visibility fn receiver(&self, name: impl ::core::convert::Into<::std::string::String>) -> Self {
            Self { calls: #daffi::Rpc::receiver(::core::clone::Clone::clone(&self.calls), name) }
        }

        /// The same calls, which nobody answers: a method returns once its call is queued.
        #[must_use]
        #visibility fn nowait(&self) -> #client<#daffi::RpcNowait> {
            #client { calls: #daffi::Rpc::to_nowait(&self.calls) }
        }

        /// The same calls to every member that exposes the method, or to the receiver that is set:
        /// a method gives what each answered, by name.
        #[must_use]
        #visibility fn cast(&self) -> #client<#daffi::Cast> {
            #client { calls: #daffi::Rpc::to_cast(&self.calls) }
        }
    }
}

/// The typed client over a tower stack.
fn stacking(Definition { item, .. }: &Definition) -> TokenStream {
    let (daffi, visibility) = (root(Span::call_site()), &item.vis);
    quote! {
        /// Calls through a tower stack around a client, `Client::into_service`: those methods whose
        /// arguments and results are one value each, and whose arguments can be owned.
        #[must_use]
        #visibility fn over(stack: S) -> Self {
            Self { calls: #daffi::Rpc::over(stack) }
        }

        /// The same client whose calls have so much time.
        #[must_use]
        #visibility fn timeout(&self, timeout: ::core::time::Duration) -> Self
        where
            S: ::core::clone::Clone,
        {
            Self { calls: #daffi::tower::RpcOver::timeout(::core::clone::Clone::clone(&self.calls), timeout) }
        }

        /// The same client that calls this member.
        #[must_use]
        #visibility fn receiver(&self, name: impl ::core::convert::Into<::std::string::String>) -> Self
        where
            S: ::core::clone::Clone,
        {
            Self { calls: #daffi::tower::RpcOver::receiver(::core::clone::Clone::clone(&self.calls), name) }
        }
    }
}

/// What is set of calls to many.
fn further(Definition { item, .. }: &Definition) -> TokenStream {
    let (daffi, visibility) = (root(Span::call_site()), &item.vis);
    quote! {
        /// The same client that calls only these members, each once.
        #[must_use]
        #visibility fn receivers<N: ::core::convert::Into<::std::string::String>>(
            &self,
            names: impl ::core::iter::IntoIterator<Item = N>,
        ) -> Self {
            Self { calls: #daffi::Cast::receivers(::core::clone::Clone::clone(&self.calls), names) }
        }
    }
}
