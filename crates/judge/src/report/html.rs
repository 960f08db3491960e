//! The report for a browser: one file with no script and nothing to fetch; the failing checks with a picture of what
//! happened on each connection, and the times that were measured.

use askama::Template;
use wireproof_protocol::printable;

use super::{CheckResult, Report, Verdict};

mod lanes;
mod plot;

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    verdict: &'static str,
    failed: Vec<Failed<'a>>,
    groups: Vec<Group<'a>>,
    plots: Vec<Plot<'a>>,
    began: String,
}

struct Failed<'a> {
    check: &'a CheckResult,
    severity: String,
    replay: String,
    picture: String,
    last: Vec<String>,
}

struct Group<'a> {
    name: &'a str,
    checks: Vec<&'a CheckResult>,
}

struct Plot<'a> {
    check: &'a str,
    what: &'a str,
    picture: String,
}

/// Ops that are listed of a check that failed.
const SHOWN: usize = 60;

/// The report as a page.
pub fn write(report: &Report) -> Result<String, askama::Error> {
    let measures =
        report.checks.iter().flat_map(|check| check.measures.iter().map(move |measure| (check, measure)));
    let page = Page {
        verdict: if report.is_clean() { "pass" } else { "fail" },
        failed: report
            .of(Verdict::Fail)
            .chain(report.of(Verdict::Gone))
            .map(|check| Failed::new(report, check))
            .collect(),
        groups: report.groups().into_iter().map(|(name, checks)| Group { name, checks }).collect(),
        plots: measures
            .map(|(check, measure)| Plot {
                check: &check.id,
                what: &measure.what,
                picture: plot::svg(measure),
            })
            .collect(),
        began: jiff::Timestamp::from_second(report.began as i64)
            .map(|began| began.to_string())
            .unwrap_or_default(),
        report,
    };
    // What a server sent stands in several places of the page.
    page.render().map(|page| printable(&page).into_owned())
}

impl<'a> Failed<'a> {
    fn new(report: &Report, check: &'a CheckResult) -> Self {
        Self {
            check,
            severity: format!("{:?}", check.severity).to_lowercase(),
            replay: report.replay(check),
            picture: lanes::svg(&check.history),
            last: check
                .tail(SHOWN)
                .iter()
                .map(|op| wireproof_protocol::shorten_line(&super::terminal::tell(op), 300))
                .collect(),
        }
    }
}

/// Text that may stand anywhere in the page's pictures.
fn escape(text: &str) -> String {
    askama::filters::escape(text, askama::filters::Html)
        .map_or_else(|_| String::new(), |safe| safe.to_string())
}
