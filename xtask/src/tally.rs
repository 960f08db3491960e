//! How many tests passed and failed, read from what the two test runners print last.

use std::fmt;
use std::ops::AddAssign;

/// Counted tests; skipped and ignored ones are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The last summary line of nextest, without colours, and what it counts.
///
/// `Summary [ 1.2s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 3 skipped`
pub(crate) fn of_nextest(text: &str) -> Option<(String, Tally)> {
    text.lines().rev().find_map(|line| {
        let line = without_colours(line).trim().to_owned();
        let (_, counts) = line.strip_prefix("Summary [")?.split_once(" run: ")?;
        let tally = counted(&without_brackets(counts), ',')?;
        Some((line, tally))
    })
}

/// The sum of the lines by which rustdoc ends the doc tests of each crate.
///
/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s`
pub(crate) fn of_doc_tests(text: &str) -> Tally {
    let mut sum = Tally::default();
    for line in text.lines() {
        let line = without_colours(line);
        let counts = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "));
        if let Some(tally) = counts.and_then(|(_, counts)| counted(counts, ';')) {
            sum += tally;
        }
    }
    sum
}

/// Whatever ended neither well nor unseen has failed: failed, timed out, could not be started.
fn counted(counts: &str, separator: char) -> Option<Tally> {
    let mut tally = None;
    for part in counts.split(separator) {
        let Some((number, word)) = part.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        let tally: &mut Tally = tally.get_or_insert_default();
        match word.trim() {
            "passed" => tally.passed += number,
            "skipped" | "ignored" | "measured" | "filtered out" => {}
            _ => tally.failed += number,
        }
    }
    tally
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|&c| {
            depth += i32::from(c == '(');
            let outside = depth == 0;
            depth -= i32::from(c == ')');
            outside
        })
        .collect()
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(line: &str) -> Option<Tally> {
        of_nextest(line).map(|(_, tally)| tally)
    }

    #[test]
    fn nextest_summaries_of_every_form() {
        let line = "     Summary [   0.003s] 12 tests run: 12 passed, 0 skipped";
        assert_eq!(summary(line), Some(Tally { passed: 12, failed: 0 }));
        let line = "     Summary [   1.5s] 1 test run: 0 passed, 1 failed, 2 skipped";
        assert_eq!(summary(line), Some(Tally { passed: 0, failed: 1 }));
        let line = " Summary [ 9s] 9/20 tests run: 5 passed (1 slow, 1 leaky), 2 failed, 1 timed out, 1 exec failed, 0 skipped";
        assert_eq!(summary(line), Some(Tally { passed: 5, failed: 4 }));
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.003s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(summary(line), Some(Tally { passed: 2, failed: 0 }));
    }

    #[test]
    fn without_a_summary_there_is_no_count() {
        assert_eq!(summary("error: could not compile `xtask`"), None);
        assert_eq!(summary("test result: FAILED. 0 passed; 1 failed; 0 ignored"), None);
    }

    #[test]
    fn doc_tests_are_summed_over_crates() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
                    noise 4 passed\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(of_doc_tests(text), Tally { passed: 4, failed: 2 });
        assert_eq!(of_doc_tests(""), Tally::default());
    }

    #[test]
    fn it_prints_as_one_plain_line() {
        assert_eq!(Tally { passed: 4, failed: 2 }.to_string(), "4 passed, 2 failed");
    }
}
