//! The order of a run's events, as a profile has it: one pure piece for the checks, the proof and whoever judges offline.
//! started < * < completed, exactly one end, every tool starts before it ends and ends before the run; tools may overlap.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    profile::{Fields, Kind, Order, Profile},
    received_frame::ReceivedFrame,
};

#[cfg(test)]
mod tests;

/// What the rules look at in an event of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEvent<'a> {
    /// What it is.
    pub kind: Kind,
    /// What the server calls it.
    pub name: &'a str,
    /// The tool call that it is of; calls without ids are told apart by their number alone.
    pub call: Option<&'a str>,
    /// Its first and last number in the run, if events have such numbers; the two differ where several were merged.
    pub numbers: Option<(u64, u64)>,
}

impl<'a> RunEvent<'a> {
    /// A frame as the rules see it.
    pub fn of(fields: &Fields, seen: &'a ReceivedFrame) -> Self {
        let last = fields.run_seq.number(&seen.json);
        let numbers = last.map(|last| (fields.first_run_seq.number(&seen.json).unwrap_or(last), last));
        Self { kind: seen.kind, name: &seen.name, call: seen.call.as_deref(), numbers }
    }
}

/// An event, or the absence of one, that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderViolation {
    /// The place in the run of the event that breaks it, from 0; behind the last one for what never came.
    pub at: usize,
    /// That event's name; empty for what never came.
    pub name: String,
    /// The rule.
    pub rule: Rule,
}

/// The rules, each by the way of breaking it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Something of a run comes before its beginning.
    BeforeStart,
    /// A run begins again.
    StartedTwice,
    /// Something of a run comes after its end.
    AfterEnd,
    /// A run ends again.
    EndedTwice,
    /// A run has no end.
    NoEnd,
    /// A tool ends that did not start, or did end.
    ToolNotOpen {
        /// The call.
        call: String,
    },
    /// A run ends before a tool of it.
    ToolOpen {
        /// The call.
        call: String,
    },
    /// The numbers of a run do not go up by one.
    Number {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
}

impl Rule {
    /// The edge of the order that is violated.
    pub fn edge(&self) -> &'static str {
        match self {
            Rule::BeforeStart => "started < *",
            Rule::StartedTwice => "started once",
            Rule::AfterEnd => "* < completed",
            Rule::EndedTwice | Rule::NoEnd => "completed once",
            Rule::ToolNotOpen { .. } => "tool_started(call) < tool_completed(call)",
            Rule::ToolOpen { .. } => "tool_completed(call) < completed",
            Rule::Number { .. } => "run_seq + 1",
        }
    }
}

impl fmt::Display for OrderViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.rule {
            Rule::BeforeStart => write!(f, "{name} before the beginning of its run"),
            Rule::StartedTwice => write!(f, "{name}: the run begins a second time"),
            Rule::AfterEnd => write!(f, "{name} after the end of its run"),
            Rule::EndedTwice => write!(f, "{name}: the run ends a second time"),
            Rule::NoEnd => write!(f, "the run has no end"),
            Rule::ToolNotOpen { call } => write!(f, "{name} of {call:?}, which is not running"),
            Rule::ToolOpen { call } => write!(f, "{name} while the tool call {call:?} has not ended"),
            Rule::Number { expected, found } => {
                write!(f, "{name} has the number {found} where {expected} is due")
            }
        }?;
        write!(f, " ({})", self.rule.edge())
    }
}

/// Where one run stands: feed it the run's events in their order; it takes each in the time of a lookup.
#[derive(Debug, Clone, Default)]
pub struct RunOrder {
    taken: usize,
    midway: bool,
    early: bool,
    started: bool,
    ended: bool,
    /// Tool calls that run, and how many of each: without ids they share a name.
    open: BTreeMap<String, usize>,
    number: Option<u64>,
}

impl RunOrder {
    /// A run that is seen from its first event on.
    pub fn new() -> Self {
        Self::default()
    }

    /// A run whose first events were not seen: what they may have held is taken on trust.
    pub fn midway() -> Self {
        Self { midway: true, ..Self::default() }
    }

    /// True once the run's end was taken.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Takes the next event; says what it breaks. Frames that are of no run are passed over.
    pub fn take(&mut self, order: &Order, event: RunEvent<'_>) -> Vec<OrderViolation> {
        // What no key names may be of a run as well.
        if event.kind != Kind::Other && !event.kind.is_of_a_run() {
            return Vec::new();
        }
        let rules = [self.number(event), self.phase(order, event.kind), self.tool(order, event)];
        if event.kind == Kind::Completed {
            self.ended = true;
        }
        self.taken += 1;
        let at = self.taken - 1;
        rules
            .into_iter()
            .flatten()
            .map(|rule| OrderViolation { at, name: event.name.to_owned(), rule })
            .collect()
    }

    /// Says what is missing of a run of which nothing more will come.
    pub fn finish(&self) -> Option<OrderViolation> {
        let violation = || OrderViolation { at: self.taken, name: String::new(), rule: Rule::NoEnd };
        (!self.ended).then(violation)
    }

    fn number(&mut self, event: RunEvent<'_>) -> Option<Rule> {
        let (first, last) = event.numbers?;
        let known = self.number.replace(last);
        match known {
            Some(known) if first != known.saturating_add(1) => {
                Some(Rule::Number { expected: known.saturating_add(1), found: first })
            }
            // Some count from 0.
            None if first > 1 && !self.midway && self.taken == 0 => {
                Some(Rule::Number { expected: 1, found: first })
            }
            _ => None,
        }
    }

    fn phase(&mut self, order: &Order, kind: Kind) -> Option<Rule> {
        if self.ended {
            return match kind {
                Kind::Completed => Some(Rule::EndedTwice),
                _ => order.completed_last.then_some(Rule::AfterEnd),
            };
        }
        match kind {
            Kind::Started if self.started => Some(Rule::StartedTwice),
            Kind::Started => {
                self.started = true;
                None
            }
            Kind::BeforeStart => None,
            // Told once: what follows is the same mistake.
            _ if order.started_first && !self.started && !self.midway && !self.early => {
                self.early = true;
                Some(Rule::BeforeStart)
            }
            _ => None,
        }
    }

    fn tool(&mut self, order: &Order, event: RunEvent<'_>) -> Option<Rule> {
        if !order.tools_paired {
            return None;
        }
        let call = event.call.unwrap_or_default();
        match event.kind {
            Kind::ToolStarted => {
                *self.open.entry(call.to_owned()).or_default() += 1;
                None
            }
            Kind::ToolCompleted => match self.open.get_mut(call) {
                Some(1) => {
                    self.open.remove(call);
                    None
                }
                Some(open) => {
                    *open -= 1;
                    None
                }
                None if self.midway => None,
                None => Some(Rule::ToolNotOpen { call: call.to_owned() }),
            },
            Kind::Completed if order.completed_last && !self.ended => {
                self.open.keys().next().map(|call| Rule::ToolOpen { call: call.clone() })
            }
            _ => None,
        }
    }
}

/// The order that a profile asks for, without what it has no names for.
pub fn order_of(profile: &Profile) -> Order {
    let (order, events) = (&profile.order, &profile.events);
    Order {
        required: order.required.clone(),
        started_first: order.started_first && !events.started.is_empty(),
        completed_last: order.completed_last && !events.completed.is_empty(),
        tools_paired: order.tools_paired
            && !events.tool_started.is_empty()
            && !events.tool_completed.is_empty(),
    }
}

/// What a whole run breaks, in the order of its events.
pub fn violations<'a>(order: &Order, events: impl IntoIterator<Item = RunEvent<'a>>) -> Vec<OrderViolation> {
    let mut run = RunOrder::new();
    let mut found: Vec<OrderViolation> =
        events.into_iter().flat_map(|event| run.take(order, event)).collect();
    found.extend(run.finish());
    found
}

/// The kinds that a run with a tool must have and has not.
pub fn missing(order: &Order, kinds: impl IntoIterator<Item = Kind>) -> Vec<Kind> {
    let seen: Vec<Kind> = kinds.into_iter().collect();
    order.required.iter().copied().filter(|kind| !seen.contains(kind)).collect()
}
