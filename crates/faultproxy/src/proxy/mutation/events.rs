//! What a faulty server does wrong with its messages.

use std::mem::take;

use serde_json::Value;

use super::{
    Conversation, Kind, Mutation, Part, Put, Role,
    conversation::Outgoing,
    message::{Circumstances, Live, Message, map_texts, run_of},
};
use crate::proxy::{active_toxic::mix, toxic::Direction};

/// Messages that a mutation holds; more are not held.
const MOST_HELD: usize = 10_000;
/// What a request's name has behind it when it was sent again.
pub(super) const AGAIN: &str = "~again";

impl Conversation {
    /// Sends a message of the server on, as the mutations leave it.
    pub(crate) fn server_message(&mut self, message: Message, out: &mut Outgoing) {
        let (setup, mut live) = (self.setup.clone(), take(&mut self.live));
        let (part, json) = (message.part, message.json.clone());
        self.note_of_server(part, &json);
        let now = self.circumstances(run_of(&setup.roles, &json), self.memory.part);
        let mut messages = vec![message];
        for (mutation, live) in setup.mutations.iter().zip(&mut live) {
            messages = messages
                .into_iter()
                .flat_map(|message| self.mutated(mutation, live, message, &now, out))
                .collect();
        }
        self.live = live;
        self.memory.note(&setup.roles, part, &json);
        messages.iter().for_each(|message| message.write(Direction::ToClient, &mut out.client));
        if let Some(code) = self.closing.take() {
            self.close(code, out);
        }
    }

    pub(super) fn circumstances(&self, run: Option<String>, before: Option<Part>) -> Circumstances {
        Circumstances {
            seed: mix(&[self.seed, self.number]),
            run,
            before,
            is_later: self.user.as_ref().is_some_and(|user| self.world.is_later(self.number, user)),
            is_resumed: self.request.resumes,
        }
    }

    /// Takes in whose connection it is and where the user's log is.
    fn note_of_server(&mut self, part: Part, json: &Value) {
        let setup = self.setup.clone();
        let roles = &setup.roles;
        if let Some(user) = roles.text(Role::User, json).filter(|_| part == Kind::Welcome.into()) {
            self.belongs_to(user);
        }
        let Some(user) = &self.user else { return };
        if part == Kind::Welcome.into() || part.is_event() {
            let seq = roles.value(Role::Seq, json).and_then(Value::as_u64);
            self.world.note_position(user, roles.text(Role::Epoch, json), seq);
        }
        if part.is_event() {
            self.world.note_event(user, json);
        }
    }

    fn mutated(
        &mut self,
        mutation: &Mutation,
        live: &mut Live,
        mut message: Message,
        now: &Circumstances,
        out: &mut Outgoing,
    ) -> Vec<Message> {
        let part = message.part;
        let hit = match mutation {
            Mutation::Lose(pick)
            | Mutation::Double(pick)
            | Mutation::Hold { pick, .. }
            | Mutation::Gather { pick, .. }
            | Mutation::Delay { pick, .. }
            | Mutation::Remove { pick, .. }
            | Mutation::Replace { pick, .. }
            | Mutation::Stray(pick)
            | Mutation::Foreign(pick)
            | Mutation::Misaddress(pick)
            | Mutation::Close(pick) => live.picks(pick, part, now),
            Mutation::Starve => part.is_event() && self.is_starved(now),
            Mutation::Forget(_) => matches!(part, Part::Frame(Kind::Control | Kind::Other)),
            Mutation::Repeat => true,
            _ => false,
        };
        if hit && !matches!(mutation, Mutation::Repeat | Mutation::Forget(_)) {
            self.note(Direction::ToClient, mutation.name(), &part.to_string());
        }
        let setup = self.setup.clone();
        let roles = &setup.roles;
        match mutation {
            Mutation::Hold { behind, .. } if !hit && behind.includes(part) => {
                return [vec![message], take(&mut live.held)].concat();
            }
            Mutation::Gather { before, .. } if !hit && before.includes(part) => {
                return [take(&mut live.held), vec![message]].concat();
            }
            _ if !hit => {}
            Mutation::Lose(_) | Mutation::Starve => return Vec::new(),
            Mutation::Double(_) => return vec![message.clone(), message],
            Mutation::Hold { .. } | Mutation::Gather { .. } if live.held.len() < MOST_HELD => {
                live.held.push(message);
                return Vec::new();
            }
            Mutation::Delay { ms, .. } => out.delay_ms = out.delay_ms.max(*ms),
            Mutation::Remove { role, .. } => message.remove(roles, *role),
            Mutation::Replace { role, with, .. } => {
                if let Some(value) = self.put(*role, with, &message, now) {
                    message.set(roles, *role, value);
                }
            }
            Mutation::Stray(_) => return vec![Message::new(Kind::Other, roles.stray()), message],
            Mutation::Foreign(_) => {
                let user = self.user.clone().unwrap_or_default();
                let foreign = self.world.foreign_event(&user).map(|json| Message::new(Kind::Other, json));
                return std::iter::once(message).chain(foreign).collect();
            }
            Mutation::Misaddress(_) => {
                self.world.send_to_others(self.user.as_deref().unwrap_or_default(), &message.json);
            }
            Mutation::Close(_) => self.closing = Some(1011),
            Mutation::Forget(_) => {
                let memory = &self.memory;
                let forget = |text: &str| if memory.was_told(text) { String::new() } else { text.to_owned() };
                message.change(|json| map_texts(json, &forget));
            }
            Mutation::Repeat => {
                let named = roles.text(Role::Request, &message.json);
                if let Some((name, _)) = named.as_deref().and_then(|named| named.split_once(AGAIN)) {
                    message.set(roles, Role::Request, Value::from(name));
                }
            }
            _ => {}
        }
        vec![message]
    }

    fn is_starved(&self, now: &Circumstances) -> bool {
        now.run.as_ref().is_some_and(|run| self.memory.queued.contains(run))
    }

    /// What stands in the place of a value; nothing when there is nothing to say.
    fn put(&self, role: Role, with: &Put, message: &Message, now: &Circumstances) -> Option<Value> {
        let roles = &self.setup.roles;
        let there = roles.value(role, &message.json);
        let behind =
            |more: &str| Value::from(there.and_then(Value::as_str).unwrap_or_default().to_owned() + more);
        match with {
            Put::Value(value) => Some(value.clone()),
            Put::Append(more) => Some(behind(more)),
            Put::Previous => self.memory.previous(role).cloned(),
            Put::Other => self.memory.other(role, there?).cloned(),
            Put::OfStart => roles.value(role, self.memory.start(now.run.as_ref()?)?).cloned(),
            Put::Shared => Some(self.world.first(role, there?)),
            Put::AskedElsewhere => {
                let user = self.user.as_deref().unwrap_or_default();
                self.world.foreign_question(user).map(|text| behind(&format!(": {text}")))
            }
        }
    }
}
