//! What the client does with its link: arrivals, losses, new connections. The decisions are in `resume` and `reconnect`.

use std::time::Duration;

use tokio::time::Instant;
use wireproof_protocol::{Control, ControlBody, Incoming};

use crate::{
    client::{Client, Link, Update},
    connection::Connection,
    error::{ClientError, Ended, OpenError, RecvError},
    reconnect::{GiveUp, Step},
    resume::Break,
    welcome::Welcome,
};

/// Without a sign of life for so long a connection counts as lost; a server pings more often than that.
const SILENCE: Duration = Duration::from_secs(60);

impl Client {
    /// Sends the requests that have not gone out on this connection.
    pub(crate) async fn send_waiting(&mut self) {
        while let (Link::Up(connection), Some((_, text))) = (&mut self.link, self.unanswered.get(self.sent)) {
            // A connection that fails here tells why at the next receive; the request goes out on the next one.
            if connection.send_text(text.clone()).await.is_err() {
                return;
            }
            self.sent += 1;
        }
    }

    pub(crate) async fn receive(&mut self, deadline: Instant) -> Result<Option<Update>, ClientError> {
        let Link::Up(connection) = &mut self.link else { return Ok(None) };
        // A caller that comes back late finds the signs of life of the meantime still unread.
        let silent_at = (connection.last_heard() + SILENCE).max(Instant::now() + Duration::from_secs(1));
        match connection.recv_until(deadline.min(silent_at)).await {
            Some(Ok(frame)) => self.arrived(frame.incoming),
            Some(Err(RecvError::Ended(ended))) => self.lost(ended).map(Some),
            Some(Err(other)) => Err(ClientError::Unreadable(Box::new(other))),
            None if connection.last_heard() + SILENCE <= Instant::now() => {
                self.lost(Box::new(Ended::broken(format!("no sign of life for {SILENCE:?}")))).map(Some)
            }
            None => Ok(None),
        }
    }

    fn arrived(&mut self, incoming: Incoming) -> Result<Option<Update>, ClientError> {
        match incoming {
            Incoming::Event(event) => match self.resume.take(&event) {
                Ok(true) => {
                    self.attempt = 0;
                    self.broke_at = None;
                    Ok(Some(Update::Event(event)))
                }
                Ok(false) => Ok(None),
                Err(at) => self.broken(at).map(Some),
            },
            Incoming::Control(control) => self.told(control).map(Some),
            Incoming::Unknown(value) => Ok(Some(Update::Unknown(value))),
        }
    }

    fn told(&mut self, control: Box<Control>) -> Result<Update, ClientError> {
        if let Some(id) = &control.id
            && let Some(index) = self.unanswered.iter().position(|(known, _)| known == id)
        {
            self.unanswered.remove(index);
            self.sent -= usize::from(index < self.sent);
        }
        match &control.body {
            ControlBody::Snapshot { epoch, seq, .. } => {
                self.resume.snapshot(*epoch, *seq);
                return Ok(Update::Snapshot(control));
            }
            ControlBody::CaughtUp { seq } => match self.resume.caught_up(*seq) {
                Ok(()) => self.attempt = 0,
                Err(at) => return self.broken(at),
            },
            ControlBody::GoAway { reconnect_after_ms } => {
                self.announced = Some(Duration::from_millis(*reconnect_after_ms));
            }
            // The wait of a refused request is the caller's; one of no request says when to come back.
            ControlBody::Error(error) if control.id.is_none() => {
                self.announced = error.retry_after_ms.map(Duration::from_millis).or(self.announced);
            }
            _ => {}
        }
        Ok(Update::Control(control))
    }

    /// The log does not follow on: the server is asked again from the last good place, once.
    fn broken(&mut self, at: Break) -> Result<Update, ClientError> {
        self.cut();
        let again = self.broke_at.replace(at).is_some_and(|before| before.expected == at.expected);
        if again {
            self.over(Box::new(Ended::broken(at)), GiveUp::Attempts(1));
            return Err(ClientError::Broken(at));
        }
        self.lost(Box::new(Ended::broken(at)))
    }

    /// The connection ended, or an attempt failed: wait for the next one, or end.
    pub(crate) fn lost(&mut self, ended: Box<Ended>) -> Result<Update, ClientError> {
        let step = self.backoff.step(ended.code, self.announced.take(), self.attempt, rand::random());
        match step {
            Step::Wait(wait) => {
                self.attempt += 1;
                self.sent = 0;
                self.ended = ended.clone();
                self.link = Link::Down { until: Instant::now() + wait };
                Ok(Update::Lost { ended, wait })
            }
            Step::GiveUp(why) => {
                self.over(ended.clone(), why);
                Err(ClientError::Over { ended, why })
            }
        }
    }

    fn over(&mut self, ended: Box<Ended>, why: GiveUp) {
        self.ended = ended;
        self.link = Link::Over(why);
    }

    pub(crate) fn opened(
        &mut self,
        opened: Result<(Connection, Welcome), OpenError>,
    ) -> Result<Option<Update>, ClientError> {
        match opened {
            Ok((connection, welcome)) => {
                let start = self.resume.welcome(welcome.epoch, welcome.seq, welcome.resumed);
                self.welcome = welcome.clone();
                self.sent = 0;
                self.link = Link::Up(Box::new(connection));
                Ok(Some(Update::Reconnected { welcome: Box::new(welcome), start }))
            }
            Err(OpenError::Ended { ended, .. }) => self.lost(ended).map(Some),
            Err(error) => {
                let ended = Box::new(Ended::broken(&error));
                if let OpenError::Refused { status, .. } = error
                    && error.is_refusal()
                {
                    self.over(ended.clone(), GiveUp::Refused(status));
                    return Err(ClientError::Over { ended, why: GiveUp::Refused(status) });
                }
                if let OpenError::Refused { retry_after, .. } = error {
                    // Whole seconds would bring everybody who was told the same back in the same instant.
                    let spread = Duration::from_secs(1).mul_f64(rand::random());
                    self.announced = retry_after.map(|wait| wait + spread);
                }
                self.lost(ended).map(Some)
            }
        }
    }
}
