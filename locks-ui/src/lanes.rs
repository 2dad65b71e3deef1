//! Who had a lock since the page watches it: a lane for each, from left to right as time goes.

use crate::history::{End, Hold};
use crate::node::{Element, Node, element, of_class};
use crate::text;

/// How wide the picture is, and a lane high, in units of its own.
const WIDTH: u64 = 1_000;
const HEIGHT: usize = 22;
/// So many holders have a lane.
const MOST_LANES: usize = 12;
/// A hold that begins so soon after the end of another follows it.
const HANDED_OFF_MS: u64 = 1_000;

pub(crate) fn lanes(holds: &[Hold], from_ms: u64, now_ms: u64) -> Element {
    let part = of_class("section", "lanes");
    let part =
        part.child(element("h3").text("Who had it, since ").child(of_class("span", "moment").text(moment(from_ms))));
    if holds.is_empty() {
        return part.child(element("p").text("Nobody."));
    }
    let from_ms = holds.iter().map(|hold| hold.from_ms).min().unwrap_or(from_ms).max(from_ms);
    let names = names(holds);
    let beside = of_class("div", "names").children(names.iter().map(|name| element("span").text(name.as_str())));
    let picture = picture(holds, &names, from_ms, now_ms);
    part.child(of_class("div", "chart").child(beside).child(picture)).child(list(holds))
}

fn moment(ms: u64) -> String {
    format!("{} UTC", text::time_of_day(ms))
}

fn picture(holds: &[Hold], names: &[String], from_ms: u64, now_ms: u64) -> Element {
    let height = names.len() * HEIGHT;
    let span = now_ms.saturating_sub(from_ms).max(1);
    let at = |ms: u64| ms.saturating_sub(from_ms).min(span) * WIDTH / span;
    let lane = |hold: &Hold| names.iter().position(|name| *name == who(hold));
    let mut svg = element("svg")
        .with("viewBox", format!("0 0 {WIDTH} {height}"))
        .with("preserveAspectRatio", "none")
        .with("height", height.to_string())
        .with("role", "img")
        .with("aria-label", "lanes of its holders; the same as text is below");
    for hold in holds {
        let Some(lane) = lane(hold) else { continue };
        let (begin, end) = (at(hold.from_ms), at(hold.end.map_or(now_ms, |(ms, _)| ms)));
        let bar = element("rect")
            .with("x", begin.to_string())
            .with("y", (lane * HEIGHT + 4).to_string())
            .with("width", end.saturating_sub(begin).max(2).to_string())
            .with("height", (HEIGHT - 8).to_string());
        svg = svg.child(bar.with("class", class(hold)));
    }
    for pair in holds.windows(2) {
        if let ([one, next], Some((end, _))) = (pair, pair[0].end)
            && next.from_ms.saturating_sub(end) <= HANDED_OFF_MS
            && let (Some(above), Some(below)) = (lane(one), lane(next))
        {
            let x = at(end).to_string();
            let y = |lane: usize| (lane * HEIGHT + HEIGHT / 2).to_string();
            let line =
                element("line").with("x1", x.as_str()).with("x2", x.as_str()).with("y1", y(above)).with("y2", y(below));
            svg = svg.child(line.with("class", "hand-off"));
        }
    }
    svg
}

fn class(hold: &Hold) -> &'static str {
    match hold.end {
        None => "held",
        Some((_, End::Released)) => "released",
        Some((_, End::Lapsed | End::Broken)) => "lost",
    }
}

/// The same as text, the newest first.
fn list(holds: &[Hold]) -> Element {
    let item = |hold: &Hold| {
        let begun = format!("{} {} ", moment(hold.from_ms), who(hold));
        let item = element("li").text(begun);
        match hold.end {
            None => item.child(of_class("b", "held").text("holds it")),
            Some((ms, end)) => {
                let for_ms = text::length(ms.saturating_sub(hold.from_ms));
                let how = match end {
                    End::Released => "released it",
                    End::Lapsed => "lost it: not renewed, as it seems",
                    End::Broken => "lost it: released by force from this page",
                };
                item.text(format!("{how} after {for_ms}"))
            }
        }
    };
    element("ol").with("reversed", "").children(holds.iter().rev().map(item).map(Node::from))
}

fn who(hold: &Hold) -> String {
    let (name, place) = (text::name(&hold.holder), text::place(&hold.holder));
    if place.is_empty() { name } else { format!("{name} {place}") }
}

/// Those who have lanes: the last ones, in the order of their holds.
fn names(holds: &[Hold]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in holds.iter().rev().map(who) {
        if !names.contains(&name) && names.len() < MOST_LANES {
            names.push(name);
        }
    }
    names.reverse();
    names
}
