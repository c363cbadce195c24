use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Visibility, parse_quote};

use super::definition::{Definition, RemoteMethod};
use crate::{attributes, params::Param, root::root, signature::Returns};

/// How the methods of a typed client call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// One member, which answers.
    One,
    /// One member, which answers, through a tower stack.
    Stack,
    /// One member, which does not answer.
    Nowait,
    /// All members.
    Cast,
}

/// The methods of one style: those that can be called so.
pub(super) fn methods(Definition { item, methods, .. }: &Definition, style: Style, correct: bool) -> TokenStream {
    let methods = methods.iter().filter(|_| correct).filter_map(|definition| method(definition, style, &item.vis));
    quote!(#(#methods)*)
}

fn method(definition: &RemoteMethod, style: Style, visibility: &Visibility) -> Option<TokenStream> {
    let RemoteMethod { item, options, signature, .. } = definition;
    let ident = &item.sig.ident;
    let wire_name = options.wire_name(ident);
    let summary = attributes::find_named(&item.attrs, &["doc"]).next().is_none().then(|| {
        let text = format!("Calls `{wire_name}`.");
        quote!(#[doc = #text])
    });
    let attrs = attributes::find_named(&item.attrs, &["allow", "deprecated", "doc"]);
    let cfgs = attributes::conditions(&item.attrs);
    let generics = &item.sig.generics;
    let items = signature.params.items().map(|(ident, _)| ident);
    let arguments: Vec<_> = signature.params.arguments().filter(|param| Some(&param.ident) != items).collect();
    let parameters = arguments.iter().map(|param| {
        let (ident, ty) = (&param.ident, &param.ty);
        quote!(#ident: #ty)
    });
    let items = items_parameter(definition);
    // What the future holds of the call is the source of the items alone.
    let mut generics = generics.clone();
    if items.is_some() {
        generics.params.insert(0, parse_quote!('__daffi));
    }
    let parameters = parameters.chain(items);
    let sent = send_arguments(&arguments, style)?;
    let (call, gives) = call(definition, style, &wire_name, &sent)?;
    // An argument that is shared between attempts must be one that threads can share.
    let shared = (style == Style::Stack).then(|| {
        let types = arguments.iter().filter_map(|param| param.owned_type());
        quote!(where for<'__daffi> (#(#types,)*): ::core::marker::Send + ::core::marker::Sync)
    });
    Some(quote! {
        #summary
        #(#attrs)*
        #(#cfgs)*
        #visibility fn #ident #generics(&self, #(#parameters),*) -> #gives #shared {
            #call
        }
    })
}

/// The parameter for arguments that go one by one, unless what the method gives sends them.
fn items_parameter(RemoteMethod { signature, .. }: &RemoteMethod) -> Option<TokenStream> {
    let (ident, item) = signature.params.items()?;
    let is_sent = !matches!(signature.returns, Returns::Stream(_));
    let daffi = root(Span::call_site());
    is_sent.then(|| quote!(#ident: impl #daffi::__private::Stream<Item = #item> + ::core::marker::Send + '__daffi))
}

/// The arguments as they are sent; `None`: they cannot be.
fn send_arguments(arguments: &[&Param], style: Style) -> Option<TokenStream> {
    if style == Style::Stack {
        // The call may be made again, so it owns them.
        let owned: Option<Vec<_>> = arguments.iter().map(|param| param.send_owned()).collect();
        let owned = owned?;
        return Some(quote!((#(#owned,)*)));
    }
    Some(match arguments {
        [sole] if sole.is_shared() => {
            let (daffi, sent) = (root(Span::call_site()), sole.send());
            quote!(#daffi::__private::Owned(#sent))
        }
        all => {
            let sent = all.iter().map(|param| param.send());
            quote!((#(#sent,)*))
        }
    })
}

/// The call and the future that it is; `None`: there is no such call.
fn call(definition: &RemoteMethod, style: Style, name: &str, sent: &TokenStream) -> Option<(TokenStream, TokenStream)> {
    let RemoteMethod { item, signature, result, .. } = definition;
    let (daffi, streams) = (root(Span::call_site()), matches!(signature.returns, Returns::Stream(_)));
    // `self` is hygienic: it must come from the same place as the method's own.
    let span = Span::call_site().located_at(item.sig.ident.span());
    let calls = quote_spanned!(span=> &self.calls);
    let plain = |path: TokenStream, gives: TokenStream| Some((quote!(#path(#calls, #name, #sent)), gives));
    let boxed = |lifetime: TokenStream, gives: TokenStream| quote!(#daffi::__private::BoxFuture<#lifetime, ::core::result::Result<#gives, #daffi::CallError>>);
    let fixed = |gives| boxed(quote!('static), gives);
    match (style, signature.params.items(), streams) {
        (Style::One, None, false) => plain(quote!(#daffi::Rpc::call), quote!(#daffi::Calling<'static, #result>)),
        (Style::One, None, true) => plain(quote!(#daffi::Rpc::results), fixed(quote!(#daffi::Results<#result>))),
        (Style::One, Some((items, _)), false) => {
            let call = quote!(#daffi::Rpc::send(#calls, #name, #sent, #items));
            Some((call, boxed(quote!('__daffi), quote!(#result))))
        }
        (Style::One, Some((_, item)), true) => {
            let gives = quote!((#daffi::ItemSender<#item>, #daffi::Results<#result>));
            plain(quote!(#daffi::Rpc::duplex), fixed(gives))
        }
        (Style::Stack, None, false) => {
            plain(quote!(#daffi::tower::RpcOver::call), quote!(#daffi::tower::CallingOver<'static, #result, S>))
        }
        (Style::Nowait, None, false) => plain(quote!(#daffi::RpcNowait::call), quote!(#daffi::Queueing<'static>)),
        (Style::Cast, None, false) => plain(quote!(#daffi::Cast::call), fixed(quote!(#daffi::Answers<#result>))),
        (Style::Cast, None, true) => plain(quote!(#daffi::Cast::results), fixed(quote!(#daffi::CastResults<#result>))),
        (Style::Stack | Style::Nowait, None, true) | (Style::Stack | Style::Nowait | Style::Cast, Some(_), _) => None,
    }
}
