//! The report as JUnit XML, which CI systems show: a suite a group, a case a check; what was not done is skipped there,
//! with the reason.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use wireproof_protocol::printable;

use super::{CheckResult, Report, Verdict, terminal};

/// Ops that stand in the output of a case that failed.
const SHOWN: usize = 40;

/// The report as XML; an error only if the writer has one.
pub fn write(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut whole = quick_junit::Report::new("wireproof");
    whole.set_time(Duration::from_secs_f64(report.seconds));
    for (group, checks) in report.groups() {
        let mut suite = TestSuite::new(group);
        suite.add_property(("target", report.target.as_str()));
        suite.add_property(("profile", report.profile.as_str()));
        if let Some(caution) = report.caution() {
            suite.add_property(("caution", caution));
        }
        suite.add_property(("seed", format!("{:#x}", report.seed).as_str()));
        suite.add_test_cases(checks.into_iter().map(|check| case(report, check)));
        whole.add_test_suite(suite);
    }
    whole.to_string()
}

fn case(report: &Report, check: &CheckResult) -> TestCase {
    let status = match check.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::NotDone => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(printable(&check.what));
            skipped
        }
        Verdict::Fail => failed(report, check, NonSuccessKind::Failure),
        Verdict::Gone => failed(report, check, NonSuccessKind::Error),
    };
    let mut case = TestCase::new(check.id.as_str(), status);
    case.set_classname(format!("wireproof.{}", check.group()));
    case.set_time(Duration::from_secs_f64(check.ms / 1e3));
    if check.verdict != Verdict::Pass && !check.history.is_empty() {
        let ops: Vec<String> = check.tail(SHOWN).iter().map(terminal::tell).collect();
        case.set_system_out(ops.join("\n"));
    }
    case
}

fn failed(report: &Report, check: &CheckResult, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(format!("{:?}", check.severity).to_lowercase());
    status.set_message(wireproof_protocol::shorten_line(&check.what, 200));
    status.set_description(format!(
        "{}\nseen: {}\nreplay: {}",
        check.sentence,
        printable(&check.what),
        report.replay(check)
    ));
    status
}
