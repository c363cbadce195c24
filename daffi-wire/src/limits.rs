/// What a node accepts from the wire. The user sets it; the defaults let through what 3.0.1 can
/// send.
///
/// ```
/// use daffi_wire::Limits;
/// let limits = Limits::default().max_frame_bytes(1024 * 1024);
/// assert_eq!(limits.max_frame_bytes, 1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Metadata and payload of one frame, in bytes. Default and highest: [`MAX_MESSAGE_BYTES`].
    pub max_frame_bytes: usize,
    /// The body of a HANDSHAKE of one node, or of an EVENTS frame, in bytes. Default:
    /// [`DEFAULT_MAX_CONTROL_BYTES`].
    pub max_control_bytes: usize,
    /// The body of a server's HANDSHAKE with the list of all members, in bytes. A Router shares it
    /// out among its members, each callback counted with 64 bytes beside its name, and refuses a
    /// member that takes more than its share. Default: [`DEFAULT_MAX_LIST_BYTES`].
    pub max_list_bytes: usize,
    /// One node or callback name, in bytes. Default: [`DEFAULT_MAX_NAME_BYTES`].
    pub max_name_bytes: usize,
}

/// The largest metadata plus payload the 25-bit length field can announce
/// ([protocol, 2](crate::protocol#2)).
pub const MAX_MESSAGE_BYTES: usize = (1 << 25) - 1;

/// The largest metadata the 15-bit length field can announce ([protocol, 2](crate::protocol#2)).
pub const MAX_METADATA_BYTES: usize = (1 << 15) - 1;

/// One node with some ten thousand callbacks; a reader of JSON may take several times that for a
/// moment.
pub const DEFAULT_MAX_CONTROL_BYTES: usize = 1024 * 1024;

/// More than a hundred thousand members with a few callbacks each.
pub const DEFAULT_MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// Three names of this size and two separators still fit into the metadata.
pub const DEFAULT_MAX_NAME_BYTES: usize = 10_000;

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_frame_bytes: MAX_MESSAGE_BYTES,
            max_control_bytes: DEFAULT_MAX_CONTROL_BYTES,
            max_list_bytes: DEFAULT_MAX_LIST_BYTES,
            max_name_bytes: DEFAULT_MAX_NAME_BYTES,
        }
    }

    /// Sets [`max_frame_bytes`](Self#structfield.max_frame_bytes).
    #[must_use]
    pub const fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Sets [`max_control_bytes`](Self#structfield.max_control_bytes).
    #[must_use]
    pub const fn max_control_bytes(mut self, bytes: usize) -> Self {
        self.max_control_bytes = bytes;
        self
    }

    /// Sets [`max_list_bytes`](Self#structfield.max_list_bytes).
    #[must_use]
    pub const fn max_list_bytes(mut self, bytes: usize) -> Self {
        self.max_list_bytes = bytes;
        self
    }

    /// Sets [`max_name_bytes`](Self#structfield.max_name_bytes).
    #[must_use]
    pub const fn max_name_bytes(mut self, bytes: usize) -> Self {
        self.max_name_bytes = bytes;
        self
    }

    /// Lowers each limit to what the wire can express.
    #[must_use]
    pub fn clamp(self) -> Self {
        Self {
            max_frame_bytes: self.max_frame_bytes.min(MAX_MESSAGE_BYTES),
            max_list_bytes: self.max_list_bytes.min(MAX_MESSAGE_BYTES),
            max_name_bytes: self.max_name_bytes.min(MAX_METADATA_BYTES),
            ..self
        }
    }
}
