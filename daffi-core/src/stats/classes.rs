//! Errors by their class, of which peers may make up many.

use parking_lot::Mutex;

use super::OTHER;

/// Classes that are told apart.
const MOST: usize = 16;

/// Bytes of a class that are kept.
const LONGEST: usize = 64;

/// How often each class of error came: the first few for themselves, the rest together.
#[derive(Debug, Default)]
pub(super) struct Classes(Mutex<Vec<(String, u64)>>);

impl Classes {
    #[cold]
    pub(super) fn note(&self, class: &str) {
        let class = begin_of(class);
        let mut known = self.0.lock();
        if let Some((_, count)) = known.iter_mut().find(|(known, _)| known == class) {
            *count += 1;
            return;
        }
        let class = if known.len() < MOST - 1 { class } else { OTHER };
        match known.iter_mut().find(|(known, _)| known == class) {
            Some((_, count)) => *count += 1,
            None => known.push((class.to_owned(), 1)),
        }
    }

    pub(super) fn snapshot(&self) -> Vec<(String, u64)> {
        self.0.lock().clone()
    }
}

/// As much of a class as is kept.
fn begin_of(class: &str) -> &str {
    let ends = class.char_indices().map(|(at, c)| at + c.len_utf8());
    &class[..ends.take_while(|end| *end <= LONGEST).last().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_without_end_take_no_memory_without_end() {
        let classes = Classes::default();
        (0..1000).for_each(|n| classes.note(&format!("Class{n}")));
        classes.note(&"\u{fc}".repeat(LONGEST));
        classes.note("Class3");
        let known = classes.snapshot();
        assert_eq!(known.len(), MOST);
        assert_eq!(known[3], ("Class3".to_owned(), 2));
        assert_eq!(known[MOST - 1], (OTHER.to_owned(), 1000 + 2 - MOST as u64));
    }
}
