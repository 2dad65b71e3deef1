//! What etcd says of itself that decides whether its locks can be relied on.

use super::findings::Findings;
use crate::text;
use distributed_locks::{Error, ErrorKind, Locks};

/// Reports what there is to say of the member that answers, if the store is etcd; an error if it cannot be asked.
pub(super) async fn check(locks: &Locks, findings: &mut Findings) -> Result<(), Error> {
    let mut etcd = match locks.etcd_client().await {
        Ok(etcd) => etcd,
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
        Err(error) => return Err(error),
    };
    match etcd.status().await {
        Ok(status) => {
            let version = text::safe(status.version());
            match flaw(status.version()) {
                Some(flaw) => findings.bad("version", &format!("etcd {version} {flaw}")),
                None => findings.well("version", &format!("etcd {version}")),
            }
            for alarm in status.errors() {
                findings.bad("alarm", &format!("{}: {}", text::safe(alarm), advice(alarm)));
            }
        }
        Err(error) => findings.note("version", &format!("not known: {}", text::safe(&error.to_string()))),
    }
    Ok(())
}

/// What is known to be wrong with this version, and what to do.
fn flaw(version: &str) -> Option<&'static str> {
    matches!(version, "3.5.0" | "3.5.1" | "3.5.2")
        .then_some("loses what it has acknowledged when a member is killed: upgrade to 3.5.3 or later")
}

/// What to do about an alarm.
fn advice(alarm: &str) -> &'static str {
    if alarm.contains("NOSPACE") {
        "no lock is granted: compact the history, `etcdctl defrag`, then `etcdctl alarm disarm`, or raise `--quota-backend-bytes`"
    } else if alarm.contains("CORRUPT") {
        "a member's data differs from the others': replace that member"
    } else {
        "see `etcdctl endpoint status` and `etcdctl alarm list`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_data_are_known() {
        assert!(["3.5.0", "3.5.1", "3.5.2"].iter().all(|version| flaw(version).is_some()));
        assert!(["3.4.23", "3.5.3", "3.5.21", "3.6.0", "3.15.1", ""].iter().all(|version| flaw(version).is_none()));
    }
}
