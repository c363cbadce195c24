//! What a payload wraps around arguments, results and errors
//! ([protocol, 7](daffi_wire::protocol#7)).

use daffi_serde::RemoteError;

use crate::{
    ReadError,
    read::{Graph, Slot},
};

/// `(args, kwargs)`, where lists may stand for tuples.
pub(crate) fn arguments<'g>(graph: &'g Graph<'_>, root: Slot) -> Result<(&'g [Slot], &'g [[Slot; 2]]), ReadError> {
    let parts = || {
        let [args, keywords] = graph.sequence(root)? else { return None };
        let (keywords, _no_rest) = graph.dict(*keywords)?.as_chunks();
        Some((graph.sequence(*args)?, keywords))
    };
    parts().ok_or(ReadError::Envelope("a pair of positional and keyword arguments"))
}

/// `((result,), {})`.
pub(crate) fn result(graph: &Graph<'_>, root: Slot) -> Result<Slot, ReadError> {
    match arguments(graph, root) {
        Ok(([result], [])) => Ok(*result),
        _ => Err(ReadError::Envelope("a result")),
    }
}

/// `(([class, module, message, traceback],), {})`. Nothing looks at the traceback.
pub(crate) fn error(graph: &Graph<'_>, root: Slot) -> Result<RemoteError, ReadError> {
    let parts = || {
        let [class, module, message, _traceback] = graph.sequence(result(graph, root).ok()?)? else { return None };
        let text = |slot: &Slot| graph.text(*slot).map(str::to_owned);
        Some(RemoteError { class: text(class)?, module: text(module)?, message: text(message)? })
    };
    parts().ok_or(ReadError::Envelope("an error: a class, a module, a message and a traceback"))
}
