//! What the example `migrate` prints: whoever migrates is killed in the middle, another does it, and the third finds it done.

/// One of three was killed, one of two has migrated, and the other found that done.
#[track_caller]
pub fn assert_is_done_once(printed: &str) {
    let count = |text: &str| printed.lines().filter(|line| line.contains(text)).count();
    for text in
        ["deployment: kill -9 instance", ": migrated, 3 steps; now", ": found it done, version `7` by migrate ("]
    {
        assert_eq!(count(text), 1, "`{text}` in:\n{printed}");
    }
    assert_eq!(count("deployment: on record is version `7` by migrate ("), 1, "{printed}");
    // The first, who was killed, and the second.
    let names = |text: &str| printed.lines().find(|line| line.contains(text)).and_then(|line| line.split(':').next());
    let killed = printed.lines().find_map(|line| line.strip_prefix("deployment: kill -9 "));
    assert!(killed.is_some() && killed != names(": migrated"), "{printed}");
}
