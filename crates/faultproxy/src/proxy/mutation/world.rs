//! What the connections of a proxy with mutations know of each other: whose they are, and what others were told.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::Role;

/// Users, questions and tickets that are remembered.
const REMEMBERED: usize = 1000;

/// A message that another connection hands over.
#[derive(Debug)]
pub(crate) enum Mail {
    /// For the client.
    ToClient(Value),
    /// For the server.
    ToServer(String),
}

/// What is known; a lock of a moment.
#[derive(Debug, Default)]
pub(crate) struct World {
    known: Mutex<Known>,
    /// Held by the connection whose handshake is not over, where only one may be.
    pub(crate) handshake: tokio::sync::Mutex<()>,
    /// A client broke its connection off.
    pub(crate) broken: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    connections: BTreeMap<u64, (String, mpsc::Sender<Mail>)>,
    events: Recent<Value>,
    asked: Recent<String>,
    heads: Recent<Position>,
    tickets: Recent<Ticket>,
    requests: Recent<u64>,
    first: BTreeMap<Role, Value>,
}

/// Where a user's log is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position {
    pub(crate) epoch: Option<String>,
    pub(crate) seq: u64,
}

/// What a ticket stands for.
#[derive(Debug, Clone)]
struct Ticket {
    token: String,
    spent: bool,
}

/// The latest values by their names, so many that memory does not grow.
#[derive(Debug)]
struct Recent<T>(VecDeque<(String, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    fn get(&mut self, name: &str) -> Option<&mut T> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn set(&mut self, name: &str, value: T) {
        self.0.retain(|(known, _)| known != name);
        self.0.push_back((name.to_owned(), value));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    /// The latest of another name.
    fn of_another(&self, name: &str) -> Option<&T> {
        self.0.iter().rev().find(|(known, _)| known != name).map(|(_, value)| value)
    }
}

impl World {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, number: u64, user: &str, mail: mpsc::Sender<Mail>) {
        self.known().connections.insert(number, (user.to_owned(), mail));
    }

    pub(crate) fn leave(&self, number: u64) {
        self.known().connections.remove(&number);
    }

    /// True when an older connection of the user is open.
    pub(crate) fn is_later(&self, number: u64, user: &str) -> bool {
        self.known().connections.range(..number).any(|(_, (other, _))| other == user)
    }

    /// The users who are connected.
    pub(crate) fn users(&self) -> Vec<String> {
        self.known().connections.values().map(|(user, _)| user.clone()).collect()
    }

    /// Hands a message to a connection of the user, if there is one that takes it.
    pub(crate) fn send(&self, user: &str, mail: Mail) -> bool {
        let connection = self.known().connections.values().find(|(other, _)| other == user).cloned();
        connection.is_some_and(|(_, to)| to.try_send(mail).is_ok())
    }

    /// Hands a message to a connection of every other user.
    pub(crate) fn send_to_others(&self, user: &str, json: &Value) {
        let others: Vec<_> =
            self.known().connections.values().filter(|(other, _)| other != user).cloned().collect();
        // A connection whose mail is full is one that takes nothing: then it is not harmed either.
        others.iter().for_each(|(_, to)| drop(to.try_send(Mail::ToClient(json.clone()))));
    }

    pub(crate) fn note_event(&self, user: &str, json: &Value) {
        self.known().events.set(user, json.clone());
    }

    pub(crate) fn foreign_event(&self, user: &str) -> Option<Value> {
        self.known().events.of_another(user).cloned()
    }

    pub(crate) fn note_asked(&self, user: &str, text: &str) {
        self.known().asked.set(user, text.to_owned());
    }

    pub(crate) fn foreign_question(&self, user: &str) -> Option<String> {
        self.known().asked.of_another(user).cloned()
    }

    /// Notes where a user's log is at least.
    pub(crate) fn note_position(&self, user: &str, epoch: Option<String>, seq: Option<u64>) {
        let mut known = self.known();
        let mut position = known.heads.get(user).cloned().unwrap_or_default();
        position.seq = position.seq.max(seq.unwrap_or_default());
        position.epoch = epoch.or(position.epoch);
        known.heads.set(user, position);
    }

    pub(crate) fn position(&self, user: &str) -> Option<Position> {
        self.known().heads.get(user).cloned()
    }

    /// The first value of a role on any connection; this one, if it is the first.
    pub(crate) fn first(&self, role: Role, value: &Value) -> Value {
        self.known().first.entry(role).or_insert_with(|| value.clone()).clone()
    }

    /// How often a request of this name came before.
    pub(crate) fn times_asked(&self, request: &str) -> u64 {
        let mut known = self.known();
        let times = known.requests.get(request).copied().unwrap_or(0);
        known.requests.set(request, times + 1);
        times
    }

    /// Notes what may be a ticket of whoever has the token.
    pub(crate) fn note_ticket(&self, ticket: &str, token: &str) {
        self.known().tickets.set(ticket, Ticket { token: token.to_owned(), spent: false });
    }

    /// The token behind a ticket in a text that was used before; one that was not is used now.
    pub(crate) fn spent_ticket(&self, text: &str) -> Option<String> {
        let mut known = self.known();
        let (_, ticket) = known.tickets.0.iter_mut().find(|(name, _)| text.contains(name.as_str()))?;
        if std::mem::replace(&mut ticket.spent, true) { Some(ticket.token.clone()) } else { None }
    }
}
