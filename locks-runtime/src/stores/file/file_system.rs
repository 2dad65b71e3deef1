//! On which file systems a lock is one machine's: those that are known to be local.

use crate::values::error::{Error, ErrorKind};
use std::path::Path;

/// `Unsupported` unless the directory is on a file system of this machine.
///
/// Only Linux names it; elsewhere a network file system goes unnoticed.
#[cfg(not(target_os = "linux"))]
pub(super) fn check(_: &Path) -> Result<(), Error> {
    Ok(())
}

#[cfg(target_os = "linux")]
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let found = rustix::fs::statfs(path).map_err(|error| super::error::refused("look at", path, error.into()))?;
    // The kernel's numbers have 32 bits, in a field whose size and sign depend on the machine.
    let number = format!("{:x}", found.f_type);
    let number = &number[number.len().saturating_sub(8)..];
    if LOCAL.iter().any(|(local, _)| *local == number) { Ok(()) } else { Err(unknown(path, number)) }
}

/// Those that machines share, or that run as somebody's program, are not among them: whether their locks reach another
/// machine, or even another process, is up to them.
#[cfg(target_os = "linux")]
const LOCAL: [(&str, &str); 25] = [
    ("ef53", "ext2, ext3, ext4"),
    ("58465342", "xfs"),
    ("9123683e", "btrfs"),
    ("2fc12fc1", "zfs"),
    ("ca451a4e", "bcachefs"),
    ("f2f52010", "f2fs"),
    ("1021994", "tmpfs"),
    ("858458f6", "ramfs"),
    ("794c7630", "overlay"),
    ("61756673", "aufs"),
    ("3153464a", "jfs"),
    ("52654973", "reiserfs"),
    ("3434", "nilfs2"),
    ("24051905", "ubifs"),
    ("72b6", "jffs2"),
    ("f15f", "ecryptfs"),
    ("2011bab0", "exfat"),
    ("4d44", "vfat"),
    ("7366746e", "ntfs3"),
    ("5346544e", "ntfs"),
    ("482b", "hfsplus"),
    ("4244", "hfs"),
    ("15013346", "udf"),
    ("137f", "minix"),
    ("5a4f4653", "zonefs"),
];

/// What else people run into, for the message.
#[cfg(target_os = "linux")]
const OTHERS: [(&str, &str); 18] = [
    ("6969", "NFS"),
    ("ff534d42", "CIFS"),
    ("fe534d42", "SMB"),
    ("517b", "SMB"),
    ("1021997", "9p"),
    ("65735546", "FUSE, which virtiofs, sshfs, s3fs and glusterfs are too"),
    ("c36400", "Ceph"),
    ("bd00bd0", "Lustre"),
    ("47504653", "GPFS"),
    ("19830326", "BeeGFS"),
    ("5346414f", "AFS"),
    ("6b414653", "AFS"),
    ("7461636f", "OCFS2"),
    ("1161970", "GFS2"),
    ("aad7aaea", "PanFS"),
    ("73757245", "Coda"),
    ("786f4256", "VirtualBox's shared folders"),
    ("bacbacbc", "VMware's shared folders"),
];

#[cfg(target_os = "linux")]
fn unknown(path: &Path, number: &str) -> Error {
    let name = OTHERS.iter().find(|(other, _)| *other == number).map(|(_, name)| *name);
    let name = name.map_or_else(|| format!("number {number}"), str::to_owned);
    let message = format!(
        "`{}` is on a file system that is not known to be this machine's own ({name}), and the file store is for the \
         processes of one machine; choose a directory on a local disk or in memory (`/run`, `/dev/shm`), or a store for \
         many machines such as `etcd://`",
        path.display(),
    );
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_memory_is_local() {
        check(Path::new("/dev/shm")).unwrap();
    }

    /// As everything that is not on the list: what is to come, and what is built outside of the kernel.
    #[test]
    fn what_is_not_known_to_be_local_is_refused_by_name() {
        let error = check(Path::new("/proc/self")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("number 9fa0") && error.to_string().contains("/dev/shm"), "{error}");
        for (number, name) in [("6969", "NFS"), ("1021997", "9p"), ("65735546", "virtiofs")] {
            assert!(unknown(Path::new("/x"), number).to_string().contains(name));
        }
    }

    #[test]
    fn no_file_system_is_on_both_lists() {
        assert!(LOCAL.iter().all(|(local, _)| OTHERS.iter().all(|(other, _)| local != other)));
    }
}
