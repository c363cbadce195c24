//! Payloads of calls, results and errors, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use bytes::{Bytes, BytesMut};
use daffi_serde::{
    Args, Binding, Body, Codec, Format, Output, RemoteError, SerdeError, Value, ValueLimits, args, erased::ErasedArgs,
};
use daffi_serde_pickle::Pickle;
use serde::{Serialize, de::DeserializeOwned};

fn args_of<A: Args>(args: &A) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let mut out = Output::new(&mut buffer);
    Codec::encode_args(&Pickle::default(), args, &mut out).unwrap();
    assert!(!out.is_text() && out.take_shared().is_none());
    buffer.to_vec()
}

fn result_of<T: Serialize>(value: &T) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    Codec::encode_result(&Pickle::default(), value, &mut Output::new(&mut buffer)).unwrap();
    buffer.to_vec()
}

fn result<T: DeserializeOwned + 'static>(pickle: impl Into<Bytes>) -> Result<T, SerdeError> {
    let mut slot = None;
    Codec::decode_result(&Pickle::default(), &Body::new(pickle), &mut slot)?;
    Ok(slot.expect("a result was read"))
}

/// Calls `add(a, b=None)`.
fn add(pickle: impl Into<Bytes>) -> Result<(i64, Option<i64>), String> {
    let mut call = Binding::<(i64, Option<i64>)>::new("add", &["a", "b"]);
    let read = Codec::decode_args(&Pickle::default(), &Body::new(pickle), &mut call);
    read.map_err(|error| error.to_string())?;
    call.finish().map_err(|error| error.message)
}

#[test]
fn arguments_are_a_pair() {
    assert_eq!(args_of(&()), b"\x80\x04)}\x86.");
    assert_eq!(args_of(&(3,)), b"\x80\x04K\x03\x85}\x86.");
    assert_eq!(args_of(&(3, 4)), b"\x80\x04K\x03K\x04\x86}\x86.");
    assert_eq!(args_of(&(1, 2, 3)), b"\x80\x04K\x01K\x02K\x03\x87}\x86.");
    assert_eq!(args_of(&(1, 2, 3, 4)), b"\x80\x04(K\x01K\x02K\x03K\x04t}\x86.");
    assert_eq!(args_of(&args![3, b = 4, c = "x"]), b"\x80\x04K\x03\x85}(\x8c\x01bK\x04\x8c\x01c\x8c\x01xu\x86.");
    assert_eq!(args_of(&args![b = 4]), b"\x80\x04)}(\x8c\x01bK\x04u\x86.");
}

#[test]
fn results_are_a_pair_too() {
    assert_eq!(result_of(&3), b"\x80\x04K\x03\x85}\x86.");
    assert_eq!(result_of(&RemoteError::new("E", "bad")), b"\x80\x04(\x8c\x01E\x8c\x08builtins\x8c\x03badNt\x85}\x86.");
}

#[test]
fn what_python_sends_is_read() {
    // docs/protocol.md#7.1.
    assert_eq!(result(&b"\x80\x04\x95\x09\0\0\0\0\0\0\0K\x03\x85\x94}\x94\x86\x94."[..]), Ok(3));
    assert_eq!(result::<Value>(&b"N\x85}\x86."[..]), Ok(Value::Null));
    for pickle in [
        &b"K\x03K\x04\x86}\x86."[..],
        b"](](K\x03K\x04e}e.",
        b"K\x03\x85}(\x8c\x01bK\x04u\x86.",
        b")}(\x8c\x01bK\x04\x8c\x01aK\x03u\x86.",
        b"(](K\x03K\x04e}t.",
    ] {
        assert_eq!(add(pickle), Ok((3, Some(4))), "{}", pickle.escape_ascii());
    }
    assert_eq!(add(&b"K\x03\x85}\x86."[..]), Ok((3, None)));
}

#[test]
fn other_pickles_are_refused() {
    for pickle in [&b"N."[..], b")}\x85.", b")).", b"))\x86.", b"}}\x86.", b")}N\x87.", b")N\x86.", b"\x8f}\x86."] {
        assert!(add(pickle).is_err(), "{}", pickle.escape_ascii());
        assert!(result::<Value>(pickle).is_err(), "{}", pickle.escape_ascii());
        assert!(Codec::decode_error(&Pickle::default(), &Body::new(pickle)).is_err(), "{}", pickle.escape_ascii());
    }
    assert!(result::<Value>(&b"NN\x86}\x86."[..]).is_err());
    assert!(result::<Value>(&b"N\x85}(\x8c\x01aNu\x86."[..]).is_err());
    assert!(add(&b")}(K\x01K\x04u\x86."[..]).unwrap_err().contains("keyword is not text"));
    assert_eq!(
        add(&b"\x8c\x01x\x85}\x86."[..]).unwrap_err(),
        "cannot read PICKLE: invalid type: string \"x\", expected i64"
    );
    assert_eq!(add(&b"NNN\x87}\x86."[..]).unwrap_err(), "cannot read PICKLE: invalid type: unit value, expected i64");
    assert!(add(&b"cos\nsystem\n\x85}\x86."[..]).unwrap_err().contains("os.system"));
}

#[test]
fn errors_are_four_texts() {
    let decode = |pickle: &'static [u8]| Codec::decode_error(&Pickle::default(), &Body::new(pickle));
    let bad = RemoteError::new("KeyError", "bad").in_module("m");
    assert_eq!(decode(b"(VKeyError\nVm\nVbad\nNt\x85}\x86."), Ok(bad.clone()));
    assert_eq!(decode(b"](VKeyError\nVm\nVbad\nNe\x85}\x86."), Ok(bad));
    assert!(decode(b"(VKeyError\nVm\nVbad\nt\x85}\x86.").is_err());
    assert!(decode(b"(VKeyError\nNVbad\nNt\x85}\x86.").is_err());
}

#[test]
fn values_of_all_arguments_are_counted_together() {
    let pickle = Body::new(&b"](NNNe](NNNe\x86}\x86."[..]);
    let read = |max_values| {
        let format = Pickle::new(ValueLimits::default().max_values(max_values));
        let mut call = Binding::<(Value, Value)>::new("f", &[]);
        Codec::decode_args(&format, &pickle, &mut call)
    };
    assert_eq!(read(8), Ok(()));
    assert!(read(7).is_err());
}

#[test]
fn large_bytes_are_shared_and_small_ones_copied() {
    for (len, shared) in [(4096, true), (4095, false)] {
        let body = Body::new(args_of(&(Bytes::from(vec![7; len]),)));
        let within = |bytes: &Bytes| body.bytes.as_ptr_range().contains(&bytes.as_ptr());

        let mut slot = None::<Bytes>;
        Codec::decode_result(&Pickle::default(), &body, &mut slot).unwrap();
        assert_eq!(within(&slot.unwrap()), shared);

        let mut call = Binding::<(Bytes,)>::new("f", &[]);
        Codec::decode_args(&Pickle::default(), &body, &mut call).unwrap();
        assert_eq!(within(&call.finish().unwrap().0), shared);
    }
}

#[test]
fn the_same_bytes_behind_a_pointer() {
    let format: &dyn Format = &Pickle::default();
    let args = args![Value::Uuid(Box::new(5)), b = Value::Set(vec![1.into()].into())];
    let mut buffer = BytesMut::new();
    format.encode_args(&args as &dyn ErasedArgs, &mut Output::new(&mut buffer)).unwrap();
    assert_eq!(buffer, args_of(&args));
}

#[test]
fn a_sole_argument_is_told_whatever_class_it_is_of() {
    let is_sole = |pickle: &[u8]| Pickle::default().is_sole_argument(pickle);
    // ((Point(),), {})
    assert_eq!(is_sole(b"c__main__\nPoint\n)\x81\x85}\x86."), Ok(true));
    assert_eq!(is_sole(&args_of(&(3,))), Ok(true));
    assert_eq!(args_of(&(3,)), result_of(&3), "what makes an echo possible");
    for other in [args_of(&()), args_of(&(3, 4)), args_of(&args![3, b = 4]), args_of(&args![b = 4])] {
        assert_eq!(is_sole(&other), Ok(false));
    }
    assert!(is_sole(b"N.").is_err());
}
