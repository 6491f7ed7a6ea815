//! The static table (RFC 7541 Appendix A): 61 entries that every connection begins with.

/// Entries by index, less one.
pub(super) static ENTRIES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The index of the newest entry of a dynamic table.
pub(super) const DYNAMIC_FIRST: u32 = ENTRIES.len() as u32 + 1;

/// The first index with the name of each entry, so that a name has one number whichever entry it came from.
static NAME_INDEX: [u8; 61] = name_indexes();

const fn name_indexes() -> [u8; 61] {
    let mut indexes = [1; 61];
    let mut at = 1;
    while at < ENTRIES.len() {
        // Entries of one name stand together.
        indexes[at] = if same(ENTRIES[at].0, ENTRIES[at - 1].0) { indexes[at - 1] } else { at as u8 + 1 };
        at += 1;
    }
    indexes
}

pub(super) const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Name, value, and the first index of that name.
#[inline]
pub(super) fn entry(index: u32) -> Option<(&'static [u8], &'static [u8], u8)> {
    let at = (index as usize).checked_sub(1)?;
    let (name, value) = ENTRIES.get(at)?;
    Some((name.as_bytes(), value.as_bytes(), NAME_INDEX[at]))
}
