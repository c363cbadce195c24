use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Ident, LitStr, Meta, Path, Token, ext::IdentExt, meta::ParseNestedMeta, parse::Parser};

use crate::{errors::Errors, root};

/// What `#[callback(..)]` says.
#[derive(Default)]
pub(crate) struct Options {
    name: Option<LitStr>,
    blocking: bool,
    ordered: bool,
    /// Where it says `inline`.
    inline: Option<Path>,
    /// Where it says `cancel = "drop"`.
    drop_when_cancelled: Option<LitStr>,
}

impl Options {
    /// Reads what stands on a function.
    pub(crate) fn read_of_function(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let parser =
            syn::meta::parser(|meta| if read_crate(&meta)? { Ok(()) } else { options.read_one(&meta, errors) });
        let parsed = parser.parse2(tokens);
        errors.take(parsed);
        options
    }

    /// Reads what stands between the parentheses.
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let parsed = syn::meta::parser(|meta| options.read_one(&meta, errors)).parse2(tokens);
        errors.take(parsed);
        options
    }

    /// Reads the `#[callback(..)]` of a method. One without parentheses sets nothing.
    pub(crate) fn read_attributes(attrs: &[Attribute], errors: &mut Errors) -> Self {
        if let [_, second, ..] = attrs {
            errors.at(second, "a second `#[callback]`: put all options into one");
        }
        match attrs.first().map(|attr| &attr.meta) {
            Some(Meta::List(list)) => Self::read(list.tokens.clone(), errors),
            Some(meta @ Meta::NameValue(_)) => {
                errors.at(meta, "options are written in parentheses: `#[callback(name = \"..\")]`");
                Self::default()
            }
            Some(Meta::Path(_)) | None => Self::default(),
        }
    }

    fn read_one(&mut self, meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<()> {
        if meta.path.is_ident("name") {
            let name: LitStr = meta.value()?.parse()?;
            if let Some(problem) = name_problem(&name.value()) {
                errors.at(&name, problem);
            }
            if self.name.replace(name).is_some() {
                errors.at(&meta.path, "`name` is given twice");
            }
            return Ok(());
        } else if meta.path.is_ident("cancel") {
            let how: LitStr = meta.value()?.parse()?;
            match how.value().as_str() {
                "drop" => self.drop_when_cancelled = Some(how),
                "signal" => self.drop_when_cancelled = None,
                _ => errors.at(&how, "`cancel` is \"signal\", which is usual, or \"drop\""),
            }
            return Ok(());
        } else if meta.path.is_ident("blocking") {
            self.blocking = true;
        } else if meta.path.is_ident("ordered") {
            self.ordered = true;
        } else if meta.path.is_ident("inline") {
            self.inline = Some(meta.path.clone());
        } else if meta.path.is_ident("crate") {
            return Err(meta.error("`crate` is said once, on the whole `impl` block or trait"));
        } else {
            return Err(meta.error(
                "unknown option: there are `name = \"..\"`, `blocking`, `inline`, `ordered` and `cancel = \"..\"`",
            ));
        }
        if self.blocking && self.inline.is_some() {
            errors.at(
                &meta.path,
                "`blocking` and `inline` exclude each other: it holds up its thread, or promises not to",
            );
        }
        if meta.input.peek(Token![=]) {
            return Err(meta.error("this option takes no value: leave it out to switch it off"));
        }
        Ok(())
    }

    /// Looks whether a function that is async, or not, can have these options.
    pub(crate) fn check(&self, is_async: bool, errors: &mut Errors) {
        if let Some(inline) = self.inline.as_ref().filter(|_| is_async) {
            errors.at(inline, "an async function runs where requests are read as it is: leave `inline` out");
        }
        if let Some(how) = self.drop_when_cancelled.as_ref().filter(|_| !is_async) {
            let message = "nothing can stop a plain function: make it async, or look at `ctx.is_cancelled()` in it";
            errors.at(how, message);
        }
    }

    /// Looks whether a plain method that may have to wait for the lock of its instance can have
    /// these options, and has it run where it may wait.
    pub(crate) fn set_locked(&mut self, errors: &mut Errors) {
        if let Some(inline) = &self.inline {
            let message = "with a `&mut self` method beside it this one may wait for the lock, which `inline` promises \
                           not to: leave `inline` out, or make the method async";
            errors.at(inline, message);
        }
        self.blocking = true;
    }

    /// The name on the wire of the function called `ident`.
    pub(crate) fn wire_name(&self, ident: &Ident) -> String {
        self.name.as_ref().map_or_else(|| ident.unraw().to_string(), LitStr::value)
    }

    /// The options as those of the facade, with these parameters.
    pub(crate) fn to_tokens(&self, params: &[String]) -> TokenStream {
        let daffi = root::root(Span::call_site());
        let set = [
            (self.blocking, quote!(.blocking())),
            (self.inline.is_some(), quote!(.inline())),
            (self.ordered, quote!(.ordered())),
            (self.drop_when_cancelled.is_some(), quote!(.drop_when_cancelled())),
        ];
        let set = set.into_iter().filter_map(|(is_set, setter)| is_set.then_some(setter));
        quote!(#daffi::__private::CallbackOptions::new().params(&[#(#params),*]) #(#set)*)
    }
}

/// Reads a `crate = path`, if that comes next.
pub(crate) fn read_crate(meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
    let says = meta.path.is_ident("crate");
    if says {
        root::set(meta.value()?.call(Path::parse_mod_style)?);
    }
    Ok(says)
}

/// The rules of callback names (docs/protocol.md#2.1), so that a bad one is no surprise at run
/// time.
fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a callback's name must not be empty");
    }
    if name.contains(['|', ',']) {
        return Some("a callback's name must not contain `|` or `,`, which separate names on the wire");
    }
    (name.trim() != name).then_some("a callback's name must not begin or end with a blank")
}
