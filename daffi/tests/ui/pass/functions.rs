//! What `#[callback]` takes, without a word from strict lints.
#![deny(missing_debug_implementations, missing_docs, unnameable_types, unreachable_pub, unused, warnings)]

use daffi::{Callbacks, Context, callback, callbacks};

/// Served although deprecated.
#[deprecated = "use `sum`"]
#[callback]
pub fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Returns early.
#[callback(name = "first line", blocking, ordered)]
pub async fn first_line(ctx: Context, text: &str, #[default(b"\n")] end: &[u8]) -> Option<String> {
    let _ = (ctx, end);
    Some(text.lines().next()?.to_owned())
}

#[callback]
fn boxed(values: Vec<Option<(i64, String)>>) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    Ok(values.len())
}

#[callback]
fn constant() -> &'static str {
    "fine"
}

#[callback]
fn opaque() -> impl serde::Serialize {
    1
}

/// Exported on.
pub mod words {
    use daffi::callback;

    /// Its length.
    #[callback]
    pub fn length(text: String) -> usize {
        text.len()
    }

    mod private {
        use daffi::callback;

        #[callback]
        pub(crate) fn hidden() {}
    }
    pub(crate) use private::hidden;
}
pub use words::length as len;

macro_rules! defaulted {
    ($name:ident: $ty:ty = $value:expr) => {
        #[callback]
        fn $name(#[default($value)] value: $ty) -> $ty {
            value
        }
    };
}
defaulted!(seven: i64 = 7);

fn main() {
    let all: Callbacks = callbacks![boxed, constant, first_line, len, opaque, seven, words::hidden,];
    let all = all.and(callbacks![add]).and(callbacks![]);
    assert_eq!(all.len(), 8);
    let _: (i64, usize) = (seven(1), len(String::new()));
}
