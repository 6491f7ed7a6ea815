//! The name of the one who makes a request, as authentication leaves it for handlers and the access log.

/// Who made the request: set by `BasicAuth`, or by an authentication of your own
/// (`context.insert(User::new(name))`). Handlers ask for it with `Extension<User>`; the access log writes it.
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
