//! What of one user reached another, in whatever check: every frame of every connection is held against the names of users,
//! the ids of requests and runs, and the markers that others said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Severity, Target};
use crate::{
    profile::{Kind, Profile},
    proof::Scanner,
    record::{Action, Op},
    report::{CheckResult, Verdict},
};

/// The fewest characters of a request's id by which its user is told: shorter ones are no names of anybody's own.
const TELLING: usize = 16;

/// A check that passed fails when a frame of another user came on one of its connections, and one that failed says so.
pub(super) fn judge(target: &Target, results: &mut [CheckResult]) {
    if target.lacks_users(2).is_some() {
        return;
    }
    let state = ForeignTraffic::new(target, results);
    let found: Vec<Option<String>> = results.iter().map(|result| state.first_in(result)).collect();
    for (result, found) in results.iter_mut().zip(found) {
        let Some(found) = found else { continue };
        result.what = match result.verdict {
            Verdict::Pass => found,
            _ => format!("{found}\nbesides: {}", result.what),
        };
        (result.verdict, result.severity) = (Verdict::Fail, Severity::Critical);
    }
}

/// A user to the judge: the user of the token, or the connection where each is a user of its own.
type Who = (String, String);

/// What is known of all users after all checks.
struct ForeignTraffic<'a> {
    profile: &'a Profile,
    nonce: &'a str,
    /// True when every connection is a user of its own.
    guests: bool,
    users: Vec<Who>,
    numbers: HashMap<Who, u32>,
    /// What the server calls the user of a connection, by check and connection.
    welcomed: HashMap<(String, String), String>,
    names: HashMap<String, BTreeSet<u32>>,
    requests: HashMap<String, BTreeSet<u32>>,
    /// Runs and threads, by the requests that they answer.
    made: HashMap<String, BTreeSet<u32>>,
    /// Runs and threads, by the users that frames name beside them.
    told: HashMap<String, BTreeSet<u32>>,
    markers: Scanner,
    said: BTreeMap<u32, Vec<String>>,
}

impl<'a> ForeignTraffic<'a> {
    fn new(target: &'a Target, results: &[CheckResult]) -> Self {
        let profile = target.profile();
        let mut state = Self {
            profile,
            nonce: target.nonce(),
            guests: target.given().is_empty() && target.issuer().is_none() && profile.resume.is_none(),
            users: Vec::new(),
            numbers: HashMap::new(),
            welcomed: HashMap::new(),
            names: HashMap::new(),
            requests: HashMap::new(),
            made: HashMap::new(),
            told: HashMap::new(),
            markers: Scanner::default(),
            said: BTreeMap::new(),
        };
        let ops = || results.iter().flat_map(|result| result.history.iter().map(move |op| (result, op)));
        ops().for_each(|(result, op)| state.learn_said(result, op));
        state.learn_markers();
        ops().filter(|(_, op)| op.f == Action::Recv).for_each(|(result, op)| state.learn_made(result, op));
        state
    }

    fn who(&self, result: &CheckResult, op: &Op) -> Who {
        match self.guests {
            true => (result.id.clone(), op.conn.clone()),
            false => (String::new(), op.user.clone()),
        }
    }

    fn number(&mut self, who: Who) -> u32 {
        let (users, next) = (&mut self.users, self.numbers.len() as u32);
        *self.numbers.entry(who.clone()).or_insert_with(|| {
            users.push(who);
            next
        })
    }

    /// What users say, and what the server calls them.
    fn learn_said(&mut self, result: &CheckResult, op: &Op) {
        if op.conn.is_empty() {
            return;
        }
        let user = self.number(self.who(result, op));
        match op.f {
            Action::Send => {
                for id in op.request.iter().filter(|id| id.len() >= TELLING) {
                    self.requests.entry(id.clone()).or_default().insert(user);
                }
                self.said.entry(user).or_default().push(op.text.clone());
            }
            Action::Recv => {
                let Some((Kind::Welcome, frame)) = self.read(op) else { return };
                if let Some(name) = self.profile.fields.user.text(&frame) {
                    self.names.entry(name.clone()).or_default().insert(user);
                    self.welcomed.insert((result.id.clone(), op.conn.clone()), name);
                }
            }
            _ => {}
        }
        if !self.guests {
            self.names.entry(op.user.clone()).or_default().insert(user);
        }
    }

    /// A marker that several said is nobody's own.
    fn learn_markers(&mut self) {
        let mut owners: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for (user, texts) in &self.said {
            for text in texts {
                for marker in Scanner::markers_in(text) {
                    owners.entry(marker.to_owned()).or_default().insert(*user);
                }
            }
        }
        for (marker, owners) in owners {
            if let [owner] = Vec::from_iter(owners)[..] {
                self.markers.add(&marker, owner);
            }
        }
    }

    /// Runs and threads that the server made for a user: a frame that answers the user's own request, or names the user, has
    /// their names.
    fn learn_made(&mut self, result: &CheckResult, op: &Op) {
        let Some((_, frame)) = self.read(op) else { return };
        let (user, fields) = (self.number(self.who(result, op)), &self.profile.fields);
        let asked = fields.request.text(&frame).is_some_and(|id| owns(&self.requests, &id, user));
        let named = fields.user.text(&frame).is_some_and(|name| owns(&self.names, &name, user));
        let owners = match (asked, named) {
            (true, _) => &mut self.made,
            (false, true) => &mut self.told,
            (false, false) => return,
        };
        for name in [fields.run.text(&frame), fields.thread.text(&frame)].into_iter().flatten() {
            owners.entry(name).or_default().insert(user);
        }
    }

    fn read(&self, op: &Op) -> Option<(Kind, Value)> {
        let frame: Value = serde_json::from_str(&op.text).ok()?;
        let name = self.profile.fields.kind.text(&frame)?;
        Some((self.profile.kind_of(&name), frame))
    }

    /// The first frame of another user in a check, in a sentence. The proof has a judge of its own, who knows which of its
    /// frames a fault has changed.
    fn first_in(&self, result: &CheckResult) -> Option<String> {
        if result.id.ends_with(".proof") {
            return None;
        }
        let came = result.history.iter().filter(|op| op.f == Action::Recv && !op.altered);
        let mut found = came.filter_map(|op| {
            let user = *self.numbers.get(&self.who(result, op))?;
            let (what, owner, value) = self.foreign(result, op, user)?;
            let shown: String = op.text.chars().take(300).collect();
            Some(format!(
                "{} got a frame with the {what} of another user, {owner} ({value}): {shown}",
                op.conn
            ))
        });
        let first = found.next()?;
        let more = found.count();
        Some(if more > 0 { format!("{first}\nand {more} more such frames") } else { first })
    }

    /// What of another user stands in a frame, whose it is, and as what.
    fn foreign(&self, result: &CheckResult, op: &Op, user: u32) -> Option<(&'static str, &str, String)> {
        let fields = &self.profile.fields;
        let frame = self.read(op).map_or(Value::Null, |(_, frame)| frame);
        let own_name = self.welcomed.get(&(result.id.clone(), op.conn.clone()));
        let name = fields.user.text(&frame).filter(|name| own_name != Some(name));
        for (what, value) in [
            ("name", name.or_else(|| self.made_up_name(&op.text, user))),
            ("request", fields.request.text(&frame)),
            ("run", fields.run.text(&frame)),
            ("thread", fields.thread.text(&frame)),
        ] {
            let Some(value) = value else { continue };
            let owners = match what {
                "name" => self.names.get(&value),
                "request" => self.requests.get(&value),
                _ => self.made.get(&value).or_else(|| self.told.get(&value)),
            };
            let Some(owners) = owners else { continue };
            if !owners.contains(&user) && !self.has_said(user, &value) {
                let owner = owners.first().map_or("", |owner| self.called(*owner));
                return Some((what, owner, value));
            }
        }
        let mut marker = None;
        self.markers.scan(&op.text, |found| {
            let owner = found.owner.filter(|owner| *owner != user);
            marker = marker.take().or_else(|| Some((owner?, found.marker)));
        });
        marker.map(|(owner, marker)| ("marker", self.called(owner), marker))
    }

    fn called(&self, user: u32) -> &str {
        self.users.get(user as usize).map_or("", |(_, name)| name)
    }

    /// Another user's name, made up for this run of the judge, anywhere in a text.
    fn made_up_name(&self, text: &str, user: u32) -> Option<String> {
        let is_of_a_name = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        text.match_indices(self.nonce).find_map(|(at, nonce)| {
            let before: usize = text[..at].chars().rev().take_while(is_of_a_name).map(char::len_utf8).sum();
            let name = &text[at - before..at + nonce.len()];
            // A name may begin as another does.
            let foreign = self.names.get(name).is_some_and(|owners| !owners.contains(&user));
            (foreign && !self.called(user).contains(name)).then(|| name.to_owned())
        })
    }

    /// Who said a name may hear it again.
    fn has_said(&self, user: u32, value: &str) -> bool {
        self.said.get(&user).is_some_and(|texts| texts.iter().any(|text| text.contains(value)))
    }
}

fn owns(owners: &HashMap<String, BTreeSet<u32>>, value: &str, user: u32) -> bool {
    owners.get(value).is_some_and(|owners| owners.contains(&user))
}
