use proc_macro2::Span;
use syn::{FnArg, GenericParam, ReturnType, Type};

use crate::{errors::Errors, params::Params, types};

/// A function as its callers on the wire see it.
pub(crate) struct Signature {
    pub(crate) params: Params,
    pub(crate) returns: Returns,
    pub(crate) is_async: bool,
}

/// What a function returns.
#[expect(clippy::large_enum_variant, reason = "a macro reads one at a time and keeps none")]
pub(crate) enum Returns {
    Nothing,
    Value(Type),
    /// The type as it is written, `Result<T, E>` or an alias of that name.
    Result(Type),
    /// A stream of results.
    Stream(Streamed),
}

/// A stream that a function returns.
pub(crate) struct Streamed {
    /// The type as it is written, with the `Result` around it if there is one.
    pub(crate) ty: Type,
    /// The type of its items, without the `Result` around it.
    pub(crate) item: Type,
    /// Whether its items can be errors.
    pub(crate) is_fallible: bool,
    /// Whether the function itself can fail.
    pub(crate) in_result: bool,
}

impl Streamed {
    fn read(ty: &Type) -> Option<Self> {
        let last = types::last_segment(ty);
        let inner = last.filter(|last| last.ident == "Result").and_then(types::first_argument);
        let item = types::stream_item(inner.unwrap_or(ty))?;
        let fallible = types::last_segment(item).filter(|last| last.ident == "Result").and_then(types::first_argument);
        Some(Self {
            ty: ty.clone(),
            item: fallible.unwrap_or(item).clone(),
            is_fallible: fallible.is_some(),
            in_result: inner.is_some(),
        })
    }
}

impl Signature {
    /// Reads a signature and removes the attributes that are ours.
    pub(crate) fn read(signature: &mut syn::Signature, errors: &mut Errors) -> Self {
        refuse_qualifiers(signature, errors);
        Self {
            params: Params::read(&mut signature.inputs, errors),
            returns: Returns::read(&signature.output, errors),
            is_async: signature.asyncness.is_some(),
        }
    }
}

impl Returns {
    fn read(output: &ReturnType, errors: &mut Errors) -> Self {
        let ReturnType::Type(_, ty) = output else { return Self::Nothing };
        types::check_result(ty, errors);
        if let Some(streamed) = Streamed::read(ty) {
            return Self::Stream(streamed);
        }
        match types::last_segment(ty) {
            Some(last) if last.ident == "Result" => Self::Result((**ty).clone()),
            _ => Self::Value((**ty).clone()),
        }
    }

    /// Where it is written.
    pub(crate) fn span(&self) -> Option<Span> {
        match self {
            Self::Nothing => None,
            Self::Value(ty) | Self::Result(ty) | Self::Stream(Streamed { ty, .. }) => {
                Some(syn::spanned::Spanned::span(ty))
            }
        }
    }
}

fn refuse_qualifiers(signature: &syn::Signature, errors: &mut Errors) {
    if let Some(token) = &signature.constness {
        errors.at(token, "a callback can't be `const`: remove it, or call the const function from the callback");
    }
    if let Some(token) = &signature.unsafety {
        errors.at(token, "a callback can't be `unsafe`: its arguments come from other nodes");
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "a callback can't be `extern`: call the extern function from the callback");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a callback can't be variadic: take a `Vec<T>`");
    }
    let generics = &signature.generics;
    for param in generics.params.iter().filter(|param| !matches!(param, GenericParam::Lifetime(_))) {
        errors.at(param, "a callback can't be generic, since its arguments are read into its types: name the types");
    }
    if let Some(clause) = &generics.where_clause {
        errors.at(clause, "a callback can't have a `where` clause");
    }
}

/// The receiver of a method.
pub(crate) fn receiver(signature: &syn::Signature) -> Option<&syn::Receiver> {
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) => Some(receiver),
        _ => None,
    }
}
