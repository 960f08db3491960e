//! Tables for people: Markdown, with columns that line up in a terminal as well.

/// A table with a head and rows of as many cells each.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// As Markdown, with a newline after every row. Cells that start with a digit stand on the right.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| {
                self.rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, &width) in row.iter().zip(&widths) {
                let is_number = cell.starts_with(|c: char| c.is_ascii_digit());
                text += &if is_number { format!("| {cell:>width$} ") } else { format!("| {cell:<width$} ") };
            }
            text += "|\n";
            if number == 0 {
                text.extend(widths.iter().map(|width| format!("|{}", "-".repeat(width + 2))));
                text += "|\n";
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["step", "time"]);
        table.push(vec!["fmt".into(), "1 s".into()]);
        table.push(vec!["clippy".into(), "120 s".into()]);
        let expected = "| step   | time  |\n|--------|-------|\n| fmt    |   1 s |\n| clippy | 120 s |\n";
        assert_eq!(table.markdown(), expected);
    }
}
