//! What the macros know of types: only how they are written.

use syn::{
    GenericArgument, Lifetime, PathArguments, PathSegment, Type, TypeImplTrait, TypeParamBound, TypeReference,
    TypeTraitObject,
    visit::{self, Visit},
    visit_mut::VisitMut,
};

use crate::errors::Errors;

/// The type without the invisible groups that `macro_rules` put around it.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        _ => ty,
    }
}

/// The last segment of a path type.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peel(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// `T` of a segment `Name<T, ..>`.
pub(crate) fn first_argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// `T` of `impl Stream<Item = T>`, and of `BoxStream<'_, T>`.
pub(crate) fn stream_item(ty: &Type) -> Option<&Type> {
    match peel(ty) {
        Type::ImplTrait(bounds) => bounds.bounds.iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => {
                let last = bound.path.segments.last().filter(|last| last.ident == "Stream")?;
                let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
                arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
                    _ => None,
                })
            }
            _ => None,
        }),
        _ => last_segment(ty).filter(|last| last.ident == "BoxStream").and_then(first_argument),
    }
}

/// The reference of `&T` and `Option<&T>`, which is to what the function does not own.
pub(crate) fn lent_reference(ty: &Type) -> Option<&TypeReference> {
    let ty = match last_segment(ty).filter(|last| last.ident == "Option") {
        Some(option) => first_argument(option)?,
        None => ty,
    };
    match peel(ty) {
        Type::Reference(reference) => Some(reference),
        _ => None,
    }
}

/// Whether `impl Trait` stands somewhere in the type.
pub(crate) fn has_impl(ty: &Type) -> bool {
    struct Finds(bool);
    impl Visit<'_> for Finds {
        fn visit_type_impl_trait(&mut self, _: &TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut finds = Finds(false);
    finds.visit_type(ty);
    finds.0
}

/// Whether the type is written as this name, without arguments.
pub(crate) fn is_name(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == name && last.arguments.is_none())
}

/// Notes what no parameter may be or hold.
pub(crate) fn check_parameter(ty: &Type, errors: &mut Errors) {
    ParameterRules(errors).visit_type(ty);
}

struct ParameterRules<'a>(&'a mut Errors);

impl Visit<'_> for ParameterRules<'_> {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        self.0.at(
            reference,
            "an argument is lent as a whole only, as `&T`, `&[T]`, `&str` or `Option<&str>`: take an owned type here, \
             as `String` for `&str` or `Vec<T>` for `&[T]`",
        );
    }

    fn visit_type_trait_object(&mut self, ty: &TypeTraitObject) {
        self.0.at(ty, "an argument is read into one type, known when the callback is compiled: name the type");
    }

    fn visit_type_impl_trait(&mut self, ty: &TypeImplTrait) {
        self.0.at(ty, "an argument is read into one type, known when the callback is compiled: name the type");
    }
}

/// The type with `'static` for all its lifetimes, as what is read borrows from nothing.
pub(crate) fn with_static_lifetimes(ty: &Type) -> Type {
    struct Static;
    impl VisitMut for Static {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            lifetime.ident = syn::Ident::new("static", lifetime.ident.span());
        }
    }
    let mut ty = ty.clone();
    Static.visit_type_mut(&mut ty);
    ty
}

/// Notes what no result may hold.
pub(crate) fn check_result(ty: &Type, errors: &mut Errors) {
    ResultRules(errors).visit_type(ty);
}

struct ResultRules<'a>(&'a mut Errors);

impl Visit<'_> for ResultRules<'_> {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        if reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") {
            self.0.at(
                reference,
                "a result is written after the call is over: return an owned type, as `String` for `&str`",
            );
        }
        visit::visit_type_reference(self, reference);
    }
}
