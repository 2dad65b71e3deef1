//! `doctor`: whether the store can be relied on, and what to change if not.

#[cfg(feature = "etcd")]
mod etcd;
mod findings;
mod server;

use crate::args::Doctor;
use crate::client;
use crate::exit::{self, Code};
use crate::look;
use crate::run::{Moment, close};
use crate::text;
use distributed_locks::{Error, ErrorKind, Guard, Locks};
use findings::Findings;
use std::time::Duration;

/// How many round trips are measured.
const ROUNDS: u32 = 5;

pub(crate) async fn doctor(url: Option<String>, doctor: Doctor) -> Code {
    if doctor.print_migration {
        let url = url.or_else(|| std::env::var(client::VARIABLE).ok()).unwrap_or_default();
        let is_mysql = ["mysql:", "mariadb:"].iter().any(|scheme| url.starts_with(scheme));
        return look::print(if is_mysql { MYSQL_MIGRATION } else { MIGRATION }).err().unwrap_or(exit::OK);
    }
    let (url, locks) = match client::url(url).and_then(|url| Ok((client::connect(&url, &[])?, url))) {
        Ok((locks, url)) => (url, locks),
        Err(code) => return code,
    };
    let mut findings = Findings::new(doctor.json);
    match asked(&locks, &mut findings).await {
        Ok(()) => used(&url, &locks, &mut findings).await,
        Err(error) => {
            findings.failed("reach", &error);
            server::explain(&error, &mut findings);
        }
    }
    close(&locks).await;
    findings.worst()
}

/// What the server says of itself, which may also say why it refuses what follows.
async fn asked(locks: &Locks, findings: &mut Findings) -> Result<(), Error> {
    #[cfg(feature = "etcd")]
    etcd::check(locks, findings).await?;
    server::check(locks, findings).await
}

/// What it does.
async fn used(url: &str, locks: &Locks, findings: &mut Findings) {
    // A name of its own, so that two doctors do not meet, and nothing of others is touched.
    let key = format!("/locks-doctor/{}-{}", std::process::id(), text::wall_ms());
    let guard = match locks.lock(&key).name("locks doctor").origin("locks").wait(Duration::ZERO).acquire().await {
        Ok(guard) => guard,
        Err(error) => return findings.failed("acquire", &error),
    };
    findings.well("acquire", "a lock was acquired: the store is in reach, and its rights suffice");
    exclusion(url, &key, findings).await;
    round_trips(locks, &key, &guard, findings).await;
    shown(locks, &key, findings).await;
    match guard.release().await {
        Ok(()) => findings.well("release", "and released"),
        Err(error) => findings.failed("release", &error),
    }
    promises(locks, findings);
}

/// Another client of the same store must be refused.
async fn exclusion(url: &str, key: &str, findings: &mut Findings) {
    let Ok(other) = client::connect(url, &[]) else { return };
    match other.lock(key).name("locks doctor").origin("locks").wait(Duration::ZERO).acquire().await {
        Err(error) if error.kind() == ErrorKind::Busy => {
            findings.well("exclusion", "a second client was refused while it was held");
        }
        Err(error) => findings.failed("exclusion", &error),
        Ok(_) => {
            findings.bad("exclusion", "a second client acquired the lock while it was held: do not use this store");
        }
    }
    close(&other).await;
}

async fn round_trips(locks: &Locks, key: &str, guard: &Guard, findings: &mut Findings) {
    let began = Moment::now();
    for _ in 0..ROUNDS {
        if let Err(error) = locks.inspect(key).await {
            return findings.failed("round trip", &error);
        }
    }
    let each = began.elapsed() / ROUNDS;
    let said = format!("{each:.1?} each, with a TTL of {}", text::length(guard.ttl()));
    if each > guard.ttl() / 20 {
        let advice =
            "too slow; renewals need a third of the TTL, so take a longer one (`?ttl=` in the URL), or a nearer server";
        findings.bad("round trip", &format!("{said}: {advice}"));
    } else {
        findings.well("round trip", &said);
    }
}

async fn shown(locks: &Locks, key: &str, findings: &mut Findings) {
    match locks.list("/locks-doctor/").await {
        Ok(lines) if lines.iter().any(|line| line.key.as_str() == key) => findings.well("list", "locks can be listed"),
        Ok(_) => findings.bad("list", "the lock is not listed: `locks ls` and `watch` will not show everything"),
        Err(error) => findings.failed("list", &error),
    }
}

fn promises(locks: &Locks, findings: &Findings) {
    let can = locks.capabilities();
    let promises = [
        ("fences grow with every hold", can.fencing),
        ("first come, first served", can.queue_order),
        ("a hold outlives its process by the TTL", can.outlives_process),
        ("release by force", can.force_release),
        ("shared locks", can.shared),
        ("permits", can.permits),
        ("several locks at one moment", can.multi_key),
        ("what is done once is remembered", can.once),
    ];
    for (promise, is_kept) in promises {
        findings.say("promise", if is_kept { "yes" } else { "no" }, promise);
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

/// The same for MariaDB and MySQL.
const MYSQL_MIGRATION: &str =
    "-- for the default table; `?table=` has its own name here, and ShedLock's table is made as its documentation says
CREATE TABLE IF NOT EXISTS distributed_locks (
    name VARBINARY(1536) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    session VARBINARY(64) NULL,
    number BIGINT NULL,
    locked_until BIGINT NOT NULL,
    keep_until BIGINT NULL,
    holder LONGBLOB NULL,
    queue LONGBLOB NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;";
