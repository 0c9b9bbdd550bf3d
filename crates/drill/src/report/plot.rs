//! Line charts as SVG.
//!
//! Not a library of charts: lines over a common axis, marks across them, nothing that moves. Every
//! number that is drawn comes from the caller. Invariant: the text is well-formed whatever the names
//! are, and no coordinate is outside of the picture.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 30.0;

/// A chart.
pub(super) struct Chart<'a> {
    /// What it shows, for whoever cannot see it.
    pub(super) title: &'a str,
    pub(super) lines: Vec<Line<'a>>,
    /// Where along the x axis something happened.
    pub(super) marks: Vec<Mark<'a>>,
    /// Values on the x axis that are labelled.
    pub(super) x_ticks: Vec<(f64, String)>,
    /// How a value of the y axis is written.
    pub(super) y_text: fn(f64) -> String,
    /// What lies above it is drawn at the edge.
    pub(super) bound: Option<f64>,
}

/// Something that happened.
pub(super) struct Mark<'a> {
    pub(super) at: f64,
    /// Until where it was felt.
    pub(super) until: Option<f64>,
    pub(super) what: &'a str,
}

/// A line; its class says how it looks. One of class `dots` shows each of its points.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Text as it may stand in a page.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Chart<'_> {
    pub(super) fn draw(&self) -> String {
        let mut out = String::new();
        let x_max = self.extent(|(x, _)| *x).max(f64::MIN_POSITIVE);
        let y_extent = self.extent(|(_, y)| *y).min(self.bound.unwrap_or(f64::INFINITY));
        let step = round_step(y_extent / 4.0);
        let y_max = (y_extent / step).ceil().max(1.0) * step;
        let at_x = |x: f64| LEFT + (x / x_max).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - (y / y_max).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM);
        let title = escaped(self.title);
        // Writing to a String does not fail.
        _ = write!(
            out,
            "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        );
        for tick in 0..=(y_max / step).round() as u32 {
            let value = f64::from(tick) * step;
            let y = at_y(value);
            let (text, end) = (escaped(&(self.y_text)(value)), WIDTH - RIGHT);
            _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (value, text) in &self.x_ticks {
            let (x, y, text) = (at_x(*value), HEIGHT - 8.0, escaped(text));
            _ = write!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"
            );
        }
        for Mark { at, until, what } in &self.marks {
            let (x, end, what) = (at_x(*at), HEIGHT - BOTTOM, escaped(what));
            let felt = (at_x(until.unwrap_or(*at)) - x).max(0.0);
            _ = write!(
                out,
                "<rect class=\"felt\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{felt:.1}\" height=\"{:.1}\"/>\
                 <line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{end}\">\
                 <title>{what}</title></line>\
                 <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\">{what}</text>",
                end - TOP,
                x + 4.0,
                TOP + 10.0
            );
        }
        for line in &self.lines {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y)))
                .collect();
            let (class, points) = (line.class, points.join(" "));
            _ = write!(out, "<polyline class=\"line {class}\" points=\"{points}\"/>");
            for (x, y) in line.points.iter().filter(|_| class.contains("dots")) {
                let (x, y) = (at_x(*x), at_y(*y));
                _ = write!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            }
        }
        out.push_str("</svg><figcaption>");
        for line in &self.lines {
            let (class, name) = (line.class, escaped(line.name));
            _ = write!(out, "<span class=\"key {class}\">{name}</span>");
        }
        out.push_str("</figcaption></figure>");
        out
    }

    /// The largest of a coordinate.
    fn extent(&self, of: fn(&(f64, f64)) -> f64) -> f64 {
        self.lines.iter().flat_map(|line| &line.points).map(of).fold(0.0, f64::max)
    }
}

/// The next of 1, 2, 5, 10, 20 … that is not below a step.
pub(super) fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-3).log10().floor());
    let round = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|round| *round >= step);
    round.unwrap_or(10.0 * power).max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_an_axis_are_round() {
        let cases = [
            (0.0, 1e-3),
            (0.9, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (3.0, 5.0),
            (6.0, 10.0),
            (730.0, 1_000.0),
        ];
        for (step, round) in cases {
            assert!((round_step(step) - round).abs() < 1e-9, "{step}: {}", round_step(step));
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_picture() {
        let chart = Chart {
            title: "a \"chart\" <of> all & sundry",
            lines: vec![Line { name: "<b>", class: "a", points: vec![(0.0, 1.0), (9.0, 4.0)] }],
            marks: vec![Mark { at: 3.0, until: Some(4.0), what: "<script>" }],
            x_ticks: vec![(0.0, "<0>".to_owned())],
            y_text: |value| format!("<{value}>"),
            bound: None,
        };
        let drawn = chart.draw();
        assert!(!drawn.contains("<script>") && !drawn.contains("<b>") && !drawn.contains("<of>"));
        assert!(
            drawn.contains("&lt;script&gt;") && drawn.contains("aria-label=\"a &quot;chart&quot;")
        );
    }
}
