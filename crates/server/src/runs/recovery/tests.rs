//! Tests of leases and recovery with real runs and a real store, around which a layer stands.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use wireproof_agents::Builtin;
use wireproof_protocol::{Event, MessageId, RunId, ThreadId, UserId};

use super::*;
use crate::{
    broker::local::Local,
    delivery::Publisher,
    failpoints::Failpoints,
    limits::Limits,
    metrics::Metrics,
    store::{
        StartRun, Store, Written,
        embedded::Embedded,
        layer::{Layer, Layered},
    },
    traces::Traces,
};

const LEASE: Duration = Duration::from_millis(600);

fn ada() -> UserId {
    UserId::new("ada").unwrap()
}

fn runs(store: Arc<dyn Store>) -> Arc<Runs> {
    let metrics = Metrics::new(Default::default());
    let limits = RunLimits {
        concurrent: 0,
        queued: 0,
        run: LEASE,
        grace: LEASE,
        lease: LEASE,
        store_wait: LEASE,
        bounds: (&Limits::default()).into(),
    };
    let traces = Arc::new(Traces::from_config(&Default::default()).unwrap());
    let publisher = Arc::new(Publisher::new(Arc::new(Local::default()), metrics.clone()));
    let agents: Vec<Arc<dyn wireproof_agents::Agent>> = vec![Arc::new(Builtin::new())];
    Runs::new(store, publisher, agents, limits, metrics, traces, Failpoints::default())
}

/// A lease of the node that is over.
fn over(runs: &Runs) -> LeaseTerm {
    LeaseTerm { until: unix_now() - 1.0, ..runs.lease_term() }
}

/// A run as the server stores it.
fn start() -> Arc<StartRun> {
    Arc::new(StartRun {
        user_id: ada(),
        request: None,
        thread_id: ThreadId::generate(),
        end: None,
        title: "title".to_owned(),
        message_id: MessageId::new(),
        content: "a question".to_owned(),
        run_id: RunId::new(),
        agent_name: "agent".to_owned(),
        first: EventBody::AgentStarted { message: "begins".to_owned() },
        now: unix_now(),
    })
}

/// Bug: a run whose start was stored and not answered was leased for as long as its node lived, and never ended.
#[tokio::test]
async fn a_run_that_nobody_drives_gets_its_end_and_one_that_is_driven_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let runs = runs(store.clone());
    let (lost, driven) = (start(), start());
    let _slot = runs.registry.claim(&ada(), driven.run_id).unwrap();
    // Both leases are over: a renewal comes just in time for the one that it names.
    for run in [&lost, &driven] {
        drop(store.start_run(run.clone(), over(&runs)).await.unwrap());
    }
    runs.renew_leases().await.unwrap();
    assert_eq!(runs.recover().await.unwrap(), 1);
    assert_eq!(store.run(&ada(), lost.run_id).await.unwrap().outcome, Some(Outcome::Failed));
    assert_eq!(store.run(&ada(), driven.run_id).await.unwrap().outcome, None);
}

/// Bug: behind a pause of the process, or a jump of the clock, the node took over its own runs before it renewed their
/// leases, and ended them while their agents worked on.
#[tokio::test]
async fn a_run_that_is_driven_goes_on_though_its_lease_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let runs = runs(store.clone());
    let (lost, driven) = (start(), start());
    let slot = runs.registry.claim(&ada(), driven.run_id).unwrap();
    for run in [&lost, &driven] {
        drop(store.start_run(run.clone(), over(&runs)).await.unwrap());
    }
    assert_eq!(runs.recover().await.unwrap(), 1);
    assert_eq!(store.run(&ada(), lost.run_id).await.unwrap().outcome, Some(Outcome::Failed));
    // Its driver still has the right to write.
    runs.renew_leases().await.unwrap();
    let lease = Lease { run_id: driven.run_id, number: 1 };
    drop(store.append_events(&ada(), Some(lease), Arc::default()).await.unwrap());
    assert_eq!(store.run(&ada(), driven.run_id).await.unwrap().outcome, None);
    // Once nobody drives it, it gets its end as well.
    drop(slot);
    store.renew_leases(over(&runs), &[driven.run_id]).await.unwrap();
    assert_eq!(runs.recover().await.unwrap(), 1);
}

/// More runs than one portion, all ended by one recovery.
#[tokio::test]
async fn a_recovery_ends_all_that_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let runs = runs(store.clone());
    for _ in 0..PORTION + 3 {
        let term = over(&runs);
        drop(store.start_run(start(), term).await.unwrap());
    }
    assert_eq!(runs.recover().await.unwrap(), PORTION + 3);
    assert!(store.active_runs(None).await.unwrap().is_empty());
}

/// Renews at once, and never answers who takes over.
#[derive(Clone, Default)]
struct NeverTakesOver(Arc<AtomicUsize>);

#[async_trait]
impl Layer for NeverTakesOver {
    async fn renew_leases(&self, _: &Arc<dyn Store>, _: LeaseTerm, _: &[RunId]) -> Result<(), StoreError> {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn take_over_runs(
        &self,
        _: &Arc<dyn Store>,
        _: LeaseTerm,
        _: &[RunId],
        _: f64,
        _: usize,
    ) -> Result<Vec<(RunRecord, Lease)>, StoreError> {
        std::future::pending().await
    }
}

/// Bug: leases were renewed by the task that ends what others left, so a store that did not answer that one let them run out.
#[tokio::test]
async fn leases_are_renewed_while_a_recovery_waits_and_a_recovery_waits_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let layer = NeverTakesOver::default();
    let runs = runs(Arc::new(Layered::new(store, layer.clone())));
    let _slot = runs.registry.claim(&ada(), RunId::new()).unwrap();
    let stop = CancellationToken::new();
    let tasks = [
        tokio::spawn(keep_leases(runs.clone(), stop.clone())),
        tokio::spawn(end_left_runs(runs.clone(), stop.clone())),
    ];
    let within =
        async |call| tokio::time::timeout(Duration::from_secs(20), call).await.expect("it waits for ever");
    assert!(matches!(within(runs.recover()).await, Err(StoreError::Unavailable(_))));
    let renewed = async {
        while layer.0.load(SeqCst) < 6 {
            tokio::time::sleep(LEASE / 60).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewed).await.expect("no more renewals");
    stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Is away once: before the call of this name is carried out, or after.
struct AwayOnce {
    before: &'static str,
    after: &'static str,
    times: AtomicUsize,
}

impl AwayOnce {
    fn away(&self, call: &str, when: &str) -> Result<(), StoreError> {
        match call == when && self.times.fetch_add(1, SeqCst) == 0 {
            true => Err(StoreError::Unavailable("the network went away".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Layer for AwayOnce {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        self.away(call, self.before)
    }

    async fn after(&self, call: &'static str) -> Result<(), StoreError> {
        self.away(call, self.after)
    }
}

/// Bug: runs that were taken over, and whose node was not told so or could not end them, were leased for as long as the node
/// lived and drove any other.
#[tokio::test]
async fn what_is_taken_over_in_vain_is_taken_over_again_once_its_lease_is_over() {
    for (before, after) in [("head", ""), ("finish_run", ""), ("", "finish_run"), ("", "take_over_runs")] {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
        let layer = AwayOnce { before, after, times: AtomicUsize::new(0) };
        let runs = runs(Arc::new(Layered::new(store.clone(), layer)));
        let _slot = runs.registry.claim(&ada(), RunId::new()).unwrap();
        let run = start();
        drop(store.start_run(run.clone(), over(&runs)).await.unwrap());
        assert_eq!(runs.recover().await.unwrap_or(0), 0, "{before} {after}");
        let ended = async {
            while store.run(&ada(), run.run_id).await.unwrap().outcome.is_none() {
                runs.renew_leases().await.unwrap();
                runs.recover().await.unwrap();
                tokio::time::sleep(LEASE / 60).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the run was never ended");
        let head = store.head(&ada()).await.unwrap().seq;
        // The message, its thread, the start of the run and its end.
        assert_eq!(head, 4, "{before} {after}");
    }
}

/// Fails the first end of a run as a full disk does, or never answers any; counts the calls.
#[derive(Clone, Default)]
struct FailsAtEnds {
    hangs: bool,
    times: Arc<AtomicUsize>,
}

#[async_trait]
impl Layer for FailsAtEnds {
    async fn finish_run(
        &self,
        store: &Arc<dyn Store>,
        finish: Arc<FinishRun>,
    ) -> Result<Written<u64>, StoreError> {
        let times = self.times.fetch_add(1, SeqCst);
        match (self.hangs, times) {
            (true, _) => std::future::pending().await,
            (false, 0) => {
                Err(StoreError::Database { code: 13, reason: "database or disk is full".to_owned() })
            }
            _ => store.finish_run(finish).await,
        }
    }
}

/// Bug: a run whose end a full disk refused once was closed without `agent_completed`, and a second refusal kept the runs
/// behind it, or the server, from going on.
#[tokio::test]
async fn an_end_that_the_disk_refuses_is_tried_again_and_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let runs = runs(Arc::new(Layered::new(store.clone(), FailsAtEnds::default())));
    for _ in 0..PORTION + 1 {
        let term = over(&runs);
        drop(store.start_run(start(), term).await.unwrap());
    }
    assert_eq!(runs.recover().await.unwrap(), PORTION, "one stays for later");
    let ended = async {
        while !store.active_runs(None).await.unwrap().is_empty() {
            runs.recover().await.unwrap();
            tokio::time::sleep(LEASE / 60).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the run was never ended");
    // Each has its message, its thread, its start and its end.
    assert_eq!(store.head(&ada()).await.unwrap().seq, 4 * (PORTION as u64 + 1));
}

/// Bug: a recovery waited for a store that does not answer as often as runs were left, also at the start of a server.
#[tokio::test]
async fn a_recovery_stops_at_the_first_end_that_is_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let layer = FailsAtEnds { hangs: true, ..FailsAtEnds::default() };
    let runs = runs(Arc::new(Layered::new(store.clone(), layer.clone())));
    for _ in 0..3 {
        let term = over(&runs);
        drop(store.start_run(start(), term).await.unwrap());
    }
    let recovery = tokio::time::timeout(Duration::from_secs(20), runs.recover());
    assert_eq!(recovery.await.expect("it waits for ever").unwrap(), 0);
    assert_eq!(layer.times.load(SeqCst), 1);
}

/// Answers an end later than anybody waits for it.
#[derive(Clone)]
struct AnswersLate;

#[async_trait]
impl Layer for AnswersLate {
    async fn finish_run(
        &self,
        store: &Arc<dyn Store>,
        finish: Arc<FinishRun>,
    ) -> Result<Written<u64>, StoreError> {
        let written = store.finish_run(finish).await;
        tokio::time::sleep(LEASE).await;
        written
    }
}

/// Bug: what a commit stored whose answer came late was published by nobody.
#[tokio::test]
async fn an_end_that_is_answered_late_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let runs = runs(Arc::new(Layered::new(store.clone(), AnswersLate)));
    let term = over(&runs);
    drop(store.start_run(start(), term).await.unwrap());
    assert_eq!(runs.recover().await.unwrap(), 0, "nobody waits so long");
    assert_eq!(runs.metrics.events_published.get(), 0);
    tokio::time::timeout(Duration::from_secs(20), runs.publisher.settle())
        .await
        .expect("it goes on for ever");
    assert_eq!(runs.metrics.events_published.get(), 1);
}

/// A run whose log breaks the rules of a run can never be ended by an event: it ends without one, and holds up no other.
#[tokio::test]
async fn a_run_whose_log_is_broken_ends_without_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let runs = runs(store.clone());
    let (broken, sound) = (start(), start());
    for run in [&broken, &sound] {
        drop(store.start_run(run.clone(), over(&runs)).await.unwrap());
    }
    let page = store.read(&ada(), 0, 1 << 20).await.unwrap();
    let mut event: Event = serde_json::from_slice(&page.events[2].json).unwrap();
    let run_id = event.run.as_ref().unwrap().run_id;
    assert_eq!(run_id, broken.run_id, "the thread, the message, the start");
    // A second start of the run, behind a gap.
    (event.seq, event.run.as_mut().unwrap().run_seq) = (0, 7);
    drop(
        store.append_events(&ada(), Some(Lease { run_id, number: 1 }), Arc::new(vec![event])).await.unwrap(),
    );
    let head = store.head(&ada()).await.unwrap().seq;
    assert_eq!(runs.recover().await.unwrap(), 2);
    assert!(store.active_runs(None).await.unwrap().is_empty());
    assert_eq!(store.head(&ada()).await.unwrap().seq, head + 1, "the end of the other one");
}
