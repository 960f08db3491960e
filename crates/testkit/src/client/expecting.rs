//! What a client waits for: each wait has a deadline, and each failure tells what came instead.

use std::{panic::Location, sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::Instant;
use wireproof_client::Ended;
use wireproof_protocol::RunId;

use super::TestClient;
use crate::{
    expect::Unmet,
    matcher::{Matcher, event, frame},
    received::ReceivedFrame,
    run::Run,
};

impl TestClient {
    /// Waits for a frame that fits and that no earlier expectation took; other frames stay for other expectations.
    #[track_caller]
    pub fn expect(&self, matcher: impl Into<Matcher>) -> impl Future<Output = Arc<ReceivedFrame>> {
        self.expect_at(matcher.into(), self.deadline, Location::caller())
    }

    /// The same with a deadline of its own.
    #[track_caller]
    pub fn expect_within(
        &self,
        matcher: impl Into<Matcher>,
        within: Duration,
    ) -> impl Future<Output = Arc<ReceivedFrame>> {
        self.expect_at(matcher.into(), within, Location::caller())
    }

    async fn expect_at(&self, matcher: Matcher, within: Duration, at: &Location<'_>) -> Arc<ReceivedFrame> {
        match self.try_expect(matcher, within).await {
            Ok(arrival) => arrival,
            Err(unmet) => unmet.fail(at),
        }
    }

    /// The same with the failure as an error. A connection that ended ends the wait.
    pub async fn try_expect(
        &self,
        matcher: impl Into<Matcher>,
        within: Duration,
    ) -> Result<Arc<ReceivedFrame>, Unmet> {
        let matcher = matcher.into();
        let mut from = 0;
        let found = self.record().wait(Instant::now() + within, |history| {
            let found = history.find(&matcher, from);
            from = history.entries.len();
            match found {
                Some((index, arrival)) => {
                    history.take(index);
                    Some(Some(arrival))
                }
                None => history.ended.is_some().then_some(None),
            }
        });
        let found = found.await.flatten();
        found.ok_or_else(|| Unmet::missing(&self.name, &matcher, within, &self.history()))
    }

    /// Waits for frames that fit these one behind the other, in this order, and that no earlier expectation took; others
    /// may stand between. A failure shows expected and actual side by side.
    #[track_caller]
    pub fn expect_sequence<M: Into<Matcher>>(
        &self,
        sequence: impl IntoIterator<Item = M>,
    ) -> impl Future<Output = Vec<Arc<ReceivedFrame>>> {
        let (at, sequence) = (Location::caller(), sequence.into_iter().map(Into::into).collect::<Vec<_>>());
        async move {
            match self.try_expect_sequence(sequence, self.deadline).await {
                Ok(arrivals) => arrivals,
                Err(unmet) => unmet.fail(at),
            }
        }
    }

    /// The same with the failure as an error. A connection that ended ends the wait.
    pub async fn try_expect_sequence<M: Into<Matcher>>(
        &self,
        sequence: impl IntoIterator<Item = M>,
        within: Duration,
    ) -> Result<Vec<Arc<ReceivedFrame>>, Unmet> {
        let sequence: Vec<Matcher> = sequence.into_iter().map(Into::into).collect();
        let found =
            self.record().wait(Instant::now() + within, |history| match history.find_all(&sequence) {
                Some(found) => {
                    found.iter().for_each(|(index, _)| history.take(*index));
                    Some(Some(found.into_iter().map(|(_, arrival)| arrival).collect()))
                }
                None => history.ended.is_some().then_some(None),
            });
        let found = found.await.flatten();
        found.ok_or_else(|| Unmet::sequence(&self.name, &sequence, within, &self.history()))
    }

    /// Waits until the server has delivered all that was stored before now: a ping's answer comes behind it.
    #[track_caller]
    pub fn barrier(&self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move { self.try_barrier().await.unwrap_or_else(|unmet| unmet.fail(at)) }
    }

    /// The same with the failure as an error.
    pub async fn try_barrier(&self) -> Result<(), Unmet> {
        let id = format!("barrier-{}", uuid::Uuid::now_v7());
        self.try_send_raw(json!({ "type": "ping", "id": id }).to_string()).await?;
        self.try_expect(frame("pong").field("id", id), self.deadline).await.map(drop)
    }

    /// Fails when a frame came, or is on its way, that fits and that no expectation took. Behind a barrier, not a
    /// sleep: what the server stored before this call is here when it looks.
    #[track_caller]
    pub fn expect_none(&self, matcher: impl Into<Matcher>) -> impl Future<Output = ()> {
        let (at, matcher) = (Location::caller(), matcher.into());
        async move { self.try_expect_none(matcher).await.unwrap_or_else(|unmet| unmet.fail(at)) }
    }

    /// The same with the failure as an error.
    pub async fn try_expect_none(&self, matcher: impl Into<Matcher>) -> Result<(), Unmet> {
        let matcher = matcher.into();
        self.try_barrier().await?;
        let history = self.history();
        match history.find(&matcher, 0) {
            Some((_, arrival)) => Err(Unmet::unwanted(&self.name, &matcher, &arrival.text, &history)),
            None => Ok(()),
        }
    }

    /// Waits for a run's end and gives the run; panics when its events break the rules of a run.
    #[track_caller]
    pub fn expect_run_completed(&self, run_id: RunId) -> impl Future<Output = Run> {
        let at = Location::caller();
        async move { self.try_expect_run_completed(run_id).await.unwrap_or_else(|unmet| unmet.fail(at)) }
    }

    /// The same with the failure as an error.
    pub async fn try_expect_run_completed(&self, run_id: RunId) -> Result<Run, Unmet> {
        self.try_expect(event("agent_completed").of_run(run_id), self.deadline).await?;
        let run = self.run(run_id);
        run.check().map_err(|why| Unmet::wrong(&self.name, why, &self.history()))?;
        Ok(run)
    }

    /// Waits for the connection's end and tells how it ended.
    #[track_caller]
    pub fn expect_closed(&self) -> impl Future<Output = Ended> {
        let at = Location::caller();
        async move { self.try_expect_closed().await.unwrap_or_else(|unmet| unmet.fail(at)) }
    }

    /// The same with the failure as an error.
    pub async fn try_expect_closed(&self) -> Result<Ended, Unmet> {
        let ended = self.record().wait(Instant::now() + self.deadline, |history| history.ended.clone());
        ended.await.ok_or_else(|| {
            let what = format!("the connection did not end within {:?}", self.deadline);
            Unmet::wrong(&self.name, what, &self.history())
        })
    }
}
