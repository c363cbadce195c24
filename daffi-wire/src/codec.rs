//! Cuts frames out of a byte stream.

use bytes::BytesMut;

use crate::{DecodeError, Foreign, Frame, Header, Limits, header::Lengths};

/// Cuts frames out of a buffer that the caller fills. Holds no bytes of its own and copies no payload.
///
/// The memory a frame takes grows with the bytes that arrived, not with the length its header announces: reserve at
/// most what [`missing`](Self::missing) says, in steps of your own choice.
///
/// ```
/// use bytes::BytesMut;
/// use daffi_wire::{CallId, Frame, FrameDecoder, Header, Kind, Limits};
/// let limits = Limits::default();
/// let frame = Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", b"{}", &limits)?;
/// let mut decoder = FrameDecoder::new(limits);
/// let mut buffer = BytesMut::from(&frame.as_bytes()[..10]);
/// assert_eq!(decoder.decode(&mut buffer)?, None);
/// buffer.extend_from_slice(&frame.as_bytes()[10..]);
/// assert_eq!(decoder.decode(&mut buffer)?, Some(frame));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    limits: Limits,
    /// The header at the front of the buffer, once its nine bytes were checked.
    pending: Option<(Header, Lengths)>,
    any_frame: bool,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits: limits.clamped(), pending: None, any_frame: false }
    }

    /// The next whole frame at the front of `src`. `Ok(None)`: incomplete, nothing consumed.
    ///
    /// # Errors
    /// [`DecodeError`], final for this stream. An announced length is refused before its bytes arrive.
    pub fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        let (header, lengths) = match self.pending {
            Some(pending) => pending,
            None => {
                if !self.any_frame
                    && let Some(foreign) = Foreign::recognise(src)
                {
                    return Err(DecodeError::Foreign(foreign));
                }
                let Some(bytes) = src.first_chunk() else { return Ok(None) };
                *self.pending.insert(Header::decode(bytes, &self.limits)?)
            }
        };
        let total = Header::LEN + lengths.message;
        if src.len() < total {
            return Ok(None);
        }
        self.pending = None;
        self.any_frame = true;
        Frame::from_wire(header, lengths, src.split_to(total).freeze(), &self.limits).map(Some)
    }

    /// Bytes still to come before the frame at the front of `src` is whole; the header first.
    #[must_use]
    pub fn missing(&self, src: &BytesMut) -> usize {
        let need = self.pending.map_or(Header::LEN, |(_, lengths)| Header::LEN + lengths.message);
        need.saturating_sub(src.len())
    }

    /// Whether a stream that ends here, with `rest` undecoded, ended between two frames.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it ended inside a frame.
    pub fn finish(&self, rest: &BytesMut) -> Result<(), DecodeError> {
        if rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Truncated { have: rest.len(), need: rest.len() + self.missing(rest) })
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(feature = "codec")]
mod tokio_codec {
    use std::io;

    use bytes::BytesMut;
    use tokio_util::codec::{Decoder, Encoder};

    use super::{Frame, FrameDecoder};

    impl Decoder for FrameDecoder {
        type Item = Frame;
        type Error = io::Error;

        fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Frame>> {
            Self::decode(self, src).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
        }

        fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<Frame>> {
            match Decoder::decode(self, src)? {
                Some(frame) => Ok(Some(frame)),
                None => match self.finish(src) {
                    Ok(()) => Ok(None),
                    Err(e) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, e)),
                },
            }
        }
    }

    impl Encoder<Frame> for FrameDecoder {
        type Error = io::Error;

        fn encode(&mut self, frame: Frame, dst: &mut BytesMut) -> io::Result<()> {
            dst.extend_from_slice(frame.as_bytes());
            Ok(())
        }
    }
}
