//! What is shown of what must not be seen, or was written by others.

use crate::{Case, Fixture};
use support::cases;
use support::cases::Program;
use support::scenarios::bad_input::invalid_urls;
use support::scenarios::shown::{self, a_hostile_record_is_shown_in_one_short_line};
use support::scenarios::{acquire_and_release, client, connect};
use support::zookeeper::{Setup, create};

pub(crate) fn cases() -> Vec<Case> {
    cases![no_password_is_shown, a_hostile_record_is_escaped_and_cut, a_root_is_a_path_of_nodes,]
}

async fn no_password_is_shown(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let at = |login: &str| format!("zookeeper://{login}@{}", server.endpoint());
    shown::no_password_is_shown(&at("me:hunter2x"), &at("me:mistaken"), &["hunter2x", "mistaken"]).await;
}

/// The command line takes no spaces and no line breaks; the rest of what harms it does.
async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let mut command_line = server.open_command_line();
    for (number, record) in ["\u{202e}root\u{200b}\u{2066}".to_owned(), "[".repeat(3_000)].iter().enumerate() {
        let key = format!("{key}{number}");
        acquire_and_release(&locks, &key).await;
        create(&mut command_line, "-e -s", &format!("{key}/lock-"), record).await;
        a_hostile_record_is_shown_in_one_short_line(&locks, &key).await;
    }
}

async fn a_root_is_a_path_of_nodes(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    acquire_and_release(&connect(&format!("zookeeper://{}/app", server.endpoint())), &key).await;
    let guard = connect(&format!("zookeeper://{}/app", server.endpoint())).lock(&key).acquire().await.unwrap();
    let below = connect(&format!("zookeeper://{}", server.endpoint()));
    assert!(below.inspect(format!("/app{key}")).await.unwrap().is_some());
    guard.release().await.unwrap();
    invalid_urls(&[("zookeeper://a//app", "not a path"), ("zookeeper://a/%2Fapp", "not a path")]);
}
