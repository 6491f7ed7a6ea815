//! Paths as clients write them, and what becomes of them.

use proptest::prelude::*;

use super::*;

fn resolved(raw: &[u8]) -> Result<(Vec<u8>, bool), PathError> {
    let mut scratch = b"left over from the last request".to_vec();
    resolve(raw, &mut scratch).map(|path| (path.as_bytes().to_vec(), path.names_directory()))
}

fn encoded(path: &[u8]) -> String {
    let mut out = Vec::new();
    encode_path(path, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn names_files_and_directories() {
    for (raw, file, names_directory) in [
        ("/", ".", true),
        ("/a", "a", false),
        ("/a/", "a/", true),
        ("/index.html", "index.html", false),
        ("/a/b/c.txt", "a/b/c.txt", false),
        ("/a/b/c/", "a/b/c/", true),
        // Escapes, decoded once.
        ("/a%20b", "a b", false),
        ("/%61", "a", false),
        ("/%C3%A9t%c3%a9", "été", false),
        ("/100%25", "100%", false),
        ("/%2541", "%41", false),
        ("/%252e%252e/x", "%2e%2e/x", false),
        ("/%252Fetc", "%2Fetc", false),
        ("/a%3Fb", "a?b", false),
        ("/a%23b", "a#b", false),
        // Empty segments and `.` change nothing.
        ("//", ".", true),
        ("///", ".", true),
        ("//a", "a", false),
        ("/a//b", "a/b", false),
        ("/a//", "a/", true),
        ("//etc//passwd", "etc/passwd", false),
        ("/.", ".", true),
        ("/./", ".", true),
        ("/./a", "a", false),
        ("/a/./b", "a/b", false),
        ("/a/.", "a/", true),
        ("/a/%2e", "a/", true),
        ("/%2E/a", "a", false),
        // Dots that hide nothing.
        ("/a.", "a.", false),
        ("/a..", "a..", false),
        ("/a../b", "a../b", false),
        ("/a..b", "a..b", false),
        ("/a.b.c", "a.b.c", false),
        ("/a%2e%2e", "a..", false),
        // Hidden but for this.
        ("/.well-known", ".well-known", false),
        ("/.well-known/", ".well-known/", true),
        ("/.well-known/acme-challenge/x_Y-z", ".well-known/acme-challenge/x_Y-z", false),
        ("/%2Ewell%2Dknown/security.txt", ".well-known/security.txt", false),
        ("//.well-known/a", ".well-known/a", false),
        ("/./.well-known/a", ".well-known/a", false),
        // Ordinary bytes on Linux, whatever they mean elsewhere.
        ("/a\\b", "a\\b", false),
        ("/a%5C..%5Cb", "a\\..\\b", false),
        ("/a;b=c,d", "a;b=c,d", false),
        ("/c:/x", "c:/x", false),
        ("/~user", "~user", false),
        ("/a%0d%0aX:y", "a\r\nX:y", false),
        ("/a?b", "a?b", false),
    ] {
        let file = file.strip_suffix('/').unwrap_or(file).as_bytes().to_vec();
        assert_eq!(resolved(raw.as_bytes()), Ok((file, names_directory)), "{raw}");
    }
}

#[test]
fn refuses_what_is_malformed() {
    use PathError::*;
    for (raw, error) in [
        (&b""[..], MissingLeadingSlash),
        (b"a", MissingLeadingSlash),
        (b"*", MissingLeadingSlash),
        (b"%2Fa", MissingLeadingSlash),
        (b"\\a", MissingLeadingSlash),
        (b"http://host/a", MissingLeadingSlash),
        (b"/%", BrokenEscape),
        (b"/%2", BrokenEscape),
        (b"/a%", BrokenEscape),
        (b"/a%/b", BrokenEscape),
        (b"/a%2/b", BrokenEscape),
        (b"/%zz", BrokenEscape),
        (b"/%2g", BrokenEscape),
        (b"/%+1", BrokenEscape),
        (b"/% 1", BrokenEscape),
        (b"/%%41", BrokenEscape),
        (b"/%u002e", BrokenEscape),
        (b"/%\xc3\xa9", BrokenEscape),
        (b"/a%2Fb", EscapedSlash),
        (b"/a%2fb", EscapedSlash),
        (b"/..%2f..%2fetc%2fpasswd", EscapedSlash),
        (b"/%2e%2e%2fetc", EscapedSlash),
        (b"/a\0b", NulByte),
        (b"/a%00b", NulByte),
        (b"/a.html%00.png", NulByte),
        (b"/\0", NulByte),
        (b"/..", ParentSegment),
        (b"/../", ParentSegment),
        (b"/../etc/passwd", ParentSegment),
        (b"/a/../b", ParentSegment),
        (b"/a/..", ParentSegment),
        (b"/a/b/../../..", ParentSegment),
        (b"/%2e%2e/etc/passwd", ParentSegment),
        (b"/%2E%2E/", ParentSegment),
        (b"/.%2e/", ParentSegment),
        (b"/%2e./", ParentSegment),
        (b"//../x", ParentSegment),
        (b"/./../x", ParentSegment),
        (b"/.well-known/../../x", ParentSegment),
    ] {
        assert_eq!(resolved(raw), Err(error), "{}", raw.escape_ascii());
        assert!(error.is_malformed());
    }
}

#[test]
fn hides_dotfiles() {
    for raw in [
        "/.git/config",
        "/.env",
        "/%2eenv",
        "/a/.htaccess",
        "/a/%2Ehtaccess",
        "/...",
        "/.../x",
        "/..a",
        "/.a.",
        "/.well-known-not",
        "/.well-knowN",
        "/.well-known/.htpasswd",
        "/.well-known/.well-known",
        "/a/.well-known/x",
        "//.env",
        "/..\\..\\etc",
        "/..%5c..%5cetc",
        "/..%c0%af..%c0%afetc",
        "/. /x",
    ] {
        assert_eq!(resolved(raw.as_bytes()), Err(PathError::HiddenSegment), "{raw}");
    }
    assert!(!PathError::HiddenSegment.is_malformed());
}

#[test]
fn keeps_to_linux_lengths() {
    let name = "n".repeat(SEGMENT_BYTES_MAX);
    let escaped_name = "%6e".repeat(SEGMENT_BYTES_MAX);
    assert_eq!(resolved(format!("/{name}").as_bytes()), Ok((name.clone().into_bytes(), false)));
    assert_eq!(resolved(format!("/{escaped_name}").as_bytes()), Ok((name.clone().into_bytes(), false)));
    for too_long in [format!("/{name}n"), format!("/a/{name}n/b"), format!("/{escaped_name}%6e")] {
        assert_eq!(resolved(too_long.as_bytes()), Err(PathError::SegmentTooLong));
    }

    let sixteen_names = format!("/{name}").repeat(16);
    assert_eq!(sixteen_names.len(), PATH_BYTES_MAX + 1);
    assert_eq!(resolved(sixteen_names.as_bytes()), Ok((sixteen_names.as_bytes()[1..].to_vec(), false)));
    assert_eq!(resolved(format!("{sixteen_names}/").as_bytes()).map(|(_, directory)| directory), Ok(true));
    assert_eq!(resolved(format!("{sixteen_names}/a").as_bytes()), Err(PathError::PathTooLong));
    assert!(!PathError::PathTooLong.is_malformed() && !PathError::SegmentTooLong.is_malformed());
}

#[test]
fn a_hostile_length_does_not_grow_the_scratch() {
    let mut scratch = Vec::new();
    for raw in [b"/a".repeat(1 << 20), b"/%61".repeat(1 << 20), b"%61".repeat(1 << 20), vec![b'/'; 1 << 20]] {
        let raw = [b"/", &raw[..]].concat();
        let _ = resolve(&raw, &mut scratch);
        assert!(scratch.len() <= PATH_BYTES_MAX + SEGMENT_BYTES_MAX + 2);
        assert!(scratch.capacity() <= 16 * 1024, "{}", scratch.capacity());
    }
}

#[test]
fn a_plain_path_is_not_copied() {
    let raw = b"/static/app.4f1c.js";
    let mut scratch = Vec::new();
    let path = resolve(raw, &mut scratch).unwrap();
    assert_eq!(path.as_bytes().as_ptr(), raw[1..].as_ptr());
    assert_eq!(path.as_path(), Path::new("static/app.4f1c.js"));
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn encodes_for_location() {
    for (path, location) in [
        (&b""[..], "/"),
        (b".", "/"),
        (b"/", "/"),
        (b"docs/", "/docs/"),
        (b"/docs/", "/docs/"),
        (b"a b/\xc3\xa9.txt", "/a%20b/%C3%A9.txt"),
        (b"100%", "/100%25"),
        (b"a?b#c", "/a%3Fb%23c"),
        (b"a!$&'()*+,;=:@-._~z", "/a!$&'()*+,;=:@-._~z"),
        (b"[a]|{b}^`<>\"", "/%5Ba%5D%7C%7Bb%7D%5E%60%3C%3E%22"),
        // Neither another host nor another line.
        (b"//evil.example/", "/evil.example/"),
        (b"////evil.example", "/evil.example"),
        (b"\\\\evil.example", "/%5C%5Cevil.example"),
        (b"/\\evil.example", "/%5Cevil.example"),
        (b"/\t/evil.example", "/%09/evil.example"),
        (b"/\n//evil.example", "/%0A//evil.example"),
        (b"http://evil.example/", "/http://evil.example/"),
        (b"a\r\nSet-Cookie: x=y", "/a%0D%0ASet-Cookie:%20x=y"),
        (b"\0\x7f\xff", "/%00%7F%FF"),
    ] {
        assert_eq!(encoded(path), location, "{}", path.escape_ascii());
    }
}

fn normal(path: &[u8]) -> Result<String, PathError> {
    let mut out = Vec::new();
    normalize(path, &mut out).map(|()| String::from_utf8(out).unwrap())
}

#[test]
fn normal_forms() {
    for (path, form) in [
        (&b"/"[..], "/"),
        (b"//", "/"),
        (b"/.", "/"),
        (b"/a", "/a"),
        (b"/a/", "/a/"),
        (b"/a//", "/a/"),
        (b"/a/.", "/a/"),
        (b"//a/./b", "/a/b"),
        (b"/%2e/a", "/a"),
        (b"/%61%7e%2D", "/a~-"),
        (b"/a%2fb%2F", "/a%2Fb%2F"),
        (b"/%c3%a9\xc3\xa9", "/%C3%A9%C3%A9"),
        (b"/a|b[c]\\{d}^`\"<>", "/a%7Cb%5Bc%5D%5C%7Bd%7D%5E%60%22%3C%3E"),
        (b"/%40%3a%2b+", "/@:++"),
        (b"/100%/%zz/%4", "/100%25/%25zz/%254"),
        (b"/%252e%252e", "/%252e%252e"),
        (b"/...", "/..."),
        (b"/..a/a..", "/..a/a.."),
        (b"/a%2F./%00", "/a%2F./%00"),
    ] {
        assert_eq!(normal(path).as_deref(), Ok(form), "{}", path.escape_ascii());
        assert_eq!(normal(form.as_bytes()).as_deref(), Ok(form), "the normal form of one is itself");
    }
    for path in
        [&b"/.."[..], b"/../a", b"/a/..", b"/%2e%2E/a", b"/.%2e", b"/a%2f..", b"/..%2Fa", b"/a%2F..%2fb"]
    {
        assert_eq!(normal(path), Err(PathError::ParentSegment), "{}", path.escape_ascii());
    }
    for path in [&b""[..], b"a", b"%2Fa", b"*"] {
        assert_eq!(normal(path), Err(PathError::MissingLeadingSlash));
    }
}

#[test]
fn a_byte_is_escaped_in_the_normal_form_as_in_a_location() {
    for byte in 0..=u8::MAX {
        let is_escaped = encoded(&[b'x', byte]) != format!("/x{}", char::from(byte));
        assert_eq!(is_unescaped(byte), !is_escaped, "0x{byte:02x}");
    }
}

fn spelt_path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"/.a%2eF|~\xff"[..]), 0..10)
}

proptest! {
    #[test]
    fn the_quick_check_is_right(path in spelt_path()) {
        let path = [b"/", &path[..]].concat();
        if is_surely_normal(&path) {
            let form = normal(&path).unwrap();
            prop_assert_eq!(form.as_bytes(), &path[..]);
        }
        // Files are found by the normal form as by the path itself, where that is no error.
        let form = normal(&path);
        if let (Ok((name, is_directory)), Ok(form)) = (resolved(&path), &form) {
            let trimmed = name.strip_suffix(b"/").unwrap_or(&name).to_vec();
            let (again, again_directory) = resolved(form.as_bytes()).unwrap();
            prop_assert_eq!(again.strip_suffix(b"/").unwrap_or(&again), &trimmed[..]);
            prop_assert_eq!(again_directory, is_directory);
        }
    }

    #[test]
    fn plain_and_rewritten_agree(raw in "/[a/.%0-9~]{0,12}") {
        let mut lent = Vec::new();
        let mut rewritten = Vec::new();
        let by_rewriting = rewrite(&raw.as_bytes()[1..], &mut rewritten);
        match resolve(raw.as_bytes(), &mut lent) {
            Err(error) => prop_assert_eq!(by_rewriting, Err(error)),
            Ok(path) => {
                prop_assert_eq!(by_rewriting, Ok(path.names_directory()));
                if rewritten.is_empty() {
                    rewritten.push(b'.');
                }
                prop_assert_eq!(path.as_bytes(), &rewritten[..]);
            }
        }
    }

    #[test]
    fn encoding_reads_back(segments in prop::collection::vec("[^./\0][^/\0]{0,8}", 1..4)) {
        let path = segments.join("/");
        let location = encoded(path.as_bytes());
        prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(resolved(location.as_bytes()), Ok((path.into_bytes(), false)));
    }
}

#[test]
fn spellings_with_the_same_segments_are_forwarded_as_sent() {
    for path in [
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a%2Fb",
        "/a%252Fb",
        "/%20",
        "/a+b",
        "/%c3%a9",
        "/%C3%A9",
        "/%80",
        "/%0d%0aX",
        "/a%22b",
        "/%25",
        "/!$&'()*+,;=:@",
        "/...",
        "/%2F/",
    ] {
        assert!(has_same_segments(path.as_bytes()), "{path}");
    }
    for path in
        ["", "a", "//", "//a", "/a//b", "/./a", "/a/.", "/%61dmin", "/%2e/a", "/a%7Eb", "/a//", "/%41"]
    {
        assert!(!has_same_segments(path.as_bytes()), "{path}");
    }
}
