//! The store on a real directory, with two stores for two processes: the kernel's lock belongs to the open file.

use super::record::Record;
use super::*;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::ErrorKind;
use crate::values::holder::Holder;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(10);
/// Far longer than anything here takes: a test that would wait for ever fails.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn store(directory: &Path) -> Arc<FileStore> {
    Arc::new(FileStore::new(directory.to_owned(), &world()).unwrap())
}

pub(super) async fn session(directory: &Path) -> Arc<dyn Session> {
    store(directory).open(TTL).await.unwrap()
}

pub(super) fn entry(name: &str) -> Arc<Entry> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let holder = Holder { name: name.to_owned().into(), ..Holder::here() };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Arc::new(Entry::new(Key::new("/cron/nightly").unwrap(), number, holder.into()))
}

pub(super) fn lock_file(directory: &Path) -> PathBuf {
    directory.join("%2Fcron%2Fnightly.lock")
}

pub(super) async fn held(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> u64 {
    match session.enter(Arc::clone(entry), WhenBusy::Refuse).await.unwrap() {
        Entered::Held(grant) => grant.fence,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn busy(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> Holder {
    match session.enter(Arc::clone(entry), WhenBusy::Refuse).await.unwrap() {
        Entered::Busy(holder) => Arc::unwrap_or_clone(holder),
        other => panic!("{other:?}"),
    }
}

pub(super) fn world() -> World {
    World::background().unwrap()
}

async fn turn(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> u64 {
    tokio::time::timeout(LIMIT, session.wait_turn(Arc::clone(entry))).await.expect("no turn").unwrap().fence
}

/// What a killed process leaves behind: a record that is never cleared.
pub(super) fn leave_record_of(directory: &Path, record: &Record) {
    fs::create_dir_all(directory).unwrap();
    fs::write(lock_file(directory), record.to_bytes()).unwrap();
}

/// A process that has ended, as its record names it.
pub(super) fn dead_holder() -> Holder {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    Holder { pid: child.id(), ..Holder::clone(&entry("dead").holder) }
}

#[tokio::test]
async fn one_holds_and_the_other_learns_who() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let (mine, theirs) = (entry("mine"), entry("theirs"));
    held(&one, &mine).await;
    assert_eq!(busy(&two, &theirs).await, *mine.holder);
    assert_eq!(busy(&one, &theirs).await, *mine.holder, "entries of one session exclude each other too");
    one.leave(mine).await.unwrap();
    held(&two, &theirs).await;
}

#[tokio::test]
async fn the_directory_is_created_on_first_use() {
    let directory = TempDir::new().unwrap();
    let deep = directory.path().join("a/b");
    let store = store(&deep);
    assert!(store.inspect(Scope::Prefix(String::new())).await.unwrap().is_empty());
    assert!(!deep.exists(), "looking makes nothing");
    let session = store.open(TTL).await.unwrap();
    fs::remove_dir_all(directory.path().join("a")).unwrap();
    held(&session, &entry("x")).await;
}

#[tokio::test]
async fn the_fence_grows_with_every_hold_whoever_acquires_it() {
    let directory = TempDir::new().unwrap();
    let mut last = 0;
    for round in 0..20 {
        let session = session(directory.path()).await;
        let entry = entry("x");
        let fence = held(&session, &entry).await;
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        match round % 4 {
            0 => session.leave(entry).await.unwrap(),
            1 => session.close().await.unwrap(),
            2 => {
                // The fence goes on from a clock of milliseconds, and no person deletes two files in one.
                std::thread::sleep(Duration::from_millis(2));
                fs::remove_file(lock_file(directory.path())).unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn entering_and_leaving_twice_is_as_once() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let mine = entry("mine");
    let fence = held(&one, &mine).await;
    assert_eq!(held(&one, &mine).await, fence);
    assert_eq!(turn(&one, &mine).await, fence);
    one.leave(Arc::clone(&mine)).await.unwrap();
    let theirs = entry("theirs");
    held(&two, &theirs).await;
    one.leave(mine).await.unwrap();
    assert_eq!(busy(&one, &entry("late")).await, *theirs.holder, "the second leave took nothing away");
}

#[tokio::test]
async fn a_waiter_gets_the_lock_when_it_is_released() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let (mine, theirs) = (entry("mine"), entry("theirs"));
    let fence = held(&one, &mine).await;
    assert_eq!(two.enter(Arc::clone(&theirs), WhenBusy::Queue).await.unwrap(), Entered::Queued);
    let release = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        one.leave(mine).await.unwrap();
    };
    let (next, ()) = tokio::join!(turn(&two, &theirs), release);
    assert!(next > fence);
}

#[tokio::test]
async fn a_turn_ends_when_the_entry_leaves_or_the_session_closes() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    held(&one, &entry("mine")).await;
    let theirs = entry("theirs");
    two.enter(Arc::clone(&theirs), WhenBusy::Queue).await.unwrap();
    two.leave(Arc::clone(&theirs)).await.unwrap();
    assert_eq!(two.wait_turn(Arc::clone(&theirs)).await.unwrap_err().kind(), ErrorKind::Lost);
    two.close().await.unwrap();
    assert_eq!(two.renew().await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(two.enter(theirs, WhenBusy::Refuse).await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn an_extended_lock_stays_taken_after_its_holder_and_lapses() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let (mine, theirs) = (entry("mine"), entry("theirs"));
    let fence = held(&one, &mine).await;
    let start = world().now();
    one.lapse(Arc::clone(&mine), Duration::from_millis(300)).await.unwrap();
    one.close().await.unwrap();
    let holder = busy(&two, &theirs).await;
    assert_eq!(holder.name, "mine");
    assert!(holder.to_string().contains("keeps the lock for"), "{holder}");
    assert_eq!(store(directory.path()).inspect(Scope::Key(mine.key.clone())).await.unwrap().len(), 1);
    assert_eq!(two.enter(Arc::clone(&theirs), WhenBusy::Queue).await.unwrap(), Entered::Queued);
    assert!(turn(&two, &theirs).await > fence);
    assert!(world().now().since(start) >= Duration::from_millis(300));
}

#[tokio::test]
async fn an_extended_lock_can_be_released_by_force_and_a_held_one_cannot() {
    let directory = TempDir::new().unwrap();
    let store = store(directory.path());
    let key = entry("x").key.clone();
    assert_eq!(store.force_release(key.clone()).await.unwrap(), 0, "there is no file");
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let mine = entry("mine");
    held(&one, &mine).await;
    one.extend(Arc::clone(&mine), TTL).await.unwrap();
    let error = store.force_release(key.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(&format!("end that process; held by mine () in process {}", mine.holder.pid)));
    one.close().await.unwrap();
    busy(&two, &entry("theirs")).await;
    assert_eq!(store.force_release(key.clone()).await.unwrap(), 1);
    assert_eq!(store.force_release(key).await.unwrap(), 0);
    held(&two, &entry("theirs")).await;
}

#[tokio::test]
async fn a_program_without_a_record_is_an_unknown_holder() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let foreign = fs::File::create(lock_file(directory.path())).unwrap();
    foreign.lock().unwrap();
    let holder = busy(&session, &entry("x")).await;
    assert!(!holder.is_known() && holder.to_string().contains("flock(1)"), "{holder}");
    let store = store(directory.path());
    assert_eq!(store.inspect(Scope::Prefix("/cron".into())).await.unwrap().len(), 1);
    let error = store.force_release(entry("x").key.clone()).await.unwrap_err();
    assert!(error.to_string().contains("lsof"), "{error}");
}

#[tokio::test]
async fn a_deleted_or_replaced_file_is_a_lost_lock() {
    for replace in [false, true] {
        let directory = TempDir::new().unwrap();
        let session = session(directory.path()).await;
        let mine = entry("mine");
        held(&session, &mine).await;
        let mut gone = session.removed(Arc::clone(&mine));
        let early = tokio::time::timeout(Duration::from_millis(400), &mut gone).await;
        assert!(early.is_err(), "nothing has happened yet: {early:?}");
        if replace {
            fs::write(directory.path().join("other"), "").unwrap();
            fs::rename(directory.path().join("other"), lock_file(directory.path())).unwrap();
        } else {
            fs::remove_file(lock_file(directory.path())).unwrap();
        }
        let error = tokio::time::timeout(LIMIT, gone).await.expect("not noticed").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("deleted or replaced"), "{error}");
    }
}

#[tokio::test]
async fn an_entry_that_left_is_not_gone() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let mine = entry("mine");
    held(&session, &mine).await;
    session.leave(Arc::clone(&mine)).await.unwrap();
    fs::remove_file(lock_file(directory.path())).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(600), session.removed(mine)).await.is_err());
}

#[tokio::test]
async fn a_waiter_at_a_deleted_file_locks_the_new_one() {
    let directory = TempDir::new().unwrap();
    let (one, two) = (session(directory.path()).await, session(directory.path()).await);
    let (mine, theirs) = (entry("mine"), entry("theirs"));
    held(&one, &mine).await;
    two.enter(Arc::clone(&theirs), WhenBusy::Queue).await.unwrap();
    fs::remove_file(lock_file(directory.path())).unwrap();
    one.leave(mine).await.unwrap();
    turn(&two, &theirs).await;
    assert_eq!(busy(&one, &entry("late")).await, *theirs.holder);
}

#[tokio::test]
async fn a_key_that_makes_no_file_name_is_invalid() {
    let directory = TempDir::new().unwrap();
    let long = Entry { key: Key::new("/".repeat(100)).unwrap(), ..Arc::into_inner(entry("x")).unwrap() };
    let error = session(directory.path()).await.enter(Arc::new(long), WhenBusy::Refuse).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidKey);
}

#[tokio::test]
async fn inspection_lists_what_is_held_sorted_and_in_scope() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    for key in ["/b", "/a/2", "/a/1", "/a/free"] {
        let entry = Arc::new(Entry { key: Key::new(key).unwrap(), ..Arc::into_inner(entry(key)).unwrap() });
        held(&session, &entry).await;
        if key.ends_with("free") {
            session.leave(entry).await.unwrap();
        }
    }
    fs::write(directory.path().join("not ours.lock"), "").unwrap();
    let lines = store(directory.path()).inspect(Scope::Prefix("/a/".into())).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|line| (line.key.as_str(), &*line.holders[0].name)).collect();
    assert_eq!(lines, [("/a/1", "/a/1"), ("/a/2", "/a/2")]);
}

#[tokio::test]
async fn a_watch_reports_every_hold() {
    let directory = TempDir::new().unwrap();
    let session = session(directory.path()).await;
    let (mine, next) = (entry("mine"), entry("next"));
    let key = mine.key.clone();
    let mut changes = store(directory.path()).watch(Scope::Key(key.clone())).await.unwrap();
    let mut change = async || tokio::time::timeout(LIMIT, changes.recv()).await.expect("no change").unwrap();
    held(&session, &mine).await;
    assert_eq!(change().await, Change::Acquired(key.clone(), Holder::clone(&mine.holder)));
    session.leave(mine).await.unwrap();
    held(&session, &next).await;
    assert_eq!(change().await, Change::Released(key.clone()));
    assert_eq!(change().await, Change::Acquired(key.clone(), Holder::clone(&next.holder)));
    session.close().await.unwrap();
    assert_eq!(change().await, Change::Released(key));
}

#[tokio::test]
async fn a_ttl_that_is_too_short_for_a_process_is_a_longer_one() {
    let directory = TempDir::new().unwrap();
    let session = store(directory.path()).open(Duration::from_millis(1)).await.unwrap();
    assert_eq!(session.ttl(), Duration::from_secs(1));
}

#[test]
fn an_empty_path_is_refused() {
    assert_eq!(FileStore::new(PathBuf::new(), &world()).unwrap_err().kind(), ErrorKind::InvalidUrl);
}
