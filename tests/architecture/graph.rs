//! Who uses whom, by name.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    pub(crate) fn add(&mut self, from: &str, to: &str) {
        if from != to {
            self.0.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }

    pub(crate) fn arrows(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.clone(), to.clone())))
    }

    pub(crate) fn from(&self, name: &str) -> BTreeSet<String> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// A way from `at` back to `goal`.
    fn way_back(&self, at: &str, goal: &str, seen: &mut BTreeSet<String>) -> Option<Vec<String>> {
        for next in self.from(at) {
            if next == goal {
                return Some(vec![next]);
            }
            if seen.insert(next.clone())
                && let Some(mut way) = self.way_back(&next, goal, seen)
            {
                way.insert(0, next);
                return Some(way);
            }
        }
        None
    }
}

/// The circles of a graph, each told once, from its first name on.
pub(crate) fn circles(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for start in graph.0.keys().filter(|start| !known.contains(*start)).cloned().collect::<Vec<_>>() {
        if known.contains(&start) {
            continue;
        }
        if let Some(way) = graph.way_back(&start, &start, &mut BTreeSet::new()) {
            found.push(format!("{start} uses {}", way.join(", which uses ")));
            known.extend(way);
        }
    }
    found
}
