//! Two sequences side by side: what was expected, what came, and where they part.

use std::fmt;

use wireproof_protocol::shorten_line;

/// Characters of one column.
const WIDTH: usize = 48;

/// Lines shown before and after the first difference; the others are counted.
const AROUND: usize = 25;

/// Two sequences, aligned so that as much as possible stands beside its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diff(Vec<Row>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Row {
    Same(String, String),
    Missing(String),
    Unexpected(String),
}

impl Diff {
    /// Aligns what was expected with what came, by what `fits` says of a pair; both are shown by their words.
    pub(crate) fn of(expected: &[String], came: &[String], fits: impl Fn(usize, usize) -> bool) -> Self {
        let common = lengths(expected.len(), came.len(), &fits);
        let (mut e, mut c, mut rows) = (0, 0, Vec::new());
        while e < expected.len() || c < came.len() {
            if e < expected.len() && c < came.len() && fits(e, c) && common[e][c] == common[e + 1][c + 1] + 1
            {
                rows.push(Row::Same(expected[e].clone(), came[c].clone()));
                (e, c) = (e + 1, c + 1);
            } else if c == came.len() || (e < expected.len() && common[e + 1][c] >= common[e][c + 1]) {
                rows.push(Row::Missing(expected[e].clone()));
                e += 1;
            } else {
                rows.push(Row::Unexpected(came[c].clone()));
                c += 1;
            }
        }
        Self(rows)
    }

    /// The same of two lists of names.
    pub(crate) fn of_names(expected: &[&str], came: &[&str]) -> Self {
        let words = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self::of(&words(expected), &words(came), |e, c| expected[e] == came[c])
    }

    /// The row in which they part; nothing when they do not.
    fn parts_at(&self) -> Option<usize> {
        self.0.iter().position(|row| !matches!(row, Row::Same(..)))
    }
}

/// For each pair of places, how many of what is left can be beside its like.
fn lengths(expected: usize, came: usize, fits: &impl Fn(usize, usize) -> bool) -> Vec<Vec<u32>> {
    let mut common = vec![vec![0; came + 1]; expected + 1];
    for e in (0..expected).rev() {
        for c in (0..came).rev() {
            common[e][c] = match fits(e, c) {
                true => common[e + 1][c + 1] + 1,
                false => common[e + 1][c].max(common[e][c + 1]),
            };
        }
    }
    common
}

impl fmt::Display for Diff {
    /// One line a row; `>` marks the first one in which they part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts_at = self.parts_at();
        let (first, rows) = (parts_at.unwrap_or(0).saturating_sub(AROUND), self.0.len());
        let last = (parts_at.unwrap_or(0) + AROUND).min(rows);
        let width =
            self.0.iter().map(|row| row.expected().chars().count()).max().unwrap_or(0).clamp(8, WIDTH);
        writeln!(f, "        {:width$}  came", "expected")?;
        if first > 0 {
            writeln!(f, "       ... {first} alike before")?;
        }
        for (index, row) in self.0.iter().enumerate().take(last).skip(first) {
            let mark = if parts_at == Some(index) { ">" } else { " " };
            let (expected, came) = (shorten_line(row.expected(), WIDTH - 1), shorten_line(row.came(), WIDTH));
            writeln!(f, "  {mark}{:>4} {expected:width$}  {came}{}", index + 1, row.words())?;
        }
        if last < rows {
            writeln!(f, "       ... {} more", rows - last)?;
        }
        Ok(())
    }
}

impl Row {
    fn expected(&self) -> &str {
        match self {
            Row::Same(expected, _) | Row::Missing(expected) => expected,
            Row::Unexpected(_) => "-",
        }
    }

    fn came(&self) -> &str {
        match self {
            Row::Same(_, came) | Row::Unexpected(came) => came,
            Row::Missing(_) => "-",
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Row::Same(..) => "",
            Row::Missing(_) => "   missing",
            Row::Unexpected(_) => "   not expected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_too_much_stand_where_they_belong() {
        let diff =
            Diff::of_names(&["started", "tool", "tool_end", "end"], &["started", "tool_end", "x", "end"]);
        let words = [
            "       expected  came",
            "    1 started   started",
            "  >  2 tool      -   missing",
            "    3 tool_end  tool_end",
            "    4 -         x   not expected",
            "    5 end       end",
        ];
        let text = diff.to_string();
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&text), squeezed(&words.join("\n")), "\n{text}");
        assert_eq!(diff.parts_at(), Some(1));
    }

    #[test]
    fn a_swap_is_one_missing_and_one_too_much_and_alikes_part_nowhere() {
        let swapped = Diff::of_names(&["a", "b"], &["b", "a"]);
        assert_eq!(swapped.0.iter().filter(|row| matches!(row, Row::Same(..))).count(), 1);
        assert_eq!(Diff::of_names(&["a", "b"], &["a", "b"]).parts_at(), None);
        assert_eq!(Diff::of_names(&[], &["a"]).parts_at(), Some(0));
    }

    #[test]
    fn of_long_sequences_the_surroundings_of_the_difference_are_shown() {
        let (mut expected, came) = (vec!["a"; 300], vec!["a"; 299]);
        expected[200] = "b";
        let text = Diff::of_names(&expected, &came).to_string();
        assert!(text.contains("175 alike before") && text.contains("> 201 b "), "\n{text}");
        assert!(text.lines().count() < 60);
    }
}
