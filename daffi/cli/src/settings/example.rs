//! A file with all that can be set.

use std::fmt::Write;

use clap::{Arg, ArgAction, CommandFactory};

use super::{
    effective::{quote, write_toml},
    options,
    policy::EXAMPLE,
};
use crate::cli::Cli;

/// Columns of its comments.
const WIDTH: usize = 80;

const HEAD: &str = "\
# Options of `daffi router`, by their long names. Each is as on the command line, which goes before
# the environment (DAFFI_ROUTER_MAX_CONNECTIONS=100), which goes before this file.
#
#   daffi router --config FILE
#   daffi config check FILE

";

/// The file, with every default as a comment.
pub(crate) fn example() -> String {
    let mut text = HEAD.to_owned();
    for arg in options(&Cli::command()).into_iter().filter(|arg| !arg.is_hide_set()) {
        let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        for line in textwrap::wrap(&help.replace('\n', " "), WIDTH - 2) {
            let _infallible = writeln!(text, "# {line}");
        }
        let option = arg.get_long().unwrap_or_default();
        let _infallible = match option {
            "listen" => writeln!(text, "listen = [{}]\n", quote("tcp://127.0.0.1:5000")),
            _ => writeln!(text, "# {option} = {}\n", value(arg)),
        };
    }
    text.push_str(EXAMPLE);
    text
}

/// The default, or what a value could be.
fn value(arg: &Arg) -> String {
    match (arg.get_action(), arg.get_default_values()) {
        (ArgAction::SetTrue, _) => "false".to_owned(),
        (ArgAction::Count, _) => "0".to_owned(),
        (_, [default, ..]) => write_toml(&default.to_string_lossy()),
        (ArgAction::Append, []) => format!("[{}]", quote(&placeholder(arg))),
        (_, []) => quote(&placeholder(arg)),
    }
}

fn placeholder(arg: &Arg) -> String {
    arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default()
}
