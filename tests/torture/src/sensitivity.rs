//! How soon each flaw is caught, by seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::lock::Flaw;

/// For each flaw what each seed's run found.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<String, Vec<(u64, Option<Duration>)>>);

impl Table {
    /// Adds a run, which caught the flaw after this time or not at all.
    pub fn add(&mut self, flaw: Flaw, seed: u64, caught_after: Option<Duration>) {
        self.0.entry(flaw.to_string()).or_default().push((seed, caught_after));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| flaw | runs | caught | seconds: least, median, most | not caught with seeds |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for (flaw, runs) in &self.0 {
            let mut times: Vec<u64> = runs.iter().filter_map(|(_, after)| Some((*after)?.as_secs())).collect();
            times.sort_unstable();
            let missed: Vec<String> =
                runs.iter().filter(|(_, after)| after.is_none()).map(|(seed, _)| seed.to_string()).collect();
            let times_shown = match (times.first(), times.get(times.len() / 2), times.last()) {
                (Some(least), Some(median), Some(most)) => format!("{least}, {median}, {most}"),
                _ => "–".to_owned(),
            };
            let missed = if missed.is_empty() { "none".to_owned() } else { missed.join(", ") };
            writeln!(f, "| `{flaw}` | {} | {} | {times_shown} | {missed} |", runs.len(), times.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_missed_is_named() {
        let mut table = Table::default();
        for (seed, seconds) in [(1, Some(9)), (2, None), (3, Some(12)), (4, Some(30))] {
            table.add(Flaw::LateDeadline, seed, seconds.map(Duration::from_secs));
        }
        table.add(Flaw::ShortLeast, 1, None);
        let text = table.to_string();
        assert!(text.contains("| `late-deadline` | 4 | 3 | 9, 12, 30 | 2 |"), "{text}");
        assert!(text.contains("| `short-least` | 1 | 0 | – | 1 |"), "{text}");
    }
}
