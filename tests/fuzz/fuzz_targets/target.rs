//! Request targets and authorities under any bytes: parts that tile the target, no byte that has no business
//! there, and a normal form that is its own.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::method::Method;
use quoit::http::target::{TargetForm, is_authority, normalize, parse, split_authority};

const METHODS: [Method; 4] = [Method::Get, Method::Options, Method::Connect, Method::Other];

fuzz_target!(|data: &[u8]| {
    for method in METHODS {
        let Ok((target, parts)) = normalize(method, data) else {
            assert!(parse(method, data).is_err(), "what RFC 3986 allows is accepted");
            continue;
        };
        assert_eq!(parse(method, &target).as_ref(), Ok(&parts), "the normal form is of RFC 3986");
        assert!(!data.iter().any(|byte| byte.is_ascii_control() || b" #".contains(byte)));
        if parse(method, data).is_ok() {
            assert_eq!(*target, *data, "what RFC 3986 allows is left as it is");
        }
        let text = std::str::from_utf8(&target).expect("an accepted target is ASCII");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)));

        let authority = &text[parts.authority.clone()];
        let path = &text[parts.path.clone()];
        let query = parts.query.clone().map_or(String::new(), |query| format!("?{}", &text[query]));
        let scheme = text[..parts.authority.start].to_ascii_lowercase();
        match parts.form {
            TargetForm::Origin => assert!(path.starts_with('/') && authority.is_empty()),
            TargetForm::Absolute => {
                assert_eq!(scheme, format!("{}://", parts.scheme.expect("absolute").as_str()));
                assert!(path.is_empty() || path.starts_with('/'));
            }
            TargetForm::Authority => {
                assert!(method == Method::Connect && split_authority(authority).1.is_some());
            }
            TargetForm::Asterisk => assert!(method == Method::Options && path == "*"),
        }
        assert_eq!(text[parts.authority.start..], format!("{authority}{path}{query}"));
        assert!(!path.contains('?'));
        assert!(authority.is_empty() || is_authority(authority.as_bytes()));
    }
    if is_authority(data) {
        let text = std::str::from_utf8(data).expect("an accepted authority is ASCII");
        let (host, _) = split_authority(text);
        assert!(!host.is_empty() && !text.contains(['/', '@', '?', ' ', ',', '\\']) || text.contains(','));
    }
});
