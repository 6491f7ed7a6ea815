//! The `Vary` field (RFC 9110 §12.5.5), which several filters add to.

use crate::service::Response;

/// Adds `name` to `Vary`, unless it is there.
pub(super) fn add(response: &mut Response, name: &str) {
    let named = |value: &[u8]| {
        let mut names = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        names.any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_bytes()))
    };
    if response.field_values("Vary").any(named) {
        return;
    }
    response.add_field("Vary", name).expect("a field's name is a valid value");
}
