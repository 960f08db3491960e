//! Servers that are not ours, judged by nothing but a profile: what is right passes, what is wrong fails, and what a
//! profile does not speak of is not done and never passed.

mod judged;
mod process;

use anyhow::{Context, Result, ensure};
use tempfile::tempdir;
use wireproof_testkit::{
    FaultProxy,
    proxy::{Cut, Fault, Toxic, Trigger},
    report::Verdict,
};

use judged::{Judged, judge};
use process::Foreign;

/// What signs tokens of the deployed form.
const SECRET: &str = "a key of more than thirty-two bytes for tests";

/// The application with the reference's protocol, without credentials, judged whole.
async fn embedded(flags: &[&str]) -> Result<Judged> {
    let server = Foreign::script("reference.py", flags).await?;
    judge(&server.url, &["--profile", "reference-embedded"]).await
}

/// The same where everyone has to say who he is; the judge has the key.
async fn deployed(flags: &[&str]) -> Result<Judged> {
    let server = Foreign::script("reference.py", [&["--secret", SECRET], flags].concat()).await?;
    let folder = tempdir()?;
    let key = folder.path().join("key");
    std::fs::write(&key, SECRET)?;
    judge(&server.url, &["--profile", "reference", "--secret-file", key.to_str().context("a path")?]).await
}

#[tokio::test]
async fn heavy_the_references_protocol_without_credentials() -> Result<()> {
    let judged = embedded(&[]).await?;
    judged.is_sound(25)?;
    // It numbers nothing, replays nothing and asks nobody: nobody may say that it does so rightly.
    judged.is_not_done("resume", "profile")?;
    judged.is_not_done("auth", "asks for no credentials")
}

#[tokio::test]
async fn heavy_the_references_protocol_with_tokens() -> Result<()> {
    let judged = deployed(&[]).await?;
    judged.is_sound(35)?;
    judged.is_not_done("resume", "profile")?;
    let expired = judged.of("auth.expired")?;
    ensure!(expired.verdict == Verdict::Pass, "{expired:?}");
    Ok(())
}

#[tokio::test]
async fn heavy_each_fault_of_the_reference_is_found() -> Result<()> {
    let faults: [(&str, &[&str]); 5] = [
        ("shared-registry", &["isolation.content"]),
        ("silent-oversize", &["limits.message"]),
        ("second-ids", &["connect.own_id"]),
        ("chat-acknowledged", &["events.five"]),
        ("no-terminal", &["order.terminal"]),
    ];
    for (fault, checks) in faults {
        let judged = embedded(&["--fault", fault]).await?;
        judged.failed(checks).with_context(|| format!("--fault {fault}"))?;
    }
    // Only where there is authentication can it be switched off.
    deployed(&["--fault", "test-header"]).await?.failed(&["auth.bypass_headers"])
}

#[tokio::test]
async fn heavy_an_echo_server_is_judged_by_what_it_can() -> Result<()> {
    let server = Foreign::echo().await?;
    let judged = judge(&server.url, &["--profile", "echo"]).await?;
    judged.is_sound(8)?;
    for group in ["events", "order", "isolation", "resume", "auth"] {
        judged.is_not_done(group, "profile")?;
    }
    Ok(())
}

/// `websocketd` sends text on that is not UTF-8, which RFC 6455 (8.1) forbids; Autobahn's cases 6.* say the same of it.
#[tokio::test]
async fn heavy_an_echo_server_that_passes_on_broken_text_is_found_out() -> Result<()> {
    let server = Foreign::websocketd().await?;
    let judged = judge(&server.url, &["--profile", "echo"]).await?;
    judged.failed(&["protocol.utf8"])?;
    ensure!(judged.report.count(Verdict::Pass) >= 8, "{}", judged.report.summary());
    Ok(())
}

#[tokio::test]
async fn heavy_an_ag_ui_agent_is_judged_over_its_event_streams() -> Result<()> {
    let server = Foreign::script("pydantic_agent.py", [] as [&str; 0]).await?;
    let judged = judge(&server.url, &["--profile", "ag-ui"]).await?;
    judged.is_sound(10)?;
    for group in ["connect", "protocol", "resume"] {
        judged.is_not_done(group, "profile")?;
    }
    for group in ["events", "order"] {
        let passed = judged.group(group).filter(|check| check.verdict == Verdict::Pass).count();
        ensure!(passed >= 2, "{group}: only {passed} passed");
    }
    Ok(())
}

/// The agent behind a network that breaks each answer off before the run's end.
#[tokio::test]
async fn heavy_an_event_stream_that_breaks_off_is_no_finished_run() -> Result<()> {
    let server = Foreign::script("pydantic_agent.py", [] as [&str; 0]).await?;
    let upstream = server.url.trim_start_matches("http://").trim_end_matches('/').parse()?;
    let proxy = FaultProxy::start(upstream, 7).await?;
    // Its answers are some four thousand bytes; half of that is before the result of the tool.
    proxy.add(Toxic::to_client(Fault::Cut(Cut::Reset)).when(Trigger::AfterBytes(2000)));
    let url = format!("http://{}/", proxy.address());
    let judged = judge(&url, &["--profile", "ag-ui", "--only", "events,order"]).await?;
    judged.failed(&["order.terminal"])?;
    ensure!(judged.report.count(Verdict::Pass) == 0, "{}", judged.report.summary());
    proxy.stop().await;
    Ok(())
}
