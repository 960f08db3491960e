//! One client of a simulated user: it connects, loses its connection, and reconnects with its position.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use wireproof_client::OpenError;

use super::faults::Way;
use crate::{
    context::{Attempt, CheckContext, TestPrincipal},
    outcome::Failure,
    profile::Kind,
    received_frame::ReceivedFrame,
    record::{Action, Op, note},
    session::Session,
    target::is_unreachable,
};

/// Before another try to connect.
const AGAIN: Duration = Duration::from_millis(20);
/// The longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2);

pub(super) struct SimClient<'a> {
    context: &'a CheckContext<'a>,
    principal: TestPrincipal,
    /// Its name in the history.
    name: String,
    way: Option<Way>,
    /// Connections that it opened or tried to.
    pub(super) tried: u64,
    pub(super) session: Option<Session>,
    /// Where it began.
    pub(super) began: Option<(String, u64)>,
    /// The last event that it has.
    pub(super) position: Option<(String, u64)>,
    /// Frames of the session that were looked at.
    looked: usize,
    /// What came on a session that is over and was not looked at.
    left: Vec<Arc<ReceivedFrame>>,
}

impl<'a> SimClient<'a> {
    /// A device without a connection.
    pub(super) async fn new(
        context: &'a CheckContext<'a>,
        principal: &TestPrincipal,
        letter: char,
        wire: Option<SocketAddr>,
        seed: u64,
    ) -> Self {
        let way = match wire {
            Some(upstream) => Way::open(upstream, seed).await,
            None => None,
        };
        Self {
            context,
            principal: principal.clone(),
            name: format!("{}/{letter}", principal.user),
            way,
            tried: 0,
            session: None,
            began: None,
            position: None,
            looked: 0,
            left: Vec::new(),
        }
    }

    /// Begins at a position that another device had.
    pub(super) fn at(mut self, position: Option<(String, u64)>) -> Self {
        self.position = position;
        self
    }

    /// True when it has a connection.
    pub(super) fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.end().is_none())
    }

    /// Makes a fault on its connection.
    pub(super) fn arm(&self, toxic: &wireproof_faultproxy::Toxic) {
        if let Some(way) = &self.way {
            way.arm(toxic);
        }
    }

    /// No fault any more, and what was made is written down.
    pub(super) fn heal(&mut self) {
        if let Some(way) = &mut self.way {
            way.heal();
            way.tell(&self.context.recorder, &self.principal.user, &self.name);
        }
    }

    /// Ends its connection, with a goodbye or without one.
    pub(super) async fn leave(&mut self, politely: bool) {
        if let Some(session) = &self.session {
            if politely {
                session.close(1000).await;
            } else {
                session.cut().await;
            }
            // One that does not end is cut when it is dropped.
            let _ = session.ended(session.patience()).await;
        }
    }

    /// Connects, if it has no connection, and goes on where it was; waits for the welcome unless it is told not to.
    pub(super) async fn ensure(&mut self, welcomed: bool) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs_f64(self.context.profile.timing.answer_seconds);
        while !self.is_open() {
            self.pack();
            match self.open().await {
                Ok(session) => self.session = Some(session),
                Err(error) => self.again(error, deadline).await?,
            }
        }
        let Some(session) =
            self.session.as_ref().filter(|_| welcomed && !self.context.profile.events.welcome.is_empty())
        else {
            return Ok(());
        };
        let welcome = session.wait("welcome", 0, session.patience(), |seen| seen.kind == Kind::Welcome).await;
        match welcome {
            Err(fault) if self.is_open() => Err(fault),
            // Lost again before it was welcomed: whoever needs it comes back.
            _ => Ok(()),
        }
    }

    async fn again(&self, error: OpenError, deadline: Instant) -> Result<(), Failure> {
        if Instant::now() > deadline {
            return Err(Failure::Gone(error.to_string()));
        }
        match error {
            OpenError::Refused { status: 429 | 503, retry_after, .. } => {
                tokio::time::sleep(retry_after.unwrap_or(MAX_RETRY_AFTER).min(MAX_RETRY_AFTER)).await;
            }
            error if is_unreachable(&error) => tokio::time::sleep(AGAIN).await,
            error => {
                return Err(Failure::Broken(format!(
                    "{} with good credentials: {error}",
                    self.principal.user
                )));
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<Session, OpenError> {
        self.tried += 1;
        let name = format!("{}#{}", self.name, self.tried);
        let position = self.position.as_ref().map(|(epoch, after)| (epoch.as_str(), *after));
        let proxied = self.way.as_ref().map(|way| way.url(self.context.target.path()));
        let direct = self.context.attempt(&self.principal);
        let attempt = Attempt { url: proxied.as_deref().unwrap_or(direct.url), position, ..direct };
        let session = self.context.try_once(&attempt, name).await?;
        // A connection that is lost already is opened again.
        let _ = self.context.show(&session, &attempt).await;
        Ok(session)
    }

    /// Keeps what came on a session that is over.
    fn pack(&mut self) {
        let rest = self.fresh();
        self.left.extend(rest);
        (self.session, self.looked) = (None, 0);
    }

    /// The frames that came since this was last asked, over all its connections.
    pub(super) fn look(&mut self) -> Vec<Arc<ReceivedFrame>> {
        let mut all = std::mem::take(&mut self.left);
        all.extend(self.fresh());
        all
    }

    fn fresh(&mut self) -> Vec<Arc<ReceivedFrame>> {
        let Some(session) = &self.session else { return Vec::new() };
        let fresh: Vec<_> = session.seen().drain(self.looked..).collect();
        self.looked += fresh.len();
        fresh.iter().for_each(|seen| self.follow(seen));
        fresh
    }

    /// Moves the position, as every client does.
    fn follow(&mut self, seen: &ReceivedFrame) {
        let profile = &self.context.profile;
        let place = || {
            let epoch = profile.fields.epoch.text(&seen.json).unwrap_or_default();
            Some((epoch, profile.fields.seq.number(&seen.json)?))
        };
        match seen.kind {
            Kind::Welcome if profile.resumed(seen.kind, &seen.json) != Some(true) => self.position = place(),
            Kind::Snapshot => self.position = place(),
            _ => {
                if let (Some((_, position)), Some(seq)) = (&mut self.position, seen.seq) {
                    *position = seq.max(*position);
                }
            }
        }
        if self.began.is_none() {
            self.began = self.position.clone();
        }
    }

    /// Waits until it has the event of this number, or gives up.
    pub(super) async fn reach(&mut self, head: u64, within: Duration) {
        if let Some(session) = &self.session
            && self.position.as_ref().is_some_and(|(_, position)| *position < head)
        {
            // What does not come is the judge's to tell.
            let _ = session.wait("last event", self.looked, within, |seen| seen.seq >= Some(head)).await;
        }
    }

    /// Writes down that its connection had the time to get everything.
    pub(super) fn drained(&self) {
        if let Some(session) = &self.session {
            let (conn, user, ev) =
                (session.name.clone(), self.principal.user.clone(), Some(note::DRAINED.to_owned()));
            self.context.recorder.note(Op { conn, user, f: Action::Note, ev, ..Op::default() });
        }
    }
}
