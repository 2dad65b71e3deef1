//! All of it, as Markdown.

use super::{Measured, Report, Row, shown};
use crate::case::CASES;
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Benchmark

`make bench KEEP=1` wrote this page, its plot, and what the README quotes. The **floor** is what a safe lock has to send at
least, straight by the store's client: on etcd one transaction that puts the entry and reads the line, one that deletes it, and
to wait a watch; on Redis one `SET NX PX`, one script that gives the lock on or deletes it, and to wait a message. `ours` is
`#[distributed_lock]`. All run by turns, case by case and round by round, in processes of their own; the figures are medians
of the rounds, and a ratio is one to the floor of the same round.

| column | |
|---|---|
| per s | holds per second, of all processes together |
| p50, p99 | milliseconds for acquire and release together; of a hand-off, from the first release while one waits to its own grant |
| ratio | more is better. Holds per second, to the floor's in the same case, and for a crowd on one key to its uncontended pair; of a hand-off, the floor's p50 to this one |
| RPCs, requests | that the server counted for each hold, with messages on streams |
| proposals | entries in the raft log for each hold |
| commands | that Redis carried out for each hold, also inside of scripts |

`rslock` and `flock` have no line. In a crowd without pauses whoever gives the lock back takes it again: the rate is high, and
the waits of the others, of up to 200 ms each with `rslock`, are few among all holds.

![Holds compared with the store's floor](bench.svg)
";

pub(super) fn markdown(report: &Report) -> String {
    let mut page = INTRODUCTION.to_owned();
    let Report { machine, rounds, .. } = report;
    write!(page, "\nOn one machine: {machine}. Rounds: {rounds}.\n").unwrap();
    for missing in report.missing() {
        write!(page, "\nnot installed: {missing}\n").unwrap();
    }
    report.stores.iter().for_each(|store| cases(&mut page, store));
    held(&mut page, report);
    local(&mut page, report);
    page
}

fn cases(page: &mut String, store: &Measured) {
    let units = store.units.map(|[requests, work]| format!(" {requests:>8} | {work:>9} |")).unwrap_or_default();
    let lines = store.units.map(|_| "---------:|----------:|").unwrap_or_default();
    write!(page, "\n## {}\n\n{}.\n\n", store.name, store.title).unwrap();
    writeln!(
        page,
        "| case                      | who                  |    per s |  p50 ms |  p99 ms |  ratio |{units}"
    )
    .unwrap();
    writeln!(
        page,
        "|---------------------------|----------------------|---------:|--------:|--------:|-------:|{lines}"
    )
    .unwrap();
    for case in &CASES {
        store.rows.iter().filter(|row| row.case.name == case.name).for_each(|row| line(page, store, row));
    }
}

fn line(page: &mut String, store: &Measured, row: &Row) {
    let [rate, p50, p99] = [row.median_of(|o| o.per_second), row.median_of(|o| o.p50), row.median_of(|o| o.p99)];
    let (case, ratio) = (row.case.name, shown(row.ratio()));
    write!(page, "| {case:<25} | {:<20} | {rate:>8.0} | {p50:>7.3} | {p99:>7.3} | {ratio:>6} |", row.who).unwrap();
    if store.units.is_some() {
        let [requests, work] = [row.median_of(|o| o.requests), row.median_of(|o| o.work)];
        write!(page, " {requests:>8.2} | {work:>9.2} |").unwrap();
    }
    page.push('\n');
}

fn held(page: &mut String, report: &Report) {
    let mut held = report.stores.iter().filter_map(|store| Some((store, store.held?))).peekable();
    let Some((_, first)) = held.peek() else { return };
    let seconds = first.watched.as_secs_f64();
    write!(
        page,
        "\n## {} held locks\n\n\
         Of one process with a TTL of 10 s, watched for {seconds} s while nothing happens. Renewals and the server's work are\n\
         what it counted; the processor time is the process' own, as a share of one core; memory is by how much the process\n\
         grew when it took them.\n\n\
         | store             | leases | renewals per s | the server's work per s | processor | memory  |\n\
         |-------------------|-------:|---------------:|------------------------:|----------:|--------:|\n",
        first.locks
    )
    .unwrap();
    for (store, held) in held {
        let leases = if held.leases == 0 { "–".to_owned() } else { held.leases.to_string() };
        let (unit, work) = (store.units.map_or("", |[_, work]| work), held.work);
        let work = format!("{work:.1} {unit}");
        let (processor, memory) = (format!("{:.3} %", held.processor), format!("{:.1} MB", held.megabytes));
        let (name, renewals) = (store.name, held.renewals);
        writeln!(page, "| {name:<17} | {leases:>6} | {renewals:>14.2} | {work:>23} | {processor:>9} | {memory:>7} |")
            .unwrap();
    }
}

fn local(page: &mut String, report: &Report) {
    page.push_str(
        "\n## Inside of one process\n\n\
         Nanoseconds for acquire and release together, and how much of it comes on top of what it is compared with: the\n\
         store in memory with `tokio::sync::Mutex`, the one of files with `flock`, a crowd with a crowd on the mutex.\n\n\
         | one key                            | ns a hold | on top |\n\
         |------------------------------------|----------:|-------:|\n",
    );
    for one in &report.local {
        let own = one.own().map(|nanos| format!("{nanos:.0}")).unwrap_or_default();
        writeln!(page, "| {:<34} | {:>9.0} | {own:>6} |", one.name, one.median()).unwrap();
    }
}
