//! The parts of a message common to every version of HTTP (RFC 9110): heads, fields, trailers, their
//! evaluation, their limits, and why they are refused. Knows no wire format but that of a field line, and no
//! connection.

pub(super) mod facts;
mod field;
mod framing_error;
mod framing_field_error;
pub(super) mod grammar;
pub(super) mod head;
mod limits;
mod request_error;
mod response_error;
pub(super) mod response_head;
pub(super) mod trailers;

pub use field::{FieldError, push_field};
pub use framing_error::FramingError;
pub use framing_field_error::FramingFieldError;
pub use grammar::FieldLineError;
pub use head::{FieldRef, Fields, FieldsNamed, Framing, RequestHead, TargetForm, Version};
pub use limits::{BodyLimits, HeadLimits, ResponseLimits};
pub use request_error::RequestError;
pub use response_error::ResponseError;
pub use response_head::ResponseHead;
pub use trailers::Trailers;
