use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Expr, ExprLit, FnArg, Lit, Meta, Pat, PatType, Type, ext::IdentExt, spanned::Spanned};

use crate::{attributes, errors::Errors, root::root, types};

/// The most parameters that `daffi_serde::Params` is implemented for.
const MAX_PARAMS: usize = 12;

/// The parameters of a callback, a receiver not counted.
#[derive(Default)]
pub(crate) struct Params {
    all: Vec<Param>,
}

/// One parameter.
pub(crate) struct Param {
    /// Its name in the source.
    pub(crate) ident: Ident,
    /// Its type in the source.
    pub(crate) ty: Type,
    role: Role,
}

enum Role {
    /// The context, which the node fills in and the function takes as `&Context` or by value.
    Context { by_ref: bool },
    /// Filled in with arguments that come one by one; a list of them is an argument.
    Items(Type),
    /// An argument of the call.
    Argument { passing: Passing, default: Option<Expr> },
}

/// How an argument gets from the wire into the function.
enum Passing {
    /// As the value itself, of this type, which names no lifetimes.
    Owned(Type),
    /// `&str`, of a `String` that the wrapper owns.
    Str,
    /// `&[u8]`, of `Bytes` that the wrapper owns.
    Bytes,
    /// `Option<&str>`, of an `Option<String>`.
    OptionalStr,
    /// `Option<&[u8]>`, of `Option<Bytes>`.
    OptionalBytes,
    /// `&[T]`, of a `Vec<T>`.
    Slice(Type),
    /// `&T`, of a `T`.
    Ref(Type),
}

impl Params {
    /// Reads the parameters and removes the attributes that are ours.
    pub(crate) fn read<'a>(inputs: impl IntoIterator<Item = &'a mut FnArg>, errors: &mut Errors) -> Self {
        let typed = inputs.into_iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
        let mut params = Self::default();
        for typed in typed {
            let Some(param) = Param::read(typed, errors) else { continue };
            match param.role {
                Role::Context { .. } if params.has_context() => {
                    errors.at(&typed.ty, "a callback has one context: remove this second `Context`");
                }
                _ if params.has_items() && !matches!(param.role, Role::Context { .. }) => errors.at(
                    typed,
                    "arguments that come one by one come behind all others: let `Incoming` be the last, and the only one",
                ),
                Role::Argument { .. } if params.arguments().count() == MAX_PARAMS => errors.at(
                    &*typed,
                    "a callback takes at most 12 arguments: put several into a struct that derives `Deserialize`",
                ),
                _ => {}
            }
            params.all.push(param);
        }
        params
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Param> {
        self.all.iter()
    }

    /// Whether the function takes a context.
    pub(crate) fn has_context(&self) -> bool {
        self.all.iter().any(|param| matches!(param.role, Role::Context { .. }))
    }

    /// Whether the last of its arguments come one by one.
    fn has_items(&self) -> bool {
        self.items().is_some()
    }

    /// The name of those that come one by one, and their type.
    pub(crate) fn items(&self) -> Option<(&Ident, &Type)> {
        self.all.iter().find_map(|param| match &param.role {
            Role::Items(item) => Some((&param.ident, item)),
            _ => None,
        })
    }

    /// The parameters that are arguments of the call, in order.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Param> {
        self.all.iter().filter(|param| !matches!(param.role, Role::Context { .. }))
    }

    /// The names of the arguments, as callers write them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.arguments().map(|param| param.ident.unraw().to_string()).collect()
    }
}

impl Param {
    fn read(typed: &mut PatType, errors: &mut Errors) -> Option<Self> {
        let defaults = attributes::take(&mut typed.attrs, "default");
        let default = read_default(&defaults, errors);
        for cfg in attributes::find_named(&typed.attrs, &["cfg", "cfg_attr"]) {
            errors.at(cfg, "the parameters of a callback can't depend on `cfg`: put it on the whole callback");
        }
        let role = role(&typed.ty, default, errors);
        if let (Role::Context { .. }, Some(attr)) = (&role, defaults.first()) {
            errors.at(attr, "a `Context` is filled in by the node and has no default");
        }
        match &*typed.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                Some(Self { ident: pat.ident.clone(), ty: (*typed.ty).clone(), role })
            }
            pat => {
                errors
                    .at(pat, "a parameter of a callback needs a plain name, which is the argument's name for callers");
                None
            }
        }
    }

    /// The type that the argument is read as; `None` for a context. When it cannot be read, an
    /// error points at the parameter's type.
    pub(crate) fn read_as(&self) -> Option<TokenStream> {
        let (span, daffi) = (self.span(), root(self.span()));
        if let Role::Items(item) = &self.role {
            return Some(quote_spanned!(span=> #daffi::__private::Defaulted<#daffi::__private::Given<#item>>));
        }
        let Role::Argument { passing, default } = &self.role else { return None };
        let owned = passing.read_type();
        let checked = quote_spanned!(span=> #daffi::__private::Checked<#owned>);
        Some(match default {
            Some(_) => quote_spanned!(span=> #daffi::__private::Defaulted<#checked>),
            None => checked,
        })
    }

    /// Takes the arguments that come one by one, for the callback of this name; `context` is that
    /// of the core.
    pub(crate) fn take_items(&self, local: &Ident, context: &Ident, name: &str) -> Option<TokenStream> {
        let Role::Items(item) = &self.role else { return None };
        let parameter = self.ident.unraw().to_string();
        let (span, daffi) = (self.span(), root(self.span()));
        Some(quote_spanned! {span=>
            let #local = #daffi::__private::incoming::<#item>(#local, #context, #name, #parameter);
        })
    }

    /// Puts the default in place of a missing argument.
    pub(crate) fn fill_in(&self, local: &Ident) -> Option<TokenStream> {
        let Role::Argument { passing, default: Some(default) } = &self.role else { return None };
        let (owned, at_default) = (passing.read_type(), root(default.span()));
        let value = match (passing, default) {
            // Text stands for any type that is made of text.
            (Passing::Owned(_) | Passing::Ref(_), Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => {
                quote_spanned!(default.span()=> ::core::convert::Into::into(#default))
            }
            (Passing::Owned(_) | Passing::Ref(_), _) => default.to_token_stream(),
            (Passing::OptionalStr, Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => quote_spanned! {default.span()=>
                ::core::option::Option::Some(::std::string::String::from(#default))
            },
            (Passing::OptionalStr, _) => quote_spanned! {default.span()=>
                ::core::option::Option::<&str>::map(#default, ::core::convert::Into::into)
            },
            (Passing::OptionalBytes, _) => quote_spanned! {default.span()=>
                ::core::option::Option::<&[u8]>::map(#default, #at_default::__private::Bytes::copy_from_slice)
            },
            (Passing::Str, _) => quote_spanned!(default.span()=> ::std::string::String::from(#default)),
            (Passing::Bytes, _) => {
                quote_spanned!(default.span()=> #at_default::__private::Bytes::copy_from_slice(#default))
            }
            (Passing::Slice(_), _) => quote_spanned!(default.span()=> ::std::vec::Vec::from(#default)),
        };
        let daffi = root(Span::call_site());
        Some(quote! {
            let #local: #owned = #daffi::__private::Defaulted::or_else(#local, || #value);
        })
    }

    /// The expression that hands a local variable to the function.
    pub(crate) fn pass(&self, local: &Ident) -> TokenStream {
        // The error is to point at the type when its `Context` is another type of that name.
        let local = Ident::new(&local.to_string(), local.span().located_at(self.ty.span()));
        match &self.role {
            Role::Context { by_ref: false } => local.into_token_stream(),
            Role::Context { by_ref: true } => quote!(&#local),
            Role::Items(_) => quote!(#local?),
            Role::Argument { passing, .. } => match passing {
                Passing::Owned(_) => local.into_token_stream(),
                Passing::OptionalStr | Passing::OptionalBytes => quote!(::core::option::Option::as_deref(&#local)),
                Passing::Str | Passing::Bytes | Passing::Slice(_) | Passing::Ref(_) => quote!(&#local),
            },
        }
    }

    /// The expression that makes an argument of what a typed client's method was given.
    pub(crate) fn send(&self) -> TokenStream {
        let (daffi, ident) = (root(Span::call_site()), &self.ident);
        match &self.role {
            Role::Argument { passing: Passing::OptionalBytes, .. } => {
                quote!(::core::option::Option::map(#ident, #daffi::__private::Bytes::copy_from_slice))
            }
            _ => ident.into_token_stream(),
        }
    }

    /// The type of [`send_owned`](Self::send_owned); `None`: it is no argument.
    pub(crate) fn owned_type(&self) -> Option<TokenStream> {
        let Role::Argument { passing, .. } = &self.role else { return None };
        Some(passing.read_type())
    }

    /// The expression that makes a value that can be kept of what a typed client's method was
    /// given. `None`: that takes more than is known of its type.
    pub(crate) fn send_owned(&self) -> Option<TokenStream> {
        let (daffi, ident) = (root(Span::call_site()), &self.ident);
        let Role::Argument { passing, .. } = &self.role else { return None };
        match passing {
            // Others name lifetimes.
            Passing::Owned(ty) if quote!(#ty).to_string() == self.ty.to_token_stream().to_string() => {
                Some(ident.into_token_stream())
            }
            Passing::Str => Some(quote!(::std::string::String::from(#ident))),
            Passing::Bytes => Some(quote!(#daffi::__private::Bytes::copy_from_slice(#ident))),
            Passing::OptionalStr => Some(
                quote!(::core::option::Option::map(#ident, <::std::string::String as ::core::convert::From<&str>>::from)),
            ),
            Passing::OptionalBytes => Some(self.send()),
            Passing::Owned(_) | Passing::Slice(_) | Passing::Ref(_) => None,
        }
    }

    /// Whether it is likely to be of a type whose bytes are sent from where they are.
    pub(crate) fn is_shared(&self) -> bool {
        types::is_name(&self.ty, "Bytes") || types::is_name(&self.ty, "Value")
    }

    /// A name for the variable that holds the parameter at this position.
    pub(crate) fn local(&self, index: usize) -> Ident {
        match self.role {
            Role::Context { .. } => format_ident!("__context", span = Span::mixed_site()),
            Role::Items(_) | Role::Argument { .. } => {
                format_ident!("__arg{index}", span = Span::mixed_site())
            }
        }
    }

    fn span(&self) -> Span {
        Span::mixed_site().located_at(self.ty.span())
    }
}

impl Passing {
    fn read(ty: &Type, errors: &mut Errors) -> Self {
        if let Type::Reference(reference) = types::peel(ty)
            && reference.mutability.is_none()
        {
            return match types::peel(&reference.elem) {
                elem if types::is_name(elem, "str") => Self::Str,
                Type::Slice(slice) if types::is_name(&slice.elem, "u8") => Self::Bytes,
                Type::Slice(slice) => Self::Slice(make_owned(&slice.elem, errors)),
                elem => Self::Ref(make_owned(elem, errors)),
            };
        }
        match optional_reference(ty) {
            Some(elem) if types::is_name(elem, "str") => Self::OptionalStr,
            Some(Type::Slice(slice)) if types::is_name(&slice.elem, "u8") => Self::OptionalBytes,
            _ => Self::Owned(make_owned(ty, errors)),
        }
    }

    /// The type that is read and that the wrapper owns.
    fn read_type(&self) -> TokenStream {
        let daffi = root(Span::call_site());
        match self {
            Self::Owned(ty) | Self::Ref(ty) => ty.to_token_stream(),
            Self::Str => quote!(::std::string::String),
            Self::Bytes => quote!(#daffi::__private::Bytes),
            Self::OptionalStr => quote!(::core::option::Option<::std::string::String>),
            Self::OptionalBytes => quote!(::core::option::Option<#daffi::__private::Bytes>),
            Self::Slice(ty) => quote!(::std::vec::Vec<#ty>),
        }
    }
}

/// The type as the wrapper names it, which owns its data.
fn make_owned(ty: &Type, errors: &mut Errors) -> Type {
    types::check_parameter(ty, errors);
    types::with_static_lifetimes(ty)
}

/// `T` of an `Option<&T>`.
fn optional_reference(ty: &Type) -> Option<&Type> {
    let option = types::last_segment(ty).filter(|last| last.ident == "Option")?;
    match types::peel(types::first_argument(option)?) {
        Type::Reference(reference) if reference.mutability.is_none() => Some(types::peel(&reference.elem)),
        _ => None,
    }
}

fn role(ty: &Type, default: Option<Expr>, errors: &mut Errors) -> Role {
    if types::is_name(ty, "Context") {
        return Role::Context { by_ref: false };
    }
    if let Type::Reference(reference) = types::peel(ty)
        && types::is_name(&reference.elem, "Context")
        && reference.mutability.is_none()
    {
        return Role::Context { by_ref: true };
    }
    if let Some(item) = types::last_segment(ty).filter(|last| last.ident == "Incoming").and_then(types::first_argument)
    {
        if default.is_some() {
            errors.at(ty, "arguments that come one by one have no default: none is an empty stream");
        }
        return Role::Items(make_owned(item, errors));
    }
    Role::Argument { passing: Passing::read(ty, errors), default }
}

fn read_default(attrs: &[Attribute], errors: &mut Errors) -> Option<Expr> {
    if let [_, second, ..] = attrs {
        errors.at(second, "a second default");
    }
    let attr = attrs.first()?;
    match &attr.meta {
        Meta::List(list) => errors.take(list.parse_args()),
        meta => {
            errors.at(meta, "a default is written `#[default(expression)]`");
            None
        }
    }
}
