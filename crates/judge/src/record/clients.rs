//! What the clients of a test saw, as a history: every test of the kit can write one.

use std::time::Duration;

use serde_json::Value;
use wireproof_testkit::{Entry, TestClient};

use super::{Action, Op, OpOutcome};
use crate::profile::{Kind, Profile, ProfileError};

/// The history of clients of wireproof servers, each with its user. Give all clients of a test: what one of them began
/// and another saw belongs together.
pub fn of_clients<'a>(
    clients: impl IntoIterator<Item = (&'a str, &'a TestClient)>,
) -> Result<Vec<Op>, ProfileError> {
    let profile = Profile::find("wireproof")?;
    let clients: Vec<_> = clients.into_iter().map(|(user, client)| (user, client.entries())).collect();
    let Some(began) = clients.iter().map(|(_, (began, _))| *began).min() else {
        return Ok(Vec::new());
    };
    let mut ops = Vec::new();
    for (number, (user, (own, entries))) in clients.iter().enumerate() {
        let lineage = format!("{user}/{number}");
        of_client(entries, own.saturating_duration_since(began), user, &lineage, &profile, &mut ops);
    }
    ops.sort_by_key(|op: &Op| op.t_ns);
    for (i, op) in ops.iter_mut().enumerate() {
        op.i = i as u64;
    }
    Ok(ops)
}

fn of_client(
    entries: &[Entry],
    since: Duration,
    user: &str,
    lineage: &str,
    profile: &Profile,
    ops: &mut Vec<Op>,
) {
    let mut connection = 0;
    for entry in entries {
        let (at, op) = match entry {
            Entry::Opened { at, asked } => {
                connection += 1;
                let f = if asked.is_some() { Action::Resume } else { Action::Connect };
                let epoch = asked.map(|position| position.epoch.to_string());
                (*at, Op { f, epoch, seq: asked.map(|position| position.seq), ..Op::default() })
            }
            Entry::Sent { at, text } => {
                let json: Value = serde_json::from_str(text).unwrap_or(Value::Null);
                let request = profile.fields.request.text(&json);
                let (f, outcome) = (Action::Send, OpOutcome::Invoke);
                if let Some(op) = Op::resumes_here(profile, &json) {
                    let conn = format!("{lineage}#{connection}");
                    ops.push(Op { t_ns: nanoseconds(since + *at), conn, user: user.to_owned(), ..op });
                }
                (*at, Op { f, outcome, request, text: text.clone(), ..Op::default() })
            }
            Entry::Arrived { arrival, .. } => (arrival.at, Op::frame(profile, &arrival.json, &arrival.text)),
            Entry::Ended { at, ended } => {
                (*at, Op { f: Action::Close, text: ended.to_string(), ..Op::default() })
            }
        };
        let t_ns = nanoseconds(since + at);
        ops.push(Op { t_ns, conn: format!("{lineage}#{connection}"), user: user.to_owned(), ..op });
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Op {
    /// What a frame asks for that is to go on elsewhere on the connection that it is sent on: goes before the op that it
    /// is sent with. Nothing for every other frame.
    pub fn resumes_here(profile: &Profile, sent: &Value) -> Option<Self> {
        let frame = profile.resume.as_ref()?.frame.as_ref()?;
        // No frame that is sent has these values: where they stand in the template is what the frame says.
        let [epoch, after, id] = ["\u{0}epoch", "\u{0}after", "\u{0}id"].map(Value::from);
        let values = [("epoch", epoch.clone()), ("after", after.clone()), ("id", id.clone())];
        let template: Value = serde_json::from_str(&frame.fill(&values)).ok()?;
        let mut op = Self { f: Action::Resume, outcome: OpOutcome::Invoke, ..Self::default() };
        for (name, wanted) in template.as_object()? {
            let said = sent.get(name);
            if *wanted == epoch {
                op.epoch = Some(said?.as_str()?.to_owned());
            } else if *wanted == after {
                op.seq = Some(said?.as_u64()?);
            } else if *wanted != id && said != Some(wanted) {
                return None;
            }
        }
        op.seq.is_some().then_some(op)
    }

    /// A frame that came, as a profile reads it.
    pub fn frame(profile: &Profile, json: &Value, text: &str) -> Self {
        let fields = &profile.fields;
        let name = fields.kind.text(json).unwrap_or_default();
        let kind = profile.kind_of(&name);
        let number = fields.seq.number(json);
        let seq = number.filter(|_| !kind.is_control());
        Self {
            f: Action::Recv,
            stream: fields.run.text(json),
            epoch: fields.epoch.text(json).filter(|_| kind.is_control()),
            seq,
            first_seq: seq.and(fields.first_seq.number(json)).filter(|first| Some(*first) != seq),
            run_seq: fields.run_seq.number(json).filter(|_| !kind.is_control()),
            first_run_seq: fields.first_run_seq.number(json).filter(|_| !kind.is_control()),
            head: number.filter(|_| matches!(kind, Kind::Welcome | Kind::CaughtUp | Kind::Snapshot)),
            resumed: profile.resumed(kind, json),
            ev: Some(name),
            call: fields.call.text(json),
            request: fields.request.text(json),
            text: text.to_owned(),
            ..Self::default()
        }
    }
}
