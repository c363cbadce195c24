//! What a Router says of an ERROR that comes from a node of 3.0.1
//! ([level 4](crate::level_four#extensions)).

use bytes::{BufMut, BytesMut};

use crate::{ExtensionError, Frame, Header, Limits, extensions::tag::OF_CALLBACK};

/// The extensions of such an ERROR, behind their length.
const BLOCK: [u8; 4] = [2, 0, OF_CALLBACK, 0];

impl Frame {
    /// The ERROR of a node of level 3 as a Router passes it to one of level 4: it says that a
    /// callback gave it. A frame that has extensions is as it was.
    ///
    /// # Errors
    /// [`ExtensionError::TooLong`] when the frame has no room.
    ///
    /// ```
    /// use daffi_wire::{CallId, FormatId, Frame, Header, Kind, Limits};
    /// let limits = Limits::default();
    /// let header = Header::new(Kind::Error, CallId(2), FormatId::JSON, true, false);
    /// let plain = Frame::new(header, "py", "cli", "add", b"payload", &limits)?;
    /// let mut marked = plain.clone().of_callback(&limits)?;
    /// assert_eq!(marked.clone().into_level_three()?, plain);
    /// assert!(marked.take_extensions()?.is_of_callback());
    /// assert_eq!(marked.payload(), b"payload");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_callback(self, limits: &Limits) -> Result<Self, ExtensionError> {
        if self.header().has_extensions() {
            return Ok(self);
        }
        let (head, payload) = (self.head(), self.payload());
        let names = &head[Header::LEN..];
        let behind = BLOCK.len() + payload.len();
        let no_room = || ExtensionError::TooLong { size: BLOCK.len(), limit: limits.max_frame_bytes };
        let header = self.header().with_extensions(true).encode(names.len(), behind, limits);
        let mut bytes = BytesMut::with_capacity(head.len() + behind);
        bytes.put_slice(&header.map_err(|_| no_room())?);
        bytes.put_slice(names);
        bytes.put_slice(&BLOCK);
        bytes.put_slice(payload);
        Self::from_message(bytes.freeze(), limits).map_err(|_| no_room())
    }
}
