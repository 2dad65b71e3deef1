//! Files in a directory. Nothing is counted.

use super::{Addresses, Contestant, Counts, FLOOR, OURS, Store};

pub(super) fn start(name: &'static str) -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let url = format!("file://{path}/ours");
    let [paths, urls] = [&path, &url].map(|near| Addresses { near: near.clone(), far: String::new() });
    let contestants = vec![Contestant::here(FLOOR, "flock", &paths), Contestant::here(OURS, "ours", &urls)];
    let count = Box::new(move |_: &Contestant| {
        // The closure owns the directory, which is deleted when it is dropped.
        let _ = &directory;
        Counts::default()
    });
    let title = "files in one directory; the floor is `open` and `flock`".to_owned();
    Store { name, title, url, contestants, missing: Vec::new(), units: None, links: Vec::new(), most_held: None, count }
}
