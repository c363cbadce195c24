//! Values by where they are found: in the input, or among what was built.

/// A value on the stack, in the memo or in a container. Those that the input holds in one piece
/// stay there, and are read when somebody asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// Where a value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At an opcode of the input that makes a value by itself.
    Input(usize),
    /// At a node of the arena.
    Node(usize),
}

/// The highest bit tells nodes from places in the input.
const NODE: u32 = 1 << 31;

/// Bytes that an input may have: the offset of each must fit beside the bit.
pub(super) const MAX_INPUT: usize = NODE as usize - 1;

impl Slot {
    /// The value at an offset in the input, whose length was checked.
    #[expect(clippy::cast_possible_truncation, reason = "no input is longer than MAX_INPUT")]
    pub(super) const fn input(offset: usize) -> Self {
        Self(offset as u32 & !NODE)
    }

    /// The node at an index; `None` beyond two thousand million words.
    pub(super) fn node(index: usize) -> Option<Self> {
        let index = u32::try_from(index).ok().filter(|index| index & NODE == 0)?;
        Some(Self(index | NODE))
    }

    pub(super) const fn place(self) -> Place {
        if self.0 & NODE == 0 { Place::Input(self.0 as usize) } else { Place::Node((self.0 & !NODE) as usize) }
    }

    /// The value as a word of the arena.
    pub(super) const fn word(self) -> u32 {
        self.0
    }

    /// The value that [`word`](Self::word) wrote as this word.
    pub(super) const fn of_word(word: u32) -> Self {
        Self(word)
    }
}
