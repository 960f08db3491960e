//! What a faulty server does wrong with requests and handshakes.

use super::{
    Accept, Address, Conversation, Mutation,
    conversation::{Outgoing, Request},
    head::HttpHead,
    tokens,
};
use crate::proxy::toxic::Direction;

/// The user of whoever shows no credentials and is let in.
const NOBODY: &str = "nobody";
/// The version of WebSocket that there is.
const VERSION: &str = "13";
/// A subprotocol that nobody offers.
const UNOFFERED: &str = "mutated.v1";

const AUTHORIZATION: &str = "Authorization";
const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

impl Conversation {
    /// Sends a request on, as the mutations leave it.
    pub(crate) fn requested(&mut self, mut head: HttpHead, out: &mut Outgoing) {
        let setup = self.setup.clone();
        let query = &setup.roles.query;
        self.request = Request {
            address: setup.roles.address(head.target()),
            upgrades: head.upgrades(),
            token: tokens::first(&head.text()),
            resumes: query.after.as_ref().is_some_and(|name| parameter(head.target(), name).is_some()),
        };
        self.user = self.request.token.as_deref().and_then(tokens::user);
        // Compressed messages cannot be read.
        if head.remove("Sec-WebSocket-Extensions") {
            self.note(Direction::ToServer, "extensions_removed", "compression would blind the mutations");
        }
        if let Some(tls) = &setup.tls {
            move_to(&tls.authority, &mut head);
        }
        if !self.request.upgrades {
            // One request a connection: its answer is over when the connection is.
            head.set("Connection", "close");
        }
        for mutation in &setup.mutations {
            match mutation {
                Mutation::Hide(at) if self.request.address == Some(*at) => {
                    head.set_target("/wireproof-hidden");
                    self.note(Direction::ToServer, mutation.name(), &format!("{at:?}"));
                }
                Mutation::IgnoreSubprotocolToken => ignore_subprotocol_token(&mut head),
                Mutation::Rewind(by) => self.moved(&mut head, |after| after.saturating_sub(*by)),
                Mutation::Accept(accept) => self.let_in(*accept, &mut head),
                _ => {}
            }
        }
        head.write(&mut out.server);
    }

    /// Asks for another position.
    fn moved(&self, head: &mut HttpHead, to: impl Fn(u64) -> u64) {
        let Some(name) = &self.setup.roles.query.after else { return };
        let after = parameter(head.target(), name).and_then(|after| after.parse().ok());
        if let Some(after) = after {
            let target = with_parameter(head.target(), name, &to(after).to_string());
            head.set_target(&target);
        }
    }

    fn let_in(&mut self, accept: Accept, head: &mut HttpHead) {
        let setup = self.setup.clone();
        let position = || self.user.as_deref().and_then(|user| self.world.position(user));
        match accept {
            Accept::Origin => drop(head.remove("Origin")),
            Accept::Version if self.request.upgrades => head.set("Sec-WebSocket-Version", VERSION),
            Accept::Epoch => {
                let known =
                    position().and_then(|position| position.epoch).zip(setup.roles.query.epoch.as_ref());
                if let Some((epoch, name)) =
                    known.filter(|(_, name)| parameter(head.target(), name).is_some())
                {
                    let target = with_parameter(head.target(), name, &epoch);
                    head.set_target(&target);
                }
            }
            Accept::Ahead => {
                if let Some(log) = position() {
                    self.moved(head, |after| after.min(log.seq));
                }
            }
            Accept::Query => {
                let token = tokens::first(head.target());
                if let Some(token) = token {
                    self.show(head, &token);
                }
            }
            _ => {}
        }
        let Some(key) = &setup.key else { return };
        let shows_none = self.request.token.is_none();
        match accept {
            Accept::Missing if shows_none && self.request.upgrades => self.show(head, &key.token(NOBODY)),
            Accept::MissingOverHttp if shows_none && !self.request.upgrades => {
                self.show(head, &key.token(NOBODY))
            }
            Accept::TestHeader if shows_none && self.request.upgrades => {
                let is_test = |name: &str| setup.roles.test_headers.contains(&name.to_ascii_lowercase());
                if head.names().any(is_test) {
                    self.show(head, &key.token(NOBODY));
                }
            }
            Accept::SpentTicket if shows_none && self.request.upgrades => {
                if let Some(token) = self.world.spent_ticket(head.target()) {
                    let target = head.target().split('?').next().unwrap_or_default().to_owned();
                    head.set_target(&target);
                    self.show(head, &token);
                }
            }
            _ => head.map(|line| tokens::replace(line, |token| key.exchanged(accept, token))),
        }
    }

    fn show(&self, head: &mut HttpHead, token: &str) {
        head.set(AUTHORIZATION, &format!("Bearer {token}"));
        self.note(Direction::ToServer, "accept", "a good token is shown");
    }

    /// Sends the answer to a handshake on, as the mutations leave it.
    pub(crate) fn switched(&mut self, mut head: HttpHead, out: &mut Outgoing) {
        if let Some(user) = self.user.clone() {
            self.belongs_to(user);
        }
        if self.has(&Mutation::WrongAccept) {
            head.set("Sec-WebSocket-Accept", "d3Jvbmc=");
        }
        if self.has(&Mutation::ForeignSubprotocol) {
            head.set(SUBPROTOCOL, UNOFFERED);
        }
        head.write(&mut out.client);
    }

    /// True when the answer to a request is changed, and so has to be whole first.
    pub(crate) fn changes_answer(&self, head: &HttpHead) -> bool {
        let changes = |mutation: &Mutation| self.changes(mutation, head.status());
        self.setup.mutations.iter().any(changes)
    }

    /// True when a mutation is for the answer to this request.
    pub(super) fn changes(&self, mutation: &Mutation, status: u16) -> bool {
        let asked = |at: &Address| self.request.address == Some(*at) && !self.request.upgrades;
        match mutation {
            Mutation::Status { at, .. } | Mutation::TellUsers(at) | Mutation::TellNone(at) => asked(at),
            Mutation::Challenge(at) => asked(at) && self.request.token.is_none(),
            Mutation::EchoToken => status >= 400 && self.request.token.is_some(),
            Mutation::Accept(Accept::SpentTicket) => status < 300 && self.request.token.is_some(),
            _ => false,
        }
    }
}

/// Names the server where the client named the proxy.
fn move_to(authority: &str, head: &mut HttpHead) {
    let proxy = head.get("Host").unwrap_or_default().to_owned();
    head.set("Host", authority);
    if head.get("Origin").is_some_and(|origin| origin.strip_prefix("http://") == Some(&proxy)) {
        head.set("Origin", &format!("https://{authority}"));
    }
}

/// Takes tokens out of the subprotocols that are offered.
fn ignore_subprotocol_token(head: &mut HttpHead) {
    let Some(offered) = head.get(SUBPROTOCOL) else { return };
    let left: Vec<&str> =
        offered.split(',').map(str::trim).filter(|name| tokens::first(name).is_none()).collect();
    let left = left.join(", ");
    head.remove(SUBPROTOCOL);
    if !left.is_empty() {
        head.set(SUBPROTOCOL, &left);
    }
}

/// The value of a parameter in a request's target.
fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// The target with another value of a parameter.
fn with_parameter(target: &str, name: &str, value: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((found, _)) if found == name => format!("{name}={value}"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}
