//! The builtin agent through the trait: real tools, a real channel, and the order of what it reports.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use wireproof_agents::{
    Agent, AgentError, Answer, Builtin, Emission, EmissionReceiver, RunContext, RunId, RunUsage,
    SearchThreads, ThreadHit, ThreadId, ToolCompleted, ToolError, ToolExecuting, Usage, UserId, emissions,
};

/// A run's context and the end where its emissions come out.
fn context(content: &str) -> (RunContext, EmissionReceiver) {
    context_of("ada", content)
}

fn context_of(user: &str, content: &str) -> (RunContext, EmissionReceiver) {
    let (emissions, received) = emissions(16, 1 << 20);
    let user_id = UserId::new(user).unwrap();
    (RunContext::new(user_id, ThreadId::generate(), RunId::new(), content, emissions), received)
}

async fn collect(mut received: EmissionReceiver) -> Vec<Emission> {
    let mut emissions = Vec::new();
    while let Some(emission) = received.recv().await {
        emissions.push(emission);
    }
    emissions
}

/// Runs to the end and checks what holds for every run.
async fn run(agent: &Builtin, context: RunContext, received: EmissionReceiver) -> (Answer, Vec<Emission>) {
    let usage = RunUsage::default();
    let run = agent.run(context.with_usage(usage.clone()));
    let (answer, emissions) = tokio::join!(run, collect(received));
    let answer = answer.unwrap();
    assert_eq!(usage.total(), Usage::default());
    assert_well_formed(&emissions);
    assert_eq!(deltas(&emissions), answer.final_response);
    (answer, emissions)
}

async fn ask(content: &str) -> (Answer, Vec<Emission>) {
    let (context, received) = context(content);
    run(&Builtin::new(), context, received).await
}

fn assert_well_formed(emissions: &[Emission]) {
    assert!(matches!(&emissions[0], Emission::Thinking { reasoning } if !reasoning.is_empty()));
    let mut open = HashSet::new();
    let mut tools = 0;
    for emission in emissions {
        match emission {
            Emission::ToolExecuting(ToolExecuting { tool_call_id, parameters, .. }) => {
                assert!(parameters.is_object() && open.insert(*tool_call_id));
                tools += 1;
            }
            Emission::ToolCompleted(ToolCompleted { tool_call_id, .. }) => assert!(open.remove(tool_call_id)),
            _ => {}
        }
    }
    assert!(tools > 0 && open.is_empty(), "{tools} tools, {open:?} open");
}

fn deltas(emissions: &[Emission]) -> String {
    let delta = |emission: &Emission| match emission {
        Emission::MessageDelta { delta } => Some(delta.clone()),
        _ => None,
    };
    emissions.iter().filter_map(delta).collect()
}

fn failures(emissions: &[Emission]) -> Vec<&ToolError> {
    emissions
        .iter()
        .filter_map(|emission| match emission {
            Emission::ToolCompleted(call) => call.error.as_ref(),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn the_example_is_answered_right() {
    let (answer, emissions) = ask("What is 17*23, and how many words are in this sentence?").await;
    assert!(answer.final_response.contains("17*23 = 391."), "{}", answer.final_response);
    assert!(answer.final_response.contains("This sentence has 11 words."), "{}", answer.final_response);
    assert!(answer.final_response.contains("fixed rules"));
    let kinds: Vec<bool> =
        emissions[1..5].iter().map(|e| matches!(e, Emission::ToolExecuting { .. })).collect();
    assert_eq!(kinds, [true, true, false, false], "both tools run before one ends");
}

#[tokio::test]
async fn each_tool_answers() {
    for (message, expected) in [
        ("hello", "Your message has 1 word,"),
        ("What is 1/3?", "1/3 = 1/3, about 0.33333333333333."),
        ("Search my threads for whales", "I found nothing about \"whales\" in your threads."),
        ("wait 10 ms", "I waited 0.01 s."),
        ("count from 3 to 1 fast", "3, 2, 1."),
    ] {
        let (answer, _) = ask(message).await;
        assert!(answer.final_response.contains(expected), "{message}: {}", answer.final_response);
    }
}

#[tokio::test]
async fn a_failing_tool_is_told_and_the_others_go_on() {
    for (message, code) in [
        ("What is 1/0?", "division_by_zero"),
        ("Wait 2 hours", "out_of_range"),
        ("Count to 999999", "too_many"),
        ("What is 2^200?", "too_large"),
    ] {
        let (answer, emissions) = ask(&format!("{message} What is 2+2?")).await;
        let codes: Vec<&str> = failures(&emissions).iter().map(|failure| failure.code.as_str()).collect();
        assert_eq!(codes, [code], "{message}");
        assert!(answer.final_response.contains("failed: "), "{message}: {}", answer.final_response);
        let ended = emissions.iter().filter(|e| matches!(e, Emission::ToolCompleted { .. })).count();
        assert!(
            ended == 1 || answer.final_response.contains("2+2 = 4."),
            "{message}: {}",
            answer.final_response
        );
    }
}

#[tokio::test]
async fn tools_run_side_by_side() {
    let start = Instant::now();
    let (answer, _) = ask("Wait 300 ms. Wait 300 ms. Wait 300 ms. Wait 300 ms. Wait 300 ms.").await;
    assert_eq!(answer.final_response.matches("I waited 0.3 s.").count(), 5);
    assert!(start.elapsed() < Duration::from_millis(1_200), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_cancelled_tool_ends_at_once_and_is_reported() {
    let agent = Builtin::new();
    let (context, mut received) = context("Wait 40 seconds, and what is 2+2?");
    let cancelled = context.cancelled().clone();
    let run = tokio::spawn(agent.run(context));
    let mut emissions = Vec::new();
    // Once the quick tool has ended, the slow one is under way.
    while !matches!(emissions.last(), Some(Emission::ToolCompleted { .. })) {
        emissions.push(received.recv().await.unwrap());
    }
    let start = Instant::now();
    cancelled.cancel();
    emissions.extend(collect(received).await);
    assert_eq!(run.await.unwrap(), Err(AgentError::Cancelled));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_well_formed(&emissions);
    assert_eq!(failures(&emissions)[0].code, "cancelled");
}

#[tokio::test]
async fn counting_keeps_its_pace_and_can_be_cancelled() {
    let start = Instant::now();
    let (answer, emissions) = ask("count from 1 to 10").await;
    assert!(answer.final_response.starts_with("1, 2, 3, 4, 5, 6, 7, 8, 9, 10."));
    assert!(start.elapsed() >= Duration::from_millis(9 * 40), "{:?}", start.elapsed());
    assert!(matches!(&emissions[3], Emission::MessageDelta { delta } if delta == "1, "));

    let (context, mut received) = context("count from 1 to 1000 every 100 ms");
    let cancelled = context.cancelled().clone();
    let run = tokio::spawn(Builtin::new().run(context));
    while !matches!(received.recv().await, Some(Emission::MessageDelta { .. })) {}
    cancelled.cancel();
    let rest = collect(received).await;
    assert_eq!(run.await.unwrap(), Err(AgentError::Cancelled));
    assert!(rest.len() < 5);
}

#[tokio::test]
async fn a_tool_has_a_deadline() {
    let agent = Builtin::new().with_tool_deadline(Duration::from_millis(50));
    let (context, received) = context("wait 10 seconds");
    let (answer, emissions) = run(&agent, context, received).await;
    assert_eq!(failures(&emissions)[0].code, "timeout");
    assert!(answer.final_response.contains("did not end within 0.05 s"), "{}", answer.final_response);
}

#[tokio::test]
async fn a_search_reaches_the_runs_own_threads_only() {
    let agent = Builtin::new();
    let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let runs = (0..50).map(|number| {
        let owner = format!("user {number}");
        let (context, received) = context_of(&owner, "Search my threads for whales of user 7 please");
        let (own_thread, asked) = (context.thread_id().clone(), asked.clone());
        let search: SearchThreads = Arc::new(move |query, _| {
            asked.lock().unwrap().push((owner.clone(), query));
            let hit = |thread_id, excerpt: String| ThreadHit {
                thread_id,
                title: "Sea".to_owned(),
                role: "user".to_owned(),
                excerpt,
                created_at: 1.0,
            };
            let found = hit(ThreadId::generate(), format!("whales of {owner} sing"));
            let question = hit(own_thread.clone(), "…whales of user 7 please".to_owned());
            Box::pin(async { Ok(vec![question, found]) })
        });
        run(&agent, context.with_search(search), received)
    });
    for (number, (answer, _)) in futures_util::future::join_all(runs).await.into_iter().enumerate() {
        let expected = format!(
            "I found 1 message about \"whales of user 7 please\":\n- Sea (user): whales of user {number} sing"
        );
        assert!(answer.final_response.starts_with(&expected), "{}", answer.final_response);
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.iter().map(|(owner, _)| owner).collect::<HashSet<_>>().len(), 50);
    assert!(asked.iter().all(|(_, query)| query == "whales of user 7 please"));
}

#[tokio::test]
async fn a_failing_search_is_a_failing_tool() {
    let (context, received) = context("Search my threads for whales");
    let search: SearchThreads =
        Arc::new(|_, _| Box::pin(async { Err(ToolError::new("unavailable", "Try later.")) }));
    let (answer, emissions) = run(&Builtin::new(), context.with_search(search), received).await;
    assert_eq!(failures(&emissions), [&ToolError::new("unavailable", "Try later.")]);
    assert!(answer.final_response.contains("failed: Try later."));
}

#[tokio::test]
async fn a_run_that_nobody_hears_ends() {
    let (context, received) = context("count from 1 to 1000");
    drop(received);
    assert_eq!(Builtin::new().run(context).await, Err(AgentError::Cancelled));
}

#[test]
fn the_tools_outlive_the_runtime_of_their_first_run() {
    let agent = Builtin::new();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (answer, _) = runtime.block_on(async {
            let (context, received) = context("What is 6*7?");
            run(&agent, context, received).await
        });
        assert!(answer.final_response.contains("= 42."));
    }
}

#[tokio::test]
async fn large_and_odd_messages_get_an_answer() {
    for message in
        ["", "\u{0}", "🦀", &"[".repeat(65_536), &"what is 2+2? ".repeat(5_000), &"ab ".repeat(21_845)]
    {
        let (_, emissions) = ask(message).await;
        assert!(emissions.len() > 3);
    }
    let (answer, emissions) = ask(&"what is 2+2? ".repeat(5_000)).await;
    let ended = emissions
        .iter()
        .filter(|e| matches!(e, Emission::ToolCompleted(ToolCompleted { result: Some(_), .. })))
        .count();
    assert_eq!(ended, 16);
    assert!(answer.final_response.contains("I did the first 16 of"), "{}", answer.final_response);
}

#[tokio::test]
async fn a_run_fails_on_purpose_when_asked() {
    let (context, received) = context("What is 2+2? Then fail on purpose.");
    let (answer, emissions) = tokio::join!(Builtin::new().run(context), collect(received));
    assert!(matches!(answer, Err(AgentError::Failed { code, .. }) if code == "failed_on_purpose"));
    assert_well_formed(&emissions);
}

/// A large message kept a thread for its work also when it was refused.
#[test]
fn only_a_small_message_is_begun_before_it_is_stored() {
    assert!(Builtin::new().may_begin_early("What is 17*23?"));
    assert!(!Builtin::new().may_begin_early(&"What is 17*23? ".repeat(20)));
}

/// Messages of a few hundred bytes became answers of a megabyte: sixteen counts to 10,000.
#[tokio::test]
async fn what_one_message_makes_the_agent_say_is_bounded() {
    for ask_once in ["Count from 1 to 10000 without pause. ", "Count from 1 to 1000 without pause. "] {
        let (answer, _) = ask(&ask_once.repeat(16)).await;
        assert!(answer.final_response.len() < 100_000, "{}", answer.final_response.len());
    }
    let huge = format!("Search my threads for {}", "w".repeat(60_000));
    let (answer, _) = ask(&huge).await;
    assert!(answer.final_response.len() < 10_000);
}

/// Planning and computing ran on the threads that serve the sockets: a burst of large messages made everybody wait.
#[tokio::test]
async fn the_async_thread_is_free_while_the_agent_computes() {
    let agent = Builtin::new();
    let runs = (0..16).map(|_| {
        let (context, received) = context(&"what is 1, `{` how many words has this message? ".repeat(1_300));
        run(&agent, context, received)
    });
    let runs = futures_util::future::join_all(runs);
    // This thread is the only async one: its CPU between two ticks is what one run takes at once. Without optimisation
    // everything takes longer.
    let most = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 50 });
    let longest = async {
        let mut last = thread_cpu();
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = thread_cpu();
            if now - last > most {
                return now - last;
            }
            last = now;
        }
    };
    tokio::select! {
        answers = runs => assert_eq!(answers.len(), 16),
        longest = longest => panic!("the async thread was held for {longest:?}"),
    }
}

/// The CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedule.split_whitespace().next().unwrap().parse().unwrap())
}
