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
pub(crate) enum Returns {
    Nothing,
    Value(Type),
    /// The type as it is written, `Result<T, E>` or an alias of that name.
    Result(Type),
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
        match types::last_segment(ty) {
            Some(last) if last.ident == "Result" => Self::Result((**ty).clone()),
            _ => Self::Value((**ty).clone()),
        }
    }

    /// Where it is written.
    pub(crate) fn span(&self) -> Option<Span> {
        match self {
            Self::Nothing => None,
            Self::Value(ty) | Self::Result(ty) => Some(syn::spanned::Spanned::span(ty)),
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
