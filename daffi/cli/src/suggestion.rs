//! What somebody who mistyped a name may have meant.

use daffi::{CallError, Client, StreamError};

use crate::{
    failure::{Failure, nobody},
    names::shown_start,
};

/// How many letters of a name may differ.
const DISTANCE: usize = 2;
/// Names with more letters are not compared: nobody mistypes those, and comparing costs the square
/// of their length.
const LONGEST: usize = 64;

/// An error of a call, with what to do next as far as the members known to the client tell it.
pub(crate) trait Explain {
    fn explain(self, client: &Client) -> Failure;
}

impl Explain for CallError {
    fn explain(self, client: &Client) -> Failure {
        let Self::ReceiverNotFound { method, receiver } = &self else { return self.into() };
        let text = nobody(&self, method, receiver.as_deref(), &format!("daffi members {}", client.endpoint()));
        Failure::Failed(match suggestion(&self, client) {
            Some(meant) => format!("{text}; did you mean {}?", shown_start(&meant, LONGEST)),
            None => text,
        })
    }
}

impl Explain for StreamError {
    fn explain(self, client: &Client) -> Failure {
        let Self { chunk, source, .. } = self;
        source.explain(client).preceded_by(&format!("chunk {chunk}: "))
    }
}

impl Explain for Failure {
    fn explain(self, _: &Client) -> Failure {
        self
    }
}

/// The callback or the member nearest to the one that is not there.
fn suggestion(error: &CallError, client: &Client) -> Option<String> {
    let CallError::ReceiverNotFound { method, receiver } = error else { return None };
    let members = client.members();
    let methods = members.iter().filter(|member| receiver.as_ref().is_none_or(|name| member.name.as_str() == name));
    let methods = methods.flat_map(|member| member.methods.iter().map(|method| method.as_str()));
    let names = members.iter().filter(|member| member.methods.iter().any(|known| known.as_str() == method));
    let names = names.map(|member| member.name.as_str()).filter(|name| *name != client.name());
    let nearby = nearest(method, methods).map(str::to_owned);
    nearby.or_else(|| nearest(receiver.as_deref()?, names).map(str::to_owned))
}

/// The name most like `wanted`, if any is.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // So few letters may differ that most of the word is the same.
    let most = DISTANCE.min(wanted.chars().count() / 2);
    let wanted = wanted.to_lowercase();
    let distances = names.filter(|name| name.len() <= LONGEST).map(|name| {
        let distance = strsim::osa_distance(&wanted, &name.to_lowercase());
        (distance, name)
    });
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_others_are_not() {
        let names = ["add", "echo", "receive_chunk", &"x".repeat(100)];
        let meant = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(meant("Add"), Some("add"));
        assert_eq!(meant("ehco"), Some("echo"));
        assert_eq!(meant("recieve_chunks"), Some("receive_chunk"));
        assert_eq!(meant("nope"), None);
        assert_eq!(meant(""), None);
        assert_eq!(meant("a"), None);
    }
}
