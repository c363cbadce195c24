//! Values into a frame's buffer.

use bytes::{BufMut, BytesMut};
use postcard::{Error, Serializer, ser_flavors::Flavor};
use serde::Serialize;

/// Appends `value`.
pub(crate) fn value<T: Serialize>(value: &T, buffer: &mut BytesMut) -> Result<(), Error> {
    value.serialize(&mut Serializer { output: Append(buffer) })
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
