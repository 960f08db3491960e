//! The picture of a failing check: time goes to the right, every connection has a lane, every frame is a mark.

use wireproof_protocol::shorten_line;

use super::escape;
use crate::record::{Action, Op, OpOutcome};

const WIDTH: f64 = 1100.0;
const LABEL: f64 = 230.0;
const LANE: f64 = 26.0;
/// Marks in one picture; of more, the last are shown.
const MARKS: usize = 600;
/// Lanes in one picture.
const LANES: usize = 24;

/// The picture as SVG.
pub(super) fn svg(history: &[Op]) -> String {
    let shown = &history[history.len().saturating_sub(MARKS)..];
    let mut lanes: Vec<&str> = Vec::new();
    for op in shown {
        if !lanes.contains(&op.conn.as_str()) && lanes.len() < LANES {
            lanes.push(&op.conn);
        }
    }
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return String::new() };
    let span = (last.t_ns.saturating_sub(first.t_ns)).max(1) as f64;
    // Two connections write down what came at nearly the same time in either order.
    let x =
        |op: &Op| LABEL + 10.0 + op.t_ns.saturating_sub(first.t_ns) as f64 / span * (WIDTH - LABEL - 30.0);
    let height = lanes.len() as f64 * LANE + 40.0;
    let mut svg = format!(
        r#"<svg class="lanes" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="what happened on each connection">"#
    );
    for (number, lane) in lanes.iter().enumerate() {
        let y = number as f64 * LANE + 20.0;
        let name = if lane.is_empty() { "HTTP and notes" } else { lane };
        svg.push_str(&format!(
            r#"<text x="4" y="{:.1}">{}</text><line x1="{LABEL}" x2="{WIDTH}" y1="{y:.1}" y2="{y:.1}"/>"#,
            y + 4.0,
            escape(&shorten_line(name, 34))
        ));
    }
    for op in shown {
        if let Some(lane) = lanes.iter().position(|lane| *lane == op.conn) {
            svg.push_str(&mark(op, x(op), lane as f64 * LANE + 20.0));
        }
    }
    svg.push_str(&format!(
        r#"<text x="{LABEL}" y="{:.1}">{:.1} ms</text><text x="{}" y="{:.1}" text-anchor="end">{:.1} ms</text></svg>"#,
        height - 6.0,
        first.t_ns as f64 / 1e6,
        WIDTH - 6.0,
        height - 6.0,
        last.t_ns as f64 / 1e6
    ));
    svg
}

fn mark(op: &Op, x: f64, y: f64) -> String {
    let class = match (op.f, op.outcome) {
        (_, OpOutcome::Fail) => "bad",
        (Action::Send, _) => "sent",
        (Action::Recv, _) => "came",
        (Action::Fault | Action::Close, _) => "cut",
        _ => "note",
    };
    let title = escape(&shorten_line(&crate::report::terminal::tell(op), 220));
    let shape = match op.f {
        Action::Send => format!(r#"<path d="M{x:.1} {:.1}l5 8h-10z"/>"#, y - 4.0),
        Action::Recv => format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="4"/>"#),
        _ => format!(r#"<rect x="{:.1}" y="{:.1}" width="6" height="12"/>"#, x - 3.0, y - 6.0),
    };
    format!(r#"<g class="{class}"><title>{title}</title>{shape}</g>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time since the first op was taken as a difference that cannot be negative: a page was not written at all.
    #[test]
    fn an_op_that_was_written_down_late_is_no_reason_to_draw_nothing() {
        let op = |t_ns| Op { t_ns, conn: "ada#0".to_owned(), ..Op::default() };
        assert_eq!(svg(&[op(20), op(10), op(30)]).matches("<circle").count(), 3);
    }
}
