//! The ratios as bars, for the README; readable on light and on dark pages, since it brings its own background.

use super::{Measured, Report, shown};
use crate::case::{CASES, Case};
use crate::store::OURS;
use std::fmt::Write as _;

/// For readers who prefer dark pages; without it the background is white.
const STYLE: &str = "<style>
@media (prefers-color-scheme: dark) { .page { fill: #0d1117 } text { fill: #e6edf3 } path { stroke: #6e7681 } }
</style>
";
const PAGE: &str = "#ffffff";
const INK: &str = "#1f2328";
const LINE: &str = "#8c959f";
/// These stand out from either background.
const OUR_COLOUR: &str = "#2f86d9";
const COLOURS: [&str; 5] = ["#7d8590", "#bc7a00", "#8f63e0", "#1f8f6f", "#d1495b"];

const WIDTH: f64 = 860.0;
/// Around everything.
const PADDING: f64 = 14.0;
/// Where the panels begin: before them are the names of the cases.
const LEFT: f64 = 190.0;
/// The panels of a row.
const COLUMNS: usize = 3;
/// Above the first row of panels, for the legend.
const LEGEND: f64 = 48.0;
/// Above the bars of a panel, for its title.
const TOP: f64 = 36.0;
/// Below the bars of a panel, for its scale.
const BOTTOM: f64 = 32.0;
/// The height of a case.
const ROW: f64 = 42.0;
/// The height of a bar.
const BAR: f64 = 10.0;
/// On either side of a panel, for figures beyond the ends of the bars.
const MARGIN: f64 = 38.0;

/// Where a panel is, with its logarithmic axis.
#[derive(Clone, Copy)]
struct Panel {
    axis: Axis,
    top: f64,
}

/// A logarithmic axis.
#[derive(Clone, Copy)]
struct Axis {
    /// The powers of ten at its ends.
    from: f64,
    to: f64,
    left: f64,
    width: f64,
}

impl Axis {
    fn at(&self, ratio: f64) -> f64 {
        let inside = (ratio.log10().clamp(self.from, self.to) - self.from) / (self.to - self.from);
        self.left + MARGIN + inside * (self.width - 2.0 * MARGIN)
    }
}

pub(super) fn svg(report: &Report) -> String {
    let stores: Vec<&Measured> = report.stores.iter().filter(|store| store.units.is_some()).collect();
    let below = TOP + ROW * count(cases().count()) + BOTTOM;
    let height = LEGEND + below * count(stores.len().div_ceil(COLUMNS)) + PADDING;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <title>Holds compared with the store's own floor</title>\n{STYLE}\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"{PAGE}\"/>\n"
    );
    legend(&mut svg, &contestants(&stores));
    let (from, to) = range(&stores);
    let width = (WIDTH - LEFT - PADDING) / count(COLUMNS);
    for (at, store) in stores.iter().enumerate() {
        let (column, row) = (at % COLUMNS, at / COLUMNS);
        let top = LEGEND + below * count(row) + TOP;
        if column == 0 {
            names(&mut svg, top);
        }
        let axis = Axis { from, to, left: LEFT + width * count(column), width };
        panel(&mut svg, store, Panel { axis, top }, &contestants(&stores));
    }
    svg.push_str("</svg>\n");
    svg
}

fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| case.is_plotted())
}

fn names(svg: &mut String, top: f64) {
    for (at, case) in cases().enumerate() {
        text(svg, PADDING, top + ROW * count(at) + ROW / 2.0 + 4.0, "start", case.name);
    }
}

fn legend(svg: &mut String, contestants: &[&'static str]) {
    let mut x = PADDING;
    for contestant in contestants {
        bar(svg, x, 12.0, BAR, colour(contestant, contestants));
        text(svg, x + BAR + 6.0, 21.0, "start", contestant);
        x += 40.0 + 6.6 * count(contestant.len());
    }
    text(svg, PADDING, 41.0, "start", "1 is the store's floor, on a logarithmic scale; more is better");
}

fn panel(svg: &mut String, store: &Measured, panel: Panel, contestants: &[&'static str]) {
    let Panel { axis, top } = panel;
    let bottom = top + ROW * count(cases().count());
    let middle = axis.left + axis.width / 2.0;
    writeln!(
        svg,
        "<text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-weight=\"600\">{}</text>",
        top - 14.0,
        store.name
    )
    .unwrap();
    let mut decade = axis.from.ceil();
    while decade <= axis.to {
        let (x, width) = (axis.at(10_f64.powf(decade)), if decade == 0.0 { 1.5 } else { 0.4 });
        writeln!(svg, "<path d=\"M{x:.1} {:.1} V{bottom:.1}\" stroke=\"{LINE}\" stroke-width=\"{width}\"/>", top - 8.0)
            .unwrap();
        let label = 10_f64.powf(decade);
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\">{label}</text>",
            bottom + 14.0
        )
        .unwrap();
        decade += 1.0;
    }
    let own = store.contestants();
    for (at, case) in cases().enumerate() {
        let first = top + ROW * count(at) + (ROW - BAR * count(own.len())) / 2.0;
        for (number, contestant) in own.iter().enumerate() {
            if let Some(ratio) = ratio(store, case, contestant) {
                ratio_bar(svg, axis, first + BAR * count(number), ratio, colour(contestant, contestants));
            }
        }
    }
}

/// A bar from the floor to the ratio, with the figure at its end.
fn ratio_bar(svg: &mut String, axis: Axis, y: f64, ratio: f64, colour: &str) {
    let (floor, end) = (axis.at(1.0), axis.at(ratio));
    let (left, width) = (floor.min(end), (floor - end).abs().max(2.0));
    writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>",
        BAR - 1.0
    )
    .unwrap();
    let (x, anchor) = if ratio < 1.0 { (left - 3.0, "end") } else { (left + width + 3.0, "start") };
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"10\">{}</text>",
        y + 8.5,
        shown(ratio)
    )
    .unwrap();
}

fn bar(svg: &mut String, x: f64, y: f64, side: f64, colour: &str) {
    writeln!(svg, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side}\" height=\"{side}\" fill=\"{colour}\"/>").unwrap();
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>").unwrap();
}

fn ratio(store: &Measured, case: &Case, contestant: &str) -> Option<f64> {
    store.row(case, contestant).map(super::Row::ratio).filter(|ratio| ratio.is_finite() && *ratio > 0.0)
}

/// The contestants of any of these stores, ours first.
fn contestants(stores: &[&Measured]) -> Vec<&'static str> {
    let mut contestants = Vec::new();
    for contestant in stores.iter().flat_map(|store| store.contestants()) {
        if !contestants.contains(&contestant) {
            contestants.push(contestant);
        }
    }
    contestants
}

fn colour(contestant: &str, contestants: &[&'static str]) -> &'static str {
    let position = contestants.iter().filter(|other| **other != OURS).position(|other| *other == contestant);
    position.map_or(OUR_COLOUR, |position| COLOURS[position % COLOURS.len()])
}

/// The powers of ten between which the ratios lie; those below 1/100 are cut off.
fn range(stores: &[&Measured]) -> (f64, f64) {
    let ratios = stores.iter().flat_map(|store| store.rows.iter().map(super::Row::ratio)).filter(|ratio| *ratio > 0.0);
    let logs: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).map(f64::log10).collect();
    let (least, most) = (logs.iter().copied().fold(-1.0, f64::min), logs.iter().copied().fold(1.0, f64::max));
    (least.max(-2.0), most)
}

fn count(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::NAN, f64::from)
}
