use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};

use crate::{
    options::Options,
    signature::{Returns, Signature},
};

/// The statement that adds a function or method to a list of callbacks.
pub(crate) struct Registration<'a> {
    /// The name in the source; errors that concern no parameter point there.
    pub(crate) ident: &'a Ident,
    pub(crate) options: &'a Options,
    pub(crate) signature: &'a Signature,
    /// What is called, as a path.
    pub(crate) callee: TokenStream,
    /// The instance, for methods.
    pub(crate) receiver: Option<Receiver>,
}

/// How a method gets at its instance, which the variable [`instance`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// `&self` in an `Arc<Self>`.
    Ref,
    /// `self: Arc<Self>`.
    Arc,
    /// `&self` in an `Arc<RwLock<Self>>`.
    ReadLock,
    /// `&mut self` in an `Arc<RwLock<Self>>`.
    WriteLock,
}

/// The variable of type `&mut Callbacks` in the expansion.
pub(crate) fn callbacks() -> Ident {
    format_ident!("__callbacks", span = Span::mixed_site())
}

/// The variable that holds a shared instance in the expansion.
pub(crate) fn instance() -> Ident {
    format_ident!("__instance", span = Span::mixed_site())
}

impl Registration<'_> {
    /// The statement.
    pub(crate) fn to_tokens(&self) -> TokenStream {
        let span = Span::mixed_site().located_at(self.ident.span());
        let (callbacks, context) = (callbacks(), format_ident!("__context", span = Span::mixed_site()));
        let Self { options, signature: Signature { params, is_async, .. }, .. } = self;
        let name = options.wire_name(self.ident);
        let options = options.to_tokens(&params.names());

        let locals: Vec<_> = params.iter().enumerate().map(|(index, param)| (param.local(index), param)).collect();
        let arguments = locals.iter().filter_map(|(local, param)| Some((local, param.read_as()?)));
        let (names, types): (Vec<_>, Vec<_>) = arguments.unzip();
        let assertions = params.iter().filter_map(|param| param.assertion());
        let defaults = locals.iter().filter_map(|(local, param)| param.fill_in(local));
        let passed = locals.iter().map(|(local, param)| param.pass(local));

        let call = self.call(passed);
        let body = if *is_async {
            let share = self.share();
            quote_spanned!(span=> { #share async move { #(#defaults)* #call } })
        } else {
            quote_spanned!(span=> { #(#defaults)* #call })
        };
        let add = format_ident!("{}", if *is_async { "add_async" } else { "add_plain" }, span = span);
        quote_spanned! {span=>
            #(#assertions)*
            ::daffi::Callbacks::#add(
                #callbacks,
                #name,
                #options,
                move |(#(#names,)*): (#(#types,)*), #context: ::daffi::Context| #body,
            );
        }
    }

    /// A handle of the instance for one run of an async method.
    fn share(&self) -> Option<TokenStream> {
        let instance = instance();
        let span = Span::mixed_site().located_at(self.ident.span());
        self.receiver.map(|_| quote_spanned!(span=> let #instance = ::std::sync::Arc::clone(&#instance);))
    }

    /// Takes the lock if there is one, calls, and turns what was returned into a `Result<_, RemoteError>`.
    fn call(&self, passed: impl Iterator<Item = TokenStream>) -> TokenStream {
        let (callee, instance) = (&self.callee, instance());
        let Signature { returns, is_async, .. } = self.signature;
        let span = Span::mixed_site().located_at(self.ident.span());
        let (lock, receiver) = match self.receiver {
            None => (None, None),
            Some(Receiver::Ref) => (None, Some(quote_spanned!(span=> &#instance,))),
            Some(Receiver::Arc) => (None, Some(quote_spanned!(span=> ::std::sync::Arc::clone(&#instance),))),
            Some(Receiver::ReadLock) => {
                let guard = lock(&instance, *is_async, "read", span);
                (Some(quote_spanned!(span=> let #instance = #guard;)), Some(quote_spanned!(span=> &#instance,)))
            }
            Some(Receiver::WriteLock) => {
                let guard = lock(&instance, *is_async, "write", span);
                (Some(quote_spanned!(span=> let mut #instance = #guard;)), Some(quote_spanned!(span=> &mut #instance,)))
            }
        };
        let wait = is_async.then(|| quote_spanned!(span=> .await));
        let returned = format_ident!(
            "{}",
            match returns {
                Returns::Result(_) => "returned_result",
                Returns::Nothing | Returns::Value(_) => "returned",
            }
        );
        // At the return type, where a value that can't be written and an error that can't be shown are at fault.
        let at_output = Span::mixed_site().located_at(returns.span().unwrap_or_else(|| self.ident.span()));
        let call = quote_spanned!(span=> #callee(#receiver #(#passed),*) #wait);
        quote_spanned!(at_output=> #lock ::daffi::__private::#returned(#call))
    }
}

/// A plain method has a thread of the blocking pool to itself and may wait there; an async one must not hold up its thread.
fn lock(instance: &Ident, is_async: bool, access: &str, span: Span) -> TokenStream {
    let method = format_ident!("{}{access}", if is_async { "" } else { "blocking_" }, span = span);
    let wait = is_async.then(|| quote_spanned!(span=> .await));
    quote_spanned!(span=> ::daffi::__private::RwLock::#method(&#instance)#wait)
}
