//! One connection with mutations: the bytes of both peers in, and what each of them gets out. Without I/O.

use std::{mem::take, sync::Arc};

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};

use super::{
    Address, Kind, Mutation, Part, Roles, TokenKey,
    frame::{CLOSE, Frame, Taken},
    frames::Fate,
    head::{HttpHead, LONGEST},
    message::{Live, Memory, Message},
    world::{Mail, World},
};
use crate::proxy::{
    journal::{Journal, Note},
    toxic::Direction,
};

/// What the proxy does in the server's place, and what it has to know for it.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// What the server's messages are.
    pub roles: Roles,
    /// What makes tokens for it; without, no token is exchanged.
    pub key: Option<TokenKey>,
    /// What is done, in this order.
    pub mutations: Vec<Mutation>,
    /// How TLS is spoken to a server that takes nothing else; clients speak plain to the proxy.
    pub tls: Option<Tls>,
}

/// TLS toward the server.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Which certificates are taken.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must bear.
    pub name: ServerName<'static>,
    /// Host and port of the server, as its clients would name it.
    pub authority: String,
}

/// Bytes of a message or an answer that are held; a larger one passes as it is.
const MOST: usize = 16 << 20;

/// Where one direction is.
#[derive(Debug, Default)]
enum Phase {
    /// In the head of a request or an answer.
    #[default]
    HttpHead,
    /// In an answer that is changed once it is whole.
    Answer(Box<HttpHead>),
    /// In frames.
    Frames,
    /// In what passes as it is.
    Plain,
}

#[derive(Debug, Default)]
struct Half {
    phase: Phase,
    /// The fragments of a message that is not over.
    fragments: Vec<Frame>,
    /// Bytes of a frame that is too large to be held.
    passing: u64,
}

/// What each peer gets.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
    /// Milliseconds that the client waits for this and all that follows.
    pub(crate) delay_ms: u64,
}

/// What a client asked for with its request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) address: Option<Address>,
    pub(crate) upgrades: bool,
    pub(crate) token: Option<String>,
    /// It begins at a position.
    pub(crate) resumes: bool,
}

/// A connection with mutations.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) setup: Arc<Setup>,
    pub(crate) world: Arc<World>,
    pub(crate) number: u64,
    pub(crate) seed: u64,
    journal: Arc<Journal>,
    mail: mpsc::Sender<Mail>,
    client: Half,
    server: Half,
    pub(crate) live: Vec<Live>,
    pub(crate) memory: Memory,
    pub(crate) request: Request,
    pub(crate) user: Option<String>,
    /// All further messages go to the connection of this user.
    pub(crate) given_to: Option<String>,
    /// The code that the connection is closed with behind what is sent now.
    pub(crate) closing: Option<u16>,
    /// Nothing more is said on it.
    pub(crate) over: bool,
}

impl Conversation {
    pub(crate) fn new(
        setup: Arc<Setup>,
        world: Arc<World>,
        (number, seed): (u64, u64),
        journal: Arc<Journal>,
        mail: mpsc::Sender<Mail>,
    ) -> Self {
        let live = setup.mutations.iter().map(|_| Live::default()).collect();
        Self {
            setup,
            world,
            number,
            seed,
            journal,
            mail,
            client: Half::default(),
            server: Half::default(),
            live,
            memory: Memory::default(),
            request: Request::default(),
            user: None,
            given_to: None,
            closing: None,
            over: false,
        }
    }

    /// True when one of its mutations is this.
    pub(crate) fn has(&self, mutation: &Mutation) -> bool {
        self.setup.mutations.contains(mutation)
    }

    /// Writes down what was done.
    pub(crate) fn note(&self, direction: Direction, what: &'static str, detail: &str) {
        let note = Note { altered: true, ..Note::plain(what, 0, 0) };
        self.journal.write(self.number, Some(direction), note.detail(detail));
    }

    /// The connection is this user's from here on.
    pub(crate) fn belongs_to(&mut self, user: String) {
        self.world.enter(self.number, &user, self.mail.clone());
        self.user = Some(user);
    }

    /// True while the client's head is not over.
    pub(crate) fn shakes_hands(&self) -> bool {
        matches!(self.client.phase, Phase::HttpHead)
    }

    /// Takes bytes of the client.
    pub(crate) fn client_sent(&mut self, bytes: &mut BytesMut, out: &mut Outgoing) {
        while !bytes.is_empty() && !self.over {
            match &self.client.phase {
                Phase::HttpHead => {
                    let Some(end) = HttpHead::end(bytes) else {
                        if bytes.len() > LONGEST {
                            self.client.phase = Phase::Plain;
                            continue;
                        }
                        return;
                    };
                    let raw = bytes.split_to(end);
                    match HttpHead::parse(&raw) {
                        Some(head) => self.requested(head, out),
                        None => out.server.extend(&raw),
                    }
                    self.client.phase = if self.request.upgrades { Phase::Frames } else { Phase::Plain };
                    if self.request.upgrades && self.has(&Mutation::LoseEarly) {
                        bytes.clear();
                    }
                }
                Phase::Plain | Phase::Answer(_) => out.server.extend(bytes.split()),
                Phase::Frames => match self.client.taken(bytes) {
                    Ok(Some(frame)) => self.client_frame(frame, out),
                    Ok(None) => return,
                    Err(passing) => out.server.extend(passing),
                },
            }
        }
    }

    /// Takes bytes of the server.
    pub(crate) fn server_sent(&mut self, bytes: &mut BytesMut, out: &mut Outgoing) {
        while !bytes.is_empty() && !self.over {
            match &self.server.phase {
                Phase::HttpHead => {
                    let Some(end) = HttpHead::end(bytes) else {
                        if bytes.len() > LONGEST {
                            self.server.phase = Phase::Plain;
                            continue;
                        }
                        return;
                    };
                    let raw = bytes.split_to(end);
                    let Some(head) = HttpHead::parse(&raw) else {
                        out.client.extend(&raw);
                        self.server.phase = Phase::Plain;
                        continue;
                    };
                    self.answered(head, out);
                }
                Phase::Answer(_) if bytes.len() <= MOST => return,
                Phase::Answer(head) => {
                    head.write(&mut out.client);
                    self.server.phase = Phase::Plain;
                }
                Phase::Plain => out.client.extend(bytes.split()),
                Phase::Frames => match self.server.taken(bytes) {
                    Ok(Some(frame)) => self.server_frame(frame, out),
                    Ok(None) => return,
                    Err(passing) => out.client.extend(passing),
                },
            }
        }
    }

    fn answered(&mut self, head: HttpHead, out: &mut Outgoing) {
        match head.status() {
            101 => {
                self.switched(head, out);
                self.server.phase = Phase::Frames;
            }
            100..200 => head.write(&mut out.client),
            _ if self.changes_answer(&head) => self.server.phase = Phase::Answer(Box::new(head)),
            _ => {
                head.write(&mut out.client);
                self.server.phase = Phase::Plain;
            }
        }
    }

    /// The server has closed, with these bytes left.
    pub(crate) fn server_ended(&mut self, bytes: &mut BytesMut, out: &mut Outgoing) {
        match take(&mut self.server.phase) {
            Phase::Answer(head) => self.answer(*head, bytes.split().to_vec(), out),
            _ => out.client.extend(bytes.split()),
        }
        self.server.phase = Phase::Plain;
    }

    /// The client has closed, with these bytes left.
    pub(crate) fn client_ended(&mut self, bytes: &mut BytesMut, out: &mut Outgoing) {
        out.server.extend(self.last_words());
        out.server.extend(bytes.split());
    }

    /// A message that another connection handed over.
    pub(crate) fn mailed(&mut self, mail: Mail, out: &mut Outgoing) {
        match mail {
            Mail::ToClient(json) => {
                Message::new(Kind::Other, json).write(Direction::ToClient, &mut out.client)
            }
            Mail::ToServer(text) => Frame::text(Direction::ToServer, &text).write(&mut out.server),
        }
    }

    fn client_frame(&mut self, frame: Frame, out: &mut Outgoing) {
        let (setup, mut frame) = (self.setup.clone(), frame);
        for mutation in &setup.mutations {
            let Mutation::Frames(mutation) = mutation else { continue };
            match mutation.of_client(frame, !self.client.fragments.is_empty()) {
                Fate::Passes(passes) => frame = passes,
                Fate::BeginsAnew(begins) => {
                    self.client.fragments.clear();
                    frame = begins;
                }
                Fate::Refused(code) => return self.close(code, out),
            }
        }
        if frame.opcode() == CLOSE {
            out.server.extend(self.last_words());
        }
        if let Some(frames) = self.client.message(frame, &mut out.server) {
            self.client_message(Message::of_client(&setup.roles, &frames), out);
        }
    }

    fn server_frame(&mut self, frame: Frame, out: &mut Outgoing) {
        let (setup, mut frames) = (self.setup.clone(), vec![frame]);
        for mutation in &setup.mutations {
            if let Mutation::Frames(mutation) = mutation {
                frames = frames.into_iter().flat_map(|frame| mutation.of_server(frame)).collect();
            }
        }
        for frame in frames {
            if let Some(frames) = self.server.message(frame, &mut out.client) {
                self.server_message(Message::of_server(&setup.roles, &frames), out);
            }
        }
    }

    /// Closes the connection before the client.
    pub(crate) fn close(&mut self, code: u16, out: &mut Outgoing) {
        Frame::close(code).write(&mut out.client);
        self.over = true;
    }

    /// What the server must hear before the connection ends.
    pub(crate) fn last_words(&mut self) -> Vec<u8> {
        let mut words = Vec::new();
        if self.has(&Mutation::CancelOnEnd) {
            for run in take(&mut self.memory.open) {
                let Some(cancel) = self.request_for(Part::Cancel, &[(super::Role::Run, Value::from(run))])
                else {
                    continue;
                };
                Message::new(Part::Cancel, cancel).write(Direction::ToServer, &mut words);
            }
        }
        words
    }
}

impl Half {
    /// The next whole frame; nothing while there is none. `Err` for bytes that pass as they are.
    fn taken(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Bytes> {
        if self.passing > 0 {
            let length = usize::try_from(self.passing).unwrap_or(usize::MAX).min(bytes.len());
            self.passing -= length as u64;
            return Err(bytes.split_to(length).freeze());
        }
        match Frame::take(bytes) {
            Taken::Frame(frame) => Ok(Some(frame)),
            Taken::Some => Ok(None),
            Taken::Large(length) => {
                self.passing = length;
                self.taken(bytes)
            }
            Taken::Broken => {
                self.phase = Phase::Plain;
                Err(bytes.split().freeze())
            }
        }
    }

    /// Takes a frame; the frames of a message that is over. What belongs to no message goes on as it is.
    fn message(&mut self, frame: Frame, to: &mut Vec<u8>) -> Option<Vec<Frame>> {
        let begins = matches!(frame.opcode(), 0x1 | 0x2) && self.fragments.is_empty();
        let goes_on = frame.opcode() == 0 && !self.fragments.is_empty();
        if frame.is_control() {
            frame.write(to);
            return None;
        }
        if frame.first & super::frame::RESERVED != 0 || !(begins || goes_on) {
            // What breaks a message reaches the peer behind what it breaks.
            take(&mut self.fragments).iter().for_each(|held| held.write(to));
            frame.write(to);
            return None;
        }
        let is_final = frame.is_final();
        self.fragments.push(frame);
        if self.fragments.iter().map(|frame| frame.payload.len()).sum::<usize>() > MOST {
            // Too large to be held: the rest of it belongs to no message here, and passes.
            take(&mut self.fragments).iter().for_each(|frame| frame.write(to));
            return None;
        }
        is_final.then(|| take(&mut self.fragments))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.world.leave(self.number);
    }
}
