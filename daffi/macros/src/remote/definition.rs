use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{Ident, ItemTrait, LitStr, TraitItem, TraitItemFn, Type, ext::IdentExt, parse::Parser};

use crate::{
    attributes,
    errors::Errors,
    options::{Options, read_crate},
    signature::{Returns, Signature, Streamed, receiver},
    types,
};

/// A trait that `#[remote]` was put on, without the attributes that are ours.
pub(crate) struct Definition {
    pub(crate) item: ItemTrait,
    /// The name of the client's type.
    pub(crate) client: Ident,
    pub(crate) methods: Vec<RemoteMethod>,
}

/// A method, which is a call on one end and a callback on the other.
pub(crate) struct RemoteMethod {
    pub(crate) item: TraitItemFn,
    pub(crate) options: Options,
    pub(crate) signature: Signature,
    /// What a call of it gives, errors aside.
    pub(crate) result: TokenStream,
}

/// Names that the macro itself puts on the trait and on the client.
const TAKEN: [&str; 10] =
    ["callbacks_of", "cast", "into_callbacks", "new", "nowait", "over", "receiver", "receivers", "timeout", "with"];

impl Definition {
    pub(crate) fn read(options: TokenStream, mut item: ItemTrait, errors: &mut Errors) -> Self {
        let client = client_name(options, &item.ident, errors);
        if !item.generics.params.is_empty() {
            errors.at(&item.generics, "a remote trait can't be generic, since arguments are read into its types");
        }
        if let Some(token) = &item.unsafety {
            errors.at(token, "a remote trait can't be `unsafe`: its arguments come from other nodes");
        }
        if let Some(token) = &item.auto_token {
            errors.at(token, "a remote trait can't be `auto`");
        }
        let mut methods = Vec::new();
        for item in std::mem::take(&mut item.items) {
            match item {
                TraitItem::Fn(method) => methods.push(RemoteMethod::read(method, errors)),
                other => errors.at(other, "a remote trait has methods only"),
            }
        }
        if methods.is_empty() && errors.is_empty() {
            errors.at(&item.ident, "a remote trait needs at least one method");
        }
        Self { item, client, methods }
    }
}

impl RemoteMethod {
    fn read(mut item: TraitItemFn, errors: &mut Errors) -> Self {
        let ident = &item.sig.ident;
        if TAKEN.contains(&ident.unraw().to_string().as_str()) {
            errors.at(
                ident,
                format!(
                    "`{ident}` is a method of what `#[remote]` makes: choose another and write \
                     `#[callback(name = \"{ident}\")]`"
                ),
            );
        }
        match receiver(&item.sig) {
            Some(receiver) if is_shared_self(receiver) => {}
            Some(receiver) => errors.at(receiver, "calls share the implementation: take `&self`"),
            None => errors.at(&item.sig, "a remote method takes `&self`"),
        }
        item.semi_token.get_or_insert_default();
        if let Some(body) = item.default.take() {
            errors.at(body, "a remote method has no body here: the implementation has it");
        }
        attributes::refuse_conditional(&mut item.attrs, &["callback"], errors);
        let callback = attributes::take(&mut item.attrs, "callback");
        let options = Options::read_attributes(&callback, errors);
        // Plain or async, a call over the network is a future on both ends.
        let signature = Signature { is_async: true, ..Signature::read(&mut item.sig, errors) };
        options.check(signature.is_async, errors);
        let result = result(&signature.returns, errors);
        Self { item, options, signature, result }
    }
}

fn is_shared_self(receiver: &syn::Receiver) -> bool {
    match types::peel(&receiver.ty) {
        Type::Reference(reference) => reference.mutability.is_none() && types::is_name(&reference.elem, "Self"),
        _ => false,
    }
}

fn result(returns: &Returns, errors: &mut Errors) -> TokenStream {
    match returns {
        Returns::Nothing => quote!(()),
        Returns::Value(ty) => {
            if let Type::ImplTrait(_) = types::peel(ty) {
                errors.at(ty, "the client reads the result into one type: name it (the future around it is added)");
            }
            ty.to_token_stream()
        }
        Returns::Stream(Streamed { ty, item, .. }) => {
            if types::has_impl(ty) {
                errors.at(ty, "a remote method returns a stream that outlives the call: write `BoxStream<'static, T>`");
            }
            item.to_token_stream()
        }
        Returns::Result(ty) => match types::last_segment(ty).and_then(types::first_argument) {
            Some(ok) => ok.to_token_stream(),
            None => {
                errors.at(ty, "the client must know the type of the result: write `Result<T, E>`");
                quote!(())
            }
        },
    }
}

fn client_name(options: TokenStream, item: &Ident, errors: &mut Errors) -> Ident {
    let mut name = None;
    let parser = syn::meta::parser(|meta| {
        if read_crate(&meta)? {
            return Ok(());
        }
        if !meta.path.is_ident("client") {
            return Err(meta.error("unknown option: there are `client = \"..\"` and `crate = path`"));
        }
        name = Some(meta.value()?.parse::<LitStr>()?.parse()?);
        Ok(())
    });
    let parsed = parser.parse2(options);
    errors.take(parsed);
    name.unwrap_or_else(|| format_ident!("{item}Client"))
}
