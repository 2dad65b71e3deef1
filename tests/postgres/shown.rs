//! What is shown of what must not be seen, or was written by others.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use support::Server;
use support::cases;
use support::cases::Program;
use support::postgres::Setup;
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::shown::{self, HOSTILE, a_hostile_record_is_shown_in_one_short_line, hostile_record};
use support::scenarios::{acquire_and_release, chain, client, connect};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        no_password_is_shown,
        a_hostile_record_is_escaped_and_cut,
        what_a_server_says_is_one_short_line,
        a_namespace_that_begins_with_a_slash,
    ]
}

async fn no_password_is_shown(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    let wrong = format!("postgres://app:mistaken@{}/locks", server.endpoint());
    let right = server.url();
    let password = right.split_once("app:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0;
    shown::no_password_is_shown(&right, &wrong, &[&format!("\"{password}\""), &format!(":{password}"), "mistaken"])
        .await;
}

async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    let hostile = format!("$x${}$x$", hostile_record());
    for (number, record) in [hostile.as_str(), "repeat(E'x\\r\\n', 7000000)", "repeat('[', 1000000)"].iter().enumerate()
    {
        let key = format!("{key}{number}");
        server.psql(&format!(
            "INSERT INTO distributed_locks (name, fence, holder, locked_until) VALUES ('{key}', 1, {record}, 'infinity')"
        ));
        a_hostile_record_is_shown_in_one_short_line(&locks, &key).await;
        assert!(locks.force_release(&key).await.unwrap());
    }
}

/// A trigger of somebody else's raises what it likes.
async fn what_a_server_says_is_one_short_line(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    acquire_and_release(&connect(&server.url()), "k").await;
    server.psql(&format!(
        "CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION '%', repeat($m${HOSTILE}$m$, 1000) \
         USING ERRCODE = '42501'; END $f$; CREATE TRIGGER harm BEFORE INSERT OR UPDATE ON distributed_locks EXECUTE FUNCTION harm()"
    ));
    let error = refused_at_once(&server.url(), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    let shown = format!("{error} {error:?} {}", chain(&error));
    // What ends a text that was cut, `…`, is between them.
    let is_hidden =
        |letter: char| letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{206f}');
    assert!(!shown.contains(is_hidden) && shown.len() < 20_000 && shown.contains("ERROR forged"), "{shown:?}");
}

async fn a_namespace_that_begins_with_a_slash(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let urls = ["namespace=/app", "namespace=%2Fapp"].map(|parameter| server.url_with(parameter));
    shown::a_namespace_may_begin_with_a_slash(&urls, "/k").await;
    assert_eq!(server.psql("SELECT DISTINCT name FROM distributed_locks"), "/app/k");
}
