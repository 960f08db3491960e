use std::time::Instant;

use serde_json::json;

use super::*;

/// The tools and what each is given, without the names of the parameters.
fn steps(message: &str) -> Vec<(&'static str, String)> {
    let values = |step: &PlanStep| {
        let values: Vec<String> = step.parameters.values().map(|value| shown(value, 100)).collect();
        values.join(" ")
    };
    plan(message).steps.iter().map(|step| (step.tool, values(step))).collect()
}

#[test]
fn asks_by_table() {
    for (message, expected) in [
        ("What is 17*23?", &[("calculate", "17*23")][..]),
        ("What is 17 times 23, and 2 + 3?", &[("calculate", "17 * 23"), ("calculate", "2 + 3")]),
        ("2+2", &[("calculate", "2+2")]),
        ("7-3", &[("calculate", "7-3")]),
        ("I am there 24/7, from 2024-01-01.", &[]),
        (
            "What is 17*23, and how many words are in this sentence?",
            &[
                ("calculate", "17*23"),
                ("text_statistics", "What is 17*23, and how many words are in this sentence?"),
            ],
        ),
        (
            "First. How many words are in this sentence?",
            &[("text_statistics", "How many words are in this sentence?")],
        ),
        (
            "What is the longest word in \"secret. is mine\", and what is 17*3?",
            &[("text_statistics", "secret. is mine"), ("calculate", "17*3")],
        ),
        ("How many lines has \"a\nb\"?", &[("text_statistics", "a\nb")]),
        (
            "Wait 3 seconds. Wait 20 ms, then sleep 2s",
            &[("timer", "3.0"), ("timer", "0.02"), ("timer", "2.0")],
        ),
        ("count to 5", &[("count", "1 5")]),
        ("Count from 1 to 30 every 40 ms.", &[("count", "1 40 30")]),
        ("count down from 9 to -2 fast", &[("count", "9 10 -2")]),
        ("count from 1 to 500 without a pause", &[("count", "1 0 500")]),
        ("Search my threads for blue whales", &[("search_threads", "blue whales")]),
        ("search for whales in my threads", &[("search_threads", "whales")]),
        ("Look for \"the Whale\" and wait 1 s", &[("search_threads", "the Whale"), ("timer", "1.0")]),
        ("line\nWhat is 1/0?", &[("calculate", "1/0")]),
    ] {
        let steps = steps(message);
        let steps: Vec<(&str, &str)> = steps.iter().map(|(tool, given)| (*tool, given.as_str())).collect();
        let expected = if expected.is_empty() { &[("text_statistics", message)] } else { expected };
        assert_eq!(steps, expected, "{message}");
    }
}

#[test]
fn a_failure_is_planned_on_request() {
    let failing = plan("Fail on purpose.");
    assert!(failing.fails && failing.steps.is_empty() && failing.reasoning().contains("fail"));
    let after = plan("What is 2+2? Then fail on purpose.");
    assert!(after.fails && after.steps.len() == 1);
    assert!(!plan("How many words are in \"fail on purpose\"?").fails);
}

#[test]
fn more_than_the_bounds_is_left_and_said() {
    let many = plan(&"what is 2+2? ".repeat(17));
    assert!(many.cut && many.steps.len() == MAX_STEPS);
    assert!(!plan(&"what is 2+2? ".repeat(16)).cut);
    assert!(plan(&"a. ".repeat(MAX_CLAUSES + 1)).cut);
    assert!(plan(&"a ".repeat(MAX_READ)).cut);
    assert_eq!(plan(&"x".repeat(100_000)).steps[0].parameters["text"], json!("x".repeat(100_000)));
}

/// 64 KiB of backticks, braces and paths took 0.78 s of CPU: the work grew with the square of the message.
#[test]
fn the_work_grows_with_the_message_and_not_with_its_square() {
    const SMALL: usize = 1 << 10;
    let took = |piece: &str, bytes: usize| {
        let message = piece.repeat(bytes / piece.len());
        let once = || {
            let began = Instant::now();
            std::hint::black_box(plan(&message).reasoning());
            began.elapsed().as_secs_f64()
        };
        (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
    };
    for piece in [
        "`{` ",
        "`",
        "get $.a, ",
        "\"",
        "“",
        "a, what ",
        "what is 1, ",
        "(",
        "1+",
        "+ ",
        "1 x ",
        "words ",
        "count ",
        "\n",
        ". ",
        "? and then ",
        "„a“ ",
        "search for ",
        "e\u{301}",
        "İ",
        "wait 1 ",
        "\u{0}",
        "this sentence, count ",
    ] {
        // 64 times the message: the square would take 4,096 times as long, and far more than a second in a debug build.
        let (small, large) = (took(piece, SMALL), took(piece, 64 * SMALL));
        assert!(large < 0.25 || large < 400.0 * small, "{piece:?}: {small} s, then {large} s");
    }
}
