//! Requests that meet: a cancel and an end, a renewal and a message, two devices and one request.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{sync::Barrier, time::sleep_until};

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, TestPrincipal, broken, ensure,
        list::requests::{accepted, ask_with_id, message, rounds, settle, user_of},
        pass,
        session::{Asked, new_id},
    },
    profile::Kind,
};

/// Runs that are cancelled as they end.
const CANCELS: usize = 32;
/// How many of them a user has.
const CANCELS_OF_A_USER: usize = 8;
/// Requests that two devices send at once.
const REQUESTS: usize = 6;
/// The shortest step towards a moment.
const SHORTEST: Duration = Duration::from_millis(1);
/// The furthest that two devices are apart, in microseconds.
const APART: u64 = 400;

pub(super) async fn renewal(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let authenticate = message(&context.profile.messages.authenticate, "authenticate")?;
    let session = context.connect(&ada).await?;
    let mut messages = 0;
    for (before, behind) in [(0, 1), (1, 1), (1, 0), (0, 3)] {
        let token = context.target.sign(&ada.user).or_else(|| ada.token.clone());
        let Some(token) = token else {
            return Err(Failure::NotDone("there is no token to renew".to_owned()));
        };
        let (from, id) = (session.count(), new_id());
        let mut asked = Vec::new();
        for place in 0..before + behind {
            if place == before {
                session.send(authenticate.fill(&[("token", json!(token)), ("id", json!(id))])).await?;
            }
            asked.push(session.ask(&context.plain("wk1renewal")?).await?);
        }
        if behind == 0 {
            session.send(authenticate.fill(&[("token", json!(token)), ("id", json!(id))])).await?;
        }
        for asked in &asked {
            session.finish(asked).await.map_err(|fault| match fault {
                Failure::Broken(why) => Failure::Broken(format!("a message beside a renewal: {why}")),
                other => other,
            })?;
        }
        session.barrier().await?;
        let refused = session.seen().into_iter().skip(from).find(|seen| seen.kind == Kind::Error);
        ensure(refused.is_none(), || {
            let refused = refused.map(|seen| seen.brief()).unwrap_or_default();
            format!(
                "{}: a renewal with a good token, or a message beside it, was refused: {refused}",
                session.name
            )
        })?;
        messages += asked.len();
    }
    pass(format!("4 renewals with {messages} messages beside them: all were carried out"))
}

/// A moment in a run that is not known, and is come closer to with every try.
#[derive(Clone, Copy)]
struct Moment {
    /// How long after the request it is thought to be.
    offset: Duration,
    step: Duration,
    /// Whether the last try was before it.
    before: Option<bool>,
}

impl Moment {
    /// A time about the moment, by chance.
    fn about(&self, context: &CheckContext<'_>) -> Duration {
        let shake = Duration::from_micros(context.chance(1 + self.step.as_micros() as u64));
        (self.offset + shake).saturating_sub(self.step / 2)
    }

    /// Takes in that a time was before the moment, or was not: long steps towards it, short ones about it.
    fn was(&mut self, before: bool) {
        let change = self.before.replace(before).map_or(1.0, |last| if last == before { 1.5 } else { 0.5 });
        self.step = self.step.mul_f64(change).max(SHORTEST);
        self.offset = if before { self.offset + self.step } else { self.offset.saturating_sub(self.step) };
    }
}

/// Runs that are cancelled about two moments: the last in which a cancel has an effect, and that in which the end is
/// seen. What lies between them is where two ends come from.
struct Canceller<'a> {
    context: &'a CheckContext<'a>,
    /// How a run ends that nobody stops.
    usual: Option<String>,
    decided: Moment,
    seen: Moment,
}

impl<'a> Canceller<'a> {
    /// Measures a run that nobody stops.
    async fn new(context: &'a CheckContext<'a>, session: &Session) -> Result<Self, Failure> {
        // The first run of a connection may take longer than others.
        session.run(&context.plain("wk1first")?).await?;
        let run = session.run(&context.plain("wk1measure")?).await?;
        let end = run.of(Kind::Completed).next();
        let offset = end.map_or(Duration::ZERO, |end| end.at.saturating_duration_since(run.asked_at));
        let usual = end.and_then(|end| context.profile.fields.outcome.text(&end.json));
        let moment = Moment { offset, step: offset / 8, before: None };
        Ok(Self { context, usual, decided: moment, seen: moment })
    }

    /// Asks for a run and cancels it; true when the cancel went before the end was seen.
    async fn cancel(&mut self, session: &Session, place: usize) -> Result<bool, Failure> {
        let cancel = message(&self.context.profile.messages.cancel, "cancel")?;
        let aim = if place.is_multiple_of(2) { self.decided } else { self.seen };
        let asked = session.ask(&self.context.plain("wk1cancel")?).await?;
        let run = session.run_of(&asked).await?;
        sleep_until((asked.at + aim.about(self.context)).into()).await;
        let sent = Instant::now();
        session.send(cancel.fill(&[("run", json!(run)), ("id", json!(new_id()))])).await?;
        let run = session.finish(&asked).await?;
        settle(session).await?;
        let end = run.of(Kind::Completed).next();
        let in_time = end.is_some_and(|end| end.at > sent);
        let outcome = end.and_then(|end| self.context.profile.fields.outcome.text(&end.json));
        if place.is_multiple_of(2) {
            // Where no outcome is told the two moments are one.
            self.decided.was(in_time && (outcome.is_none() || outcome != self.usual));
        } else {
            self.seen.was(in_time);
        }
        Ok(in_time)
    }
}

/// Holds that every run that a connection saw has one end; gives how many runs.
fn one_end_each(session: &Session) -> Result<usize, Failure> {
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for seen in session.seen().iter().filter(|seen| seen.kind == Kind::Completed) {
        ends.entry(seen.run.clone().unwrap_or_default()).or_default().push(seen.brief());
    }
    match ends.iter().find(|(_, ends)| ends.len() != 1) {
        Some((run, ends)) => {
            broken(format!("{}: the run {run} has {} ends: {}", session.name, ends.len(), ends.join(" and ")))
        }
        None => Ok(ends.len()),
    }
}

pub(super) async fn cancel_and_end(context: &CheckContext<'_>) -> CheckOutcome {
    let (cancels, mut sessions, mut in_time) = (rounds(context, CANCELS, 2), Vec::new(), 0);
    let mut canceller: Option<Canceller<'_>> = None;
    for round in 0..cancels {
        if round % CANCELS_OF_A_USER == 0 {
            sessions.push(context.connect(&user_of(context, round / CANCELS_OF_A_USER)?).await?);
        }
        let Some(session) = sessions.last() else { continue };
        let canceller = match &mut canceller {
            Some(canceller) => canceller,
            none => none.insert(Canceller::new(context, session).await?),
        };
        in_time += usize::from(canceller.cancel(session, round).await?);
        one_end_each(session)?;
    }
    let mut runs = 0;
    for session in &sessions {
        settle(session).await?;
        runs += one_end_each(session)?;
    }
    pass(format!(
        "{cancels} runs were cancelled about when they ended, {in_time} of them before the end was seen; each of {runs} runs has one end"
    ))
}

/// Two devices of a user.
async fn devices(context: &CheckContext<'_>, user: &TestPrincipal) -> Result<[Session; 2], Failure> {
    let (one, other) = tokio::join!(context.connect(user), context.connect(user));
    Ok([one?, other?])
}

/// Waits at the barrier, and then as long as chance says, at most so many microseconds.
async fn together(context: &CheckContext<'_>, start: &Barrier) {
    let apart = Duration::from_micros(context.chance(APART));
    start.wait().await;
    sleep_until(tokio::time::Instant::now() + apart).await;
}

pub(super) async fn one_request(context: &CheckContext<'_>) -> CheckOutcome {
    ask_with_id(context)?;
    let requests = rounds(context, REQUESTS, 2);
    let ada = context.principal("ada")?;
    let devices = devices(context, &ada).await?;
    for _ in 0..requests {
        let (id, text, start) = (new_id(), context.plain("wk1once")?, Barrier::new(2));
        let from = devices[0].count();
        let send = async |device: &Session| {
            together(context, &start).await;
            let asked = device.ask_as(&id, &text).await?;
            Ok::<_, Failure>((accepted(device, &asked).await?, asked))
        };
        let (one, other) = tokio::join!(send(&devices[0]), send(&devices[1]));
        let ((one, asked), (other, _)) = (one?, other?);
        ensure(one == other, || {
            format!("one request that two devices sent at once became two runs: {one} and {other}")
        })?;
        // The other device's request may be a run that is over before this one is sent: what came is of both.
        devices[0].finish(&Asked { from, ..asked }).await?;
        settle(&devices[0]).await?;
        let begun = devices[0]
            .seen()
            .iter()
            .skip(from)
            .filter(|seen| seen.kind == Kind::Started && seen.is_of_run(&one))
            .count();
        ensure(begun <= 1, || {
            format!("{}: the run {one} of one request began {begun} times", devices[0].name)
        })?;
    }
    pass(format!("{requests} requests were sent by two devices at once, and became {requests} runs"))
}

pub(super) async fn one_approval(context: &CheckContext<'_>) -> CheckOutcome {
    let approve = message(&context.profile.messages.approve, "approve")?;
    let prompt = context.prompt(&context.profile.prompts.approval, "approval")?;
    if !context.profile.fields.approval.is_known() {
        return Err(Failure::NotDone("the profile does not say where fields.approval is".to_owned()));
    }
    let ada = context.principal("ada")?;
    let devices = devices(context, &ada).await?;
    let approval_of = |json: &serde_json::Value| context.profile.fields.approval.text(json);
    let approvals = rounds(context, REQUESTS, 3);
    for _ in 0..approvals {
        let asked = devices[0].ask(prompt).await?;
        let requested = |seen: &crate::check::ReceivedFrame| seen.kind == Kind::ApprovalRequested;
        let within = devices[0].patience();
        let request = devices[0].wait("request for an approval", asked.from, within, requested).await?;
        let Some(approval) = approval_of(&request.json) else {
            return broken(format!("a request for an approval has no name: {}", request.brief()));
        };
        let start = Barrier::new(2);
        let send = async |device: &Session| {
            together(context, &start).await;
            device.send(approve.fill(&[("approval", json!(approval)), ("id", json!(new_id()))])).await
        };
        let (one, other) = tokio::join!(send(&devices[0]), send(&devices[1]));
        one?;
        other?;
        let run = devices[0].finish(&asked).await?;
        settle(&devices[0]).await?;
        let resolved = devices[0].seen().into_iter().filter(|seen| {
            seen.kind == Kind::ApprovalResolved && approval_of(&seen.json).as_ref() == Some(&approval)
        });
        let resolved = resolved.count();
        ensure(resolved == 1, || format!("the approval {approval} was resolved {resolved} times"))?;
        let mut calls: Vec<_> = run.of(Kind::ToolStarted).filter_map(|seen| seen.call.clone()).collect();
        let all = calls.len();
        calls.sort();
        calls.dedup();
        ensure(calls.len() == all, || {
            format!("a tool that was approved once started twice: {}", run.timeline())
        })?;
    }
    pass(format!("{approvals} approvals were answered by two devices at once; each was resolved once"))
}
