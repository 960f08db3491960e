//! `wireproof demo`: the real server, a real socket and a real agent, from one command; then the loss of the connection.

mod received;
mod setup;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use wireproof_client::{Start, Update};
use wireproof_protocol::{CRITICAL_EVENTS, Event, EventBody, Outcome, printable_line};

use crate::{
    exit::Stop,
    logging,
    output::styled,
    runtime,
    signals::or_stop,
    terminal,
    transcript::{BAD, BOLD, DIM, GOOD, event_line, line, short},
};
use received::Received;
use setup::Setup;

const LONG_ASK: &str = "Count from 1 to 40.";

/// Columns of the margin, in which a word says whose line it is.
const MARGIN: usize = 8;

/// So many pieces of the long answer arrive before the connection dies.
const PIECES_BEFORE_CUT: usize = 12;

/// So long the client stays away, as in a tunnel: the run goes on without it.
const AWAY: Duration = Duration::from_millis(400);

/// The arguments of `wireproof demo`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof demo
  wireproof demo \"Count from 1 to 20.\"

Exit codes: 0 nothing was lost, 1 something was, or the demo failed, 2 an argument cannot be used.")]
pub(crate) struct Demo {
    /// What to ask the agent.
    #[arg(default_value = "What is 17*23, and how many words are in this sentence?")]
    text: String,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("warn");
        runtime::run(or_stop(self.play()))
    }

    async fn play(self) -> anyhow::Result<()> {
        let mut out = styled();
        let mut stage = Setup::build().await?;
        let place = "(this process, embedded store in a temporary folder)";
        tell(&mut out, &format!("{DIM}server{DIM:#}  {} {DIM}{place}{DIM:#}", stage.url()))?;
        let user = stage.user();
        tell(
            &mut out,
            &format!("{DIM}client{DIM:#}  user {user:?} with a JWT of that server, over the socket"),
        )?;
        let mut witness = Received::default();
        five_events(&mut out, &mut stage, &mut witness, &self.text).await?;
        lost_connection(&mut out, &mut stage, &mut witness).await?;
        let whole = verdict(&mut out, &stage, &witness).await?;
        what_next(&mut out)?;
        stage.strike().await;
        if whole { Ok(()) } else { Err(Stop::Failed.into()) }
    }
}

fn heading(out: &mut impl Write, number: u8, title: &str) -> anyhow::Result<()> {
    Ok(writeln!(out, "\n{BOLD}{number}  {title}{BOLD:#}\n")?)
}

/// A line that begins with a word in the margin, broken where the terminal is narrow.
fn tell(out: &mut impl Write, line: &str) -> io::Result<()> {
    match terminal::columns() {
        Some(columns) => writeln!(out, "{}", terminal::wrap(line, columns, MARGIN)),
        None => writeln!(out, "{line}"),
    }
}

/// What somebody may want to do who has seen this.
fn what_next(out: &mut impl Write) -> anyhow::Result<()> {
    heading(out, 4, "What next")?;
    for (command, what) in [
        ("wireproof serve --data-dir ./data", "a server that stays"),
        ("wireproof token --user ada --data-dir ./data", "a token for it"),
        ("wireproof check --embedded --quick", "its promises, put to the test"),
        ("wireproof help", "everything else"),
    ] {
        tell(out, &format!("        {command:<44}  {DIM}{what}{DIM:#}"))?;
    }
    Ok(())
}

/// The first run: each event as it comes, the pieces of the answer as one line.
async fn five_events(
    out: &mut impl Write,
    stage: &mut Setup,
    witness: &mut Received,
    text: &str,
) -> anyhow::Result<()> {
    heading(out, 1, "The five events")?;
    tell(out, &format!("{DIM}you{DIM:#}     {}\n", printable_line(text)))?;
    stage.say(text).await?;
    let mut critical = Vec::new();
    loop {
        let Update::Event(event) = stage.next().await? else { continue };
        witness.see(&event)?;
        let after = stage.since_said();
        if let EventBody::MessageDelta { delta, .. } = &event.body {
            writeln!(
                out,
                "{}",
                line(&event, after, &format!("{} characters of the answer", delta.chars().count()))
            )?;
        } else {
            writeln!(out, "{}", event_line(&event, after))?;
        }
        critical.extend(CRITICAL_EVENTS.iter().filter(|name| **name == event.body.name()));
        if let EventBody::AgentCompleted { outcome, final_response, .. } = &event.body {
            ensure!(*outcome == Outcome::Success, "the run did not succeed; its last event says why");
            let lines = final_response.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty());
            for (number, line) in lines.map(printable_line).enumerate() {
                match number {
                    0 => tell(out, &format!("\n{DIM}agent{DIM:#}   {line}"))?,
                    _ => tell(out, &format!("        {line}"))?,
                }
            }
            break;
        }
    }
    for name in CRITICAL_EVENTS {
        ensure!(critical.contains(&name), "the run had no {name}: a message that needs a tool has all five");
    }
    Ok(())
}

/// The second run: its connection dies in the middle, and the client comes back for the rest.
async fn lost_connection(
    out: &mut impl Write,
    stage: &mut Setup,
    witness: &mut Received,
) -> anyhow::Result<()> {
    heading(out, 2, "The connection dies in mid-run")?;
    writeln!(out, "{DIM}you{DIM:#}     {LONG_ASK}\n")?;
    let first = witness.seq() + 1;
    stage.say(LONG_ASK).await?;
    listen_to_the_middle(stage, witness).await?;
    let (cut_at, heard) = (witness.seq(), witness.answer().len());
    let answer = short(witness.answer());
    tell(out, &format!("        seq {first} to {cut_at} arrived, in mid-answer:  {BOLD}{answer}{BOLD:#}"))?;
    stage.cut();
    let away = format!("no goodbye; the client is away for {AWAY:?} and the run goes on");
    tell(out, &format!("        {BAD}socket killed{BAD:#}, {away}"))?;
    // The story's own pause, not a wait for anything: the longer away, the more there is to catch up.
    tokio::time::sleep(AWAY).await;
    witness.cut_at = cut_at;
    witness.missed = listen_to_the_end(stage, witness).await?.saturating_sub(cut_at);
    let missed = witness.missed;
    tell(out, &format!("        {GOOD}resumed{GOOD:#} after seq {cut_at}: {missed} events had been missed"))?;
    let rest = short(witness.answer().get(heard..).unwrap_or_default());
    let (next, last) = (cut_at + 1, witness.seq());
    tell(out, &format!("        seq {next} to {last} arrived, to the end:  {BOLD}{rest}{BOLD:#}"))?;
    Ok(())
}

async fn listen_to_the_middle(stage: &mut Setup, witness: &mut Received) -> anyhow::Result<()> {
    let mut pieces = 0;
    while pieces < PIECES_BEFORE_CUT {
        let Update::Event(event) = stage.next().await? else { continue };
        witness.see(&event)?;
        ensure!(!is_end(&event), "the run was over before the connection could be cut");
        pieces += usize::from(matches!(event.body, EventBody::MessageDelta { .. }));
    }
    Ok(())
}

/// Reconnects, takes all that comes up to the run's end, and gives the log's head at the time of the new connection.
async fn listen_to_the_end(stage: &mut Setup, witness: &mut Received) -> anyhow::Result<u64> {
    let mut head = None;
    loop {
        match stage.next().await? {
            Update::Reconnected { welcome, start } => {
                ensure!(start == Start::Resumed, "the server did not resume: {start:?}");
                head = Some(welcome.seq);
            }
            Update::Event(event) => {
                witness.see(&event)?;
                if is_end(&event) {
                    return head.context("the run ended before the client had reconnected");
                }
            }
            _ => {}
        }
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event.body, EventBody::AgentCompleted { .. })
}

/// Holds what the client saw against the server's own log.
async fn verdict(out: &mut impl Write, stage: &Setup, witness: &Received) -> anyhow::Result<bool> {
    heading(out, 3, "Was anything lost?")?;
    let log = stage.read_log().await.context("reading the log from seq 0 on a fresh connection")?;
    for line in witness.compare(&log) {
        tell(out, &format!("        {line}"))?;
    }
    let whole = witness.agrees_with(&log);
    let (style, sentence) = match whole {
        true => (GOOD, "Nothing lost, nothing twice, nothing out of order."),
        false => (BAD, "Something was lost."),
    };
    writeln!(out, "\n        {style}{sentence}{style:#}")?;
    Ok(whole)
}
