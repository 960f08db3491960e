//! What the client does with its link: arrivals, losses, new connections. The decisions are in `resume` and `reconnect`.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wireproof_protocol::{CloseCode, Control, ControlBody, ErrorCode, Incoming, event_range};

use crate::{
    client::{Client, Link, Update},
    connection::Connection,
    error::{ClientError, Ended, OpenError, RecvError},
    reconnect::{GiveUp, ReconnectStep},
    resume::Break,
    welcome::Welcome,
};

/// How long a connection may stay silent, beyond two of the server's announced heartbeats, before it counts as lost.
const SILENCE_MARGIN: Duration = Duration::from_secs(10);
/// How long it may stay silent when the announced heartbeat is no time.
const UNANNOUNCED_SILENCE: Duration = Duration::from_secs(60);

/// How long a connection may stay silent before it counts as lost: one lost ping is no lost connection.
fn silence(heartbeat_seconds: f64) -> Duration {
    let announced = Duration::try_from_secs_f64(heartbeat_seconds).ok().filter(|time| !time.is_zero());
    announced
        .map_or(UNANNOUNCED_SILENCE, |heartbeat| heartbeat.saturating_mul(2).saturating_add(SILENCE_MARGIN))
}

/// True for a refusal that a server says without an id because it did not get as far as the id.
fn is_of_an_unread_request(body: &ControlBody) -> bool {
    let ControlBody::Error(error) = body else { return false };
    matches!(error.error_code, ErrorCode::MessageTooLarge | ErrorCode::InvalidJson)
}

impl Client {
    /// Sends the requests whose turn it is. Cancel-safe: a request counts as out as soon as the socket has it, and what a
    /// dropped call left unflushed goes out with the next one.
    pub(crate) async fn send_waiting(&mut self) {
        let Link::Up(connection) = &mut self.link else { return };
        while connection.ready().await.is_ok()
            && let Some(text) = self.unanswered.take_due(Instant::now())
        {
            if connection.put(text).is_err() {
                break;
            }
        }
        // A connection that fails here tells why at the next receive; its requests go out on the next one.
        let _ = connection.flush().await;
    }

    pub(crate) async fn receive(&mut self, deadline: Instant) -> Result<Option<Update>, ClientError> {
        let Link::Up(connection) = &mut self.link else { return Ok(None) };
        let silence = silence(self.welcome.limits.heartbeat_seconds);
        // A caller that comes back late finds the signs of life of the meantime still unread. A silence beyond the
        // clock's range never ends a connection.
        let silent_at = connection.last_heard().checked_add(silence);
        let now = Instant::now();
        let patient_until = silent_at.map_or(deadline, |at| at.max(now + Duration::from_secs(1)));
        let wakes_at = self.unanswered.wakes_at().unwrap_or(deadline);
        match connection.recv_until(deadline.min(patient_until).min(wakes_at)).await {
            Some(Ok(frame)) => self.arrived(frame.incoming),
            Some(Err(RecvError::Ended(ended))) => self.lost(ended).map(Some),
            Some(Err(other)) => Err(ClientError::Unreadable(Box::new(other))),
            None if silent_at.is_some_and(|at| at <= Instant::now()) => {
                self.lost(Box::new(Ended::broken(format!("no sign of life for {silence:?}")))).map(Some)
            }
            None => Ok(None),
        }
    }

    fn arrived(&mut self, incoming: Incoming) -> Result<Option<Update>, ClientError> {
        match incoming {
            Incoming::Event(event) => self.took(event.range(), Update::Event(event)),
            Incoming::Control(control) => self.told(control),
            Incoming::Unknown(frame) => {
                if let Some(id) = frame.get("id").and_then(Value::as_str) {
                    self.unanswered.answered(id);
                }
                match event_range(&frame) {
                    Some(range) => self.took(range, Update::Unknown(frame)),
                    None => Ok(Some(Update::Unknown(frame))),
                }
            }
        }
    }

    /// Takes the numbers of an event, and shows it unless it was seen before.
    fn took(&mut self, range: (u64, u64), update: Update) -> Result<Option<Update>, ClientError> {
        match self.resume.take_range(range) {
            Ok(true) => {
                self.attempt = 0;
                self.broke_at = None;
                Ok(Some(update))
            }
            Ok(false) => Ok(None),
            Err(at) => self.broken(at).map(Some),
        }
    }

    fn told(&mut self, mut control: Box<Control>) -> Result<Option<Update>, ClientError> {
        if let Some(id) = &control.id {
            if let ControlBody::Error(error) = &control.body
                && self.unanswered.refused(id, error, Instant::now())
            {
                return Ok(None);
            }
            self.unanswered.answered(id.as_str());
        } else if is_of_an_unread_request(&control.body) {
            // The server could not read whose request it refuses, and requests are answered in their order.
            control.id = self.unanswered.oldest_answered();
        }
        match &control.body {
            ControlBody::Snapshot { epoch, seq, .. } => {
                self.resume.snapshot(*epoch, *seq);
                return Ok(Some(Update::Snapshot(control)));
            }
            ControlBody::CaughtUp { seq } => match self.resume.caught_up(*seq) {
                Ok(()) => self.attempt = 0,
                Err(at) => return self.broken(at).map(Some),
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
        Ok(Some(Update::Control(control)))
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
        // The old token's end is none of the new one's.
        let code = ended.code.filter(|code| !(self.renewed && *code == CloseCode::Policy.number()));
        let step = self.backoff.step(code, self.announced.take(), self.attempt, rand::random());
        match step {
            ReconnectStep::Wait(wait) => {
                self.attempt += 1;
                self.unanswered.lost(Instant::now());
                self.ended = ended.clone();
                self.link = Link::Down { until: Instant::now() + wait };
                Ok(Update::Lost { ended, wait })
            }
            ReconnectStep::GiveUp(why) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that pings every 90 s was left every 60 s, for ever.
    #[test]
    fn a_connection_may_be_silent_for_two_announced_heartbeats() {
        assert_eq!(silence(90.0), Duration::from_secs(190));
        assert_eq!(silence(25.0), Duration::from_secs(60));
        for no_time in [0.0, -1.0, f64::NAN] {
            assert_eq!(silence(no_time), Duration::from_secs(60));
        }
        assert_eq!(silence(1e18), Duration::from_secs(2_000_000_000_000_000_010));
    }
}
