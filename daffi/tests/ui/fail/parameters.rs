//! Several mistakes, each told where it is, all at once.
#![allow(unused)]

use daffi::{Context, callback, callbacks};

#[callback]
fn patterns((a, b): (i64, i64), _: i64, ref c: i64) {}

#[callback]
fn borrowed(text: &'static str, texts: Vec<&str>, number: &mut i64) {}

#[callback]
fn opaque(value: impl std::fmt::Debug) {}

#[callback]
fn contexts(first: Context, second: Context) {}

#[callback]
fn defaults(#[default] a: i64, #[default(1)] #[default(2)] b: i64, #[default(3)] c: Context, #[cfg(all())] d: i64) {}

#[callback]
fn thirteen(
    a: i8, b: i8, c: i8, d: i8, e: i8, f: i8, g: i8, h: i8, i: i8, j: i8, k: i8, l: i8, m: i8, n: i8, ctx: Context,
) {
}

fn main() {
    callbacks![patterns, borrowed, opaque, contexts, defaults, thirteen];
}
