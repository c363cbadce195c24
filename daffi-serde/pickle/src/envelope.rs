//! What a payload wraps around arguments, results and errors
//! ([protocol, 7](daffi_wire::protocol#7)).

use daffi_serde::RemoteError;

use crate::{
    ReadError,
    read::{Items, Loaded, Slot},
};

/// `(args, kwargs)`, where lists may stand for tuples. The latter is given as names and values in
/// turn.
pub(crate) fn arguments<'r>(loaded: &'r Loaded<'_>) -> Result<(Items<'r>, Items<'r>), ReadError> {
    let parts = || {
        let [args, keywords] = all(loaded.sequence(loaded.root)?)?;
        Some((loaded.sequence(args)?, loaded.dict(keywords)?))
    };
    parts().ok_or(ReadError::Envelope("a pair of positional and keyword arguments"))
}

/// `((result,), {})`.
pub(crate) fn result(loaded: &Loaded<'_>) -> Result<Slot, ReadError> {
    let no_result = ReadError::Envelope("a result");
    match arguments(loaded) {
        Ok((mut args, keywords)) if args.len() == 1 && keywords.len() == 0 => args.next().ok_or(no_result),
        _ => Err(no_result),
    }
}

/// `(([class, module, message, traceback],), {})`. The traceback is not looked at. In a text a lone
/// surrogate, which Python may have, stands as a replacement character: the rest of the error is
/// worth more.
pub(crate) fn error(loaded: &Loaded<'_>) -> Result<RemoteError, ReadError> {
    let parts = || {
        let [class, module, message, _traceback] = all(loaded.sequence(result(loaded).ok()?)?)?;
        let text = |slot| loaded.lossy_text(slot).map(String::from);
        Some(RemoteError { class: text(class)?, module: text(module)?, message: text(message)? })
    };
    parts().ok_or(ReadError::Envelope("an error: a class, a module, a message and a traceback"))
}

/// All of `items`, if they are `N`.
fn all<const N: usize>(mut items: Items<'_>) -> Option<[Slot; N]> {
    let mut slots = [items.next()?; N];
    for slot in &mut slots[1..] {
        *slot = items.next()?;
    }
    (items.len() == 0).then_some(slots)
}
