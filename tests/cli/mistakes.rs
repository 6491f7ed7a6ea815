//! Mistakes on the command line, one by one: each is refused in one line that names the cause and the remedy.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use crate::server::{quoit, refused};
use crate::{ANY_PORT, Unprivileged, site, text};

#[test]
fn flags_that_need_another_name_it() {
    let dir = site();
    for (flags, words) in [
        (&["--tls-key", "k"][..], "--tls-key needs --tls-cert FILE"),
        (&["--tls-crl", "k"], "--tls-crl needs --tls-client-ca FILE"),
        (&["--tls-client-auth", "required"], "--tls-client-auth needs TLS: add --tls-cert FILE"),
        (&["--tls-min", "1.3"], "--tls-min needs TLS: add --tls-cert FILE"),
        (&["--tls-client-ca", "k"], "--tls-client-ca needs TLS: add --tls-cert FILE"),
        (&["--access-log-format", "json"], "--access-log-format needs --access-log FILE"),
        (&["--acme-email", "a@b.test"], "--acme-email needs --acme-domain NAMES"),
        (&["--acme-directory", "https://ca.test/"], "--acme-directory needs --acme-domain NAMES"),
        (&["--unix-mode", "660"], "--unix-mode needs a Unix socket: add --listen unix:PATH"),
    ] {
        refused(quoit(&[&["serve", text(dir.path()), "--listen", ANY_PORT], flags].concat()), &[words]);
    }
}

#[test]
fn values_say_what_is_expected() {
    let dir = site();
    for (flags, words) in [
        (&["--workers", "x"][..], &["'x'", "--workers", "whole number"][..]),
        (&["--workers", "-1"], &["'-1'", "--workers", "whole number"]),
        (&["--workers", "1.5"], &["'1.5'", "whole number"]),
        (&["--hsts=abc"], &["'abc'", "--hsts", "seconds"]),
        (&["--hsts=-1"], &["'-1'", "--hsts", "seconds"]),
        (&["--error-page", "999=f"], &["999=f", "400 to 599"]),
        (&["--error-page", "600=f"], &["600=f", "400 to 599"]),
        (&["--unix-mode", "rw"], &["rw", "octal", "660"]),
        (&["--unix-mode", "-1"], &["'-1'", "octal"]),
        (&["--idle-timeout", "soon"], &["soon", "30s"]),
        (&["--idle-timeout", "-1"], &["'-1'", "30s"]),
        (&["--connections-max", "none"], &["none", "at least 1"]),
        (&["--head-max", "1T"], &["1T", "16K"]),
        (&["--cache-control", "[=x"], &["[", "*, ** and ?"]),
        (&["--cache-control", "*.{js,css}=x"], &["*, ** and ?"]),
        (&["--download", "[a-z].zip"], &["*, ** and ?"]),
        (&["--header", "X: a\nY: b"], &["--header has a line break"]),
        (&["--header", "X: a\r\nY: b"], &["--header has a line break"]),
        (&["--listen", "example.com:80"], &["example.com:80", "is no address", "127.0.0.1:8080"]),
        (&["--listen", "-8080"], &["-8080", "--flag=VALUE"]),
        (&["another"], &["'another'", "one DIR", "--mount"]),
        (&["--tls-self-signed", "a.test"], &["'a.test'", "--tls-self-signed=a.test"]),
        (&["--hsts", "3600"], &["'3600'", "--hsts=3600"]),
        (&["--port", "8080"], &["'--port'", "--listen :PORT"]),
        (&["--port=8080"], &["'--port'", "--listen :PORT"]),
        (&["-p", "8080"], &["'-p'", "--listen :PORT"]),
        (&["--bind", "0.0.0.0"], &["--listen ADDR:PORT"]),
        (&["--cert", "a"], &["--tls-cert FILE"]),
        (&["--https"], &["--acme-domain", "--tls-self-signed"]),
        (&["--cors"], &["Access-Control-Allow-Origin"]),
        (&["--config", "a"], &["quoit run FILE"]),
        (&["--verbose"], &["--access-log -"]),
        (&["--lsten", "81"], &["'--lsten'", "'--listen'"]),
        (&["--listen", "127.0.0.1:99999"], &["99999", "a number up to 65535"]),
        (&["--cache-control", "max-age=3600"], &["`3600` for max-age", "no-store"]),
        (&["--cache-control", "*.css=max-age 3600"], &["`max-age 3600`", "max-age=3600"]),
        (&["--quiet=yes"], &["'yes'", "--quiet", "takes no value"]),
    ] {
        refused(quoit(&[&["serve", text(dir.path())], flags].concat()), words);
    }
    refused(quoit(&["--listen", "81"]), &["'--listen'", "the command comes first", "quoit serve --listen"]);
    refused(quoit(&["version"]), &["`version`", "quoit --version"]);
    for days in ["x", "-5", "0", "36501"] {
        refused(quoit(&["cert", "ca", "d", "--days", days]), &[days, "--days", "days, 1 to 36500"]);
    }
    for (variable, value) in
        [("QUOIT_WORKERS", "x"), ("QUOIT_ACCESS_LOG_FORMAT", "xml"), ("QUOIT_LISTEN", "")]
    {
        let mut command = quoit(&["serve", text(dir.path())]);
        command.env(variable, value);
        refused(command, &[&format!("it comes from the variable {variable}")]);
    }
    let mut command = quoit(&["serve", text(dir.path()), "--header"]);
    command.arg(OsString::from_vec(b"X: \xff".to_vec()));
    refused(command, &["the value of --header is not UTF-8", "write it as UTF-8 text"]);
}

#[test]
fn what_is_given_twice_or_contradicts_itself_is_refused() {
    let dir = site();
    fs::write(dir.path().join("p"), "page").unwrap();
    let page = format!("404={}", text(&dir.path().join("p")));
    let mount = format!("/a={}", text(dir.path()));
    for (flags, words) in [
        (&["--mount", &mount, "--mount", "/a/=/srv"][..], &["--mount names /a twice"][..]),
        (&["--error-page", &page, "--error-page", &page], &["--error-page names 404 twice"]),
        (&["--cache-control", "*.a=x", "--cache-control", "*.a=y"], &["--cache-control names *.a twice"]),
        (&["--index", "a", "--index", "a"], &["--index names a twice"]),
        (&["--listen", "127.0.0.1:81", "--listen", "81"], &["--listen names 127.0.0.1:81 twice"]),
        (&["--listen", "unix:/a", "--listen", "unix:/a"], &["--listen names unix:/a twice"]),
        (&["--listen", "81", "--listen", ":81"], &["0.0.0.0:81 listens on 127.0.0.1:81 already"]),
        (&["--listen", "[::]:81", "--listen", "[::1]:81"], &["[::]:81 listens on [::1]:81 already"]),
        (
            &["--listen", "81", "--redirect-from", "81", "--tls-self-signed"],
            &["--listen or --redirect-from names 127.0.0.1:81 twice"],
        ),
        (&["--tls-cert", "a", "--tls-cert", "a"], &["--tls-cert names a twice"]),
        (&["--tls-self-signed", "--tls-self-signed"], &["--tls-self-signed names localhost twice"]),
        (&["--tls-cert", "a", "--tls-self-signed"], &["--tls-self-signed", "--tls-cert", "leave it out"]),
        (&["--workers", "1", "--workers", "1"], &["--workers", "multiple times", "give it once"]),
        (&["--list", "--list"], &["--list", "give it once"]),
        (&["--auth", "a", "--auth", "b"], &["--auth", "give it once"]),
    ] {
        refused(quoit(&[&["serve", text(dir.path())], flags].concat()), words);
    }
}

#[test]
fn files_that_are_missing_are_told_once_with_the_remedy() {
    let dir = site();
    let empty = tempfile::tempdir().unwrap();
    let serve = |flags: &[&str]| {
        quoit(&[&["serve", text(dir.path()), "--listen", ANY_PORT, "--workers", "1"], flags].concat())
    };
    refused(serve(&["--tls-cert", "nofile.pem"]), &["nofile.pem: there is no such file"]);
    refused(serve(&["--error-page", "404=nofile"]), &["nofile: there is no such file", "STATUS=FILE"]);
    refused(serve(&["--auth", "nofile"]), &["nofile", "htpasswd -cB"]);
    refused(serve(&["--auth", text(empty.path())]), &["have to be in a regular file", "name another"]);
    refused(
        serve(&["--spa", "--index", "home.html"]),
        &["--spa answers with home.html", "has none", "--index"],
    );
    let mut command = quoit(&["serve", text(empty.path()), "--spa", "--listen", ANY_PORT]);
    command.current_dir(empty.path());
    refused(command, &["--spa answers with index.html", "build the application first"]);
}

#[test]
fn files_that_may_not_be_read_are_told_with_the_remedy() {
    let Some(user) = Unprivileged::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "a:b").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let serve = |flag: &str, value: &str| {
        user.quoit(&["serve", text(dir.path()), "--listen", ANY_PORT, "--workers", "1", flag, value])
    };
    let path = text(&secret);
    refused(serve("--auth", path), &[path, "no permission", "chmod"]);
    refused(serve("--error-page", &format!("404={path}")), &[path, "no permission", "chmod"]);
}
