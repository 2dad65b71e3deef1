//! Whether a directory is this user's alone.
//!
//! Who may put another file, link or directory in the place of one on the way to a lock decides what this process opens and
//! writes, as whatever user it runs. So every part of the path must belong to root or to this user, and be in a directory
//! where nobody else can replace it; the last part may be written by nobody else at all. Then nothing of what was looked at
//! can be another thing by the time it is opened.

use super::error::refused;
use crate::values::error::{Error, ErrorKind};
use rustix::process::geteuid;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// As many links in a row as the kernel follows.
const LINKS: u32 = 40;
const ROOT: u32 = 0;
/// Writable by the group, or by all.
const OTHERS_WRITE: u32 = 0o022;
/// Only its owner removes a file from such a directory, whoever may write there.
const STICKY: u32 = 0o1000;

/// What to do about what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it, for this user alone.
    Make,
    Leave,
}

/// A directory that the path led to, and that was found to be this user's alone. No other user can make the path lead to it
/// in another way, or change what was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trusted {
    file: (u64, u64),
    owner: (u32, u32),
    user: u32,
}

impl Trusted {
    /// What the path leads to, links included, without a look at the way there.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Self::of(&found))
    }

    fn of(found: &Metadata) -> Self {
        Self { file: (found.dev(), found.ino()), owner: (found.uid(), found.mode()), user: user() }
    }
}

/// Follows the path to a directory; returns what is there, if it is.
///
/// # Errors
///
/// `Unauthorized` if other users own or may replace a part of it, and as [`refused`] says.
pub(super) fn walk(path: &Path, missing: Missing) -> Result<Option<Trusted>, Error> {
    let mut walk = Walk { at: PathBuf::from("/"), here: look_at(Path::new("/"))?, links: 0, rest: Vec::new() };
    walk.push(path);
    while let Some(name) = walk.rest.pop() {
        if !walk.step(name, missing)? {
            return Ok(None);
        }
    }
    judge(&walk.at, &walk.here, Place::Last)?;
    Ok(Some(Trusted::of(&walk.here)))
}

/// This process's user, whose files and directories are trusted.
pub(super) fn user() -> u32 {
    geteuid().as_raw()
}

#[derive(Debug)]
struct Walk {
    /// Where it is, with every link resolved.
    at: PathBuf,
    here: Metadata,
    links: u32,
    /// What is still to come, the next one last.
    rest: Vec<OsString>,
}

impl Walk {
    fn push(&mut self, path: &Path) {
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => self.rest.push(name.to_owned()),
                Component::ParentDir => self.rest.push("..".into()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }

    /// Goes on to `name`; `false` if it is missing.
    fn step(&mut self, name: OsString, missing: Missing) -> Result<bool, Error> {
        if name == ".." {
            self.at.pop();
            self.here = look_at(&self.at)?;
            return Ok(true);
        }
        let next = self.at.join(name);
        let found = match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == Io::NotFound && missing == Missing::Make => make(&next)?,
            Err(error) if error.kind() == Io::NotFound => return Ok(false),
            found => found.map_err(|error| refused("look at", &next, error))?,
        };
        if found.is_symlink() {
            return self.follow(&next, &found).map(|()| true);
        }
        if !found.is_dir() {
            return Err(refused("use", &next, Io::NotADirectory.into()));
        }
        judge(&next, &found, Place::OnTheWay)?;
        (self.at, self.here) = (next, found);
        Ok(true)
    }

    /// Goes on to where a link leads. In a directory that all may write it is as good as its owner.
    fn follow(&mut self, link: &Path, found: &Metadata) -> Result<(), Error> {
        if self.here.mode() & OTHERS_WRITE != 0 && !is_trusted(found.uid(), user()) {
            return Err(belongs_to_another(link, found.uid()));
        }
        self.links += 1;
        if self.links > LINKS {
            return Err(refused("follow", link, rustix::io::Errno::LOOP.into()));
        }
        let target = fs::read_link(link).map_err(|error| refused("follow", link, error))?;
        if target.is_absolute() {
            self.at = PathBuf::from("/");
            self.here = look_at(&self.at)?;
        }
        self.push(&target);
        Ok(())
    }
}

fn look_at(path: &Path) -> Result<Metadata, Error> {
    fs::symlink_metadata(path).map_err(|error| refused("look at", path, error))
}

/// Makes a directory; what another process has made meanwhile is looked at as if it had been there.
fn make(path: &Path) -> Result<Metadata, Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == Io::AlreadyExists => {}
        Err(error) if error.kind() == Io::PermissionDenied => return Err(may_not_make(path, error)),
        made => made.map_err(|error| refused("make the directory", path, error))?,
    }
    look_at(path)
}

fn may_not_make(path: &Path, error: io::Error) -> Error {
    let message = format!(
        "cannot make the directory `{shown}`: this user may not write there; choose another directory, or let root make it \
         with `install -d -m 700 -o {user} {shown}`",
        shown = path.display(),
        user = user(),
    );
    Error::new(ErrorKind::Unauthorized, message).with_source(error)
}

/// Where on the path a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OnTheWay,
    Last,
}

fn judge(path: &Path, found: &Metadata, place: Place) -> Result<(), Error> {
    // Whoever the root directory belongs to could replace everything on this machine.
    if path != Path::new("/") && !is_trusted(found.uid(), user()) {
        return Err(belongs_to_another(path, found.uid()));
    }
    if is_closed(found.mode(), place) { Ok(()) } else { Err(others_may_write(path, found.mode())) }
}

fn is_trusted(owner: u32, user: u32) -> bool {
    owner == ROOT || owner == user
}

/// Whether nobody but its owner can replace what is in a directory of this mode.
fn is_closed(mode: u32, place: Place) -> bool {
    mode & OTHERS_WRITE == 0 || (place == Place::OnTheWay && mode & STICKY != 0)
}

fn belongs_to_another(path: &Path, owner: u32) -> Error {
    let message = format!(
        "`{shown}` belongs to user {owner}, and this program runs as user {user}: its owner could put other files in the \
         place of the locks'. Remove it, or choose a directory of this user's own: `install -d -m 700 -o {user} DIRECTORY`",
        shown = path.display(),
        user = user(),
    );
    Error::new(ErrorKind::Unauthorized, message)
}

fn others_may_write(path: &Path, mode: u32) -> Error {
    let advice = if mode & STICKY != 0 {
        format!("name a directory of your own below it, such as `file://{}/NAME`", path.display())
    } else {
        format!("`chmod go-w {}`, or choose another directory", path.display())
    };
    let message = format!(
        "`{}` may be written by other users (mode {:04o}), who could put other files in the place of the locks': {advice}",
        path.display(),
        mode & 0o7777,
    );
    Error::new(ErrorKind::Unauthorized, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_root_and_the_user_itself_are_trusted() {
        for (owner, user, trusted) in
            [(0, 0, true), (0, 1000, true), (1000, 1000, true), (1000, 0, false), (2, 1, false)]
        {
            assert_eq!(is_trusted(owner, user), trusted, "{owner} {user}");
        }
    }

    #[test]
    fn a_sticky_directory_may_be_on_the_way_and_not_the_last() {
        for (mode, on_the_way, last) in [
            (0o755, true, true),
            (0o700, true, true),
            (0o1777, true, false),
            (0o777, false, false),
            (0o775, false, false),
            (0o1770, true, false),
        ] {
            assert_eq!(
                (is_closed(mode, Place::OnTheWay), is_closed(mode, Place::Last)),
                (on_the_way, last),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_made_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b");
        assert!(walk(&deep, Missing::Leave).unwrap().is_none() && !deep.exists());
        assert_eq!(walk(&deep, Missing::Make).unwrap(), Trusted::at(&deep));
        for made in [&deep, &directory.path().join("a")] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused_wherever_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (open, last) = (directory.path().join("open"), directory.path().join("open/last"));
        fs::create_dir_all(&last).unwrap();
        chmod(&open, 0o775);
        chmod(&last, 0o700);
        for path in [&open, &last] {
            let error = walk(path, Missing::Leave).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
            assert!(error.to_string().contains("mode 0775") && error.to_string().contains("chmod go-w"), "{error}");
        }
        chmod(&open, 0o1777);
        assert!(walk(&last, Missing::Leave).unwrap().is_some());
        let error = walk(&open, Missing::Leave).unwrap_err();
        assert!(error.to_string().contains("below it"), "{error}");
    }

    #[test]
    fn links_are_followed_to_what_is_judged() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        fs::create_dir(&real).unwrap();
        chmod(&real, 0o700);
        symlink("../real/./", directory.path().join("real/relative")).unwrap();
        symlink(&real, directory.path().join("absolute")).unwrap();
        symlink("loop", directory.path().join("loop")).unwrap();
        for good in ["absolute", "absolute/relative/relative", "real/../absolute"] {
            assert!(walk(&directory.path().join(good), Missing::Leave).unwrap().is_some(), "{good}");
        }
        chmod(&real, 0o777);
        assert_eq!(
            walk(&directory.path().join("absolute"), Missing::Leave).unwrap_err().kind(),
            ErrorKind::Unauthorized
        );
        assert!(walk(&directory.path().join("loop"), Missing::Make).is_err());
    }
}
