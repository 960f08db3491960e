//! What strangers' servers do that is right, or wrong in a way that was told badly.

use anyhow::{Context, Result, ensure};
use wireproof_judge::report::Verdict;

use super::{deployed, embedded, judged::Judged};

fn verdicts(judged: &Judged) -> Vec<(&str, Verdict)> {
    judged.report.checks.iter().map(|check| (check.id.as_str(), check.verdict)).collect()
}

/// FastAPI's plain `accept()` selects no subprotocol, as RFC 6455 lets a server do; nothing of it was checked.
#[tokio::test]
async fn heavy_a_server_that_selects_no_subprotocol_gets_the_same_verdicts() -> Result<()> {
    let (one, other) =
        (deployed(&[], &["--quick"]).await?, deployed(&["--fault", "no-subprotocol"], &["--quick"]).await?);
    ensure!(verdicts(&one) == verdicts(&other), "{} and {}", one.report.summary(), other.report.summary());
    ensure!(other.code == Some(0) && other.report.count(Verdict::Pass) > 40, "{}", other.report.summary());
    Ok(())
}

/// A subprotocol that nobody offered ended the judging with exit code 3; it is a broken promise.
#[tokio::test]
async fn a_subprotocol_that_nobody_offered_fails_its_check_with_its_name() -> Result<()> {
    let judged = deployed(&["--fault", "alien-subprotocol"], &["--only", "connect"]).await?;
    judged.failed("connect.subprotocol", "alien.v1")?;
    ensure!(judged.of("connect.welcome_first")?.verdict == Verdict::Pass, "{}", judged.report.summary());
    Ok(())
}

/// A GET that waits for something to happen counted as a server that went away.
#[tokio::test]
async fn a_plain_get_that_is_never_answered_fails_its_check() -> Result<()> {
    let judged = embedded(&["--fault", "long-poll"], &["--only", "connect"]).await?;
    judged.failed("connect.plain_get", "was not answered within")
}

/// Four checks of critical promises failed where events have no names of threads and runs: nothing was tested.
#[tokio::test]
async fn events_that_name_no_thread_and_no_run_leave_checks_undone_with_the_missing_key() -> Result<()> {
    let only = "isolation.foreign_thread,isolation.foreign_write,order.runs_apart,events.right_thread,events.every_question,events.critical";
    let only = ["--only", only];
    let judged = deployed(&["--fault", "no-names"], &only).await?;
    for (id, key) in [
        ("isolation.foreign_thread", "fields.thread"),
        ("isolation.foreign_write", "fields.thread"),
        ("order.runs_apart", "fields.run"),
        // Which of several runs an answer is of nobody can tell there.
        ("events.every_question", "fields.run"),
        ("events.right_thread", "fields.thread"),
    ] {
        let check = judged.of(id)?;
        let said = (check.verdict, check.what.contains(key));
        ensure!(said == (Verdict::NotDone, true), "{check:?}");
    }
    ensure!(judged.of("events.critical")?.verdict == Verdict::Pass, "{}", judged.report.summary());
    Ok(())
}

/// Twelve checks of frames failed, and Unicode was blamed, where a server stopped because a client left in mid-answer.
#[tokio::test]
async fn a_server_that_stops_as_a_client_leaves_is_told_as_such_and_the_rest_is_gone() -> Result<()> {
    let judged = embedded(&["--fault", "dies-on-leave"], &["--quick"]).await?;
    let left = judged.of("connect.leaver")?;
    ensure!(left.verdict == Verdict::Fail && left.what.contains("left"), "{left:?}");
    let failed: Vec<&str> = judged.report.of(Verdict::Fail).map(|check| check.id.as_str()).collect();
    ensure!(failed == ["connect.leaver"], "{failed:?}");
    let gone = judged.report.of(Verdict::Gone).next().context("nothing is gone")?;
    ensure!(gone.what.contains("stopped answering during connect.leaver"), "{gone:?}");
    ensure!(judged.code == Some(3) && judged.report.count(Verdict::Pass) == 0, "{}", judged.report.summary());
    Ok(())
}
