//! A directory whose files are locked. Nobody counts.

use super::{Counts, FLOOR, OURS, Store, Who};

pub(super) fn start(name: &'static str) -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let url = format!("file://{path}/ours");
    let contestants = vec![Who::here(FLOOR, "flock", &path), Who::here(OURS, "ours", &url)];
    let count = Box::new(move |_: &Who| {
        // It keeps the directory.
        let _ = &directory;
        Counts::default()
    });
    let title = "files of one directory; the floor is open and flock".to_owned();
    Store { name, title, url, contestants, missing: Vec::new(), units: None, count }
}
