//! The faults that `faults.sh` puts back, one by one, and that `make explore FAULTS=each` has to find.

use std::path::Path;
use std::process::Command;

#[test]
fn every_fault_can_still_be_put_back() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for patch in inside(&here.join("faults")).filter(|path| path.is_dir()).flat_map(|store| inside(&store)) {
        let checked =
            Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(here.join("../..")).output();
        let output = checked.unwrap();
        let text = std::fs::read_to_string(&patch).unwrap();
        assert!(output.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&output.stderr));
        assert!(text.starts_with("what: ") && text.contains("\nparts: "), "{} has no head", patch.display());
        count += 1;
    }
    assert!(count > 10, "{count} faults");
}
