//! `doctor`: whether the store can be relied on, and what to change if not.

use crate::args::Doctor;
use crate::exit::{self, Code};
use crate::look;
use crate::run::{Moment, close};
use crate::{client, report, text};
use distributed_locks::{Error, ErrorKind, Guard, Locks};
use serde_json::json;
use std::time::Duration;

/// How many round trips are measured.
const ROUNDS: u32 = 5;

pub(crate) async fn doctor(url: Option<String>, doctor: Doctor) -> Code {
    if doctor.print_migration {
        return look::print(MIGRATION).err().unwrap_or(exit::OK);
    }
    let (url, locks) = match client::url(url).and_then(|url| Ok((client::connect(&url, &[])?, url))) {
        Ok((locks, url)) => (url, locks),
        Err(code) => return code,
    };
    let mut findings = Findings { json: doctor.json, worst: exit::OK };
    findings.check(&url, &locks).await;
    close(&locks).await;
    findings.worst
}

/// What is said, and how bad the worst of it is.
struct Findings {
    json: bool,
    worst: Code,
}

impl Findings {
    async fn check(&mut self, url: &str, locks: &Locks) {
        // A name of its own, so that two doctors do not meet, and nothing of others is touched.
        let key = format!("/locks-doctor/{}-{}", std::process::id(), text::wall_ms());
        let guard = match locks.lock(&key).name("locks doctor").origin("locks").wait(Duration::ZERO).acquire().await {
            Ok(guard) => guard,
            Err(error) => return self.failed("acquire", &error),
        };
        self.well("acquire", "a lock was acquired: the store is in reach, and its rights suffice");
        self.exclusion(url, &key).await;
        self.round_trips(locks, &key, &guard).await;
        self.shown(locks, &key).await;
        match guard.release().await {
            Ok(()) => self.well("release", "and released"),
            Err(error) => self.failed("release", &error),
        }
        self.promises(locks);
        self.versions(locks).await;
    }

    /// Another client of the same store must be refused.
    async fn exclusion(&mut self, url: &str, key: &str) {
        let Ok(other) = client::connect(url, &[]) else { return };
        match other.lock(key).name("locks doctor").origin("locks").wait(Duration::ZERO).acquire().await {
            Err(error) if error.kind() == ErrorKind::Busy => {
                self.well("exclusion", "a second client was refused while it was held");
            }
            Err(error) => self.failed("exclusion", &error),
            Ok(_) => {
                self.bad("exclusion", "a second client acquired the lock while it was held: do not use this store")
            }
        }
        close(&other).await;
    }

    async fn round_trips(&mut self, locks: &Locks, key: &str, guard: &Guard) {
        let began = Moment::now();
        for _ in 0..ROUNDS {
            if let Err(error) = locks.inspect(key).await {
                return self.failed("round trip", &error);
            }
        }
        let each = began.elapsed() / ROUNDS;
        let said = format!("{each:.1?} each, with a TTL of {}", text::length(guard.ttl()));
        if each > guard.ttl() / 20 {
            self.bad(
                "round trip",
                &format!("{said}: too slow; renewals need a third of the TTL, so take a longer one"),
            );
        } else {
            self.well("round trip", &said);
        }
    }

    async fn shown(&mut self, locks: &Locks, key: &str) {
        match locks.list("/locks-doctor/").await {
            Ok(lines) if lines.iter().any(|line| line.key.as_str() == key) => self.well("list", "locks can be listed"),
            Ok(_) => self.bad("list", "the lock is not listed: `locks ls` and `watch` will not show everything"),
            Err(error) => self.failed("list", &error),
        }
    }

    fn promises(&mut self, locks: &Locks) {
        let can = locks.capabilities();
        let promises = [
            ("fences grow with every hold", can.fencing),
            ("first come, first served", can.queue_order),
            ("a hold outlives its process by the TTL", can.outlives_process),
            ("release by force", can.force_release),
            ("shared locks", can.shared),
            ("permits", can.permits),
            ("several locks at one moment", can.multi_key),
        ];
        for (promise, is_kept) in promises {
            self.say("promise", if is_kept { "yes" } else { "no" }, promise);
        }
    }

    #[cfg(feature = "etcd")]
    async fn versions(&mut self, locks: &Locks) {
        let Ok(mut etcd) = locks.etcd_client().await else { return };
        match etcd.status().await {
            Ok(status) => {
                let version = status.version();
                if matches!(version, "3.5.0" | "3.5.1" | "3.5.2") {
                    self.bad(
                        "version",
                        &format!("etcd {version} may lose data that it acknowledged: upgrade to 3.5.3 or later"),
                    );
                } else {
                    self.well("version", &format!("etcd {}", text::safe(version)));
                }
                let errors: Vec<_> = status.errors().iter().map(|error| text::safe(error)).collect();
                if !errors.is_empty() {
                    self.bad(
                        "alarm",
                        &format!("{}: `etcdctl alarm list`, then compact and defragment", errors.join(", ")),
                    );
                }
            }
            Err(error) => self.bad("version", &format!("the version is not known: {error}")),
        }
    }

    #[cfg(not(feature = "etcd"))]
    #[expect(clippy::unused_async, reason = "with etcd it asks")]
    async fn versions(&mut self, _: &Locks) {}

    fn well(&mut self, check: &str, what: &str) {
        self.say(check, "ok", what);
    }

    fn bad(&mut self, check: &str, what: &str) {
        self.say(check, "BAD", what);
        if self.worst == exit::OK {
            self.worst = exit::CONFIGURATION;
        }
    }

    fn failed(&mut self, check: &str, error: &Error) {
        self.say(check, "BAD", &client::text(error));
        let code = exit::of(error);
        if self.worst == exit::OK || self.worst == exit::CONFIGURATION {
            self.worst = if code == exit::USAGE { exit::CONFIGURATION } else { code };
        }
    }

    fn say(&self, check: &str, verdict: &str, what: &str) {
        let line = if self.json {
            json!({ "check": check, "verdict": verdict.to_ascii_lowercase(), "text": what }).to_string()
        } else {
            format!("{verdict:<4} {check}: {what}")
        };
        if look::print(&line).is_err() {
            report::note("stdout is closed");
        }
    }
}

/// What makes the table where the role that takes locks may not.
const MIGRATION: &str = r#"-- for the default table; `?table=` has its own name here, and ShedLock's table is made as its documentation says
CREATE TABLE IF NOT EXISTS distributed_locks (
    name text COLLATE "C" PRIMARY KEY,
    fence bigint NOT NULL,
    session text,
    number bigint,
    holder text,
    locked_until timestamptz NOT NULL,
    keep_until timestamptz,
    queue jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(queue) = 'array')
) WITH (fillfactor = 50);"#;
