//! What is shown of what must not be seen, or was written by others.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use support::cases;
use support::postgres::Setup;
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::shown::{HOSTILE, hostile_record, is_hidden};
use support::scenarios::sql::shown;
use support::scenarios::{acquire_and_release, chain, client, connect};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        no_password_is_shown,
        a_hostile_record_is_escaped_and_cut,
        what_a_server_says_is_one_short_line,
        shown::a_namespace_that_begins_with_a_slash,
    ]
}

async fn no_password_is_shown(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    shown::no_password_is_shown(&server).await;
}

async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    let hostile = format!("$x${}$x$", hostile_record());
    let records = [&hostile, "repeat(E'x\\r\\n', 7000000)", "repeat('[', 1000000)"];
    shown::hostile_records_are_escaped_and_cut(&*server, &locks, &key, &records).await;
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
    assert!(!shown.contains(is_hidden) && shown.len() < 20_000 && shown.contains("ERROR forged"), "{shown:?}");
}
