use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Ident, ItemFn, ext::IdentExt};

use crate::{
    attributes, borrowing,
    errors::Errors,
    options::Options,
    registration::{Registration, callbacks},
    root::root,
    signature::{Signature, receiver},
};

/// Names that a type must not take from the language.
const PRIMITIVES: [&str; 17] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16", "u32", "u64", "u128",
    "usize",
];

/// Gives the function as it was, and a type of its name that stands for it in `callbacks![..]`.
pub(crate) fn expand(options: TokenStream, mut function: ItemFn) -> TokenStream {
    if let Some(receiver) = receiver(&function.sig) {
        let message = "this is a method: put `#[callback]` on the whole `impl` block";
        let error = syn::Error::new_spanned(receiver, message).into_compile_error();
        return quote!(#function #error);
    }
    let mut errors = Errors::default();
    let options = Options::read_of_function(options, &mut errors);
    let signature = Signature::read(&mut function.sig, &mut errors);
    options.check(signature.is_async, &mut errors);
    borrowing::check(&function.sig, &mut errors);
    let ident = &function.sig.ident;
    check_name(ident, &mut errors);

    // After a mistake the type is there all the same, so that its uses raise no further errors.
    let add = errors.is_empty().then(|| {
        let callee = ident.to_token_stream();
        Registration { ident, options: &options, signature: &signature, callee, receiver: None }.to_tokens()
    });
    let errors = errors.into_tokens();
    let (visibility, daffi, callbacks) = (&function.vis, root(Span::call_site()), callbacks());
    let cfgs = attributes::conditions(&function.attrs);
    quote! {
        #function
        #errors

        // Braces keep it out of the namespace of values, where the function is: both are imported
        // under one name.
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(
            dead_code,
            missing_debug_implementations,
            non_camel_case_types,
            unnameable_types,
            unreachable_pub,
            reason = "it only stands for the function"
        )]
        #visibility struct #ident {}

        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated, reason = "a deprecated function may still be served")]
        impl #daffi::CallbackItem for #ident {
            fn add_to(#callbacks: &mut #daffi::Callbacks) {
                #add
            }
        }
    }
}

fn check_name(ident: &Ident, errors: &mut Errors) {
    let name = ident.unraw().to_string();
    if PRIMITIVES.contains(&name.as_str()) {
        errors.at(
            ident,
            format!(
                "`#[callback]` makes a type of this name, which would hide the primitive type: rename the function \
                 and write `#[callback(name = \"{name}\")]`"
            ),
        );
    }
}
