//! What a connection asked for last: it often sends many frames to few others.

/// How many are remembered.
const REMEMBERED: usize = 4;

/// The last few answers to a question that is asked for every frame.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    entries: [Option<T>; REMEMBERED],
    next: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: [const { None }; REMEMBERED], next: 0 }
    }
}

impl<T> Recent<T> {
    /// The one that `fits`, if it is remembered.
    pub(crate) fn find(&self, fits: impl Fn(&T) -> bool) -> Option<&T> {
        self.entries.iter().flatten().find(|entry| fits(entry))
    }

    /// The one that `fits`, else what `find` gives, remembered in the place of the oldest.
    pub(crate) fn get_or_find<E>(
        &mut self,
        fits: impl Fn(&T) -> bool,
        find: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        let known = self.entries.iter().position(|entry| entry.as_ref().is_some_and(&fits));
        let at = match known {
            Some(at) => at,
            None => {
                let at = self.next;
                self.entries[at] = Some(find()?);
                self.next = (at + 1) % REMEMBERED;
                at
            }
        };
        Ok(self.entries[at].as_ref().expect("the entry was found, or put there just now"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let (mut recent, mut looked_up) = (Recent::default(), Vec::new());
        for n in [1, 2, 3, 4, 1, 4, 5, 2, 1] {
            let got = recent.get_or_find(
                |known| *known == n,
                || {
                    looked_up.push(n);
                    Ok::<_, ()>(n)
                },
            );
            assert_eq!(got, Ok(&n));
        }
        assert_eq!(looked_up, [1, 2, 3, 4, 5, 1]);
        assert_eq!(recent.get_or_find(|_| false, || Err("unknown")), Err("unknown"));
        assert_eq!(recent.get_or_find(|known| *known == 5, || Err("forgotten")), Ok(&5));
    }
}
