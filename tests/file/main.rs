//! The file store between real processes.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod modes;

use distributed_locks::{ErrorKind, Locks, blocking};
use std::process::Command;
use std::time::{Duration, Instant};
use support::child::{Child, binary};
use support::{HANG_LIMIT, once_within};

struct Store(tempfile::TempDir);

impl Store {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        format!("file://{}", self.0.path().join("locks").display())
    }

    fn client(&self) -> Locks {
        Locks::connect(self.url()).unwrap()
    }

    fn worker(&self, arguments: &[&str]) -> Child {
        let url = self.url();
        let arguments = arguments.iter().map(|argument| if *argument == "URL" { &url } else { *argument });
        Child::start(binary("worker").args(arguments))
    }
}

/// Its TTL would end in ten minutes.
#[test]
fn a_killed_holder_is_free_at_once() {
    let (store, key) = (Store::new(), "k");
    let mut worker = store.worker(&["hold", "600", "URL", key]);
    worker.next_line("start");
    let locks = store.client();
    let busy = blocking(locks.lock(key).wait(Duration::ZERO).acquire()).unwrap_err();
    assert_eq!((busy.kind(), busy.holder().unwrap().pid), (ErrorKind::Busy, worker.id()));
    worker.kill();
    let guard = blocking(locks.lock(key).wait(HANG_LIMIT).acquire()).unwrap();
    blocking(guard.release()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_leaders_are_followed_until_nobody_is_left() {
    support::scenarios::leaders::killed_leaders_are_followed_on_files(&Store::new().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_gets_sigterm_leaves_nothing() {
    support::scenarios::stopping::a_service_on_files_leaves_nothing(&Store::new().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_grace() {
    support::scenarios::stopping::a_second_signal_ends_the_grace(&Store::new().url()).await;
}

#[test]
fn nothing_is_left_however_the_process_ends() {
    let store = Store::new();
    for how in ["return", "panic", "drop"] {
        let mut worker = store.worker(&["ends", how, "URL", how]);
        worker.next_line("start");
        worker.wait();
        assert_eq!(blocking(store.client().list("")).unwrap(), [], "{how}");
    }
}

/// And not for much longer: one of several rounds shows it, for a busy machine starts a process late.
#[tokio::test]
async fn hold_at_least_survives_kill() {
    const LEAST: Duration = Duration::from_secs(6);
    once_within(Duration::from_secs(1), async || {
        let store = Store::new();
        let begun = Instant::now();
        let mut worker = store.worker(&["least", "URL", "k"]);
        worker.next_line("start");
        worker.kill();
        let guard = store.client().lock("k").wait(HANG_LIMIT).acquire().await.unwrap();
        let free = begun.elapsed();
        assert!(free >= LEAST, "free after {free:?}");
        guard.release().await.unwrap();
        free - LEAST
    })
    .await;
}

/// Renewals are twenty seconds apart.
#[tokio::test]
async fn a_file_that_is_deleted_is_noticed_within_a_quarter_of_a_second() {
    let store = Store::new();
    let locks = Locks::connect(format!("{}?ttl=60s", store.url())).unwrap();
    once_within(Duration::from_millis(500), async || {
        let guard = locks.lock("k").acquire().await.unwrap();
        let deleted = Instant::now();
        for file in std::fs::read_dir(store.0.path().join("locks")).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        assert_eq!(guard.lost().await.kind(), ErrorKind::Lost);
        deleted.elapsed()
    })
    .await;
}

#[test]
fn processes_in_turn_exclude_each_other_and_fences_grow() {
    const TURNS: usize = 40;
    let store = Store::new();
    let mut workers: Vec<Child> = (0..4).map(|_| store.worker(&["turns", &TURNS.to_string(), "URL", "k"])).collect();
    let mut turns: Vec<(i128, i128, u64)> = Vec::new();
    for worker in &mut workers {
        for _ in 0..TURNS {
            let line = worker.next_line("turn");
            let numbers: Vec<&str> = line.split(' ').collect();
            turns.push((numbers[0].parse().unwrap(), numbers[1].parse().unwrap(), numbers[2].parse().unwrap()));
        }
    }
    turns.sort_unstable();
    for pair in turns.windows(2) {
        assert!(pair[0].1 < pair[1].0, "two bodies at once: {pair:?}");
        assert!(pair[0].2 < pair[1].2, "a fence that does not grow: {pair:?}");
    }
    let mut gaps: Vec<i128> = turns.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    gaps.sort_unstable();
    println!(
        "hand-off between processes: median {} µs, longest {} µs",
        gaps[gaps.len() / 2] / 1000,
        gaps[gaps.len() - 1] / 1000
    );
}

/// The line of those who wait, whatever process they are of.
mod line {
    use super::*;
    use distributed_locks::Guard;

    const KEY: &str = "k";

    /// How many wait, according to the store.
    async fn until_waiting(locks: &Locks, count: usize) {
        support::eventually(async || {
            let line = locks.inspect(KEY).await.unwrap().unwrap();
            if line.waiters.len() == count { Ok(()) } else { Err(line) }
        })
        .await;
    }

    /// A process that waits, and then holds until it is killed.
    async fn waiting(store: &Store, locks: &Locks, place: usize) -> Child {
        let worker = store.worker(&["hold", "600", "URL", KEY]);
        until_waiting(locks, place).await;
        worker
    }

    async fn held(locks: &Locks) -> Guard {
        support::in_time(locks.lock(KEY).acquire()).await.unwrap()
    }

    #[tokio::test]
    async fn processes_are_served_as_they_came_and_the_killed_are_passed_over() {
        let store = Store::new();
        let locks = store.client();
        let guard = held(&locks).await;
        let mut workers = Vec::new();
        for place in 1..=4 {
            workers.push(waiting(&store, &locks, place).await);
        }
        // One in the middle.
        workers.remove(1).kill();
        until_waiting(&locks, 3).await;
        guard.release().await.unwrap();
        for mut worker in workers {
            worker.next_line("start");
            let line = locks.inspect(KEY).await.unwrap().unwrap();
            assert_eq!(line.holders[0].pid, worker.id());
            // A holder that is killed is free at once, and the next one has the lock.
            worker.kill();
        }
        held(&locks).await.release().await.unwrap();
    }

    #[tokio::test]
    async fn who_asks_again_at_once_queues_behind_another_process() {
        let store = Store::new();
        let locks = store.client();
        let guard = held(&locks).await;
        let mut worker = waiting(&store, &locks, 1).await;
        guard.release().await.unwrap();
        let again = tokio::spawn({
            let locks = locks.clone();
            async move { held(&locks).await.release().await.unwrap() }
        });
        worker.next_line("start");
        until_waiting(&locks, 1).await;
        assert!(!again.is_finished(), "two hold the lock");
        let busy = locks.lock(KEY).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        worker.kill();
        support::in_time(again).await.unwrap();
    }

    /// It took a second and more, when whoever tried first had the lock, and no waiter tried in the moment in which it was free.
    #[tokio::test]
    async fn a_hand_off_to_another_process_takes_milliseconds_though_the_holder_asks_again() {
        let store = Store::new();
        let locks = store.client();
        let turns = store.worker(&["turns", "1000000", "URL", KEY]);
        support::eventually(async || locks.inspect(KEY).await.unwrap().ok_or("nobody holds it")).await;
        once_within(Duration::from_millis(10), async || {
            let asked = Instant::now();
            let guard = held(&locks).await;
            let took = asked.elapsed();
            guard.release().await.unwrap();
            // A turn takes a millisecond, and its holder may just have begun one.
            took
        })
        .await;
        drop(turns);
    }

    /// With more in front than there are threads to wait in.
    #[tokio::test]
    async fn many_waiters_of_many_locks_need_few_threads() {
        const MANY: usize = 100;
        let store = Store::new();
        let (ours, theirs) = (store.client(), store.client());
        let key = |number: usize| format!("many/{number}");
        let mut guards = Vec::new();
        for number in 0..MANY {
            guards.push(ours.lock(key(number)).acquire().await.unwrap());
        }
        let waiters: Vec<_> = (0..MANY)
            .map(|number| {
                let theirs = theirs.clone();
                tokio::spawn(async move { theirs.lock(key(number)).acquire().await.unwrap() })
            })
            .collect();
        support::eventually(async || {
            let lines = ours.list("many/").await.unwrap();
            let count: usize = lines.iter().map(|line| line.waiters.len()).sum();
            if count == MANY { Ok(()) } else { Err(count) }
        })
        .await;
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        assert!(threads < MANY / 2, "{threads} threads");
        for guard in guards {
            guard.release().await.unwrap();
        }
        for waiter in waiters {
            support::in_time(waiter).await.unwrap().release().await.unwrap();
        }
    }

    /// It is passed over, and queues again when it goes on.
    #[tokio::test]
    async fn a_stopped_process_at_the_head_keeps_nobody_from_the_lock() {
        let store = Store::new();
        let locks = store.client();
        let guard = held(&locks).await;
        let mut stopped = waiting(&store, &locks, 1).await;
        let mut next = waiting(&store, &locks, 2).await;
        assert!(stopped.pause());
        guard.release().await.unwrap();
        next.next_line("start");
        assert!(stopped.resume());
        next.kill();
        stopped.next_line("start");
    }

    /// Neither files nor room: `/run/lock` is small.
    #[tokio::test]
    async fn nothing_of_a_line_stays() {
        let store = Store::new();
        let locks = store.client();
        for killed in [false, true] {
            let guard = held(&locks).await;
            let mut worker = waiting(&store, &locks, 1).await;
            if killed {
                worker.kill();
            }
            guard.release().await.unwrap();
            if !killed {
                worker.next_line("start");
                worker.kill();
            }
            held(&locks).await.release().await.unwrap();
            let files = std::fs::read_dir(store.0.path().join("locks")).unwrap();
            let lines: Vec<_> = files.map(|file| file.unwrap().path()).filter(|path| path.is_dir()).collect();
            assert_eq!(lines, Vec::<std::path::PathBuf>::new(), "killed: {killed}");
        }
        locks.close().await;
        for file in std::fs::read_dir(store.0.path().join("locks")).unwrap() {
            let file = file.unwrap();
            if file.path().extension().is_some_and(|extension| extension == "lock") {
                assert_eq!(file.metadata().unwrap().len(), 0, "a released lock's file takes no room");
            }
        }
    }
}

/// What another user makes in the place of the directory, or of a lock's file, must not be used.
mod neighbours {
    use super::*;
    use distributed_locks::Error;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::Command;

    const NOBODY: u32 = 65534;

    /// Another user takes root's rights to play.
    fn is_root(place: &Path) -> bool {
        let is_root = fs::metadata(place).unwrap().uid() == 0;
        if !is_root {
            println!("only root can be another user: nothing is tried");
        }
        is_root
    }

    /// Runs a program as another user, and returns whether it succeeded.
    fn as_nobody(program: &str, arguments: &[&Path]) -> bool {
        Command::new(program).args(arguments).uid(NOBODY).gid(NOBODY).output().unwrap().status.success()
    }

    /// A directory as `/tmp` and `/run/lock` are.
    fn for_all() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        place
    }

    fn refused(directory: &Path, key: &str) -> Error {
        let locks = Locks::connect(format!("file://{}", directory.display())).unwrap();
        blocking(locks.inspect(key)).unwrap_err();
        blocking(locks.lock(key).acquire()).unwrap_err()
    }

    #[test]
    fn a_directory_that_another_user_has_made_is_refused_and_nothing_behind_its_links_is_touched() {
        let (place, own) = (for_all(), tempfile::tempdir().unwrap());
        let (victim, directory) = (own.path().join("victim"), place.path().join("app"));
        fs::write(&victim, "root's own").unwrap();
        if !is_root(&victim) {
            return;
        }
        let (present, absent) = (directory.join("%2Fnightly.lock"), directory.join("%2Fother.lock"));
        assert!(as_nobody("mkdir", &[&directory]));
        assert!(as_nobody("ln", &[Path::new("-s"), &victim, &present]));
        assert!(as_nobody("ln", &[Path::new("-s"), &own.path().join("made"), &absent]));
        for key in ["/nightly", "/other"] {
            let error = refused(&directory, key);
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
            let message = error.to_string();
            for part in [&*directory.to_string_lossy(), "belongs to user 65534", "install -d -m 700 -o 0"] {
                assert!(message.contains(part), "{message}");
            }
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "root's own");
        assert!(!own.path().join("made").exists());
        // Nor where the path only leads through it, or through a link of somebody else's.
        assert_eq!(refused(&directory.join("below"), "/k").kind(), ErrorKind::Unauthorized);
        let link = place.path().join("link");
        assert!(as_nobody("ln", &[Path::new("-s"), own.path(), &link]));
        assert_eq!(refused(&link, "/k").kind(), ErrorKind::Unauthorized);
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 1);
    }

    /// `file:///var/lock/app` of docs/stores.md, where `/var/lock` is for all users.
    #[test]
    fn a_directory_of_ones_own_where_all_users_may_write_is_fine() {
        let place = for_all();
        let locks = Locks::connect(format!("file://{}/app", place.path().display())).unwrap();
        blocking(blocking(locks.lock("k").acquire()).unwrap().release()).unwrap();
        assert_eq!(fs::metadata(place.path().join("app")).unwrap().mode() & 0o777, 0o700);
        let error = refused(place.path(), "k");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(error.to_string().contains("mode 1777") && error.to_string().contains("below it"), "{error}");
    }

    #[test]
    fn whoever_may_enter_the_directory_still_blocks_no_lock() {
        let place = for_all();
        if !is_root(place.path()) {
            return;
        }
        // Made by an administrator, for everybody to look at; the file is of an earlier version of this store.
        let (directory, file) = (place.path().join("app"), place.path().join("app/%2Fnightly.lock"));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let locks = Locks::connect(format!("file://{}", directory.display())).unwrap();
        for _ in 0..2 {
            let guard = blocking(locks.lock("/nightly").wait(HANG_LIMIT).acquire()).unwrap();
            blocking(guard.release()).unwrap();
            assert!(!as_nobody("flock", &[Path::new("-n"), Path::new("-x"), &file, Path::new("true")]));
        }
    }

    #[test]
    fn a_lock_file_of_another_users_is_refused() {
        let place = tempfile::tempdir().unwrap();
        if !is_root(place.path()) {
            return;
        }
        let file = place.path().join("%2Fnightly.lock");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::chown(&file, Some(NOBODY), None).unwrap();
        let error = refused(place.path(), "/nightly");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(error.to_string().contains("remove the file"), "{error}");
    }

    /// The directory was removed, by whoever cleans up, and another user was faster to make it again.
    #[test]
    fn a_directory_that_was_replaced_by_another_users_is_refused_though_it_was_fine() {
        let place = for_all();
        if !is_root(place.path()) {
            return;
        }
        let directory = place.path().join("app");
        let locks = Locks::connect(format!("file://{}", directory.display())).unwrap();
        let guard = blocking(locks.lock("held").acquire()).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(as_nobody("mkdir", &[Path::new("-m"), Path::new("777"), &directory]));
        let error = blocking(locks.lock("k").acquire()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
        assert_eq!(blocking(guard.lost()).kind(), ErrorKind::Lost);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }
}

/// The files of released locks go when there is no room for another one.
#[test]
fn a_file_system_without_room_for_another_file_has_room_again_in_seconds() {
    let place = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::at(place.path(), "nr_inodes=12,mode=700") else { return };
    let locks = Locks::connect(format!("file://{}", place.path().display())).unwrap();
    for number in 0..30 {
        let guard = blocking(locks.lock(format!("order/{number}")).wait(HANG_LIMIT).acquire()).unwrap();
        blocking(guard.release()).unwrap();
    }
    blocking(locks.close());
}

/// A file system in memory, which only root can mount.
struct Mounted<'a>(&'a std::path::Path);

impl<'a> Mounted<'a> {
    fn at(place: &'a std::path::Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(place).status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("only root can mount: nothing is tried");
            return None;
        }
        Some(Self(place))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Whatever still has a file open there.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// A file system of a few pages: what does not fit is not granted, and what is held stays held.
#[test]
fn a_full_file_system_grants_nothing_and_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::at(place.path(), "size=16k,mode=700") else { return };
    let locks = Locks::connect(format!("file://{}", place.path().display())).unwrap();
    let mut held = Vec::new();
    let error = loop {
        match blocking(locks.lock(format!("held/{}", held.len())).wait(Duration::from_secs(1)).acquire()) {
            Ok(guard) => held.push(guard),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let shown = format!("{error:?}");
    assert!(shown.contains("the disk is full") && shown.contains("held%2F"), "{shown}");
    assert!(held.len() > 1 && held.iter().all(distributed_locks::Guard::is_held));
    assert_eq!(blocking(locks.list("")).unwrap().len(), held.len());
    // A released lock takes no room: more of them than there are pages.
    blocking(held.pop().unwrap().release()).unwrap();
    for number in 0..50 {
        blocking(blocking(locks.lock(format!("order/{number}")).acquire()).unwrap().release()).unwrap();
    }
    assert!(held.iter().all(distributed_locks::Guard::is_held));
    drop(held);
    blocking(locks.close());
}

/// The session's protection is never weaker for it.
#[tokio::test]
async fn a_hold_goes_on_beyond_its_least_time() {
    let store = Store::new();
    for url in [store.url(), "memory:beyond".to_owned()] {
        let (ours, theirs) = (Locks::connect(&url).unwrap(), Locks::connect(&url).unwrap());
        let lock = ours.lock("k").ttl(Duration::from_secs(30)).hold_at_least(Duration::from_millis(200));
        let guard = lock.acquire().await.unwrap();
        let busy = theirs.lock("k").wait(Duration::from_secs(2)).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Timeout, "{url}: {busy}");
        guard.check().unwrap();
        guard.release().await.unwrap();
        theirs.lock("k").wait(HANG_LIMIT).acquire().await.unwrap().release().await.unwrap();
    }
}

#[test]
fn the_shortest_ttl_is_what_a_process_can_do() {
    let store = Store::new();
    for _ in 0..20 {
        let guard = blocking(store.client().lock("k").ttl(Duration::from_millis(1)).acquire()).unwrap();
        blocking(guard.release()).unwrap();
    }
}
