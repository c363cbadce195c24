//! Results that would borrow from what is lent to a function for the time of its call.

use syn::{
    FnArg, Lifetime, Pat, ReturnType, Type, TypeImplTrait, TypeParamBound, TypeReference,
    visit::{self, Visit},
};

use crate::{errors::Errors, types};

/// Notes a result that borrows from the instance or from a parameter, or that may: the compiler
/// would speak of what the macro writes.
pub(crate) fn check(signature: &syn::Signature, errors: &mut Errors) {
    let lent: Vec<_> = signature.inputs.iter().filter_map(Lent::read).collect();
    if let (ReturnType::Type(_, ty), false) = (&signature.output, lent.is_empty()) {
        Borrowing { lent, errors }.visit_type(ty);
    }
}

/// What a function has for the time of its call only.
struct Lent<'a> {
    /// As messages name it.
    name: String,
    lifetime: Option<&'a Lifetime>,
}

impl<'a> Lent<'a> {
    fn read(input: &'a FnArg) -> Option<Self> {
        let (name, ty) = match input {
            FnArg::Receiver(receiver) => ("self".to_owned(), &*receiver.ty),
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pat) => (pat.ident.to_string(), &*typed.ty),
                _ => return None,
            },
        };
        types::lent_reference(ty).map(|reference| Self { name, lifetime: reference.lifetime.as_ref() })
    }

    /// Whether a lifetime of the result is this one.
    fn is_of(&self, lifetime: &Lifetime) -> bool {
        self.lifetime.map_or_else(|| lifetime.ident == "_", |of| of.ident == lifetime.ident && of.ident != "static")
    }
}

struct Borrowing<'a, 'e> {
    lent: Vec<Lent<'a>>,
    errors: &'e mut Errors,
}

impl Visit<'_> for Borrowing<'_, '_> {
    fn visit_type_reference(&mut self, _: &TypeReference) {
        // It has its own message.
    }

    fn visit_type_impl_trait(&mut self, ty: &TypeImplTrait) {
        if says_what_it_borrows(ty) {
            return visit::visit_type_impl_trait(self, ty);
        }
        let Some(Lent { name, .. }) = self.lent.first() else { return };
        let instead = match types::stream_item(&Type::ImplTrait(ty.clone())) {
            Some(_) => "write `+ use<>` behind it, or `BoxStream<'static, T>`",
            None => "write `+ use<>` behind it, or name the type",
        };
        let message = format!("this may borrow from `{name}`, and is used after the call is over: {instead}");
        self.errors.at(ty, message);
    }

    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        if let Some(Lent { name, .. }) = self.lent.iter().find(|lent| lent.is_of(lifetime)) {
            let message = format!(
                "this borrows from `{name}`, and is used after the call is over: write `'static`, or an owned type"
            );
            self.errors.at(lifetime, message);
        }
    }
}

/// Whether it has a `use<..>`; else it borrows from all that it can, from edition 2024 on.
fn says_what_it_borrows(ty: &TypeImplTrait) -> bool {
    ty.bounds.iter().any(|bound| matches!(bound, TypeParamBound::PreciseCapture(_)))
}
