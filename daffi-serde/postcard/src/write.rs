//! Values into a frame's buffer.

use bytes::{BufMut, BytesMut};
use daffi_serde::{SerdeError, guard::Guarded, to_value};
use postcard::{Error, Serializer, ser_flavors::Flavor};
use serde::Serialize;

use crate::{PostcardRules, encode_error};

/// Appends what only this crate makes, and postcard can write.
pub(crate) fn own<T: Serialize>(value: &T, buffer: &mut BytesMut) -> Result<(), SerdeError> {
    value.serialize(&mut Serializer { output: Append(buffer) }).map_err(encode_error)
}

/// Appends a value of the user.
pub(crate) fn value<T: Serialize + ?Sized>(value: &T, buffer: &mut BytesMut) -> Result<(), SerdeError> {
    let value = Guarded::<PostcardRules, T>::new(value);
    value.serialize(&mut Serializer { output: Append(buffer) }).map_err(|error| match error {
        // Postcard keeps no reason, so the value is written once more by a serializer that does.
        Error::SerdeSerCustom => encode_error(to_value(&value).err().map_or_else(|| error.to_string(), |why| why.to_string())),
        Error::SerializeSeqLengthUnknown => encode_error(
            "a list or map whose length is not known before its end (`flatten`, an iterator), which POSTCARD needs to know",
        ),
        other => encode_error(other),
    })
}

struct Append<'a>(&'a mut BytesMut);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> Result<(), Error> {
        self.0.put_u8(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> Result<(), Error> {
        Ok(())
    }
}
