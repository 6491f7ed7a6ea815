//! Request paths: a name that is handed to the file system never leaves the root, never shows what is
//! hidden, and survives the way back through a Location field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::path::{self, PATH_BYTES_MAX, SEGMENT_BYTES_MAX};

fuzz_target!(|input: &[u8]| {
    let mut scratch = Vec::new();
    if let Ok(path) = path::resolve(input, &mut scratch) {
        let name = path.as_bytes();
        assert_safe(name);

        let mut location = Vec::new();
        path::encode_path(name, &mut location);
        assert_plain_location(&location);
        let mut scratch = Vec::new();
        let again = path::resolve(&location, &mut scratch).expect("what was encoded can be resolved");
        assert_eq!(again.as_bytes(), name);
    }
    assert!(scratch.len() <= PATH_BYTES_MAX + SEGMENT_BYTES_MAX + 2);

    let mut location = Vec::new();
    path::encode_path(input, &mut location);
    assert_plain_location(&location);

    let mut normal = Vec::new();
    if path::normalize(input, &mut normal).is_ok() {
        assert_plain_location(&normal);
        assert!(!path::is_surely_normal(input) || normal == input);
        let segments: Vec<&[u8]> = normal[1..].split(|byte| *byte == b'/').collect();
        let (last, before) = segments.split_last().expect("a split has a part");
        assert!(before.iter().chain([last]).all(|segment| *segment != b"." && *segment != b".."));
        assert!(before.iter().all(|segment| !segment.is_empty()));
        let mut again = Vec::new();
        path::normalize(&normal, &mut again).expect("a normal form has one");
        assert_eq!(again, normal);
    }
});

fn assert_safe(name: &[u8]) {
    assert!(name.len() <= PATH_BYTES_MAX);
    assert!(!name.contains(&0));
    if name == b"." {
        return;
    }
    for (place, segment) in name.split(|byte| *byte == b'/').enumerate() {
        assert!(!segment.is_empty(), "no slash in front, behind, or doubled");
        assert!(segment.len() <= SEGMENT_BYTES_MAX);
        assert!(segment[0] != b'.' || (place == 0 && segment == b".well-known"));
    }
}

fn assert_plain_location(location: &[u8]) {
    assert!(location.starts_with(b"/") && !location.starts_with(b"//"));
    assert!(location.iter().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>?#".contains(byte)));
}
