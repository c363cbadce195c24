//! Inputs made of other inputs.

use fastrand::Rng;

/// The longest input made.
pub(crate) const LONGEST: usize = 16 * 1024;

const NUMBERS: [u64; 14] =
    [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1ff_ffff, 0x7fff_ffff, 0x8000_0000, 1 << 63, u64::MAX];

/// Changes an input in one to eight ways. `other` gives parts to splice in.
pub(crate) fn mutate(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..1 << rng.u32(0..4) {
        change(&mut input, other, rng);
    }
    input.truncate(LONGEST);
    input
}

/// Small pieces more often than large ones.
fn length(rng: &mut Rng, most: usize) -> usize {
    let most = most.min(1 << rng.u32(0..12));
    rng.usize(..=most)
}

fn change(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if input.is_empty() {
        input.extend((0..rng.usize(1..20)).map(|_| rng.u8(..)));
        return;
    }
    let at = rng.usize(..input.len());
    // Small pieces more often than large ones.
    match rng.u8(0..12) {
        0 | 1 => input[at] ^= 1 << rng.u32(0..8),
        2 | 3 => input[at] = rng.u8(..),
        4 => input[at] = input[at].wrapping_add(rng.u8(0..8)).wrapping_sub(4),
        5 => {
            let number = rng.choice(NUMBERS).unwrap_or_default();
            let number = if rng.bool() { number.to_le_bytes() } else { number.to_be_bytes() };
            let wide = [1, 2, 4, 8][rng.usize(0..4)].min(input.len() - at);
            input[at..at + wide].copy_from_slice(&number[..wide]);
        }
        6 => {
            let end = at + length(rng, input.len() - at);
            input.drain(at..end);
        }
        7 => {
            let part = input[at..at + length(rng, input.len() - at)].to_vec();
            let to = rng.usize(..=input.len());
            input.splice(to..to, part);
        }
        8 => {
            let part: Vec<u8> = (0..length(rng, 64)).map(|_| rng.u8(..)).collect();
            input.splice(at..at, part);
        }
        9 => input.truncate(at + 1),
        10 if !other.is_empty() => {
            let from = rng.usize(..other.len());
            let part = other[from..from + length(rng, other.len() - from)].to_vec();
            let end = at + length(rng, input.len() - at);
            input.splice(at..end, part);
        }
        _ => {
            let byte = input[at];
            let many = length(rng, 1024);
            input.splice(at..at, std::iter::repeat_n(byte, many));
        }
    }
}
