//! Files that are broken anywhere are read or refused, with places inside of them, and never end the program.

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use quoit::config::{Config, Depth, Environment};

/// What is put in somewhere.
const PIECES: [&str; 24] = [
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "'''",
    "é",
    "\0",
    "${",
    "${A}",
    "$$",
    "[[",
    "]]",
    "1e9",
    "-1",
    "\"0s\"",
    "{}",
    "[]",
    "\n[[route]]\n",
    "\n[tls.x]\n",
    "\n[upstreams.\"\"]\n",
    "path = \"/{*r}\"",
];

fn seeds() -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let examples = fs::read_dir(format!("{root}/examples")).unwrap();
    let mut seeds: Vec<_> = examples
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let guide = fs::read_to_string(format!("{root}/src/guide/configuration.md")).unwrap();
    seeds.extend(guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()));
    // Other files are none of this test's business.
    seeds.retain(|seed| !seed.contains("include"));
    assert!(seeds.len() > 8);
    seeds
}

#[derive(Clone, Debug)]
enum Damage {
    Insert(Index, usize),
    Cut(Index, usize),
    /// A line comes twice, at another place too.
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 0..PIECES.len()).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (any::<Index>(), 1usize..40).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn damaged(mut text: String, damage: &Damage) -> String {
    let border = |text: &str, at: &Index| {
        let mut at = at.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    match damage {
        Damage::Insert(at, piece) => text.insert_str(border(&text, at), PIECES[*piece]),
        Damage::Cut(at, length) => {
            let begin = border(&text, at);
            let mut end = (begin + length).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(begin..end, "");
        }
        Damage::Repeat(from, to) => {
            let mut lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                let line = lines[from.index(lines.len())];
                lines.insert(to.index(lines.len() + 1), line);
            }
            text = lines.join("\n");
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(seed: Index, damages in prop::collection::vec(damage(), 1..5)) {
        let seeds = seeds();
        let text = damages.iter().fold(seeds[seed.index(seeds.len())].clone(), damaged);
        prop_assume!(!text.contains("file ="));
        let variables = [("A", "value"), ("API_TOKEN", "x"), ("QUOIT_STICKY_SECRET", "0123456789abcdef")];
        let environment = Environment::of(variables);
        let read = |text: &str| Config::from_text("/x/quoit.toml", text, &environment, Depth::Structure);
        match read(&text) {
            Err(error) => {
                let lines = error.lines();
                prop_assert!(lines.iter().all(|line| line.starts_with("/x/quoit.toml:")), "{:?}", lines);
                prop_assert!(!error.to_string().is_empty());
            }
            Ok(config) => {
                let written = config.to_text().expect("what was read has a form");
                let failed = |error| TestCaseError::fail(format!("{error}\n{text}\n=\n{written}"));
                let again = read(&written).map_err(failed)?;
                prop_assert_eq!(again.to_text().unwrap(), written);
                prop_assert_eq!(&again.settings, &config.settings);
                for test in &config.tests {
                    test.run(&config);
                }
            }
        }
    }
}
