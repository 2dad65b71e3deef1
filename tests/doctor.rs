//! `locks doctor` on servers that something is wrong with: it finds that, and says what to do. A directory that others may write is
//! in the program's own tests.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "the threads of tests are their own")]

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use support::cases::{self, Case, Fixture, Program};
use support::child::binary;
use support::proxy::{Mode, Proxy};
use support::{etcd, kubernetes, mysql, postgres, redis, with_parameters, zookeeper};

/// What a good store has no word of.
const BAD: &str = "bad";
/// What works, and could be better.
const NOTE: &str = "note";

fn main() -> ExitCode {
    let mut trials = on_each::<etcd::Binary>();
    trials.extend(on_each::<redis::Binary>());
    trials.extend(on_each::<zookeeper::Installed>());
    trials.extend(on_each::<postgres::Binary>());
    trials.extend(on_each::<mysql::Binary>());
    trials.extend(on_each::<kubernetes::Binary>());
    trials.extend(cases::trials(support::cases![
        etcd_refuses_a_wrong_password_and_a_user_without_rights,
        etcd_of_a_version_that_loses_data_is_named,
        etcd_without_space_is_named,
    ]));
    trials.extend(cases::trials(support::cases![
        redis_refuses_a_wrong_password_and_a_user_without_rights,
        redis_that_may_evict_locks_is_named,
        redis_in_cluster_mode_is_named,
        redis_behind_sentinels_is_named,
        a_replica_of_redis_is_named,
    ]));
    trials.extend(cases::trials(support::cases![rights_that_kubernetes_does_not_give_are_named]));
    trials.extend(cases::trials(support::cases![what_another_user_of_zookeeper_made_is_named]));
    trials.extend(cases::trials(support::cases![
        postgres_refuses_a_wrong_password_and_a_role_without_rights,
        a_pool_before_postgres_is_named,
        a_stricter_isolation_of_postgres_is_named,
        a_standby_of_postgres_is_named,
        a_clock_that_is_far_off_is_named,
    ]));
    trials.extend(cases::trials(support::cases![
        mariadb_refuses_a_wrong_password_and_a_user_without_rights,
        mariadb_that_would_lose_locks_is_named,
        a_replica_of_mariadb_is_named,
        the_table_of_mariadb_can_be_made_before,
    ]));
    cases::run_trials(trials)
}

fn on_each<P: Program>() -> Vec<libtest_mimic::Trial> {
    let well = |fixture: Fixture<P>| async move { nothing_is_wrong_with_a_good_server(&fixture) };
    let slow = |fixture: Fixture<P>| async move { a_network_that_is_too_slow_for_the_ttl_is_named(&fixture) };
    cases::trials(vec![
        Case::new("nothing_is_wrong_with_a_good_server", well),
        Case::new("a_network_that_is_too_slow_for_the_ttl_is_named", slow),
    ])
}

/// What `doctor` said of one store.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    lines: Vec<Value>,
}

impl Said {
    fn of(url: &str) -> Self {
        // A busy machine may take its time, and a log-in by password takes much of it.
        let url =
            if url.contains("connect_timeout=") { url.to_owned() } else { with_parameters(url, "connect_timeout=60s") };
        let mut doctor = binary("locks");
        let output = doctor.args(["doctor", "--json"]).env("LOCKS_URL", url).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { code: output.status.code(), lines }
    }

    /// What it says of a server that takes nothing: it tries for four seconds. A busy machine may not come as far as this
    /// check within them; then it is asked again.
    fn of_one_that_refuses(url: &str, check: &str) -> Self {
        let ask = || Self::of(&with_parameters(url, "connect_timeout=4s"));
        let says = |said: &Self| said.lines.iter().any(|line| line["check"] == check && line["verdict"] == BAD);
        (0..10).map(|_| ask()).find(says).unwrap_or_else(ask)
    }

    /// That it ends with this code, and says this much of one check, with all of these words.
    #[track_caller]
    fn has(&self, code: i32, check: &str, verdict: &str, words: &[&str]) {
        let is_it = |line: &&Value| line["check"] == check && line["verdict"] == verdict;
        let text = self.lines.iter().find(is_it).and_then(|line| line["text"].as_str());
        let says_all = text.is_some_and(|text| words.iter().all(|word| text.contains(word)));
        assert!(says_all && self.code == Some(code), "{check} {verdict} {words:?}, {code}: {self:#?}");
    }

    /// That nothing but this is bad, or worth a note.
    #[track_caller]
    fn has_only(&self, check: Option<&str>) {
        let is_said = |line: &&Value| line["verdict"] == BAD || line["verdict"] == NOTE;
        let said: Vec<&Value> = self.lines.iter().filter(is_said).collect();
        assert!(said.iter().all(|line| Some(line["check"].as_str().unwrap()) == check), "{self:#?}");
    }
}

fn nothing_is_wrong_with_a_good_server<P: Program>(fixture: &Fixture<P>) {
    let said = Said::of(&fixture.server().url());
    said.has(0, "exclusion", "ok", &["refused"]);
    said.has_only(None);
}

fn a_network_that_is_too_slow_for_the_ttl_is_named<P: Program>(fixture: &Fixture<P>) {
    let server = fixture.server();
    let network = Proxy::to(server.address());
    network.set(Mode::Delay(Duration::from_millis(150)));
    let url = with_parameters(&server.url_at(&network.addr().to_string()), "ttl=5s");
    Said::of(&url).has(78, "round trip", BAD, &["too slow", "take a longer one"]);
}

async fn etcd_refuses_a_wrong_password_and_a_user_without_rights(fixture: Fixture) {
    let users = etcd::Users::default();
    let etcd = fixture.start(&etcd::Setup { users: Some(users), ..etcd::Setup::default() });
    let wrong = format!("etcd://app:wrong@{}", etcd.endpoint());
    Said::of(&wrong).has(77, "reach", BAD, &["check the user, its password"]);
    let beyond_its_rights = format!("etcd://app:secret@{}", etcd.endpoint());
    Said::of(&beyond_its_rights).has(77, "acquire", BAD, &["its role"]);
    Said::of(&format!("etcd://app:secret@{}//app", etcd.endpoint())).has(0, "release", "ok", &[]);
}

async fn etcd_of_a_version_that_loses_data_is_named(fixture: Fixture) {
    let etcd = fixture.server();
    let program = etcd.binary();
    let address = relay_to(etcd.address(), field(program.version()), padded("3.5.2", program.version().len()));
    Said::of(&format!("etcd://{address}")).has(78, "version", BAD, &["3.5.2", "upgrade to 3.5.3"]);
}

async fn etcd_without_space_is_named(fixture: Fixture) {
    let etcd = fixture.start(&etcd::Setup { quota: Some(16 << 20), ..etcd::Setup::default() });
    etcd.fill_up();
    let said = Said::of_one_that_refuses(&etcd.url(), "alarm");
    said.has(69, "alarm", BAD, &["NOSPACE", "etcdctl alarm disarm"]);
    said.has(69, "acquire", BAD, &["etcdctl alarm disarm"]);
}

async fn redis_refuses_a_wrong_password_and_a_user_without_rights(fixture: Fixture<redis::Binary>) {
    let redis = fixture.start(&redis::Setup { password: Some("secret".into()), ..redis::Setup::default() });
    Said::of(&format!("redis://:wrong@{}", redis.address())).has(77, "reach", BAD, &["check user and password"]);
    let url = format!("redis://app:secret@{}/app:", redis.address());
    redis.ask(&["ACL", "SETUSER", "app", "on", ">secret", "~app:*", "+time"]);
    Said::of(&url).has(77, "acquire", BAD, &["ACL SETUSER app"]);
    // As that message has them: eviction is what such a user may not ask for.
    let rights = ["~{app:*", "&app:*", "+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "-@dangerous"];
    redis.ask(&[&["ACL", "SETUSER", "app"], &rights[..]].concat());
    let said = Said::of(&url);
    said.has(0, "eviction", NOTE, &["noeviction"]);
    said.has_only(Some("eviction"));
}

async fn redis_that_may_evict_locks_is_named(fixture: Fixture<redis::Binary>) {
    let redis = fixture.start(&redis::Setup::default());
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    Said::of(&redis.url()).has(0, "eviction", NOTE, &["volatile-lru", "before you set `maxmemory`"]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
    Said::of(&redis.url()).has(78, "eviction", BAD, &["volatile-lru", "set it to `noeviction`"]);
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    Said::of(&redis.url()).has_only(None);
}

async fn redis_in_cluster_mode_is_named(fixture: Fixture<redis::Binary>) {
    let with_slots = |slots| redis::Setup { slots: Some(slots), ..redis::Setup::default() };
    let alone = fixture.start(&with_slots(0..16_384));
    alone.serves_cluster().await;
    let said = Said::of(&alone.url());
    said.has(0, "cluster", NOTE, &["1 shard", "`{tag}`"]);
    said.has_only(Some("cluster"));
    let shards = [fixture.start(&with_slots(0..8_192)), fixture.start(&with_slots(8_192..16_384))];
    shards[0].meet(&shards[1]);
    shards[0].serves_cluster().await;
    shards[1].ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    shards[1].ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let said = Said::of(&shards[0].url_with("cluster"));
    said.has(78, "cluster", NOTE, &["2 shards", "`{tag}`"]);
    said.has(78, "eviction", BAD, &["volatile-lru"]);
}

async fn redis_behind_sentinels_is_named(fixture: Fixture<redis::Binary>) {
    let all = redis::Sentinels::start(fixture.program(), &redis::SentinelSetup::default());
    let said = Said::of(&all.url());
    said.has(0, "failover", NOTE, &[&all.primary().endpoint(), "`min-replicas-to-write 1`"]);
    said.has_only(Some("failover"));
    Said::of(&all.url_with("wait_replicas=2")).has(69, "replicas", BAD, &["1 replica", "`wait_replicas=2`"]);
}

async fn a_replica_of_redis_is_named(fixture: Fixture<redis::Binary>) {
    let primary = fixture.start(&redis::Setup::default());
    let (host, port) = (primary.address().ip().to_string(), primary.address().port().to_string());
    let replica = fixture.start(&redis::Setup::default());
    replica.ask(&["REPLICAOF", &host, &port]);
    Said::of(&replica.url()).has(69, "role", BAD, &["replica", "name its primary"]);
}

async fn rights_that_kubernetes_does_not_give_are_named(fixture: Fixture<kubernetes::Binary>) {
    let server = fixture.start(&kubernetes::Setup::default());
    server.set_verbs(&["get", "list", "create", "delete"]);
    let said = Said::of(&server.url());
    said.has(78, "rights", BAD, &["patch", "watch", "Role"]);
    server.set_verbs(&["get"]);
    Said::of(&server.url()).has(77, "acquire", BAD, &["cannot create resource"]);
}

async fn what_another_user_of_zookeeper_made_is_named(fixture: Fixture<zookeeper::Installed>) {
    let server = fixture.start(&zookeeper::Setup::default());
    let as_user = |login: &str| format!("zookeeper://{login}@{}", server.endpoint());
    Said::of(&as_user("app:right")).has(0, "release", "ok", &[]);
    Said::of(&as_user("app:wrong")).has(77, "acquire", BAD, &["user"]);
}

async fn postgres_refuses_a_wrong_password_and_a_role_without_rights(fixture: Fixture<postgres::Binary>) {
    let server = fixture.start(&postgres::Setup { passwords: true, ..postgres::Setup::default() });
    let wrong = format!("postgres://app:wrong@{}/locks", server.endpoint());
    Said::of(&wrong).has(77, "reach", BAD, &["password"]);
    let poor = format!("postgres://poor:secret@{}/locks?table=public.distributed_locks", server.endpoint());
    // PostgreSQL before 15 lets any role create in `public`.
    server.psql("REVOKE CREATE ON SCHEMA public FROM public");
    Said::of(&poor).has(78, "acquire", BAD, &["CREATE TABLE", "GRANT"]);
    server.psql("GRANT CREATE ON SCHEMA public TO app");
    Said::of(&server.url_with("table=public.distributed_locks")).has(0, "release", "ok", &[]);
    Said::of(&poor).has(77, "acquire", BAD, &["SELECT, INSERT and UPDATE on the table"]);
}

async fn a_pool_before_postgres_is_named(fixture: Fixture<postgres::Binary>) {
    let server = fixture.server();
    let pool = postgres::Pool::before(&server);
    fixture.remember(pool.log());
    let said = Said::of(&server.url_at(&pool.address().to_string()));
    said.has(0, "pooler", NOTE, &["PgBouncer", "name the server itself"]);
    said.has_only(Some("pooler"));
}

async fn a_stricter_isolation_of_postgres_is_named(fixture: Fixture<postgres::Binary>) {
    let server = fixture.start(&postgres::Setup::default());
    server.psql("ALTER ROLE app SET default_transaction_isolation = 'serializable'");
    let said = Said::of(&server.url());
    said.has(0, "isolation", NOTE, &["`serializable`", "default_transaction_isolation = 'read committed'"]);
    said.has_only(Some("isolation"));
}

async fn a_standby_of_postgres_is_named(fixture: Fixture<postgres::Binary>) {
    let primary = fixture.start(&postgres::Setup::default());
    let standby = primary.standby();
    fixture.remember(standby.log());
    Said::of_one_that_refuses(&standby.url(), "role").has(69, "role", BAD, &["standby", "name the primary"]);
}

/// A function of that name in another schema stands in for a machine whose clock is wrong.
async fn a_clock_that_is_far_off_is_named(fixture: Fixture<postgres::Binary>) {
    let server = fixture.start(&postgres::Setup::default());
    for (by, said) in [("+ interval '1 hour'", "ahead of"), ("- interval '1 hour'", "behind")] {
        server.psql(&format!(
            "CREATE SCHEMA IF NOT EXISTS off; GRANT USAGE ON SCHEMA off TO app; CREATE OR REPLACE FUNCTION off.clock_timestamp() \
             RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() {}'; \
             ALTER ROLE app SET search_path = off, pg_catalog, public",
            by.replace('\'', "''")
        ));
        Said::of(&server.url_with("table=app.distributed_locks")).has(78, "clock", BAD, &[said, "by NTP"]);
    }
}

/// Field 2 of the answer about a member's status: its version.
fn field(version: &str) -> Vec<u8> {
    [&[0x12, u8::try_from(version.len()).unwrap()], version.as_bytes()].concat()
}

/// The same with a version that is not longer, as long as that of `length`: a number may have more bytes than it needs.
fn padded(version: &str, length: usize) -> Vec<u8> {
    let mut field = vec![0x12, u8::try_from(version.len()).unwrap()];
    for _ in version.len()..length {
        *field.last_mut().unwrap() |= 0x80;
        field.push(0);
    }
    [&field, version.as_bytes()].concat()
}

/// An address that leads to a server, of whose answers these bytes become others.
fn relay_to(server: SocketAddr, from: Vec<u8>, to: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(server).unwrap();
            let (requests, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || copy(requests, server, |_| {}));
            let (from, to) = (from.clone(), to.clone());
            thread::spawn(move || copy(answers, client, |bytes| replace(bytes, &from, &to)));
        }
    });
    address
}

fn copy(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        change(&mut bytes[..length]);
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

async fn mariadb_refuses_a_wrong_password_and_a_user_without_rights(fixture: Fixture<mysql::Binary>) {
    let server = fixture.start(&mysql::Setup { passwords: true, ..mysql::Setup::default() });
    let wrong = format!("mysql://app:wrong@{}/locks", server.endpoint());
    Said::of(&wrong).has(77, "reach", BAD, &["password"]);
    server.sql("CREATE TABLE locks.seen (x INT); GRANT SELECT ON locks.seen TO poor@'%'");
    let poor = format!("mariadb://poor@{}/locks", server.endpoint());
    Said::of(&poor).has(78, "acquire", BAD, &["CREATE TABLE", "GRANT"]);
    Said::of(&server.url()).has(0, "release", "ok", &[]);
    server.sql("GRANT SELECT ON locks.distributed_locks TO poor@'%'");
    Said::of(&poor).has(77, "acquire", BAD, &["SELECT, INSERT and UPDATE on the table"]);
}

async fn mariadb_that_would_lose_locks_is_named(fixture: Fixture<mysql::Binary>) {
    let server = fixture.start(&mysql::Setup { settings: &["--log-bin=binlog"], ..mysql::Setup::default() });
    server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
    let said = Said::of(&server.url());
    said.has(0, "durability", NOTE, &["`innodb_flush_log_at_trx_commit` is 2"]);
    said.has_only(Some("durability"));
    server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1; SET GLOBAL binlog_format = 'STATEMENT'");
    let said = Said::of(&server.url());
    said.has(78, "binlog", BAD, &["`MIXED` or `ROW`"]);
    said.has(78, "acquire", BAD, &["binlog_format"]);
}

async fn a_replica_of_mariadb_is_named(fixture: Fixture<mysql::Binary>) {
    let server = fixture.start(&mysql::Setup::default());
    server.sql("SET GLOBAL read_only = 1");
    let said = Said::of_one_that_refuses(&server.url(), "role");
    said.has(69, "role", BAD, &["name the primary in the URL"]);
}

async fn the_table_of_mariadb_can_be_made_before(fixture: Fixture<mysql::Binary>) {
    let server = fixture.start(&mysql::Setup::default());
    let output = binary("locks").args(["doctor", "--print-migration"]).env("LOCKS_URL", server.url()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    server.sql(&printed);
    server.sql("GRANT SELECT, INSERT, UPDATE ON locks.distributed_locks TO poor@'%'");
    Said::of(&format!("mysql://poor@{}/locks", server.endpoint())).has(0, "release", "ok", &[]);
    // It is the one that a user makes who may.
    let created = || server.sql("SHOW CREATE TABLE distributed_locks");
    let by_hand = created();
    server.sql("DROP TABLE distributed_locks");
    Said::of(&server.url()).has(0, "release", "ok", &[]);
    assert_eq!(created(), by_hand);
}
