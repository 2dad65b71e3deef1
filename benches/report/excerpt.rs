//! The excerpt in the README, between its two markers.

use super::{Measured, Report, shown};
use crate::case::CASES;
use crate::store::OURS;
use std::fmt::Write as _;

const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// The README with this report in place of the previous one.
pub(super) fn replace_in(readme: &str, report: &Report) -> String {
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the marker `<!-- bench -->`");
    let (_, after) = rest.split_once(END).expect("the README has the marker `<!-- /bench -->`");
    format!("{before}{BEGIN}\n{}{END}{after}", excerpt(report))
}

fn excerpt(report: &Report) -> String {
    let mut text = "![Holds compared with the store's floor](docs/bench.svg)\n\n".to_owned();
    let pairs: Vec<String> = report.stores.iter().filter(|store| store.units.is_some()).filter_map(pair).collect();
    if !pairs.is_empty() {
        // The README has no room for more lines.
        let introduction = "Compared with the **floor**, the least that is sent to the same store for a lock, acquire and release \
                            together have\n";
        let lines: Vec<String> = pairs.chunks(2).map(|two| format!("- {}", two.join("; "))).collect();
        writeln!(text, "{introduction}{}\n", lines.join("\n")).unwrap();
    }
    text.push_str(&sentences(report));
    text
}

/// "on Redis: **0.70** of its rate (p50 0.27 ms, p99 0.65 ms)"
fn pair(store: &Measured) -> Option<String> {
    let row = store.row(&CASES[0], OURS)?;
    let (ratio, p50, p99) = (shown(row.ratio()), row.median_of(|o| o.p50), row.median_of(|o| o.p99));
    Some(format!("on {}: **{ratio}** of its rate (p50 {p50:.2} ms, p99 {p99:.2} ms)", store.name))
}

fn sentences(report: &Report) -> String {
    // Without the versions of the clients, which are on the page.
    let servers = report.stores.iter().filter(|store| store.units.is_some());
    let servers: Vec<&str> = servers.filter_map(|store| store.title.split(';').next()).collect();
    let rounds =
        if report.rounds == 1 { "One round".to_owned() } else { format!("Medians of {} rounds", report.rounds) };
    format!(
        "{rounds} on {}. {}. All figures, and other clients: [BENCHMARK](docs/BENCHMARK.md).\n",
        report.machine,
        servers.join("; ")
    )
}
