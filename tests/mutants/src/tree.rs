//! The copy of the project that is changed.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library's root, to which the choice is added.
pub(crate) const LIBRARY: &str = "locks-runtime/src/lib.rs";

/// Copies what git tracks or would, as it is in the working tree, to `target/mutants/tree`, but what is to be changed. Returns where
/// that is, and the files of the runtime under these paths, as they are called in both.
pub(crate) fn copy(root: &Path, paths: &[String]) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let tree = root.join("target/mutants/tree");
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    let listed = listed.map_err(|error| format!("git ls-files: {error}"))?.stdout;
    let wanted: Vec<PathBuf> = paths.iter().map(|path| PathBuf::from("locks-runtime/src").join(path)).collect();
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&listed).split_terminator('\0').map(PathBuf::from) {
        let name = path.to_string_lossy();
        let is_source = name.ends_with(".rs") && !name.ends_with("tests.rs");
        if is_source && wanted.iter().any(|wanted| path.starts_with(wanted)) {
            files.push(path);
        } else if path != Path::new(LIBRARY) {
            // It may be removed, and not yet committed.
            let Ok(text) = std::fs::read(root.join(&path)) else { continue };
            write(&tree.join(&path), &text)?;
            copy_permissions(&root.join(&path), &tree.join(&path))?;
        }
    }
    // The servers, and other projects' clients.
    for installed in ["servers", "peers"] {
        let link = tree.join("target").join(installed);
        let linked = std::fs::create_dir_all(tree.join("target"))
            .and_then(|()| if link.exists() { Ok(()) } else { symlink(root.join("target").join(installed), link) });
        linked.map_err(|error| format!("target/{installed}: {error}"))?;
    }
    if files.is_empty() {
        return Err(format!("locks-runtime/src has no source files under {paths:?}"));
    }
    Ok((tree, files))
}

/// Writes what is not there already: what has not changed is not built again.
pub(crate) fn write(path: &Path, text: &[u8]) -> Result<(), String> {
    if std::fs::read(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder.and_then(|()| std::fs::write(path, text)).map_err(|error| format!("{}: {error}", path.display()))
}

/// A script stays one.
fn copy_permissions(from: &Path, to: &Path) -> Result<(), String> {
    let copied = std::fs::metadata(from).and_then(|known| std::fs::set_permissions(to, known.permissions()));
    copied.map_err(|error| format!("{}: {error}", to.display()))
}
