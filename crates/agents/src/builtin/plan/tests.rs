//! What messages lead to, by table; and that any message leads to a plan, soon and without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The steps as `tool {parameters}`.
fn planned(message: &str) -> Vec<(&'static str, Value)> {
    plan(message).steps.into_iter().map(|step| (step.tool, Value::Object(step.parameters))).collect()
}

fn expect(message: &str, expected: &[(&'static str, Value)]) {
    assert_eq!(planned(message), expected, "{message}");
}

#[test]
fn the_example_is_two_asks() {
    let message = "What is 17*23, and how many words are in this sentence?";
    expect(
        message,
        &[("calculate", json!({ "expression": "17*23" })), ("text_statistics", json!({ "text": message }))],
    );
    let earlier = format!("Hello there. {message} Thanks!");
    expect(
        &earlier,
        &[("calculate", json!({ "expression": "17*23" })), ("text_statistics", json!({ "text": message }))],
    );
}

#[test]
fn arithmetic_by_table() {
    for (message, expression) in [
        ("17*23", "17*23"),
        ("What's 2 + 2?", "2 + 2"),
        ("what is two plus 3", "2 + 3"),
        ("Calculate (1+2)*3.", "(1+2)*3"),
        ("How much is 15% of 80?", "15% of 80"),
        ("what is 15 percent of 80", "15 % of 80"),
        ("What is 17 x 23?", "17 * 23"),
        ("what is 17x23", "17*23"),
        ("What is the square root of 144?", "sqrt 144"),
        ("What is 5!?", "5!"),
        ("Compute 5! + 3", "5! + 3"),
        ("what is the factorial of 20", "20!"),
        ("12 divided by 0", "12 / 0"),
        ("What is 1/0?", "1/0"),
        ("max(3, 4, 5) please", "max(3, 4, 5)"),
        ("What is the gcd of 12 and 18?", "gcd(12, 18)"),
        ("the sum of 1, 2 and 3", "1 + 2 + 3"),
        ("average of 4 and five", "(4 + 5) / 2"),
        ("calculate 2 + * 3", "2 + * 3"),
        ("calculate foo(3)", "foo(3)"),
        ("Calculate `2^10`", "2^10"),
        ("What is 2 to the power of 10?", "2 ^ 10"),
        ("what is 5 squared", "5 ^2"),
        ("What is 1,000,000 * 3?", "1,000,000 * 3"),
        ("What is 10 minus 4?", "10 - 4"),
        ("convert 5 miles to km", "5 miles to km"),
        ("What is 72°F in celsius?", "72 °F to celsius"),
        ("How many feet are there in 3 meters?", "3 meters to feet"),
        ("how many seconds are in a day", "1 day to seconds"),
        ("8 Mb in MB", "8 Mb to MB"),
    ] {
        expect(message, &[("calculate", json!({ "expression": expression }))]);
    }
}

#[test]
fn several_formulas_are_several_calls() {
    expect(
        "What is 2+2 and 3*3?",
        &[("calculate", json!({ "expression": "2+2" })), ("calculate", json!({ "expression": "3*3" }))],
    );
}

#[test]
fn texts_by_table() {
    for (message, text) in [
        ("How many words are in \"one two three\"?", "one two three"),
        ("Count the letters in 'don't panic' now", "don't panic"),
        ("How many words: the quick brown fox. It jumps", "the quick brown fox. It jumps"),
        ("Count the words in the following text:\none two\nthree", "one two\nthree"),
        (
            "What is 1+1? How many words are in this message?",
            "What is 1+1? How many words are in this message?",
        ),
        ("Hi. Count the characters of this sentence! Bye.", "Count the characters of this sentence!"),
        ("What is the longest word in “ein längerer Satz”?", "ein längerer Satz"),
    ] {
        let steps = planned(message);
        let found = steps.iter().find(|(tool, _)| *tool == "text_statistics");
        assert_eq!(found.map(|(_, parameters)| parameters), Some(&json!({ "text": text })), "{message}");
    }
}

#[test]
fn dates_by_table() {
    for (message, expected) in [
        ("What time is it in Tokyo?", json!({ "operation": "now", "zone": "tokyo" })),
        ("What time is it?", json!({ "operation": "now", "zone": "UTC" })),
        ("what is the current time in New York right now", json!({ "operation": "now", "zone": "new york" })),
        ("What time is it in Atlantis?", json!({ "operation": "now", "zone": "atlantis" })),
        ("today's date", json!({ "operation": "now", "zone": "UTC" })),
        (
            "What day of the week was 29 February 2024?",
            json!({ "operation": "weekday", "date": "29 february 2024" }),
        ),
        (
            "How many days are between 2024-01-01 and 2024-12-25?",
            json!({ "operation": "between", "date": "2024-01-01", "other_date": "2024-12-25" }),
        ),
        (
            "days from 1 May 2024 to June 5, 2024",
            json!({ "operation": "between", "date": "1 may 2024", "other_date": "june 5 2024" }),
        ),
        (
            "How many days until 2030-01-01?",
            json!({ "operation": "between", "date": "today", "other_date": "2030-01-01" }),
        ),
        (
            "What date is 90 days after 2024-01-01?",
            json!({ "operation": "add", "date": "2024-01-01", "amount": 90, "unit": "days" }),
        ),
        (
            "Add two months to 31 January 2024",
            json!({ "operation": "add", "date": "31 january 2024", "amount": 2, "unit": "months" }),
        ),
        (
            "What was the date 3 weeks ago?",
            json!({ "operation": "add", "date": "today", "amount": -3, "unit": "weeks" }),
        ),
        (
            "Convert 15:00 Berlin to Tokyo",
            json!({ "operation": "convert", "time": "15:00", "zone": "berlin", "to_zone": "tokyo" }),
        ),
        (
            "What is 3:30 pm in London in New York?",
            json!({ "operation": "convert", "time": "3:30 pm", "zone": "london", "to_zone": "new york" }),
        ),
    ] {
        expect(message, &[("date_time", expected)]);
    }
    assert_eq!(planned("What time is it in Tokyo, Berlin and New York?").len(), 3);
}

#[test]
fn json_by_table() {
    for (message, json, path, summary) in [
        (
            r#"Get $.users[0].name from {"users":[{"name":"Ada"}]}"#,
            r#"{"users":[{"name":"Ada"}]}"#,
            "$.users[0].name",
            "",
        ),
        (r#"What is the name in {"name":"Ada"}?"#, r#"{"name":"Ada"}"#, "name", ""),
        (r#"{"a":{"b":1}} .a.b"#, r#"{"a":{"b":1}}"#, ".a.b", ""),
        ("What is the sum of [1,2,3]?", "[1,2,3]", "", "sum"),
        ("Query the JSON {oops} at a", "{oops} at a", "", ""),
        ("Here is JSON: [{\"x\":1}]. What is $[0].x?", "[{\"x\":1}]", "$[0].x", ""),
    ] {
        let steps = planned(message);
        let (tool, parameters) = steps.last().unwrap();
        let part = |name: &str| parameters[name].as_str().unwrap_or_default();
        assert_eq!(
            (*tool, part("json"), part("path"), part("summary")),
            ("query_json", json, path, summary),
            "{message}"
        );
    }
}

#[test]
fn searches_by_table() {
    for (message, query) in [
        ("Search my threads for sourdough bread", "sourdough bread"),
        ("Find \"Blue Whale\" in my messages.", "Blue Whale"),
        ("What did I say about Paris?", "paris"),
        ("did I mention Kafka in my chats?", "kafka"),
        ("find penguins in my threads", "penguins"),
        ("search for tea and coffee", "tea and coffee"),
    ] {
        expect(message, &[("search_threads", json!({ "query": query }))]);
    }
}

#[test]
fn pace_by_table() {
    for (message, tool, parameters) in [
        ("wait 3 seconds", "timer", json!({ "seconds": 3.0 })),
        ("Set a timer for 2 s", "timer", json!({ "seconds": 2.0 })),
        ("please sleep for 250ms", "timer", json!({ "seconds": 0.25 })),
        ("Start a two minute timer.", "timer", json!({ "seconds": 120.0 })),
        ("count from 1 to 50", "count", json!({ "from": 1, "to": 50 })),
        ("Count to 20 slowly", "count", json!({ "from": 1, "to": 20, "interval_ms": 250 })),
        ("Please count down from ten", "count", json!({ "from": 10, "to": 0 })),
        ("count from 5 to 1 every 100 ms", "count", json!({ "from": 5, "to": 1, "interval_ms": 100 })),
        ("count to 9 every second", "count", json!({ "from": 1, "to": 9, "interval_ms": 1000 })),
    ] {
        expect(message, &[(tool, parameters)]);
    }
}

#[test]
fn what_is_no_ask_is_looked_at_itself() {
    for message in [
        "",
        "hello",
        "Open 24/7, call +49 30 123456 or 555-1234!",
        "We met on 3/4 and it was fun, the score was 3-2.",
        "C++ and/or Rust",
        "日本語でお願いします",
        "👨‍👩‍👧 ☕️",
    ] {
        expect(message, &[("text_statistics", json!({ "text": message }))]);
        assert_eq!(plan(message).steps[0].ask, Ask::Unrecognised);
    }
}

#[test]
fn many_asks_are_cut() {
    let plan = plan(&"What is 2+2?\n".repeat(5_000));
    assert_eq!((plan.steps.len(), plan.cut), (MAX_STEPS, true));
    assert!(plan.reasoning().contains("more than 16"));
}

#[test]
fn an_ask_may_join_others() {
    let tools: Vec<_> = planned(
        "Wait 1 second, count to 3 and then search my threads for cats; what time is it in Rome? Convert 3 kg to g, please.",
    );
    let tools: Vec<_> = tools.into_iter().map(|(tool, _)| tool).collect();
    assert_eq!(tools, ["timer", "count", "search_threads", "date_time", "calculate"]);
}

#[test]
fn large_messages_are_planned_soon() {
    let seeds = [
        "{",
        "[",
        "[[],",
        "{\"a\":[",
        "\"",
        "“",
        "'",
        "`",
        "words:",
        ": ",
        "a ",
        "1+",
        "(",
        "what is ",
        "and what ",
        ", how ",
        "in ",
        "5 m to ",
        "5 ",
        "1 may ",
        "10 days ",
        "e.g. ",
        "! ",
        "3! ",
        ".",
        "\n",
        "x",
        "1x",
        "of 1 ",
        "é",
        "count to ",
        "what time is it in ",
        "\u{FFFC} ",
        "half of ",
        "search for ",
        "percent of ",
    ];
    for seed in seeds {
        let message = seed.repeat(65_536 / seed.len());
        let start = Instant::now();
        let plan = plan(&message);
        assert!(!plan.steps.is_empty() && !plan.reasoning().is_empty());
        // Far above what it takes, far below what a quadratic search would.
        assert!(start.elapsed() < Duration::from_secs(3), "{seed:?} took {:?}", start.elapsed());
    }
}

const WORDS: [&str; 48] = [
    "what",
    "is",
    "17*23",
    "how",
    "many",
    "words",
    "this",
    "sentence",
    "?",
    ".",
    ",",
    "and",
    "\"a b\"",
    "{\"a\":1}",
    "[0]",
    "$.a",
    "time",
    "in",
    "Tokyo",
    "days",
    "between",
    "2024-01-01",
    "1 May",
    "wait",
    "3",
    "seconds",
    "count",
    "from",
    "to",
    "search",
    "my threads",
    "for",
    "5!",
    "km",
    "%",
    "of",
    "(",
    ")",
    "\n",
    "'",
    "é",
    "🦀",
    ":",
    "half of",
    "add",
    "weeks",
    "ago",
    "12:30",
];

proptest! {
    #[test]
    fn any_text_has_a_plan(message in "(?s).{0,300}") {
        let plan = plan(&message);
        prop_assert!(!plan.steps.is_empty() && plan.steps.len() <= MAX_STEPS);
        prop_assert!(!plan.reasoning().is_empty());
    }

    #[test]
    fn any_mixture_of_asks_has_a_plan(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..60), glue in "[ ]{0,1}") {
        let plan = plan(&words.join(&glue));
        prop_assert!(!plan.steps.is_empty() && plan.steps.len() <= MAX_STEPS);
    }
}
