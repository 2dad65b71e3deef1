//! A try of several locks that is overtaken: all were free when its statement began, and another has one of them before it comes
//! to that row. It is refused, and what it got of the others is withdrawn.

use crate::{Case, Fixture};
use distributed_locks::{Error, ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::postgres::{Postgres, Setup};
use support::proxy::{Mode as Network, Proxy};
use support::scenarios::cost::RARE;
use support::scenarios::{acquire_and_release, behind_proxy, nothing_is_left};
use support::{Server, cases, eventually, in_time};
use tokio::task::JoinHandle;

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_refused_try_names_who_was_faster_and_leaves_nothing,
        a_try_whose_withdrawal_fails_is_unavailable_and_withdrawn_again,
        a_dropped_try_whose_withdrawal_fails_is_withdrawn_again,
    ]
}

/// Whoever acquires `/a` shows by an advisory lock that its statement has begun, and waits until somebody has `/b`.
const WAITS: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN \
         PERFORM pg_advisory_xact_lock(1); \
         WHILE NOT EXISTS (SELECT FROM distributed_locks WHERE name = '/b' AND session IS NOT NULL) LOOP \
             PERFORM pg_sleep(0.001); \
         END LOOP; \
         RETURN NEW; END $f$; \
     CREATE TRIGGER wait BEFORE UPDATE ON distributed_locks FOR EACH ROW \
         WHEN (NEW.name = '/a' AND OLD.session IS NULL AND NEW.session IS NOT NULL) EXECUTE FUNCTION wait()";
const HAS_BEGUN: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')";

const TAKE: &str = "UPDATE distributed_locks SET session = 'other', number = 7, holder = '{\"v\":1,\"name\":\"the other\"}', \
     locked_until = now() + interval '1 hour' WHERE name = '/b'";
const FREE: &str = "UPDATE distributed_locks SET session = NULL, number = NULL, holder = NULL, locked_until = now() \
     WHERE name = '/b'";

/// The client waits for an answer for five seconds.
const SOON: Duration = Duration::from_secs(3);

/// How many tries may be too slow, on a busy machine.
const ATTEMPTS: usize = 10;

/// What happens to a try.
type Trying = JoinHandle<Result<Guard, Error>>;

struct Scene {
    server: Postgres,
    network: Proxy,
    locks: Locks,
}

impl Scene {
    /// A server on which who acquires `/a` waits, and a client behind a proxy.
    async fn new(fixture: &Fixture, parameters: &str) -> Self {
        let server = fixture.start(&Setup::default());
        let (network, locks) = behind_proxy(&server, parameters).await;
        for key in ["/a", "/b"] {
            acquire_and_release(&locks, key).await;
        }
        server.psql(WAITS);
        Self { server, network, locks }
    }

    /// A try that another overtakes; `meanwhile` is done when it has `/a`, and another is about to have `/b`.
    async fn overtaken(&self, meanwhile: impl Fn(&Trying)) -> Trying {
        let server = &self.server;
        for _ in 0..ATTEMPTS {
            let begun = Instant::now();
            let trying = tokio::spawn(self.locks.lock_all(["/a", "/b"]).wait(Duration::ZERO).acquire());
            eventually(async || if server.psql(HAS_BEGUN) == "t" { Ok(()) } else { Err("it has not begun") }).await;
            meanwhile(&trying);
            server.psql(TAKE);
            if begun.elapsed() < SOON {
                return trying;
            }
            // On a busy machine it may have been sent again, and have found `/b` taken.
            self.network.set(Network::Pass);
            drop(in_time(trying).await);
            server.psql(FREE);
            nothing_is_left(server, "/").await;
        }
        panic!("{ATTEMPTS} tries were too slow, of {SOON:?} each");
    }

    /// Nothing that is sent from now on arrives.
    fn cut_off(&self) {
        self.network.set(Network::CutRequests(1));
    }

    /// Whether somebody has `/a`, and until when it is, or was, taken.
    fn row(&self) -> (bool, String) {
        let row = self.server.psql("SELECT session IS NOT NULL, locked_until FROM distributed_locks WHERE name = '/a'");
        let (is_taken, until) = row.split_once('|').unwrap();
        (is_taken == "t", until.to_owned())
    }

    /// Waits until `/a` is withdrawn, now that what is sent arrives. A row that lapses keeps its session.
    async fn is_withdrawn(&self) {
        let (is_taken, until) = self.row();
        assert!(is_taken, "it was withdrawn before");
        self.network.set(Network::Pass);
        eventually(async || {
            let (is_taken, now) = self.row();
            assert!(!is_taken || now == until, "taken until {now}, and not {until}: it was renewed");
            if is_taken { Err("not yet") } else { Ok(()) }
        })
        .await;
    }
}

async fn a_refused_try_names_who_was_faster_and_leaves_nothing(fixture: Fixture) {
    let scene = Scene::new(&fixture, RARE).await;
    let trying = scene.overtaken(|_| {}).await;
    let error = in_time(trying).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(error.holder().unwrap().name, "the other", "{error}");
    assert_eq!(scene.server.left("/"), ["/b is held"]);
}

/// `Busy` would say that nothing is left.
async fn a_try_whose_withdrawal_fails_is_unavailable_and_withdrawn_again(fixture: Fixture) {
    // A renewal each ten seconds.
    let scene = Scene::new(&fixture, "ttl=30s&connect_timeout=60s").await;
    let trying = scene.overtaken(|_| scene.cut_off()).await;
    let error = in_time(trying).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    scene.is_withdrawn().await;
}

/// The next renewal would be after minutes.
async fn a_dropped_try_whose_withdrawal_fails_is_withdrawn_again(fixture: Fixture) {
    let scene = Scene::new(&fixture, RARE).await;
    let trying = scene.overtaken(|trying| {
        scene.cut_off();
        trying.abort();
    });
    assert!(in_time(trying.await).await.unwrap_err().is_cancelled());
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%entered AS%'";
    eventually(async || if scene.server.psql(connections) == "0" { Ok(()) } else { Err("not cut off") }).await;
    scene.is_withdrawn().await;
}
