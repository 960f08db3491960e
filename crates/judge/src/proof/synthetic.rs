//! A history as a sound server would have left it, made up from a seed: what the judge's own tests spoil and its
//! benchmark reads. Users with several connections, runs with tools, cuts, resumes with merged pieces, a drain.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::marker::MarkerKey;
use crate::{
    profile::{Profile, ProfileError},
    record::{Action, Header, Op, OpOutcome, note},
};

/// Pieces of an answer in a run.
const PIECES: usize = 8;

/// How large a history is made.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Users.
    pub users: usize,
    /// Connections of each.
    pub devices: usize,
    /// Runs of each, one after the other.
    pub runs: usize,
    /// Of so many events one is the last of its connection, which resumes; 0 for none.
    pub cut_one_in: u32,
}

/// Makes a history.
pub fn honest(seed: u64, shape: Shape) -> Result<(Header, Vec<Op>), ProfileError> {
    let header = Header::of("ws://127.0.0.1/ws", &Profile::find("wireproof")?, seed);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut users: Vec<VecDeque<Op>> =
        (0..shape.users).map(|user| User::new(seed, user, shape).ops(&mut rng).into()).collect();
    let mut ops = Vec::with_capacity(users.iter().map(VecDeque::len).sum());
    let mut open: Vec<usize> = (0..users.len()).collect();
    while !open.is_empty() {
        let place = rng.random_range(0..open.len());
        match users[open[place]].pop_front() {
            Some(op) => ops.push(op),
            None => drop(open.swap_remove(place)),
        }
    }
    renumber(&mut ops);
    Ok((header, ops))
}

/// Gives ops the numbers and times of their places.
pub fn renumber(ops: &mut [Op]) {
    for (i, op) in (0..).zip(ops) {
        (op.i, op.t_ns) = (i, i * 1_000);
    }
}

struct User {
    name: String,
    marker_key: MarkerKey,
    shape: Shape,
    log: Vec<Op>,
    devices: Vec<Device>,
    ops: Vec<Op>,
}

#[derive(Default)]
struct Device {
    opened: usize,
    has: usize,
}

impl User {
    fn new(seed: u64, user: usize, shape: Shape) -> Self {
        let name = format!("user-{user:04}");
        let devices = (0..shape.devices).map(|_| Device::default()).collect();
        Self {
            marker_key: MarkerKey::new(seed, &name),
            name,
            shape,
            log: Vec::new(),
            devices,
            ops: Vec::new(),
        }
    }

    fn ops(mut self, rng: &mut SmallRng) -> Vec<Op> {
        (0..self.devices.len()).for_each(|device| self.connect(device, false));
        for run in 0..self.shape.runs {
            self.run(run, rng);
        }
        (0..self.devices.len()).for_each(|device| self.catch_up(device));
        self.ops.push(Op { ev: Some(note::HEALED.to_owned()), ..self.op(None, Action::Note) });
        for device in 0..self.devices.len() {
            self.ops.push(Op { ev: Some(note::DRAINED.to_owned()), ..self.op(Some(device), Action::Note) });
        }
        self.ops
    }

    fn op(&self, device: Option<usize>, f: Action) -> Op {
        let name = |device: usize| {
            format!("{}/{}#{}", self.name, char::from(b'a' + device as u8), self.devices[device].opened)
        };
        Op { conn: device.map(name).unwrap_or_default(), user: self.name.clone(), f, ..Op::default() }
    }

    fn epoch(&self) -> Option<String> {
        Some(format!("epoch-of-{}", self.name))
    }

    fn connect(&mut self, device: usize, resume: bool) {
        self.devices[device].opened += 1;
        let f = if resume { Action::Resume } else { Action::Connect };
        let seq = resume.then_some(self.devices[device].has as u64);
        let opened = Op { epoch: self.epoch().filter(|_| resume), seq, ..self.op(Some(device), f) };
        self.ops.push(Op { outcome: OpOutcome::Invoke, ..opened.clone() });
        self.ops.push(opened);
        let welcome = self.control(device, "connection_established", self.log.len());
        self.ops.push(Op { resumed: Some(resume), epoch: self.epoch(), ..welcome });
        if resume {
            self.catch_up(device);
            let caught_up = self.control(device, "caught_up", self.log.len());
            self.ops.push(caught_up);
        } else {
            self.devices[device].has = self.log.len();
        }
    }

    fn control(&self, device: usize, name: &str, head: usize) -> Op {
        let text = format!("{{\"type\":\"{name}\",\"seq\":{head},\"timestamp\":1763700000.5}}");
        Op { ev: Some(name.to_owned()), head: Some(head as u64), text, ..self.op(Some(device), Action::Recv) }
    }

    /// Hands a device what it has not; adjacent pieces of an answer are put together now and then, as after a resume.
    fn catch_up(&mut self, device: usize) {
        let (mut at, conn) = (self.devices[device].has, self.op(Some(device), Action::Recv).conn);
        while at < self.log.len() {
            let is_piece = |op: &Op| op.ev.as_deref() == Some("message_delta");
            let pieces = self.log[at..].iter().take_while(|op| is_piece(op)).count();
            let last = if pieces > 1 && at.is_multiple_of(3) { at + pieces - 1 } else { at };
            let mut op = Op { conn: conn.clone(), ..self.log[last].clone() };
            if last > at {
                (op.first_seq, op.first_run_seq) = (self.log[at].seq, self.log[at].run_seq);
                op.text = op.text.replacen("\"delta\":\"", "\"delta\":\"merged ", 1);
            }
            self.ops.push(op);
            at = last + 1;
        }
        self.devices[device].has = at;
    }

    fn run(&mut self, number: usize, rng: &mut SmallRng) {
        let marker = self.marker_key.marker(number, "text");
        self.ops.push(Op {
            ev: Some(note::MARKER.to_owned()),
            text: marker.clone(),
            ..self.op(None, Action::Note)
        });
        let run = format!("0198c0de-{number:04x}-7000-8000-{}", &marker[3..15]);
        // Runs of one user have the same request ids as those of another.
        let (request, asker) = (Some(format!("same-{number}")), rng.random_range(0..self.devices.len()));
        let text = format!("{{\"type\":\"chat\",\"content\":\"{marker}\",\"id\":\"same-{number}\"}}");
        let (sends, outcome) = (self.op(Some(asker), Action::Send), OpOutcome::Invoke);
        self.ops.push(Op { outcome, request: request.clone(), text, ..sends });
        let accepted = self.control(asker, "accepted", self.log.len() + 1);
        self.ops.push(Op { request, stream: Some(run.clone()), head: None, ..accepted });
        let mut names = vec!["agent_started", "agent_thinking", "tool_executing", "tool_completed"];
        names.extend([["message_delta"; PIECES].as_slice(), &["agent_completed"]].concat());
        for (place, name) in (1..).zip(names) {
            let seq = self.log.len() as u64 + 1;
            let text = event(seq, place, name, &self.name, &run, &marker);
            let call = name.starts_with("tool").then(|| format!("call-{number}"));
            let (stream, ev) = (Some(run.clone()), Some(name.to_owned()));
            let (seq, run_seq) = (Some(seq), Some(place));
            self.log.push(Op { stream, ev, call, seq, run_seq, text, ..self.op(None, Action::Recv) });
            self.catch_up(asker);
            let ends = name == "agent_completed";
            if !ends && self.shape.cut_one_in > 0 && rng.random_range(0..self.shape.cut_one_in) == 0 {
                let device = rng.random_range(0..self.devices.len());
                self.ops.push(self.op(Some(device), Action::Close));
                self.connect(device, true);
            }
        }
        for device in 0..self.devices.len() {
            self.catch_up(device);
        }
    }
}

fn event(seq: u64, place: u64, name: &str, user: &str, run: &str, marker: &str) -> String {
    let said = match name {
        "agent_thinking" => format!("\"reasoning\":\"Count the words of {marker}.\",\"step_number\":1"),
        "tool_executing" => {
            format!("\"tool_call_id\":\"c\",\"tool_name\":\"count\",\"parameters\":{{\"text\":\"{marker}\"}}")
        }
        "tool_completed" => {
            "\"tool_call_id\":\"c\",\"tool_name\":\"count\",\"result\":{\"words\":6}".to_owned()
        }
        "message_delta" => format!("\"message_id\":\"m\",\"delta\":\"piece {place} \""),
        _ => format!("\"message\":\"{marker}\""),
    };
    format!(
        "{{\"type\":\"{name}\",\"seq\":{seq},\"event_id\":\"0198c0de-0000-7000-8000-{seq:012x}\",\"user_id\":\"{user}\",\
         \"thread_id\":\"0198c0de-1111-7000-8000-000000000001\",\"timestamp\":1763700000.25,\"run_id\":\"{run}\",\
         \"run_seq\":{place},\"agent_name\":\"assistant\",{said}}}"
    )
}
