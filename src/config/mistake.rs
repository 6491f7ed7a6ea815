//! Mistakes of a configuration: all at once, each with its file, line, caret, what was probably meant, and
//! the remedy. Knows no keys.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A place in a file of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl At {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// A file as it was read.
#[derive(Clone, Debug)]
pub(super) struct SourceText {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) at: At,
    pub(super) title: String,
    /// What stands beside the caret.
    pub(super) label: String,
    /// A second place that belongs to it.
    pub(super) other: Option<Box<(At, String)>>,
    pub(super) help: Vec<String>,
}

impl Mistake {
    pub(super) fn new(at: At, title: impl Into<String>) -> Self {
        Self { at, title: title.into(), label: String::new(), other: None, help: Vec::new() }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(super) fn other(mut self, at: At, label: impl Into<String>) -> Self {
        self.other = Some(Box::new((at, label.into())));
        self
    }
}

/// All mistakes of a configuration.
#[derive(Clone, Debug)]
pub struct Mistakes {
    sources: Vec<SourceText>,
    // INVARIANT: never empty.
    list: Vec<Mistake>,
    pub(super) files: Vec<PathBuf>,
}

impl Mistakes {
    pub(super) fn new(sources: Vec<SourceText>, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| (mistake.at.file, mistake.at.start));
        list.dedup();
        Self { sources, list, files: Vec::new() }
    }

    /// The files that were read, and those that they name, as in [`Config::files`](super::Config::files): a
    /// change of one may be the remedy.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// One line for each: file, line, column, what is wrong, and the remedy.
    pub fn lines(&self) -> Vec<String> {
        self.list.iter().map(|mistake| self.line_of(mistake)).collect()
    }

    fn line_of(&self, mistake: &Mistake) -> String {
        let source = &self.sources[mistake.at.file];
        let (line, column) = position(&source.text, mistake.at.start);
        let mut text = format!("{}:{line}:{column}: {}", source.path.display(), mistake.title);
        for part in [&mistake.label].into_iter().chain(&mistake.help).filter(|part| !part.is_empty()) {
            text.push_str("; ");
            text.push_str(part);
        }
        text
    }

    /// As text with excerpts of the files, with colours for a terminal.
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        let reports: Vec<String> = self.list.iter().map(|mistake| self.report(mistake, &renderer)).collect();
        reports.join("\n\n")
    }

    fn report(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let mut group = Level::ERROR.primary_title(&*mistake.title);
        let mut snippet = self.snippet(mistake.at, AnnotationKind::Primary, &mistake.label);
        let mut second = None;
        if let Some((at, label)) = mistake.other.as_deref() {
            if at.file == mistake.at.file {
                let span = self.span(*at);
                snippet = snippet.annotation(AnnotationKind::Context.span(span).label(&**label));
            } else {
                second = Some(self.snippet(*at, AnnotationKind::Context, label));
            }
        }
        let mut with = std::mem::replace(&mut group, Level::ERROR.primary_title("")).element(snippet);
        if let Some(second) = second {
            with = with.element(second);
        }
        for help in &mistake.help {
            with = with.element(Level::HELP.message(&**help));
        }
        renderer.render(&[with])
    }

    fn snippet<'a>(
        &'a self,
        at: At,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let source = &self.sources[at.file];
        let mut annotation = kind.span(self.span(at));
        if !label.is_empty() {
            annotation = annotation.label(label);
        }
        Snippet::source(&*source.text).path(source.path.to_string_lossy()).annotation(annotation)
    }

    /// The place without what lies behind its first line, and at the borders of characters.
    fn span(&self, at: At) -> Range<usize> {
        let text = &*self.sources[at.file].text;
        let within = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (within(at.start), within(at.end).max(within(at.start)));
        let first_line = text[start..end].find('\n').map_or(end, |length| start + length);
        start..first_line
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Mistakes {}

/// Line and column, from 1, of a byte of a text.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
