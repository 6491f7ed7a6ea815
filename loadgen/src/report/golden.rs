//! Pages as they were agreed, in tests/golden. `GOLDEN=write cargo test` writes them anew: read the
//! difference before it is committed. Not shipped.

use std::{env, fs, path::Path};

/// Fails where the text is not the one that was agreed.
pub(crate) fn holds(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, text).expect("tests/golden can be written");
    }
    let agreed = fs::read_to_string(&path).unwrap_or_default();
    assert!(agreed == text, "{name} is not as agreed; it is now:\n{text}\nIf that is better: GOLDEN=write");
}
