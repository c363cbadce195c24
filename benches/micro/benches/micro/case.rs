//! One step that is measured.

/// A step with all it works on.
pub(crate) struct Case(Box<dyn FnMut(usize)>);

impl Case {
    /// Does the step once, so that what happens only the first time is not measured.
    pub(crate) fn new(mut step: impl FnMut() + 'static) -> Self {
        step();
        Self(Box::new(move |times| (0..times).for_each(|_| step())))
    }

    /// Gives itself back, so that its end is not measured.
    pub(crate) fn run(mut self, times: usize) -> Self {
        (self.0)(times);
        self
    }
}
