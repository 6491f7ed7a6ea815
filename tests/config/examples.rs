//! The files in `examples/`, and those that the guide prints: all are right, and their tests hold.

use std::fs;
use std::path::PathBuf;

use quoit::config::{Config, Depth, Environment};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

#[test]
fn examples_are_right_and_their_tests_hold() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let checked = Config::load(&path, &Environment::of([]), Depth::Check);
        let config = checked.unwrap_or_else(|error| panic!("{error}"));
        assert!(!config.tests.is_empty(), "{}", path.display());
        for test in &config.tests {
            assert_eq!(test.run(&config), [], "{}: {}", test.place, test.name);
        }
        // What they say can be written, and says the same.
        let written = config.to_text().unwrap();
        let variables = [("QUOIT_STICKY_SECRET", "only for trying it out")];
        let again = Config::from_text("/x.toml", &written, &Environment::of(variables), Depth::Structure);
        let again = again.unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(again.to_text().unwrap(), written, "{}", path.display());
        assert_eq!(again.settings, config.settings);
    }
    assert_eq!(seen, 5);
}

/// The blocks of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut inside: Option<String> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut inside) {
            (Some(_), Some(block)) => {
                blocks.push(std::mem::take(block));
                inside = None;
            }
            (Some(opened), None) if opened == language => inside = Some(String::new()),
            (None, Some(block)) => {
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn what_the_guide_prints_is_right() {
    let guide = fs::read_to_string(root().join("src/guide/configuration.md")).unwrap();
    let printed = blocks(&guide, "toml");
    assert!(printed.len() > 7, "{}", printed.len());
    for text in printed {
        let environment = Environment::of([("API_TOKEN", "x"), ("PORT", "8080")]);
        let config = Config::from_text("quoit.toml", &text, &environment, Depth::Structure);
        let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
        for test in &config.tests {
            assert_eq!(test.run(&config), [], "{}", test.name);
        }
    }
    // And the mistake that it prints is the one that is printed.
    let [wrong] = &blocks(&guide, "toml,wrong")[..] else { panic!("one wrong file") };
    let [said] = &blocks(&guide, "text,mistake")[..] else { panic!("one mistake") };
    let error = Config::from_text("quoit.toml", wrong, &Environment::of([]), Depth::Structure).unwrap_err();
    assert_eq!(error.to_string(), said.trim_end());
}
