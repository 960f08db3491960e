//! The README's promise in numbers: a whole test is ten lines. That it passes is the doc test's to say.

const README: &str = include_str!("../../README.md");

/// The lines of the first example, from the attribute to the closing brace.
fn ten_lines() -> Vec<&'static str> {
    let test = README.lines().skip_while(|line| !line.starts_with("#[tokio::test]"));
    let mut open = true;
    test.take_while(move |line| std::mem::replace(&mut open, *line != "}")).collect()
}

#[test]
fn the_ten_line_test_is_ten_lines() {
    let lines = ten_lines();
    assert_eq!(lines.len(), 10, "{}", lines.join("\n"));
    assert!(lines.iter().all(|line| !line.trim().is_empty() && line.chars().count() <= 120));
    assert_eq!((lines[0], lines[9]), ("#[tokio::test]", "}"));
}

/// It is compiled with a test harness and so is run; an example that is only shown would prove nothing.
#[test]
fn every_example_is_run() {
    let fences: Vec<_> = README.lines().filter(|line| line.starts_with("```")).step_by(2).collect();
    assert!(
        fences.iter().all(|fence| ["```rust,test_harness", "```", "```text"].contains(fence)),
        "{fences:?}"
    );
    assert_eq!(fences[0], "```rust,test_harness");
}
