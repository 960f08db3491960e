//! Answers over HTTP that a faulty server gives.

use serde_json::Value;

use super::{
    Accept, Conversation, Mutation, conversation::Outgoing, head::HttpHead, message::map_texts, roles::set,
};
use crate::proxy::toxic::Direction;

/// The fewest letters of what may be a ticket.
const TICKET: usize = 16;

impl Conversation {
    /// Sends a whole answer on, as the mutations leave it.
    pub(crate) fn answer(&mut self, mut head: HttpHead, mut body: Vec<u8>, out: &mut Outgoing) {
        let (setup, status) = (self.setup.clone(), head.status());
        for mutation in setup.mutations.iter().filter(|mutation| self.changes(mutation, status)) {
            self.note(Direction::ToClient, mutation.name(), &format!("HTTP {status}"));
            match mutation {
                Mutation::Status { status, .. } => head.set_status(*status),
                Mutation::Challenge(_) => head.set_status(401),
                Mutation::TellUsers(_) => body.extend(self.world.users().join(" ").into_bytes()),
                Mutation::TellNone(_) => {
                    let mut json: Value = serde_json::from_slice(&body).unwrap_or_default();
                    setup.roles.count.iter().for_each(|path| set(&mut json, path, Value::from(0)));
                    body = json.to_string().into_bytes();
                }
                Mutation::EchoToken => body.extend(self.request.token.iter().flat_map(|token| token.bytes())),
                Mutation::Accept(Accept::SpentTicket) => self.note_tickets(&body),
                _ => {}
            }
        }
        if head.get("content-length").is_some() {
            head.set("Content-Length", &body.len().to_string());
        }
        head.write(&mut out.client);
        out.client.extend(body);
    }

    /// Takes every text of an answer for a ticket of whoever asked.
    fn note_tickets(&self, body: &[u8]) {
        let Ok(mut json) = serde_json::from_slice::<Value>(body) else { return };
        let token = self.request.token.clone().unwrap_or_default();
        let note = |text: &str| {
            if text.len() >= TICKET {
                self.world.note_ticket(text, &token);
            }
            text.to_owned()
        };
        map_texts(&mut json, &note);
    }
}
