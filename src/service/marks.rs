//! What filters say of an exchange for everybody after them, the access log included: left in the
//! [`Context`](super::Context) with `insert`, found with `get`.

/// The id of a request, by which it can be found in other logs. Printable text, chosen or checked by the
/// filter that leaves it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(pub Box<str>);

/// The name of the user who was found to be who they say.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct User(pub Box<str>);
