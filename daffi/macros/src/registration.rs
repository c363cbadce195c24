use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};

use crate::{
    options::Options,
    root::root,
    signature::{Returns, Signature, Streamed},
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
    Ident::new("__callbacks", Span::mixed_site())
}

/// The variable that holds a shared instance in the expansion.
pub(crate) fn instance() -> Ident {
    Ident::new("__instance", Span::mixed_site())
}

impl Registration<'_> {
    /// The statement itself.
    pub(crate) fn to_tokens(&self) -> TokenStream {
        let span = Span::mixed_site().located_at(self.ident.span());
        let (daffi, callbacks, context) = (root(span), callbacks(), Ident::new("__context", Span::mixed_site()));
        let Self { options, signature: Signature { params, is_async, .. }, .. } = self;
        let name = options.wire_name(self.ident);
        let options = options.to_tokens(&params.names());
        let pieces =
            params.items().map(|(_, item)| quote_spanned!(span=> .pieces(#daffi::__private::are_bytes::<#item>())));
        let options = quote_spanned!(span=> #options #pieces);

        let locals: Vec<_> = params.iter().enumerate().map(|(index, param)| (param.local(index), param)).collect();
        let arguments = locals.iter().filter_map(|(local, param)| Some((local, param.read_as()?)));
        let (names, types): (Vec<_>, Vec<_>) = arguments.unzip();
        let defaults = locals.iter().filter_map(|(local, param)| param.fill_in(local));
        let items: Vec<_> =
            locals.iter().filter_map(|(local, param)| param.take_items(local, &context, &name)).collect();
        let passed = locals.iter().map(|(local, param)| param.pass(local));

        let call = self.call(passed);
        let own =
            params.has_context().then(|| quote_spanned!(span=> let #context = #daffi::__private::context(#context);));
        let body = if *is_async {
            let share = self.share();
            quote_spanned!(span=> { #share #(#items)* #own async move { #(#defaults)* #call } })
        } else {
            quote_spanned!(span=> { #(#items)* #own #(#defaults)* #call })
        };
        let add = match (&self.signature.returns, is_async) {
            (Returns::Stream(_), true) => "add_async_stream",
            (Returns::Stream(_), false) => "add_plain_stream",
            (_, true) => "add_async",
            (_, false) => "add_plain",
        };
        let errors = match &self.signature.returns {
            Returns::Result(_) | Returns::Stream(Streamed { is_fallible: true, .. }) => "TakenOut",
            Returns::Nothing | Returns::Value(_) | Returns::Stream(_) => "NotSeen",
        };
        let (add, errors) = (Ident::new(add, span), Ident::new(errors, span));
        quote_spanned! {span=>
            #daffi::Callbacks::#add(
                #callbacks,
                #name,
                #options,
                #daffi::__private::ErrorsAre::#errors,
                move |(#(#names,)*): (#(#types,)*), #context: &#daffi::__private::CoreContext| #body,
            );
        }
    }

    /// A handle of the instance for one run of an async method.
    fn share(&self) -> Option<TokenStream> {
        let instance = instance();
        let span = Span::mixed_site().located_at(self.ident.span());
        self.receiver.map(|_| quote_spanned!(span=> let #instance = ::std::sync::Arc::clone(&#instance);))
    }

    /// Takes the lock if there is one, calls, and turns what was returned into a `Result<_,
    /// RemoteError>`.
    fn call(&self, passed: impl Iterator<Item = TokenStream>) -> TokenStream {
        let Signature { returns, is_async, .. } = self.signature;
        let span = Span::mixed_site().located_at(self.ident.span());
        let (callee, (lock, receiver)) = (&self.callee, self.access(span));
        let wait = is_async.then(|| quote_spanned!(span=> .await));
        let call = quote_spanned!(span=> #callee(#receiver #(#passed),*) #wait);
        // Errors point at the return type, which is at fault when a value can't be written or an
        // error can't be shown.
        let span = returns.span().map_or(span, |output| span.located_at(output));
        let returned = match returns {
            Returns::Result(_) => "returned_result",
            Returns::Nothing | Returns::Value(_) => "returned",
            Returns::Stream(Streamed { is_fallible: true, .. }) => "returned_fallible_stream",
            Returns::Stream(_) => "returned_stream",
        };
        let (daffi, result, returned) = (root(span), Ident::new("__result", span), Ident::new(returned, span));
        let take = match returns {
            Returns::Stream(Streamed { in_result: true, .. }) => {
                quote_spanned!(span=> let #result = ::core::result::Result::map_err(#result, #daffi::remote_error)?;)
            }
            _ => TokenStream::new(),
        };
        quote_spanned!(span=> #lock let #result = #call; #take #daffi::__private::#returned(#result))
    }

    /// The statement that takes the lock, and the first argument of the call.
    fn access(&self, span: Span) -> (Option<TokenStream>, Option<TokenStream>) {
        let instance = instance();
        match self.receiver {
            None => (None, None),
            Some(Receiver::Ref) => (None, Some(quote_spanned!(span=> &#instance,))),
            Some(Receiver::Arc) => (None, Some(quote_spanned!(span=> ::std::sync::Arc::clone(&#instance),))),
            Some(Receiver::ReadLock) => {
                let guard = self.guard("read", span);
                (Some(quote_spanned!(span=> let #instance = #guard;)), Some(quote_spanned!(span=> &#instance,)))
            }
            Some(Receiver::WriteLock) => {
                let guard = self.guard("write", span);
                (Some(quote_spanned!(span=> let mut #instance = #guard;)), Some(quote_spanned!(span=> &mut #instance,)))
            }
        }
    }

    /// A plain method has a thread of the blocking pool to itself and may wait there; an async one
    /// must not hold up its thread.
    fn guard(&self, access: &str, span: Span) -> TokenStream {
        let (daffi, instance) = (root(span), instance());
        if self.signature.is_async {
            let access = Ident::new(access, span);
            quote_spanned!(span=> #daffi::__private::RwLock::#access(&#instance).await)
        } else {
            let access = format_ident!("blocking_{access}", span = span);
            quote_spanned!(span=> #daffi::__private::RwLock::#access(&#instance))
        }
    }
}
