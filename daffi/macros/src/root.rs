//! How what the macros write names the crate `daffi`.

use std::cell::RefCell;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::Path;

thread_local! {
    /// What this use of a macro says. It is expanded on one thread from beginning to end.
    static SAID: RefCell<Option<Path>> = const { RefCell::new(None) };
}

/// Forgets the path at the end of a use: it must not outlive it.
struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        SAID.set(None);
    }
}

/// Expands one use of a macro.
pub(crate) fn within<T>(expand: impl FnOnce() -> T) -> T {
    let _forget = Forget;
    expand()
}

/// Has everything name the crate by this path, as `crate = path` says.
pub(crate) fn set(path: Path) {
    SAID.set(Some(path));
}

/// The path of the crate, which messages of the compiler place at `span`.
pub(crate) fn root(span: Span) -> TokenStream {
    SAID.with_borrow(|said| match said {
        None => quote_spanned!(span=> ::daffi),
        Some(path) => path.to_token_stream().into_iter().map(|token| place(token, span)).collect(),
    })
}

/// The token, which means what it meant where it was written.
fn place(mut token: TokenTree, span: Span) -> TokenTree {
    token.set_span(token.span().located_at(span));
    token
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    use super::within;

    /// What is written for these tokens, as text.
    fn expand_text(expand: fn(TokenStream, TokenStream) -> TokenStream, options: &str, item: &str) -> String {
        within(|| expand(options.parse().unwrap(), item.parse().unwrap()).to_string())
    }

    #[test]
    fn all_that_is_written_names_the_crate_as_is_said() {
        let all = "fn f(ctx: &Context, a: &str, b: &[u8], #[default(b\"x\")] c: &[u8], #[default(None)] d: Option<&[u8]>, \
                   e: Incoming<i64>) -> Result<impl Stream<Item = i64> + use<>, E> { todo!() }";
        let class = "impl A { pub fn f(&self) {} pub async fn g(self: Arc<Self>) {} }";
        let locked = "impl A { pub fn f(&mut self) {} pub async fn g(&self) {} }";
        let remote = "trait A { async fn f(&self, a: &[u8], b: Option<&[u8]>); fn g(&self, i: Incoming<i64>) -> \
                      BoxStream<'static, i64>; fn h(&self, i: Incoming<i64>); fn k(&self) -> BoxStream<'static, i64>; \
                      fn l(&self, v: Value); }";
        let (callback, of_trait) = (crate::callback::expand as fn(_, _) -> _, crate::remote::expand as fn(_, _) -> _);
        for (expand, item) in [(callback, all), (callback, class), (callback, locked), (of_trait, remote)] {
            let said = expand_text(expand, "crate = crate::rpc", item);
            assert!(said.contains("crate :: rpc ::") && !said.contains("daffi ::"), "{said}");
            assert!(!said.contains("compile_error"), "{said}");
            assert!(expand_text(expand, "", item).contains(":: daffi ::"), "it is forgotten");
        }
        let list = expand_text(|_, list| crate::list::expand(list), "", "crate = rpc; a, b::c");
        assert!(list.starts_with("rpc :: Callbacks") && !list.contains("compile_error"), "{list}");
    }
}
