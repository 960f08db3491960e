//! What a faulty server does wrong with what its clients say.

use std::mem::take;

use serde_json::{Map, Value};

use super::{
    Accept, Conversation, Kind, Mutation, Part, Role,
    conversation::Outgoing,
    events::AGAIN,
    message::{Message, map_texts},
    roles::{at, set, text},
    tokens,
    world::Mail,
};
use crate::proxy::toxic::Direction;

impl Conversation {
    /// Sends a message of the client on, as the mutations leave it.
    pub(crate) fn client_message(&mut self, mut message: Message, out: &mut Outgoing) {
        let (setup, mut live) = (self.setup.clone(), take(&mut self.live));
        let part = message.part;
        let asked = self.said(Role::Text, &message).and_then(|value| text(&value));
        if let (Some(user), Some(asked)) = (&self.user, asked) {
            self.world.note_asked(user, &asked);
        }
        let before = self.memory.asked.replace(part);
        let (mut passes, now) = (true, self.circumstances(None, before));
        for (mutation, live) in setup.mutations.iter().zip(&mut live) {
            let hit = match mutation {
                Mutation::Lose(pick)
                | Mutation::Close(pick)
                | Mutation::Acknowledge(pick)
                | Mutation::Mangle(pick)
                | Mutation::Shorten { pick, .. } => live.picks(pick, part, &now),
                Mutation::Repeat => part == Part::Ask,
                Mutation::Rewind(_) => part == Part::Resume,
                Mutation::Accept(_) => true,
                _ => false,
            };
            if hit {
                passes &= self.mutated_request(mutation, &mut message, out);
            }
        }
        self.live = live;
        if let Some(code) = self.closing.take() {
            return self.close(code, out);
        }
        if !passes {
            return;
        }
        match &self.given_to {
            Some(user) => drop(self.world.send(user, Mail::ToServer(message.json.to_string()))),
            None => message.write(Direction::ToServer, &mut out.server),
        }
    }

    /// False for a message that the server does not get.
    fn mutated_request(&mut self, mutation: &Mutation, message: &mut Message, out: &mut Outgoing) -> bool {
        let part = message.part;
        if !matches!(mutation, Mutation::Accept(_)) {
            self.note(Direction::ToServer, mutation.name(), &part.to_string());
        }
        match mutation {
            Mutation::Lose(_) => return false,
            Mutation::Close(_) => self.closing = Some(1011),
            Mutation::Acknowledge(_) => {
                self.acknowledge(message, out);
                return false;
            }
            Mutation::Mangle(_) => {
                let ascii = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
                message.change(|json| map_texts(json, &ascii));
            }
            Mutation::Shorten { bytes, .. } => {
                let shorten = |text: &str| text[..text.floor_char_boundary(*bytes)].to_owned();
                message.change(|json| map_texts(json, &shorten));
            }
            Mutation::Repeat => {
                let request = self.said(Role::Request, message).and_then(|value| text(&value));
                let times = request.as_ref().map_or(0, |request| self.world.times_asked(request));
                if let Some(request) = request.filter(|_| times > 0) {
                    self.say(Role::Request, message, Value::from(format!("{request}{AGAIN}{times}")));
                }
            }
            Mutation::Rewind(by) => {
                if let Some(after) = self.said(Role::After, message).and_then(|after| after.as_u64()) {
                    self.say(Role::After, message, Value::from(after.saturating_sub(*by)));
                }
            }
            Mutation::Accept(accept) => return self.accepted(*accept, message, out),
            _ => {}
        }
        true
    }

    fn accepted(&mut self, accept: Accept, message: &mut Message, out: &mut Outgoing) -> bool {
        let token = || tokens::first(&message.json.to_string());
        match accept {
            Accept::Foreign if message.part == Part::Authenticate => {
                let other =
                    token().as_deref().and_then(tokens::user).filter(|user| Some(user) != self.user.as_ref());
                if other.is_some() {
                    self.given_to = other;
                    self.acknowledge(message, out);
                    return false;
                }
            }
            Accept::FirstOnly if message.part == Part::Authenticate => {
                if let Some(first) = self.request.token.clone() {
                    message.change(|json| {
                        map_texts(json, &|text| tokens::replace(text, |_| Some(first.clone())))
                    });
                }
            }
            Accept::NamedUser => {
                let place = self.setup.roles.paths.get(&Role::User).and_then(|paths| paths.first());
                let named = place.and_then(|path| at(&message.json, path)).and_then(text);
                let other = named.filter(|named| Some(named) != self.user.as_ref());
                return !other
                    .is_some_and(|user| self.world.send(&user, Mail::ToServer(message.json.to_string())));
            }
            Accept::Epoch if message.part == Part::Resume => {
                let position = self.user.as_deref().and_then(|user| self.world.position(user));
                if let Some(epoch) = position.and_then(|position| position.epoch) {
                    self.say(Role::Epoch, message, Value::from(epoch));
                }
            }
            Accept::Ahead if message.part == Part::Resume => {
                let head = self.user.as_deref().and_then(|user| self.world.position(user));
                let after = self.said(Role::After, message).and_then(|after| after.as_u64());
                if let (Some(head), Some(after)) = (head, after) {
                    self.say(Role::After, message, Value::from(after.min(head.seq)));
                }
            }
            _ => {
                let setup = self.setup.clone();
                let Some(key) = &setup.key else { return true };
                if token().is_some_and(|token| key.exchanged(accept, &token).is_some()) {
                    let other = |text: &str| tokens::replace(text, |token| key.exchanged(accept, token));
                    message.change(|json| map_texts(json, &other));
                }
            }
        }
        true
    }

    /// Says that a request was carried out.
    fn acknowledge(&self, message: &Message, out: &mut Outgoing) {
        let (request, run) = (self.said(Role::Request, message), self.said(Role::Run, message));
        let json = self.setup.roles.acknowledgement(request.as_ref(), run.as_ref());
        Message::new(Kind::Accepted, json).write(Direction::ToClient, &mut out.client);
    }

    /// A value of a client's message.
    fn said(&self, role: Role, message: &Message) -> Option<Value> {
        let (_, shape) = self.setup.roles.shape_of(&message.json);
        at(&message.json, shape?.paths.get(&role)?).cloned()
    }

    /// Puts another value into a client's message.
    fn say(&self, role: Role, message: &mut Message, value: Value) {
        let setup = self.setup.clone();
        let path = setup.roles.shape_of(&message.json).1.and_then(|shape| shape.paths.get(&role));
        if let Some(path) = path {
            message.change(|json| set(json, path, value));
        }
    }

    /// A request of the proxy's own.
    pub(super) fn request_for(&self, part: Part, values: &[(Role, Value)]) -> Option<Value> {
        let (roles, mut json) = (&self.setup.roles, Value::Object(Map::new()));
        let shape = roles.shape(part)?;
        let kind = roles.paths.get(&Role::Kind)?.first()?;
        set(&mut json, kind, shape.word.clone()?);
        let named = (Role::Request, Value::from("wireproof"));
        for (role, value) in values.iter().chain([&named]) {
            if let Some(path) = shape.paths.get(role) {
                set(&mut json, path, value.clone());
            }
        }
        Some(json)
    }
}
