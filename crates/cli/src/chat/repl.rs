//! One conversation: what was said, which runs answer it, and what is shown of them.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
    time::{Duration, Instant},
};

use anyhow::Context;
use wireproof_client::{Client, ClientError, Start, Update};
use wireproof_protocol::{
    ClientFrame, Control, ControlBody, ErrorCode, Event, EventBody, Outcome, RequestId, Role, RunId,
    SnapshotThread, ThreadId, printable, printable_line,
};

use crate::{
    exit::Stop,
    output,
    transcript::{BAD, DIM, GOOD, NOTE, Transcript},
};

/// A run may stand in a queue behind others; without any frame for so many times the longest run nothing will come.
const PATIENCE_RUNS: f64 = 2.0;
/// The longest run of a server that does not announce it.
const FALLBACK_RUN_SECONDS: f64 = 300.0;

/// Events of one turn are told with the time since this client said something.
pub(super) struct Repl {
    client: Client,
    thread: Option<ThreadId>,
    json: bool,
    /// How long a message may wait to be taken or refused.
    within: Duration,
    out: Transcript<Box<dyn Write>>,
    said_at: Instant,
    /// Since when the server could take what was said last: from then, or from the latest connection on.
    takes_since: Instant,
    asked: HashSet<RequestId>,
    running: HashSet<RunId>,
    /// Runs whose end came before the answer that made them ours.
    ended: HashMap<RunId, Outcome>,
    failed: bool,
    refused: Option<String>,
}

impl Repl {
    pub(super) fn new(
        client: Client,
        thread: Option<ThreadId>,
        json: bool,
        within: Duration,
    ) -> io::Result<Self> {
        let mut talk = Self {
            client,
            thread,
            json,
            within,
            out: Transcript::new(Box::new(output::of(json))),
            said_at: Instant::now(),
            takes_since: Instant::now(),
            asked: HashSet::new(),
            running: HashSet::new(),
            ended: HashMap::new(),
            failed: false,
            refused: None,
        };
        let welcome = talk.client.welcome();
        let line = format!(
            "{GOOD}connected{GOOD:#} as {} {DIM}(seq {}){DIM:#}",
            printable_line(welcome.user_id.as_str()),
            welcome.seq
        );
        talk.show(&line)?;
        Ok(talk)
    }

    /// Sends a message; one that the server would not take is shown as refused and not sent.
    pub(super) async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let frame =
            ClientFrame::Chat { content: text.to_owned(), thread_id: self.thread.clone(), agent: None };
        self.said_at = Instant::now();
        self.takes_since = self.said_at;
        match self.client.request(&frame).await {
            Ok(id) => {
                self.asked.insert(id);
            }
            Err(error @ ClientError::TooLarge { .. }) => self.refuse(format!(
                "{error}. Nothing was sent: make the message shorter, or raise limits.message_bytes of the server."
            )),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Keeps why a message was not taken, for the next line and the exit code.
    pub(super) fn refuse(&mut self, why: String) {
        self.refused = Some(why);
    }

    fn patience(&self) -> Duration {
        let announced = self.client.welcome().limits.run_seconds;
        let longest = if announced > 0.0 { announced } else { FALLBACK_RUN_SECONDS };
        Duration::try_from_secs_f64(longest * PATIENCE_RUNS).unwrap_or(Duration::MAX)
    }

    pub(super) async fn cancel(&mut self) -> anyhow::Result<()> {
        for run in &self.running {
            self.client.request(&ClientFrame::CancelRun { run_id: run.to_string() }).await?;
        }
        Ok(())
    }

    /// Shows the next thing that happens. Cancel-safe.
    pub(super) async fn listen(&mut self) -> anyhow::Result<()> {
        // A lost connection comes back by itself, or it says after some tries that it does not.
        let taking = !self.asked.is_empty() && self.client.is_connected();
        let left = self.within.saturating_sub(self.takes_since.elapsed());
        if taking && left.is_zero() {
            // Also where the server says a lot, but not whether it takes the message.
            return Err(ClientError::Timeout(self.within))
                .context("waiting for the server to take a message");
        }
        match self.client.next(if taking { left } else { self.patience() }).await {
            Ok(update) => self.happened(update),
            // Nothing is due, so silence is no fault; of what is due the next call tells.
            Err(ClientError::Timeout(_)) if taking || self.is_answered() => Ok(()),
            Err(ClientError::Unreadable(why)) => {
                let why = why.to_string();
                Ok(self.remark(&format!("{BAD}passed over{BAD:#}: {}", printable_line(&why)))?)
            }
            Err(error) => Err(error).context("waiting for the server"),
        }
    }

    pub(super) async fn listen_to_the_end(&mut self) -> anyhow::Result<()> {
        while !self.is_answered() {
            self.listen().await?;
        }
        Ok(())
    }

    /// Shows a refusal as a line of the conversation, which goes on.
    pub(super) fn tell_refusal(&mut self) -> io::Result<()> {
        match self.refused.take() {
            Some(why) => self.remark(&format!("{BAD}refused{BAD:#}: {}", printable(&why))),
            None => Ok(()),
        }
    }

    /// Says goodbye; an error if a run failed or the last request was refused.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        // The work is done and shown: a goodbye that does not arrive changes nothing.
        let _ = self.client.close().await;
        match self.refused {
            Some(why) => Err(Stop::Refused(why).into()),
            None if self.failed => Err(Stop::Failed.into()),
            None => Ok(()),
        }
    }

    /// Shows a line that is not of the wire.
    pub(super) fn remark(&mut self, line: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { self.out.line(line) }
    }

    fn is_answered(&self) -> bool {
        self.asked.is_empty() && self.running.is_empty()
    }

    /// Shows the line, or in its place the frame behind it as it was on the wire.
    fn show(&mut self, line: &str) -> io::Result<()> {
        match (self.json, self.client.text()) {
            (false, _) => self.out.line(line),
            (true, Some(text)) => self.out.line(text),
            (true, None) => Ok(()),
        }
    }

    fn happened(&mut self, update: Update) -> anyhow::Result<()> {
        match update {
            Update::Event(event) => self.event(&event),
            Update::Control(control) => self.control(&control),
            Update::Snapshot(control) => {
                self.show(&format!(
                    "{NOTE}too much was missed to replay: the server sent the state{NOTE:#}"
                ))?;
                self.settle_by_snapshot(&control.body)
            }
            Update::Unknown(value) => {
                let value = value.to_string();
                Ok(self.show(&format!("{DIM}{}{DIM:#}", printable_line(&value)))?)
            }
            Update::Lost { ended, wait } => {
                let ended = ended.to_string();
                let ended = printable_line(&ended);
                let line =
                    format!("{BAD}connection lost{BAD:#}: {ended} {DIM}(next try in {wait:.1?}){DIM:#}");
                Ok(self.remark(&line)?)
            }
            Update::Reconnected { start, .. } => {
                self.takes_since = Instant::now();
                let how = match start {
                    Start::Resumed => "nothing was missed",
                    Start::Head | Start::Restarted => "from the head of the log",
                };
                Ok(self.show(&format!("{GOOD}connected again{GOOD:#}, {how}"))?)
            }
        }
    }

    /// Ends the runs that a snapshot no longer has: nothing more will be said of them. Their answers may be in it.
    fn settle_by_snapshot(&mut self, body: &ControlBody) -> anyhow::Result<()> {
        let ControlBody::Snapshot { threads, active_runs, .. } = body else { return Ok(()) };
        self.settle(threads, |run| active_runs.iter().any(|active| active.run_id == run))
    }

    fn settle(
        &mut self,
        threads: &[SnapshotThread],
        is_active: impl Fn(RunId) -> bool,
    ) -> anyhow::Result<()> {
        let over: Vec<RunId> = self.running.extract_if(|run| !is_active(*run)).collect();
        for run in over {
            let mut messages = threads.iter().flat_map(|thread| &thread.messages);
            let answer = messages.find(|message| {
                message.run_id == Some(run) && message.role == Role::Assistant && !message.incomplete
            });
            if let Some(message) = answer {
                self.remark(&printable(&message.content))?;
            } else {
                self.failed = true;
                self.remark(&format!(
                    "{BAD}run {run} is over{BAD:#}: it ended, or was lost, while the connection was away; the server has no whole answer of it"
                ))?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        match self.json {
            true => self.show("")?,
            false => self.out.event(event, self.said_at.elapsed())?,
        }
        if let (Some(run), EventBody::AgentCompleted { outcome, .. }) = (&event.run, &event.body) {
            if self.running.remove(&run.run_id) {
                self.failed |= *outcome != Outcome::Success;
            } else if !self.asked.is_empty() {
                self.ended.insert(run.run_id, *outcome);
            }
        }
        Ok(())
    }

    fn control(&mut self, control: &Control) -> anyhow::Result<()> {
        let ours = control.id.as_ref().is_some_and(|id| self.asked.remove(id));
        match &control.body {
            ControlBody::Accepted { run_id, thread_id, .. } if ours => {
                self.thread.get_or_insert_with(|| thread_id.clone());
                match self.ended.remove(run_id) {
                    Some(outcome) => self.failed |= outcome != Outcome::Success,
                    None => {
                        self.running.insert(*run_id);
                    }
                }
                let thread = thread_id.to_string();
                let thread = printable_line(&thread);
                self.show(&format!("{DIM}accepted: thread {thread}, run {run_id}{DIM:#}"))?;
            }
            ControlBody::Error(error) if ours => {
                self.refused = Some(format!("{} [{}]", error.message, error.error_code.as_str()));
                if self.json {
                    self.show("")?;
                }
            }
            ControlBody::Error(error) if error.error_code == ErrorCode::CursorAhead => {
                // No replay and no snapshot follow: what the welcome does not name is over.
                let active = self.client.welcome().active_runs.clone();
                self.settle(&[], |run| active.iter().any(|known| known.run_id == run))?;
            }
            ControlBody::Error(error) => {
                self.show(&format!("{BAD}error{BAD:#}: {}", printable(&error.message)))?;
            }
            ControlBody::GoAway { .. } => self.show(&format!("{NOTE}the server is going away{NOTE:#}"))?,
            ControlBody::TokenExpiring { .. } => {
                self.show(&format!("{NOTE}the token expires soon: start again with a new one{NOTE:#}"))?;
            }
            // Pongs, acks and ends of replays are of no interest to a reader, but they are frames.
            _ if self.json => self.show("")?,
            _ => {}
        }
        if self.asked.is_empty() {
            self.ended.clear();
        }
        Ok(())
    }
}
