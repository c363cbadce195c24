//! Cuts frames out of a byte stream.

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, Foreign, Frame, Header, Level, Limits, header::Lengths};

/// Cuts frames out of a buffer that the caller fills. It holds no bytes of its own and copies no
/// payload.
///
/// The memory a frame takes grows with the bytes that arrived, not with the length its header
/// announces: reserve at most what [`missing_bytes`](Self::missing_bytes) says, in steps of your
/// own choice.
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
    level: Level,
}

impl FrameDecoder {
    /// Makes a decoder for the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits: limits.clamp(), pending: None, any_frame: false, level: Level::THREE }
    }

    /// Says what the link speaks, from the next frame on. Until then, kinds that only level 4 links
    /// carry are errors.
    pub const fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Takes the next whole frame from the front of `src`. While it is incomplete the result is
    /// `Ok(None)`, and nothing is taken.
    ///
    /// On a level 4 link a frame of an unknown kind is a frame as any other, which whoever gets it
    /// skips.
    ///
    /// # Errors
    /// [`DecodeError`], final for this stream. An announced length is refused before its bytes
    /// arrive.
    #[inline]
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
                let header = self.header(bytes)?;
                *self.pending.insert(header)
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

    /// A frame whose bytes the caller gathered somewhere else, because it is large: the
    /// [`missing_bytes`](Self::missing_bytes) ones with those that [`decode`](Self::decode) left,
    /// and no more.
    ///
    /// # Errors
    /// [`DecodeError`], final for this stream; [`DecodeError::Truncated`] when `whole` is not one
    /// frame.
    pub fn decode_whole(&mut self, whole: Bytes) -> Result<Frame, DecodeError> {
        let (have, need) = (whole.len(), Header::LEN);
        let (header, lengths) = match self.pending.take() {
            Some(pending) => pending,
            None => self.header(whole.first_chunk().ok_or(DecodeError::Truncated { have, need })?)?,
        };
        let need = Header::LEN + lengths.message;
        if have != need {
            return Err(DecodeError::Truncated { have, need });
        }
        self.any_frame = true;
        Frame::from_wire(header, lengths, whole, &self.limits)
    }

    /// A header that this link may carry now.
    fn header(&self, bytes: &[u8; Header::LEN]) -> Result<(Header, Lengths), DecodeError> {
        let (header, lengths) = Header::decode(bytes, &self.limits)?;
        let kind = header.kind();
        if self.level.at_least(kind.min_level()) {
            return Ok((header, lengths));
        }
        Err(if self.any_frame { DecodeError::UnknownKind(kind.number()) } else { DecodeError::TooEarly(kind) })
    }

    /// Returns how many bytes must still come before a frame of which `have` bytes have arrived, or
    /// its header, is whole.
    #[must_use]
    pub fn missing_bytes(&self, have: usize) -> usize {
        let need = self.pending.map_or(Header::LEN, |(_, lengths)| Header::LEN + lengths.message);
        need.saturating_sub(have)
    }

    /// Checks that a stream which ends here, with `have` bytes undecoded, ended between two frames.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it ended inside a frame.
    pub fn finish(&self, have: usize) -> Result<(), DecodeError> {
        if have == 0 {
            return Ok(());
        }
        Err(DecodeError::Truncated { have, need: have + self.missing_bytes(have) })
    }

    /// Returns the limits in force.
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
                None => match self.finish(src.len()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallId, Kind};

    #[test]
    fn a_frame_that_was_gathered_elsewhere() {
        let limits = Limits::default();
        let frame = Frame::new(Header::control(Kind::Events, CallId::NONE, false), "", "", "", b"{}", &limits).unwrap();
        let whole = frame.as_bytes().clone();
        for known in [0, 5, 10] {
            let mut decoder = FrameDecoder::new(limits);
            assert_eq!(decoder.decode(&mut BytesMut::from(&whole[..known])), Ok(None));
            assert_eq!(decoder.decode_whole(whole.clone()), Ok(frame.clone()));
            assert_eq!(decoder.decode(&mut BytesMut::from(&whole[..])), Ok(Some(frame.clone())));
        }
        for (have, need) in [(3, Header::LEN), (whole.len() - 1, whole.len())] {
            let mut decoder = FrameDecoder::new(limits);
            assert_eq!(decoder.decode_whole(whole.slice(..have)), Err(DecodeError::Truncated { have, need }));
        }
    }
}
