//! How far an exchange with an endpoint is, whatever its protocol.

/// What became of the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sending {
    /// The body is held until the endpoint asks for it (`100 Continue`).
    Held,
    /// The body is sent as it comes.
    Flowing,
    /// All of it was passed on.
    Done,
    /// The endpoint does not take the rest. It may have answered before.
    Refused,
}

/// What the deadline is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    Nothing,
    /// `100 Continue`.
    Asking,
    /// The client, whose pace others judge.
    Client,
    /// The endpoint is to take what is sent.
    Taking,
    /// The endpoint is to answer.
    Answer,
    /// The endpoint is to send more of its body.
    Body,
}
