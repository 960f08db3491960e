//! The picture of measured times: each as a dot in its order, the median and the bound as lines.

use super::escape;
use crate::report::Measure;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 70.0;

/// The picture as SVG.
pub(super) fn svg(measure: &Measure) -> String {
    let mut sorted = measure.ms.clone();
    sorted.sort_by(f64::total_cmp);
    let Some(most) = sorted.last().copied() else { return String::new() };
    let top = most.max(measure.bound_ms.unwrap_or(0.0)).max(0.001) * 1.1;
    let y = |ms: f64| HEIGHT - 20.0 - ms / top * (HEIGHT - 40.0);
    let step = (WIDTH - LEFT - 20.0) / measure.ms.len().max(1) as f64;
    let mut svg = format!(
        r#"<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
        escape(&measure.what)
    );
    let mut rule = |ms: f64, class: &str, name: &str| {
        svg.push_str(&format!(
            r#"<line class="{class}" x1="{LEFT}" x2="{WIDTH}" y1="{0:.1}" y2="{0:.1}"/><text x="{1}" y="{2:.1}" text-anchor="end">{name} {ms:.1} ms</text>"#,
            y(ms),
            WIDTH - 4.0,
            y(ms) - 4.0
        ));
    };
    rule(sorted[sorted.len() / 2], "median", "median");
    if let Some(bound) = measure.bound_ms {
        rule(bound, "bound", "bound");
    }
    for (number, ms) in measure.ms.iter().enumerate() {
        let x = LEFT + 10.0 + step * number as f64;
        svg.push_str(&format!(
            r#"<circle cx="{x:.1}" cy="{:.1}" r="3"><title>{ms:.3} ms</title></circle>"#,
            y(*ms)
        ));
    }
    svg.push_str(&format!(
        r#"<text x="4" y="{:.1}">{top:.1} ms</text><text x="4" y="{:.1}">0</text></svg>"#,
        24.0,
        HEIGHT - 18.0
    ));
    svg
}
