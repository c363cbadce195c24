use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Ident, ImplItemFn, Type, Visibility, ext::IdentExt};

use crate::{
    attributes, borrowing,
    errors::Errors,
    options::Options,
    registration::{Receiver, Registration},
    signature::{Signature, receiver},
    types,
};

/// An exported method of a class.
pub(crate) struct Method {
    ident: Ident,
    cfgs: Vec<Attribute>,
    options: Options,
    signature: Signature,
    pub(crate) access: Access,
}

/// What a method asks of its instance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// `&self`
    Shared,
    /// `&mut self`
    Exclusive,
    /// `self: Arc<Self>`
    Handle,
}

impl Method {
    /// Reads a method and removes the attributes that are ours; `None` when it is not exported.
    pub(crate) fn read(method: &mut ImplItemFn, errors: &mut Errors) -> Option<Self> {
        attributes::refuse_conditional(&mut method.attrs, &["callback", "local"], errors);
        let local = attributes::take(&mut method.attrs, "local");
        let callback = attributes::take(&mut method.attrs, "callback");
        let options = Options::read_attributes(&callback, errors);
        if let Some(reason) = reason_to_hide(method, !local.is_empty()) {
            if let Some(attr) = callback.first() {
                errors.at(attr, format!("this method is not exported: {reason}"));
            }
            return None;
        }
        let access = receiver(&method.sig).and_then(|receiver| access(&receiver.ty, receiver, errors))?;
        let signature = Signature::read(&mut method.sig, errors);
        options.check(signature.is_async, errors);
        borrowing::check(&method.sig, errors);
        let cfgs = attributes::conditions(&method.attrs);
        Some(Self { ident: method.sig.ident.clone(), cfgs, options, signature, access })
    }

    /// Looks whether the method can be one of an instance behind a lock.
    pub(crate) fn set_locked(&mut self, errors: &mut Errors) {
        if self.access == Access::Handle {
            errors.at(
                &self.ident,
                "with a `&mut self` method beside it the instance is behind a lock: take `&self` in place of `Arc<Self>`",
            );
        }
        if !self.signature.is_async {
            // It waits for the lock, which a thread of the runtime must not do.
            self.options.set_locked(errors);
        }
    }

    /// The statement that adds the method. `locked`: the instance is shared behind a lock.
    pub(crate) fn registration(&self, locked: bool) -> TokenStream {
        let receiver = match (self.access, locked) {
            (Access::Shared, false) => Receiver::Ref,
            (Access::Shared, true) => Receiver::ReadLock,
            (Access::Exclusive, _) => Receiver::WriteLock,
            (Access::Handle, _) => Receiver::Arc,
        };
        let Self { ident, cfgs, options, signature, .. } = self;
        let callee = quote!(Self::#ident);
        let add = Registration { ident, options, signature, callee, receiver: Some(receiver) }.to_tokens();
        let instance = crate::registration::instance();
        quote! {
            #(#cfgs)*
            {
                let #instance = ::std::sync::Arc::clone(&#instance);
                #add
            }
        }
    }
}

fn reason_to_hide(method: &ImplItemFn, local: bool) -> Option<&'static str> {
    if receiver(&method.sig).is_none() {
        Some("it has no `self`; put `#[callback]` on a free function instead")
    } else if local {
        Some("`#[local]` keeps it to this program")
    } else if !matches!(method.vis, Visibility::Public(_)) {
        Some("only `pub` methods are")
    } else if method.sig.ident.unraw().to_string().starts_with('_') {
        Some("names that start with `_` are private")
    } else {
        None
    }
}

fn access(ty: &Type, receiver: &syn::Receiver, errors: &mut Errors) -> Option<Access> {
    match types::peel(ty) {
        Type::Reference(reference) if types::is_name(&reference.elem, "Self") => {
            if let Some(lifetime) = reference.lifetime.as_ref().filter(|lifetime| lifetime.ident == "static") {
                errors.at(lifetime, "the instance is lent for the time of a call: leave `'static` out");
                return None;
            }
            return Some(if reference.mutability.is_some() { Access::Exclusive } else { Access::Shared });
        }
        ty => {
            let arc = types::last_segment(ty).filter(|last| last.ident == "Arc");
            if arc.and_then(types::first_argument).is_some_and(|of| types::is_name(of, "Self")) {
                return Some(Access::Handle);
            }
        }
    }
    errors.at(
        receiver,
        "calls share the instance: take `&self` or `&mut self`, or keep the method local with `#[local]`",
    );
    None
}
