//! What a refusal of the file system means.

use crate::values::error::{Error, ErrorKind};
use rustix::io::Errno;
use std::io::{self, ErrorKind as Io};
use std::path::Path;

/// The error for what the file system refused.
///
/// `Unauthorized` if this process may not, `Unsupported` if the place is no directory or does not know locks, and
/// otherwise `Unavailable`: a full disk or too many open files may pass.
pub(super) fn refused(action: &str, path: &Path, error: io::Error) -> Error {
    let (kind, advice) = match error.kind() {
        Io::PermissionDenied => (ErrorKind::Unauthorized, "give this process's user the right to read and write there"),
        Io::ReadOnlyFilesystem => (ErrorKind::Unauthorized, "the file system is read-only; choose another directory"),
        Io::NotADirectory | Io::AlreadyExists => (ErrorKind::Unsupported, "it is not a directory; choose another path"),
        Io::IsADirectory => (ErrorKind::Unsupported, "it is a directory where a lock's file should be; remove it"),
        Io::Unsupported => (ErrorKind::Unsupported, "the file system has no locks; choose another directory"),
        Io::StorageFull | Io::QuotaExceeded => {
            (ErrorKind::Unavailable, "the disk is full, or has no room for another file (`df`, `df -i`)")
        }
        _ => match Errno::from_io_error(&error) {
            Some(Errno::MFILE) => (
                ErrorKind::Unavailable,
                "this process has too many files open, and each lock needs one; raise `ulimit -n`",
            ),
            Some(Errno::NFILE) => (ErrorKind::Unavailable, "this machine has too many files open; raise `fs.file-max`"),
            Some(Errno::LOOP) => (ErrorKind::Unsupported, "links lead in a circle there; choose another path"),
            _ => (ErrorKind::Unavailable, "the system refused"),
        },
    };
    Error::new(kind, format!("cannot {action} `{}`: {advice}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_the_path_and_what_to_do() {
        let error = refused("open", Path::new("/var/lock/x"), Io::PermissionDenied.into());
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        let said = "cannot open `/var/lock/x`: give this process's user the right to read and write there";
        assert_eq!(error.to_string(), said);
        assert!(refused("open", Path::new("/"), Io::StorageFull.into()).is_retryable());
        let error = refused("open", Path::new("/"), Errno::MFILE.into());
        assert!(error.is_retryable() && error.to_string().contains("ulimit"), "{error}");
    }
}
