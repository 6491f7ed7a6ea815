//! Runs every poll of the application inside a context of its choice, such as that of a reactor on threads of
//! its own. Knows no reactor.

use std::rc::Rc;

type Around = dyn Fn(&mut dyn FnMut());

/// The context of polls; none by default.
#[derive(Clone, Default)]
pub(super) struct Within(Option<Rc<Around>>);

impl Within {
    pub(super) fn new(around: impl Fn(&mut dyn FnMut()) + 'static) -> Self {
        Self(Some(Rc::new(around)))
    }

    /// Runs `poll` inside the context.
    #[inline]
    pub(super) fn run<T>(&self, poll: impl FnOnce() -> T) -> T {
        let Some(around) = &self.0 else { return poll() };
        let (mut poll, mut result) = (Some(poll), None);
        around(&mut || {
            if let Some(poll) = poll.take() {
                result = Some(poll());
            }
        });
        result.expect("what is given to `within` runs what it is given")
    }
}
