//! What must hold for any bytes from outside: URLs, keys and durations of users, records and answers of stores.
//!
//! The bodies of the fuzzer's targets (`fuzz/`), which live beside the parsers because those are private. The corpus that the
//! fuzzer has kept runs here, as an ordinary test.

#[cfg(feature = "etcd")]
use crate::stores::etcd::fuzz as etcd;
#[cfg(feature = "kubernetes")]
use crate::stores::kubernetes::fuzz as kubernetes;
#[cfg(feature = "postgres")]
use crate::stores::postgres::fuzz as postgres;
#[cfg(feature = "redis")]
use crate::stores::redis::fuzz as redis;
#[cfg(feature = "zookeeper")]
use crate::stores::zookeeper::fuzz as zookeeper;
use crate::{api::connect::fuzz as connect, values::fuzz as values};

/// The name of a target, and its body, which panics if something does not hold.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("url", values::url),
    ("connect", connect::connect_url),
    ("duration", values::duration),
    ("key", values::key),
    ("holder", values::holder),
    ("ticket", values::ticket),
    #[cfg(feature = "etcd")]
    ("etcd_answer", etcd::etcd_answer),
    #[cfg(feature = "etcd")]
    ("etcd_error", etcd::etcd_error),
    #[cfg(feature = "kubernetes")]
    ("kubernetes_lease", kubernetes::kubernetes_lease),
    #[cfg(feature = "kubernetes")]
    ("kubernetes_event", kubernetes::kubernetes_event),
    #[cfg(feature = "redis")]
    ("redis_reply", redis::redis_reply),
    #[cfg(feature = "redis")]
    ("redis_message", redis::redis_message),
    #[cfg(feature = "postgres")]
    ("postgres_notification", postgres::postgres_notification),
    #[cfg(feature = "postgres")]
    ("postgres_row", postgres::postgres_row),
    #[cfg(feature = "postgres")]
    ("shedlock_row", postgres::shedlock_row),
    #[cfg(feature = "zookeeper")]
    ("zookeeper_children", zookeeper::zookeeper_children),
    #[cfg(feature = "zookeeper")]
    ("zookeeper_path", zookeeper::zookeeper_path),
    #[cfg(feature = "zookeeper")]
    ("zookeeper_record", zookeeper::zookeeper_record),
];

#[cfg(test)]
#[path = "../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        corpus::holds(TARGETS);
    }

    #[test]
    fn changes_of_the_corpus_hold() {
        corpus::changes_hold(TARGETS);
    }
}
