//! Rust text taken apart: code, comments, tokens. A lexer only as good as the rules need.
//!
//! Refuses to know grammar: a token is a word, a number or one sign, and the words within strings,
//! characters and comments are none of it.

use std::fs;
use std::path::{Path, PathBuf};

/// One file, with its path as written from the repository's root.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments, strings and characters blanked out; lines and columns stay.
    pub(crate) code: String,
    /// The text with everything but comments blanked out.
    pub(crate) comments: String,
}

/// A word (`crate`, `unsafe`, `7`), `::`, or one sign, with its line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'s> {
    pub(crate) text: &'s str,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split(text);
        Source { path: path.into(), text: text.into(), code, comments }
    }

    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.code)
    }

    /// The first folder or file below `src`, without `.rs`: the layer.
    pub(crate) fn layer(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }
}

/// The repository's own files below `folder`, sorted; build products and other worktrees left out.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let skipped = ["target", ".git", ".venv", "__pycache__", "artifacts", "corpus"];
            if path.is_dir() && !path.is_symlink() && !skipped.iter().any(|s| name == *s) {
                folders.push(path);
            } else if path.is_file() && name != ".git" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Splits a text into code and comments, each as long as the text, the rest of it blank.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        let after = code.chars().next_back();
        let (length, kind) = next_piece(rest, after);
        for c in rest[..length].chars() {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if kind == Piece::Code { c } else { blank });
            comments.push(if kind == Piece::Comment { c } else { blank });
        }
        rest = &rest[length..];
    }
    (code, comments)
}

#[derive(PartialEq)]
enum Piece {
    Code,
    Comment,
    Literal,
}

/// How many bytes the next piece takes, and what it is. `before` is the last character of code.
fn next_piece(rest: &str, before: Option<char>) -> (usize, Piece) {
    let first = rest.chars().next().expect("the rest is not empty");
    let in_word = before.is_some_and(is_word);
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Piece::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Piece::Comment);
    }
    if first == '"' {
        return (quoted(rest, 1), Piece::Literal);
    }
    if !in_word
        && ["r", "br", "cr"].iter().any(|p| rest.starts_with(p))
        && let Some(length) = raw_string(rest)
    {
        return (length, Piece::Literal);
    }
    if first == '\''
        && let Some(length) = character(rest)
    {
        return (length, Piece::Literal);
    }
    (first.len_utf8(), Piece::Code)
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &str, open: usize) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(open) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let open = rest.find('r')? + 1;
    let hashes = rest[open..].bytes().take_while(|b| *b == b'#').count();
    if rest.as_bytes().get(open + hashes) != Some(&b'"') {
        return None;
    }
    let body = open + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()))
}

/// A character literal, told from a lifetime by its closing quote.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let escaped = chars.next()?.0;
        return rest[escaped + 1..].find('\'').map(|at| escaped + 1 + at + 1);
    }
    let (at, next) = chars.next()?;
    (next == '\'').then_some(at + 1)
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = match first {
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            found.push(Token { text: &rest[..length], line });
        }
        at += length;
    }
    found
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Source::new("src/a.rs", text).tokens().iter().map(|t| t.text.to_string()).collect()
    }

    #[test]
    fn strings_comments_and_characters_are_no_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(words(r#"a("b \" c", 'd', '\'', '\u{1f}') e"#), ["a", "(", ",", ",", ",", ")", "e"]);
        assert_eq!(words("a(r#\"b \" c\"#, br\"d\\\") e"), ["a", "(", ",", ")", "e"]);
        assert_eq!(words("bar\"x\""), ["bar"]);
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(words("&'a str"), ["&", "'", "a", "str"]);
        assert_eq!(words("<'_, 'b>"), ["<", "'", "_", ",", "'", "b", ">"]);
    }

    #[test]
    fn lines_are_kept() {
        let source = Source::new("src/a.rs", "/* one\ntwo */ x\n\"three\n\" y");
        let lines: Vec<_> = source.tokens().iter().map(|t| (t.text.to_string(), t.line)).collect();
        assert_eq!(lines, [("x".to_string(), 2), ("y".to_string(), 4)]);
        assert_eq!(source.comments.lines().next(), Some("/* one"));
    }
}
