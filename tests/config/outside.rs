//! What comes from outside of the file: variables, files of secrets, other files of the configuration. Values
//! are values and never syntax, and no output has a secret.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Config, Depth, Environment, config, with};

fn load(path: &Path) -> Result<Config, String> {
    Config::load(path, &Environment::of([]), Depth::Structure).map_err(|error| error.to_string())
}

/// A directory with these files, and the path of `quoit.toml` in it.
fn files(files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let main = dir.path().join("quoit.toml");
    (dir, main)
}

/// The routes of the default site, in order.
fn routes(config: &Config) -> Vec<&str> {
    config.plan.default_site.routes.iter().map(|route| &*route.pattern).collect()
}

#[test]
fn variables_are_values_wherever_a_value_may_stand() {
    let text = "workers = \"${N}\"\nlisten = [\"127.0.0.1:${PORT}\", \"${ADDR:-127.0.0.1:81}\"]\n\
                limits = { idle_timeout = \"${TIME}\", body_size = \"${N} KiB\" }\nfiles = \"/srv/${A}\"\n\
                filters = [{ headers = { X-Empty = \"[${EMPTY}]\", X-Cost = \"5$ or $$5\" } }]\n";
    let variables = [("N", "3"), ("PORT", "80"), ("TIME", "90s"), ("A", "a]\"#${B}"), ("EMPTY", "")];
    let config = with(text, &variables).unwrap();
    assert_eq!(config.settings.workers, Some(3));
    assert_eq!(config.settings.limits.idle_timeout.as_secs(), 90);
    assert_eq!(config.settings.limits.body.body_bytes_max, Some(3072));
    let shown = config.plan.to_string();
    for words in ["http://127.0.0.1:80", "http://127.0.0.1:81", "/srv/a]\"#${B}", "X-Empty: []", "5$ or $5"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn a_wrong_variable_is_named_and_its_value_is_not() {
    let said = with("limits = { idle_timeout = \"${TIME}\" }\nlisten = \"${TIME}\"", &[("TIME", "hunter2")]);
    let said = said.unwrap_err();
    assert!(said.contains("idle_timeout = \"${TIME}\"") && !said.contains("hunter2"), "{said}");
    // Also where the message would quote it.
    let said = with(
        "[[route]]\npath = \"/\"\nmethods = [\"get\", \"${M}\", \"${M}\"]\nrespond = \"x\"",
        &[("M", "hunter2")],
    );
    let said = said.unwrap_err();
    assert!(said.contains("is named twice") && !said.contains("hunter2"), "{said}");
}

#[test]
fn secrets_are_in_the_plan_and_in_no_output() {
    let (dir, main) = files(&[("token", "t0k3n\n"), ("quoit.toml", "")]);
    let text = "filters = [{ headers = { X-Key = \"${SECRET}\", X-Token = { file = \"token\" } } }]\n\
                redirect = { to = \"/x?${SECRET}\" }\n\
                [[route]]\npath = \"/\"\nrespond = { text = \"${SECRET}\" }\n";
    let environment = Environment::of([("SECRET", "hunter2")]);
    let load = |text: &str| Config::from_text(&main, text, &environment, Depth::Structure).unwrap();
    let config = load(text);
    assert!(
        format!("{:?}", config.plan).contains("hunter2") && format!("{:?}", config.plan).contains("t0k3n")
    );
    let explained = config.shown.explain("GET", "/y", &[]).unwrap().to_string();
    let without = load("files = \"/srv\"");
    for output in [
        config.shown.to_string(),
        format!("{config:?}"),
        explained.clone(),
        config.changes(&without).join("\n"),
        without.changes(&config).join("\n"),
    ] {
        assert!(!output.contains("hunter2") && !output.contains("t0k3n"), "{output}");
    }
    assert!(explained.contains("X-Key: ${SECRET}"), "{explained}");
    let from = format!("X-Token: (from {})", dir.path().join("token").display());
    assert!(explained.contains(&from), "{explained}");
    assert!(config.files.contains(&dir.path().join("token")), "it is watched: {:?}", config.files);
}

#[test]
fn that_a_secret_changes_is_said_without_the_secret() {
    let text = "filters = [{ headers = { X-Key = \"${SECRET}\" } }]\nrespond = \"x\"\n";
    let old = with(text, &[("SECRET", "s3cr3t\"#]${B}$")]).unwrap();
    let new = with(text, &[("SECRET", "other")]).unwrap();
    assert_eq!(old.changes(&new), ["~ default site, filters: a value of a variable or of a file"]);
    assert_eq!(old.changes(&old), [""; 0]);
}

#[test]
fn included_files_are_a_part_in_the_order_of_their_bytes() {
    let route = |path: &str| format!("[[route]]\npath = \"{path}\"\nrespond = \"x\"\n");
    let (dir, main) = files(&[
        (
            "quoit.toml",
            &format!("include = [\"sites/*.toml\", \"none/*.toml\", \"extra.toml\"]\n{}", route("/main")),
        ),
        ("sites/10-b.toml", &route("/10-b")),
        ("sites/9-a.toml", &route("/9-a")),
        ("sites/a.toml", &route("/a")),
        ("sites/a.toml~", "broken ["),
        ("sites/.hidden.toml", "broken ["),
        ("sites/#a.toml#", "broken ["),
        ("sites/dir.toml/x", "broken ["),
        ("elsewhere/linked", &route("/linked")),
        ("extra.toml", "include = \"deeper/*.toml\"\nfiles = \"public\"\n"),
        ("deeper/d.toml", &route("/deeper")),
    ]);
    symlink("../elsewhere/linked", dir.path().join("sites/b.toml")).unwrap();
    let config = load(&main).unwrap();
    assert_eq!(routes(&config), ["/main", "/10-b", "/9-a", "/a", "/linked", "/deeper"]);
    // Paths are relative to the file that names them, whatever the working directory is.
    let public = dir.path().join("public");
    assert!(config.plan.to_string().contains(&format!("files {}", public.display())), "{}", config.plan);
    assert!(config.files.contains(&dir.path().join("sites")), "new files there are noticed");
}

#[test]
fn files_that_include_each_other_are_a_mistake() {
    let (_dir, main) =
        files(&[("quoit.toml", "include = \"a.toml\""), ("a.toml", "include = \"quoit.toml\"")]);
    assert!(load(&main).unwrap_err().contains("is the file that includes this one"));
    let (_dir, main) = files(&[("quoit.toml", "include = \"*.toml\"")]);
    assert!(load(&main).unwrap_err().contains("includes itself"));
    let (_dir, main) = files(&[("quoit.toml", "include = [\"a.toml\", \"a.toml\"]"), ("a.toml", "")]);
    assert!(load(&main).unwrap_err().contains("a.toml is included twice"));
}

#[test]
fn what_is_given_in_two_files_names_both_places() {
    let (_dir, main) = files(&[
        (
            "quoit.toml",
            "include = \"a.toml\"\nfiles = \"x\"\n[[site]]\nhost = \"a.test\"\nrespond = \"x\"\n\
             [tls.t]\nself_signed = \"a.test\"\n[[route]]\npath = \"/same\"\nrespond = \"x\"\n",
        ),
        (
            "a.toml",
            "files = \"y\"\n[[site]]\nhost = \"a.test\"\nrespond = \"y\"\n[tls.t]\nself_signed = \"a.test\"\n\
             [[route]]\npath = \"/same\"\nrespond = \"y\"\n",
        ),
    ]);
    let said = load(&main).unwrap_err();
    for (what, first, second) in [
        ("`files` is given in two files", "a.toml:1:1", "quoit.toml:2:1"),
        ("another site has the host `a.test`", "a.toml:3:8", "quoit.toml:4:8"),
        ("there are two TLS configurations `t`", "a.toml:5:6", "quoit.toml:6:6"),
        ("it matches the same requests", "a.toml:8:8", "quoit.toml:9:8"),
    ] {
        let report = said
            .split("\n\n")
            .find(|report| report.contains(what))
            .unwrap_or_else(|| panic!("{what}: {said}"));
        assert!(report.contains(first) && report.contains(second), "{report}");
    }
}

#[test]
fn a_prefix_is_a_path_and_what_is_below_it() {
    let config = config(
        "[[route]]\nprefix = \"/docs\"\nfiles = \"/srv/docs\"\n[[route]]\nprefix = \"/x/\"\nrespond = \
         \"x\"\n",
    );
    assert_eq!(routes(&config), ["/docs", "/docs/{*rest}", "/x/{*rest}"]);
    let responder = |path: &str| config.plan.explain("GET", path, &[]).unwrap().responder.to_string();
    assert!(responder("/docs/a/b").contains("files /docs = /srv/docs"), "{}", responder("/docs/a/b"));
    assert!(responder("/docs").starts_with("route any /docs:"));
    assert_eq!(
        (&*responder("/docsx"), &*responder("/x")),
        ("404, no route matches", "404, no route matches")
    );
}
