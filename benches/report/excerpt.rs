//! The excerpt in the README, between its two markers.

use super::{Measured, Report, shown};
use crate::case::{CASES, Case};
use crate::local::ATTRIBUTE;
use crate::store::{FLOOR, OURS};
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
    let mut text = "![Holds compared with the store's floor](docs/bench.svg)\n\n| ratio to the floor |".to_owned();
    let servers: Vec<&Measured> = report.stores.iter().filter(|store| store.units.is_some()).collect();
    for store in &servers {
        write!(text, " {}: {} |", store.name, store.contestants().join(" / ")).unwrap();
    }
    write!(text, "\n|---|{}\n", "---|".repeat(servers.len())).unwrap();
    for case in &CASES {
        write!(text, "| {} |", case.name).unwrap();
        servers.iter().for_each(|store| text.push_str(&cell(store, case)));
        text.push('\n');
    }
    text.push_str("| uncontended pair, p50 and p99 of ours |");
    servers.iter().for_each(|store| text.push_str(&pair(store)));
    write!(text, "\n\n{}", sentences(report)).unwrap();
    text
}

/// "**0.97** / 0.95 / 0.70"
fn cell(store: &Measured, case: &Case) -> String {
    let ratios = store.contestants().into_iter().map(|contestant| match store.row(case, contestant) {
        Some(row) if contestant == OURS => format!("**{}**", shown(row.ratio())),
        Some(row) => shown(row.ratio()),
        None => "–".to_owned(),
    });
    format!(" {} |", ratios.collect::<Vec<_>>().join(" / "))
}

/// The times of the uncontended pair, and the floor's.
fn pair(store: &Measured) -> String {
    let times =
        |contestant| store.row(&CASES[0], contestant).map(|row| (row.median_of(|o| o.p50), row.median_of(|o| o.p99)));
    let (Some((p50, p99)), Some((floor, _))) = (times(OURS), times(FLOOR)) else { return " – |".to_owned() };
    format!(" {p50:.2} ms, {p99:.2} ms (floor {floor:.2} ms) |")
}

fn sentences(report: &Report) -> String {
    let mut text = String::new();
    if let Some(held) = report.stores.iter().find_map(|store| store.held.filter(|held| held.leases > 0)) {
        writeln!(
            text,
            "{} locks held on etcd without users cost {} lease, {:.1} renewals per second, {:.2} % of a core and {:.0} MB.",
            held.locks, held.leases, held.renewals, held.processor, held.megabytes
        )
        .unwrap();
    }
    if let Some(one) = report.local.iter().find(|one| one.name == ATTRIBUTE) {
        let (whole, overhead) = (one.median(), one.overhead().unwrap_or(f64::NAN));
        writeln!(
            text,
            "The attribute on `memory:` takes {whole:.0} ns, {overhead:.0} ns more than a `tokio::sync::Mutex`."
        )
        .unwrap();
    }
    // Without the versions of the clients, which are on the page.
    let servers = report.stores.iter().filter(|store| store.units.is_some());
    let servers: Vec<&str> = servers.filter_map(|store| store.title.split(';').next()).collect();
    writeln!(text, "Medians of {} rounds on {}. {}.", report.rounds, report.machine, servers.join("; ")).unwrap();
    text.push_str("All figures: [docs/BENCHMARK.md](docs/BENCHMARK.md).\n");
    text
}
