//! A table that fits the terminal.

use rustix::termios::{isatty, tcgetwinsize};
use std::os::fd::AsFd;

/// The narrowest that a column is made.
const NARROWEST: usize = 8;

/// Rows of cells under headings.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// In characters; none for what is no terminal, where nothing is cut.
    width: Option<usize>,
}

impl Table {
    pub(super) fn new<const COLUMNS: usize>(headings: [&str; COLUMNS]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()], width: terminal_width() }
    }

    pub(super) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The lines, without blanks at their ends.
    pub(super) fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", cut(cell, *width)));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Of each column: the widest is made narrower until all of them fit.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let mut widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        let Some(width) = self.width else { return widths };
        loop {
            let total = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
            let widest = widths.iter_mut().max().filter(|widest| **widest > NARROWEST);
            match widest {
                Some(widest) if total > width => *widest -= (total - width).min(*widest - NARROWEST).min(4),
                _ => return widths,
            }
        }
    }
}

fn cut(cell: &str, width: usize) -> String {
    match cell.char_indices().nth(width) {
        Some(_) => cell.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => cell.to_owned(),
    }
}

fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    if !isatty(stdout.as_fd()) {
        return None;
    }
    tcgetwinsize(stdout.as_fd()).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_column_is_cut_until_the_table_fits() {
        let mut table = Table::new(["KEY", "HELD BY"]);
        table.add(vec!["/a".to_owned(), "x".repeat(100)]);
        table.width = Some(30);
        assert!(table.lines().iter().all(|line| line.chars().count() <= 30), "{:?}", table.lines());
        assert!(table.lines()[1].ends_with('…'));
        table.width = None;
        assert!(table.lines()[1].ends_with('x'));
        table.width = Some(3);
        assert_eq!(table.lines().len(), 2, "one that cannot fit is shown all the same");
    }
}
