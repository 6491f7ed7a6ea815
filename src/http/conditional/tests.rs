//! Preconditions as clients write them, and every combination of them against the order of the RFC.

use proptest::prelude::*;

use super::MethodKind::{GetOrHead, Other};
use super::Precondition::{Failed, NotModified, Proceed};
use super::*;

/// In November 2026.
const NOW: i64 = 1_795_000_000;

const MODIFIED: i64 = 784_111_777;
const AT: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &[u8] = b"Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &[u8] = b"Sun, 06 Nov 1994 08:49:38 GMT";

fn strong() -> Validators<'static> {
    Validators { etag: ETag::parse(b"\"xyzzy\""), last_modified: Some(MODIFIED) }
}

fn weak() -> Validators<'static> {
    Validators { etag: ETag::parse(b"W/\"xyzzy\""), last_modified: Some(MODIFIED) }
}

fn none<'a>() -> Conditions<'a, Vec<&'a [u8]>, Vec<&'a [u8]>> {
    Conditions { if_match: vec![], if_none_match: vec![], if_modified_since: None, if_unmodified_since: None }
}

fn get_if_none_match(lines: &[&[u8]]) -> Precondition {
    evaluate(GetOrHead, Conditions { if_none_match: lines.to_vec(), ..none() }, &strong(), NOW)
}

fn put_if_match(lines: &[&[u8]]) -> Precondition {
    evaluate(Other, Conditions { if_match: lines.to_vec(), ..none() }, &strong(), NOW)
}

#[test]
fn the_rfcs_comparison_table() {
    // RFC 9110 §8.8.3.2, table 3.
    for (one, other, strongly, weakly) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
    ] {
        let tags = [one, other].map(|text| ETag::parse(text.as_bytes()).unwrap());
        for [one, other] in [tags, [tags[1], tags[0]]] {
            assert_eq!(one.strong_eq(other), strongly, "{one:?} {other:?}");
            assert_eq!(one.weak_eq(other), weakly, "{one:?} {other:?}");
        }
    }
}

#[test]
fn reads_entity_tags() {
    for (value, is_weak, opaque) in [
        (&b"\"xyzzy\""[..], false, &b"xyzzy"[..]),
        (b"W/\"xyzzy\"", true, b"xyzzy"),
        (b"\"\"", false, b""),
        (b"W/\"\"", true, b""),
        (b"\"W/\"", false, b"W/"),
        (b"\"a\\\"", false, b"a\\"),
        (b"\"a,b\"", false, b"a,b"),
        (b"\"\xe9\xff\"", false, b"\xe9\xff"),
        (b"\"!#~\"", false, b"!#~"),
    ] {
        let tag = ETag::parse(value).unwrap();
        assert_eq!((tag.is_weak(), tag.opaque), (is_weak, opaque), "{}", value.escape_ascii());
    }
    for value in [
        &b""[..],
        b"\"",
        b"xyzzy",
        b"\"xyzzy",
        b"xyzzy\"",
        b"w/\"xyzzy\"",
        b"W/",
        b"W/xyzzy",
        b"W/\"",
        b"W \"xyzzy\"",
        b"W/W/\"xyzzy\"",
        b"'xyzzy'",
        b"\"a\"b",
        b"\"a\"\"b\"",
        b"\"a\", \"b\"",
        b" \"a\"",
        b"\"a\" ",
        b"\"a b\"",
        b"\"a\tb\"",
        b"\"a\0\"",
        b"\"a\r\n\"",
        b"\"\x7f\"",
        b"*",
    ] {
        assert!(ETag::parse(value).is_none(), "{}", value.escape_ascii());
    }
}

#[test]
fn if_none_match_compares_weakly() {
    for (lines, outcome) in [
        (&[&b"\"xyzzy\""[..]][..], NotModified),
        (&[b"W/\"xyzzy\""], NotModified),
        (&[b"*"], NotModified),
        (&[b" * \t"], NotModified),
        (&[b"\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\""], NotModified),
        (&[b"\"r2d2xxxx\",W/\"xyzzy\""], NotModified),
        (&[b"\"r2d2xxxx\"\t ,\t \"xyzzy\" "], NotModified),
        (&[b",, ,\"xyzzy\",,"], NotModified),
        (&[b"\"a\"", b"\"xyzzy\""], NotModified),
        (&[b"", b"\"xyzzy\""], NotModified),
        (&[b"\"a,\", \"xyzzy\""], NotModified),
        (&[b"\"xyzzy\", broken"], NotModified),
        (&[b"\"a\"", b"*"], NotModified),
        (&[b"\"r2d2xxxx\""], Proceed),
        (&[b"\"xyzz\"", b"\"xyzzyy\"", b"\"XYZZY\"", b"\"\""], Proceed),
        (&[b""], Proceed),
        (&[b"  "], Proceed),
        (&[b",,,"], Proceed),
        // From the error on, nothing matches.
        (&[b"xyzzy"], Proceed),
        (&[b"w/\"xyzzy\""], Proceed),
        (&[b"\"xyzzy"], Proceed),
        (&[b"\"xyzzy\" \"a\""], Proceed),
        (&[b"\"xyzzy\"a"], Proceed),
        (&[b"\"a\"; \"xyzzy\""], Proceed),
        (&[b"broken, \"xyzzy\""], Proceed),
        (&[b"broken", b"\"xyzzy\""], Proceed),
        (&[b"\"a\", *"], Proceed),
        (&[b"*, \"xyzzy\""], Proceed),
        (&[b"**"], Proceed),
        (&[b"\"*\""], Proceed),
        (&[b"\xff\xfe"], Proceed),
    ] {
        let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
        assert_eq!(get_if_none_match(lines), outcome, "{shown:?}");
    }
}

#[test]
fn if_match_compares_strongly() {
    for (lines, outcome) in [
        (&[&b"\"xyzzy\""[..]][..], Proceed),
        (&[b"*"], Proceed),
        (&[b"\"a\", \"xyzzy\""], Proceed),
        (&[b"\"a\"", b"\"xyzzy\""], Proceed),
        (&[b"W/\"xyzzy\""], Failed),
        (&[b"\"a\""], Failed),
        (&[b""], Failed),
        (&[b"xyzzy"], Failed),
        (&[b"\"a\" \"xyzzy\""], Failed),
    ] {
        assert_eq!(put_if_match(lines), outcome, "{}", lines.concat().escape_ascii());
    }
    let tagged = Conditions { if_match: vec![&b"W/\"xyzzy\""[..], b"\"xyzzy\""], ..none() };
    assert_eq!(evaluate(Other, tagged, &weak(), NOW), Failed);
    let any = Conditions { if_match: vec![&b"*"[..]], ..none() };
    assert_eq!(evaluate(Other, any, &Validators { etag: None, last_modified: None }, NOW), Proceed);
}

#[test]
fn dates_are_compared_by_the_second() {
    let old_forms = [&b"Sunday, 06-Nov-94 08:49:37 GMT"[..], b"Sun Nov  6 08:49:37 1994"];
    for (date, since, unmodified) in [
        (BEFORE, Proceed, Failed),
        (AT, NotModified, Proceed),
        (AFTER, NotModified, Proceed),
        (old_forms[0], NotModified, Proceed),
        (old_forms[1], NotModified, Proceed),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", Proceed, Failed),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", NotModified, Proceed),
        // Ignored.
        (b"", Proceed, Proceed),
        (b"0", Proceed, Proceed),
        (b"-1", Proceed, Proceed),
        (b"tomorrow", Proceed, Proceed),
        (b"Sat, 06 Nov 1994 08:49:37 GMT", Proceed, Proceed),
        (b"Sun, 06 Nov 1994 08:49:37 GMT; length=5", Proceed, Proceed),
    ] {
        let conditions = Conditions { if_modified_since: Some(date), ..none() };
        assert_eq!(evaluate(GetOrHead, conditions.clone(), &strong(), NOW), since, "{}", date.escape_ascii());
        assert_eq!(evaluate(Other, conditions, &strong(), NOW), Proceed, "{}", date.escape_ascii());
        for method in [GetOrHead, Other] {
            let conditions = Conditions { if_unmodified_since: Some(date), ..none() };
            assert_eq!(evaluate(method, conditions, &strong(), NOW), unmodified, "{}", date.escape_ascii());
        }
    }
    let timeless = Validators { last_modified: None, ..strong() };
    let dated = Conditions { if_modified_since: Some(AT), if_unmodified_since: Some(BEFORE), ..none() };
    assert_eq!(evaluate(GetOrHead, dated, &timeless, NOW), Proceed);
}

/// What one field says when it stands alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Absent,
    True,
    False,
    /// A date that cannot be read.
    Nonsense,
}

/// RFC 9110 §13.2.2, steps 1 to 4, in its own order and words.
fn by_the_rfc(method: MethodKind, im: Says, ius: Says, inm: Says, ims: Says) -> Precondition {
    if im == Says::False {
        return Failed;
    }
    if im == Says::Absent && ius == Says::False {
        return Failed;
    }
    if inm == Says::False {
        return if method == GetOrHead { NotModified } else { Failed };
    }
    if method == GetOrHead && inm == Says::Absent && ims == Says::False {
        return NotModified;
    }
    Proceed
}

#[test]
fn every_combination_follows_the_rfc() {
    use Says::*;
    let list = |says, when_true: &'static [u8], when_false: &'static [u8]| -> Vec<&'static [u8]> {
        match says {
            Absent => vec![],
            True => vec![when_true],
            False => vec![when_false],
            Nonsense => unreachable!("lists are not dates"),
        }
    };
    let date = |says, when_true: &'static [u8], when_false: &'static [u8]| match says {
        Absent => None,
        True => Some(when_true),
        False => Some(when_false),
        Nonsense => Some(&b"Sun, 31 Feb 2100 00:00:00 GMT"[..]),
    };
    let mut combinations = 0;
    for method in [GetOrHead, Other] {
        for im in [Absent, True, False] {
            for ius in [Absent, True, False, Nonsense] {
                for inm in [Absent, True, False] {
                    for ims in [Absent, True, False, Nonsense] {
                        let conditions = Conditions {
                            if_match: list(im, b"\"xyzzy\"", b"\"other\""),
                            if_unmodified_since: date(ius, AT, BEFORE),
                            if_none_match: list(inm, b"\"other\"", b"\"xyzzy\""),
                            if_modified_since: date(ims, BEFORE, AT),
                        };
                        let wanted = by_the_rfc(method, im, ius, inm, ims);
                        let says = format!("{method:?} {im:?} {ius:?} {inm:?} {ims:?}");
                        assert_eq!(evaluate(method, conditions, &strong(), NOW), wanted, "{says}");
                        combinations += 1;
                    }
                }
            }
        }
    }
    assert_eq!(combinations, 288);
}

#[test]
fn if_range_wants_the_very_same() {
    for (value, with_strong, with_weak) in [
        (&b"\"xyzzy\""[..], true, false),
        (b"W/\"xyzzy\"", false, false),
        (b"\"other\"", false, false),
        (b"\"other\", \"xyzzy\"", false, false),
        (b"*", false, false),
        (b"xyzzy", false, false),
        (b"", false, false),
        (AT, true, true),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", true, true),
        (BEFORE, false, false),
        (AFTER, false, false),
        (b"Sun, 06 Nov 1994 08:49:37", false, false),
    ] {
        assert_eq!(if_range(value, &strong(), NOW), with_strong, "{}", value.escape_ascii());
        assert_eq!(if_range(value, &weak(), NOW), with_weak, "{}", value.escape_ascii());
    }
    let nothing = Validators { etag: None, last_modified: None };
    for value in [&b"\"xyzzy\""[..], AT, b"nonsense", b""] {
        assert!(!if_range(value, &nothing, NOW));
    }
}

#[test]
fn huge_lists_are_read_to_a_bound() {
    let filler = b"\"a\",".repeat(LIST_ELEMENTS_MAX - 1);
    let last_read = [&filler[..], b"\"xyzzy\""].concat();
    assert_eq!(get_if_none_match(&[&last_read]), NotModified);
    assert_eq!(put_if_match(&[&last_read]), Proceed);
    let first_unread = [&filler[..], b"\"a\",\"xyzzy\""].concat();
    assert_eq!(get_if_none_match(&[&first_unread]), Proceed);
    assert_eq!(put_if_match(&[&first_unread]), Failed);

    let commas = vec![b','; 1 << 20];
    assert_eq!(get_if_none_match(&[&commas, b"\"xyzzy\""]), Proceed);
    let lines = vec![&b"\"a\""[..]; 1 << 16];
    assert_eq!(get_if_none_match(&lines), Proceed);
}

#[test]
fn makes_tags_for_files() {
    for (seconds, nanoseconds, size, written) in [
        (0, 0, 0, "\"0-0\""),
        (0, 1, 16, "\"1-10\""),
        (1, 0, 255, "\"3b9aca00-ff\""),
        (1_700_000_000, 123_456_789, 1024, "\"17979cfe3d85cd15-400\""),
        (-1, 999_999_999, 1, "\"ffffffffffffffff-1\""),
        (i64::MAX, u32::MAX, u64::MAX, "\"c46535ff-ffffffffffffffff\""),
        (i64::MIN, 0, u64::MAX, "\"0-ffffffffffffffff\""),
    ] {
        let tag = FileTag::new(seconds, nanoseconds, size);
        assert_eq!(std::str::from_utf8(tag.as_bytes()).unwrap(), written);
        let read = ETag::parse(tag.as_bytes()).unwrap();
        assert!(read.strong_eq(tag.as_etag()));
    }
}

#[test]
fn a_files_tag_tells_time_from_size() {
    let tag = FileTag::new(1_700_000_000, 0, 100);
    for other in [
        FileTag::new(1_700_000_000, 1, 100),
        FileTag::new(1_700_000_001, 0, 100),
        FileTag::new(1_700_000_000, 0, 101),
    ] {
        assert!(!tag.as_etag().weak_eq(other.as_etag()));
    }
}

proptest! {
    #[test]
    fn a_files_tag_always_reads_back(seconds: i64, nanoseconds in 0u32..1_000_000_000, size: u64) {
        let tag = FileTag::new(seconds, nanoseconds, size);
        prop_assert!(ETag::parse(tag.as_bytes()).unwrap().strong_eq(tag.as_etag()));
        prop_assert_eq!(get_own(tag, tag.as_bytes()), NotModified);
    }

    #[test]
    fn any_list_is_survived(lines in prop::collection::vec("[W/\"*, a]{0,12}", 0..4)) {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        get_if_none_match(&lines);
        put_if_match(&lines);
    }
}

#[test]
fn a_suffix_makes_another_tag() {
    let tag = FileTag::new(1_700_000_000, 0, 0x1f4);
    let coded = tag.with_suffix("br");
    assert_eq!(coded.as_bytes(), [&tag.as_bytes()[..tag.as_bytes().len() - 1], b"-br\""].concat());
    assert!(!coded.as_etag().weak_eq(tag.as_etag()));
    assert!(ETag::parse(coded.as_bytes()).unwrap().strong_eq(coded.as_etag()));
    let longest = FileTag::new(i64::MAX, 999_999_999, u64::MAX).with_suffix("zstd");
    assert!(longest.as_bytes().len() <= FileTag::BYTES_MAX);
    assert!(longest.as_bytes().ends_with(b"-ffffffffffffffff-zstd\""));
    let hashed = FileTag::of_content(u128::MAX - 1).with_suffix("zstd");
    assert_eq!(hashed.as_bytes(), b"\"ffffffffffffffff-fffffffffffffffe-zstd\"");
    assert_eq!(FileTag::of_content(0xa << 64 | 0xb).as_bytes(), b"\"a-b\"");
}

fn get_own(tag: FileTag, line: &[u8]) -> Precondition {
    let validators = Validators { etag: Some(tag.as_etag()), last_modified: None };
    evaluate(GetOrHead, Conditions { if_none_match: vec![line], ..none() }, &validators, NOW)
}
