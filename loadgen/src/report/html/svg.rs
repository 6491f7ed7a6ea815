//! A plot as SVG inside a page: lines over two axes, with a text description. Colours and sizes of
//! letters are the style sheet's.

use std::fmt::Write;

use super::axis::Axis;
use super::escape::escape;

/// A plot.
pub(super) struct Plot {
    /// A word that no other plot of the page has.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What is seen, in sentences with figures.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// A line of a plot.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Colour and dashes: a class of the style sheet.
    pub(super) class: &'static str,
    /// Gaps are where there is no value.
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// The tooltip of a point; nothing where there would be too many.
    pub(super) hints: Vec<String>,
}

// The drawing, in units that the page scales: about a pixel on a wide screen.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// Width of a letter of a label on a narrow screen, where letters are largest.
const LETTER: f64 = 8.5;

impl Plot {
    /// The figure: title, drawing, legend.
    pub(super) fn draw(&self) -> String {
        let mut out = String::new();
        let Self { id, title, .. } = self;
        let description = escape(&self.description);
        line(&mut out, format_args!("<figure><figcaption>{title}</figcaption>"));
        line(
            &mut out,
            format_args!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
                 <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"
            ),
        );
        self.draw_axes(&mut out);
        self.lines.iter().for_each(|one| self.draw_line(one, &mut out));
        out.push_str("</svg>\n");
        self.draw_legend(&mut out);
        out.push_str("</figure>\n");
        out
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - BOTTOM - TOP)
    }

    fn draw_axes(&self, out: &mut String) {
        let (left, right, top, bottom) = (LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM);
        for (value, label) in &self.y.ticks {
            let y = self.y(*value);
            let text = y + 3.5;
            line(out, format_args!("<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>"));
            let x = left - 6.0;
            line(out, format_args!("<text class=\"end\" x=\"{x}\" y=\"{text:.1}\">{label}</text>"));
        }
        let mut free = f64::NEG_INFINITY;
        for (value, label) in &self.x.ticks {
            let x = self.x(*value);
            line(out, format_args!("<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>"));
            let half = LETTER * label.chars().count() as f64 / 2.0;
            // A label that would touch the one before it is left out; its line stays.
            if x - half < free {
                continue;
            }
            free = x + half + LETTER / 2.0;
            let x = x.min(WIDTH - half);
            let y = bottom + 15.0;
            line(out, format_args!("<text class=\"mid\" x=\"{x:.1}\" y=\"{y}\">{label}</text>"));
        }
        line(out, format_args!("<path class=\"axis\" d=\"M{left} {top}V{bottom}H{right}\"/>"));
        let (middle, under) = ((left + right) / 2.0, HEIGHT - 5.0);
        let label = self.x.label;
        line(out, format_args!("<text class=\"mid name\" x=\"{middle}\" y=\"{under}\">{label}</text>"));
    }

    fn draw_line(&self, one: &Line, out: &mut String) {
        let mut path = String::new();
        let mut drawing = false;
        for (x, y) in &one.points {
            let Some(y) = y else {
                drawing = false;
                continue;
            };
            let step = if drawing { 'L' } else { 'M' };
            write!(path, "{step}{:.1} {:.1}", self.x(*x), self.y(*y)).expect("memory takes it");
            drawing = true;
        }
        let class = one.class;
        line(out, format_args!("<path class=\"line {class}\" d=\"{path}\"/>"));
        // A value between two gaps has no line: it is a dot.
        for (place, (x, y)) in one.points.iter().enumerate() {
            let Some(value) = y else { continue };
            let (x, y) = (self.x(*x), self.y(*value));
            let neighbour =
                |at: Option<usize>| at.and_then(|at| one.points.get(at)).is_some_and(|p| p.1.is_some());
            if !neighbour(place.checked_sub(1)) && !neighbour(Some(place + 1)) {
                line(
                    out,
                    format_args!("<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"),
                );
            }
            if let Some(hint) = one.hints.get(place) {
                let hint = escape(hint);
                line(
                    out,
                    format_args!(
                        "<circle class=\"hint {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\">\
                         <title>{hint}</title></circle>"
                    ),
                );
            }
        }
    }

    fn draw_legend(&self, out: &mut String) {
        out.push_str("<ul class=\"legend\">");
        for Line { name, class, .. } in self.lines.iter().filter(|one| !one.name.is_empty()) {
            let swatch = format!("<path class=\"line {class}\" d=\"M0 4H26\"/>");
            let swatch = format!("<svg viewBox=\"0 0 26 8\" aria-hidden=\"true\">{swatch}</svg>");
            write!(out, "<li>{swatch}{name}</li>").expect("memory takes it");
        }
        out.push_str("</ul>\n");
    }
}

fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to memory does not fail");
    out.push('\n');
}
