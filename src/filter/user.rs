//! The authenticated user of a request, for handlers and the access log.

/// The authenticated user: set by `BasicAuth`, or by an authentication of your own
/// (`context.insert(User::new(name))`). Handlers extract it with `Extension<User>`; the access log records
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(Box<str>);

impl User {
    /// With this name, which has been verified.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}
