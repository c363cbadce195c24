//! Names of the user's own that the macros' output must not meet.
#![deny(unused, warnings)]
#![allow(dead_code, non_camel_case_types)]

/// The prelude's names, taken.
mod shadowed {
    pub struct Result;
    pub struct Option;
    pub struct String;
    pub struct Vec;
    pub struct Box;
    pub struct Ok;
    pub struct Some;
    pub trait Into {}
    pub trait Clone {}
    pub trait Send {}
    pub trait Sync {}
    pub trait Future {}

    /// Modules of the names that the output's paths begin with.
    mod daffi {}
    mod core {}
    mod std {}
    mod alloc {}

    #[::daffi::callback]
    pub async fn lent(text: &str, data: &[u8], #[default("and")] word: &str, times: &[u8]) -> usize {
        text.len() + data.len() + word.len() + times.len()
    }

    #[::daffi::callback]
    pub fn failing(#[default("none")] text: ::std::string::String) -> ::std::io::Result<::std::string::String> {
        ::std::result::Result::Ok(text)
    }

    pub struct Api;

    #[::daffi::callback]
    impl Api {
        pub fn get(&mut self, a: i64) -> i64 {
            a
        }
    }

    #[::daffi::remote]
    pub trait Store {
        async fn get(&self, key: &str, r#type: ::std::option::Option<&[u8]>) -> i64;
        fn fail(&self) -> ::std::result::Result<i64, ::std::string::String>;
    }
}

/// Parameters and functions of all sorts of names.
mod named {
    use ::daffi::{Callbacks, callback, callbacks};

    #[callback]
    fn r#match(r#type: i64, r#async: &str, rpc: i64, __context: i64, result: i64) -> i64 {
        r#type + rpc + __context + result + i64::from(r#async.is_empty())
    }

    #[callback]
    fn callback(callback: i64) -> i64 {
        callback
    }

    #[callback]
    fn daffi() {}

    #[callback]
    fn params(options: i64, params: i64) -> i64 {
        options + params
    }

    pub fn all() -> Callbacks {
        callbacks![r#match, callback, daffi, params]
    }
}

fn main() {
    use daffi::IntoCallbacks;
    let shadowed = daffi::callbacks![shadowed::lent, shadowed::failing].and(shadowed::Api.into_callbacks());
    assert_eq!(format!("{:?}", shadowed), r#"["lent", "failing", "get"]"#);
    assert_eq!(format!("{:?}", named::all()), r#"["match", "callback", "daffi", "params"]"#);
}
