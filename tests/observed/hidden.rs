//! What no error and no event may show.

use crate::log::{BACKGROUND, logging};
use distributed_locks::testing::TestStore;
use distributed_locks::{ErrorKind, Locks};
use std::sync::LazyLock;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn what_others_wrote_reaches_a_log_in_one_visible_line() {
    LazyLock::force(&BACKGROUND);
    let (log, _logging) = logging();
    let store = TestStore::new();
    let name = "\u{1b}[2J\u{202e}root\r\nERROR forged";
    let key = "/k\u{202e}\u{200b}";
    let _held = store.client().lock(key).name(name).acquire().await.unwrap();
    let error = store.client().lock(key).wait(Duration::ZERO).acquire().await.unwrap_err();
    for text in [log.text(), format!("{error} {error:?}")] {
        let is_hidden = |c: char| (c.is_control() && c != '\n') || ('\u{200b}'..'\u{2070}').contains(&c);
        assert!(!text.contains(is_hidden), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ERROR forged")), "{text}");
    }
    assert!(error.to_string().contains("\\u{1b}[2J\\u{202e}root\\r\\nERROR forged"), "{error}");
    assert_eq!(error.holder().unwrap().name, name, "for a program it is as it was written");
}

/// In the errors and events of connections that fail, of this crate's and of those that it uses. What is around the middle of the
/// password is what mistakes are made of.
#[tokio::test]
async fn no_password_is_in_an_error_or_an_event_of_connecting() {
    LazyLock::force(&BACKGROUND);
    let connecting = ["etcd", "kubernetes", "redis", "zookeeper", "postgres", "mysql"].map(|scheme| async move {
        for login in [
            "me:HERE",
            "me@corp:HERE",
            ":HERE",
            "HERE",
            "me@corp:a/HERE",
            "me@corp:a?HERE",
            "me:a#HERE",
            "me:a HERE%zz",
            "me:ü,HERE",
            "me:%2FHERE%40",
        ] {
            let login = login.replace("HERE", "xqzjxqzj");
            let locks = match Locks::connect(format!("{scheme}://{login}@127.0.0.1:9/app?connect_timeout=500ms")) {
                Ok(locks) => locks,
                Err(error) => {
                    assert!(!format!("{error} {error:?}").contains("xqzj"), "{scheme} {login}: {error:?}");
                    continue;
                }
            };
            let lock = locks.lock("k");
            let shown = format!("{locks:?} {lock:?}");
            let error = lock.acquire().await.unwrap_err();
            let shown = format!("{shown} {error} {error:?} {locks:?} {:?}", locks.lock("k"));
            assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("127.0.0.1:9"), "{error:?}");
            assert!(!shown.contains("xqzj"), "{scheme} {login}: {shown}");
        }
    });
    for connected in connecting {
        connected.await;
    }
    let text = BACKGROUND.text();
    assert!(text.contains("TRACE") || text.contains("DEBUG"), "nothing was logged");
    let shown: Vec<_> = text.lines().filter(|line| line.contains("xqzj")).collect();
    assert_eq!(shown, [""; 0]);
}
