//! What a server says of itself that decides whether its locks can be relied on: Redis, PostgreSQL, MariaDB and MySQL, Kubernetes.

use super::findings::Findings;
use crate::{client, text};
use distributed_locks::{Error, Locks};
use std::collections::BTreeMap;
use std::time::Duration;

/// By how much clocks differ that nobody sets: those of NTP differ by milliseconds.
const OFF: Duration = Duration::from_secs(2);

/// What the server said, and between which moments of this machine's clock.
struct Answer {
    facts: BTreeMap<&'static str, String>,
    asked_ms: u64,
    answered_ms: u64,
}

/// What the clock of a server is for.
#[derive(Clone, Copy)]
enum Clock {
    /// Locks lapse by it.
    Counts,
    /// It is in what is shown.
    IsShown,
}

/// Reports what there is to say; an error if the server cannot be asked.
pub(super) async fn check(locks: &Locks, findings: &mut Findings) -> Result<(), Error> {
    let asked_ms = text::wall_ms();
    let facts = locks.server_facts().await?;
    let answer = Answer { facts, asked_ms, answered_ms: text::wall_ms() };
    if answer.facts.is_empty() {
        return Ok(());
    }
    let server = answer.fact("server").unwrap_or("redis");
    if let Some(version) = answer.fact("version") {
        findings.well("version", &text::safe(&format!("{server} {version}")));
    }
    match server {
        "Kubernetes" => {
            answer.rights(findings);
            answer.clock(findings, Clock::IsShown);
            return Ok(());
        }
        "PostgreSQL" => {
            answer.pooler(findings);
            answer.isolation(findings);
        }
        "MariaDB" | "MySQL" => {
            answer.durability(findings);
            answer.binlog(findings);
        }
        _ => {
            answer.memory(findings);
            answer.place(findings);
        }
    }
    answer.clock(findings, Clock::Counts);
    Ok(())
}

/// What to do about an error, where that says only what is so.
pub(super) fn explain(error: &Error, findings: &mut Findings) {
    let text = client::text(error);
    if text.contains("database does not allow writes") || text.contains("takes no writes") {
        findings.bad(
            "role",
            "the server is a standby or replica, or read-only by default: name the primary in the URL, or all of them with commas between, of which \
             the one that takes writes is used",
        );
    }
}

impl Answer {
    fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    fn clock(&self, findings: &mut Findings, clock: Clock) {
        let Some(server) = self.fact("wall_clock_ms").and_then(|ms| ms.parse::<u64>().ok()) else { return };
        let Some((way, by)) = off(server, self.asked_ms, self.answered_ms) else {
            return findings.well("clock", "the server's clock and this machine's agree");
        };
        let is_off = format!("the server's clock is {} {way} this machine's: set both by NTP", text::length(by));
        match clock {
            Clock::Counts => findings.bad(
                "clock",
                &format!(
                    "{is_off}, for locks lapse early when the server's is set forward one day, and `locks ls` shows wrong times"
                ),
            ),
            Clock::IsShown => findings.note(
                "clock",
                &format!(
                    "{is_off}. Our locks do not count by them; `locks ls` shows wrong times, and clients of other projects that \
                     compare clocks may take a lock that is held"
                ),
            ),
        }
    }

    fn rights(&self, findings: &mut Findings) {
        match self.fact("missing_rights").unwrap_or_default() {
            "" => findings.well("rights", "all that locks and leaders need, on Leases in this namespace"),
            missing => findings.bad(
                "rights",
                &format!(
                    "not given on Leases in this namespace: {}; give the account the Role that docs/kubernetes.md has",
                    text::safe(missing)
                ),
            ),
        }
    }

    fn memory(&self, findings: &mut Findings) {
        let (Some(policy), Some(limit)) = (self.fact("maxmemory_policy"), self.fact("maxmemory")) else {
            let what =
                "not known, for this user may not ask `INFO memory`: see that `maxmemory-policy` is `noeviction`";
            return findings.note("eviction", what);
        };
        let policy_shown = text::safe(policy);
        if policy == "noeviction" {
            findings.well("eviction", "none: `maxmemory-policy` is `noeviction`");
        } else if limit == "0" {
            findings.note(
                "eviction",
                &format!("`maxmemory-policy` is `{policy_shown}`: set it to `noeviction` before you set `maxmemory`"),
            );
        } else {
            findings.bad(
                "eviction",
                &format!(
                    "the server may evict locks, for `maxmemory-policy` is `{policy_shown}`: set it to `noeviction`, or use another \
                     server for locks than for a cache"
                ),
            );
        }
    }

    fn place(&self, findings: &mut Findings) {
        if self.fact("role").is_some_and(|role| role != "master") {
            findings.bad("role", "the server is a replica, which takes no writes: name its primary in the URL");
        }
        if self.fact("mode") == Some("cluster") {
            let shards = self.count("shards").unwrap_or(1);
            let how_many = if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") };
            findings.note(
                "cluster",
                &format!(
                    "a cluster of {how_many}: put the same `{{tag}}` into keys that are acquired at one moment, and set \
                     `cluster-require-full-coverage no`, or one shard that is down stops the locks of all"
                ),
            );
        }
        self.replicas(findings);
        if let Some(primary) = self.fact("primary") {
            findings.note(
                "failover",
                &format!(
                    "the sentinels name {} as the primary: set `min-replicas-to-write 1` there, or it goes on to grant locks for some \
                     seconds when it is cut off and another one is promoted",
                    text::safe(primary)
                ),
            );
        }
    }

    fn replicas(&self, findings: &mut Findings) {
        let (Some(wanted), Some(there)) = (self.count("wait_replicas"), self.count("connected_slaves")) else { return };
        if there < wanted {
            let how_many = if there == 1 { "1 replica".to_owned() } else { format!("{there} replicas") };
            findings.bad(
                "replicas",
                &format!("{how_many} follow the primary, so no lock is granted with `wait_replicas={wanted}`"),
            );
        }
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.fact(name)?.parse().ok()
    }

    fn pooler(&self, findings: &mut Findings) {
        if self.fact("pooled") == Some("yes") {
            findings.note(
                "pooler",
                "there is a pool such as PgBouncer before the server: name the server itself in the URL, for behind a pool waiters \
                 are not notified and look ten times a second",
            );
        }
    }

    fn durability(&self, findings: &mut Findings) {
        match self.fact("flush_log") {
            None | Some("1") => {}
            Some(other) => findings.note(
                "durability",
                &format!(
                    "`innodb_flush_log_at_trx_commit` is {}: a machine that loses power forgets the last second, locks that were granted \
                     among it; set it to 1",
                    text::safe(other)
                ),
            ),
        }
    }

    fn binlog(&self, findings: &mut Findings) {
        if self.fact("binlog") == Some("STATEMENT") {
            findings.bad(
                "binlog",
                "`binlog_format` is STATEMENT, which InnoDB refuses under READ COMMITTED: set it to `MIXED` or `ROW`",
            );
        }
    }

    fn isolation(&self, findings: &mut Findings) {
        match self.fact("isolation") {
            None | Some("read committed") => {}
            Some(stricter) => findings.note(
                "isolation",
                &format!(
                    "the default of this role is `{}`: `ALTER ROLE … SET default_transaction_isolation = 'read committed'` saves what \
                     it costs to say otherwise, at each connection and behind a pool for each request",
                    text::safe(stricter)
                ),
            ),
        }
    }
}

/// By how much the server's clock is off, and in which way, if that is much.
fn off(server_ms: u64, asked_ms: u64, answered_ms: u64) -> Option<(&'static str, Duration)> {
    let (ahead, behind) = (server_ms.saturating_sub(answered_ms), asked_ms.saturating_sub(server_ms));
    let (way, by) = if ahead > behind { ("ahead of", ahead) } else { ("behind", behind) };
    let by = Duration::from_millis(by);
    (by > OFF).then_some((way, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_clock_that_is_off() {
        assert_eq!(off(10_000, 5_000, 60_000), None);
        assert_eq!(off(61_000, 5_000, 60_000), None);
        assert_eq!(off(3_660_000, 5_000, 60_000), Some(("ahead of", Duration::from_secs(3_600))));
        assert_eq!(off(0, 3_600_000, 3_600_001), Some(("behind", Duration::from_secs(3_600))));
    }
}
