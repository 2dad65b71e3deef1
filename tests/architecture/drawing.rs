//! The drawings in ARCHITECTURE.md.

use crate::graph::Graph;
use crate::source::read;
use std::collections::BTreeSet;

/// One drawing: its floors, if it has several, and the arrows that are drawn.
pub(crate) struct Drawing {
    floors: Vec<String>,
    rooms: BTreeSet<String>,
    arrows: Graph,
}

impl Drawing {
    /// Reads the block that begins with three back-quotes and `name`:
    ///
    /// ```text
    /// floors: values, world
    /// world
    /// engine/hold -> engine/session
    /// ```
    pub(crate) fn read(name: &str) -> Self {
        let text = read("ARCHITECTURE.md");
        let start = format!("```{name}\n");
        let block = text.split(&start).nth(1).unwrap_or_else(|| panic!("no block {start} in ARCHITECTURE.md"));
        let mut drawing = Self { floors: Vec::new(), rooms: BTreeSet::new(), arrows: Graph::default() };
        for line in block.split("```").next().unwrap().lines().filter(|line| !line.trim().is_empty()) {
            let names =
                |list: &str| list.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
            if let Some(list) = line.strip_prefix("floors:") {
                drawing.floors = names(list);
                continue;
            }
            let (room, to) = line.split_once("->").unwrap_or((line, ""));
            let to: Vec<String> = names(to);
            for room in names(room) as Vec<String> {
                assert!(drawing.rooms.insert(room.clone()), "{room} is drawn twice");
                to.iter().for_each(|to| drawing.arrows.add(&room, to));
            }
        }
        drawing
    }

    /// How high a room is; everything is on one floor where the drawing names none.
    pub(crate) fn floor(&self, room: &str) -> usize {
        let floor = room.split('/').next().unwrap_or(room);
        self.floors.iter().position(|name| name == floor).unwrap_or(0)
    }

    /// What is in one of drawing and code only. Arrows to lower floors are not drawn.
    pub(crate) fn differences(&self, rooms: &BTreeSet<String>, used: &Graph) -> Vec<String> {
        let both = rooms.symmetric_difference(&self.rooms);
        let mut wrong: Vec<String> =
            both.map(|room| format!("a room only in one of drawing and code: {room}")).collect();
        for room in rooms {
            let used: BTreeSet<_> =
                used.from(room).into_iter().filter(|to| self.floor(to) == self.floor(room)).collect();
            let drawn = self.arrows.from(room);
            wrong.extend(used.difference(&drawn).map(|to| format!("in the code, not in the drawing: {room} -> {to}")));
            wrong.extend(drawn.difference(&used).map(|to| format!("in the drawing, not in the code: {room} -> {to}")));
        }
        wrong
    }
}
