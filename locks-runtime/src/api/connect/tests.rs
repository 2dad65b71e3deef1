//! URLs of any form: each is a store or refused with what is wrong in it, and nothing secret is ever shown.

use super::*;
use crate::values::error::ErrorKind;
use proptest::prelude::*;

/// All but `file`, which is tried apart, and one that there is not.
fn schemes() -> Vec<&'static str> {
    BUILT_IN.into_iter().filter(|scheme| *scheme != "file").chain(["oracle"]).collect()
}

const PARAMETERS: [&str; 23] = [
    "cluster",
    "sentinel",
    "sentinel_user",
    "wait_replicas",
    "token_file",
    "tls",
    "ttl",
    "connect_timeout",
    "label.team",
    "label.",
    "db",
    "layout",
    "table",
    "namespace",
    "sslmode",
    "domain",
    "ca",
    "cert",
    "key",
    "tll",
    "",
    "%74tl",
    "%ff",
];

const VALUES: [&str; 17] = [
    "",
    "10s",
    "0",
    "-1",
    "soon",
    "3",
    "99999999999999999999",
    "curator",
    "kazoo",
    "shedlock",
    "own",
    "a.b.c",
    "require",
    "verify-full",
    "%00",
    "%ff",
    "/nowhere/at.all",
];

/// The stores there are, but for those that want certificates first.
fn available() -> Vec<&'static str> {
    let stores = [
        (true, "memory"),
        (cfg!(feature = "etcd"), "etcd"),
        (cfg!(feature = "redis"), "redis"),
        (cfg!(feature = "zookeeper"), "zookeeper"),
        (cfg!(feature = "postgres"), "postgres"),
        (cfg!(feature = "mysql"), "mysql"),
    ];
    stores.into_iter().filter_map(|(is_on, scheme)| is_on.then_some(scheme)).collect()
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,4}(:[0-9]{1,6})?",
        1 => prop::sample::select(vec!["[::1]", "[::1]:1", "::1", "a:", ":1", "", "%41", "a b", "é", "http://a"]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
    ]
}

fn url() -> impl Strategy<Value = String> {
    let user = prop_oneof![2 => Just(String::new()), 1 => "[a-z]{0,3}(:[a-z]{0,3})?@", 1 => "\\PC{0,4}@"];
    let path = prop_oneof![2 => "(/[a-z.%0-9]{0,4}){0,3}", 1 => "\\PC{0,8}"];
    let parameter = (prop::sample::select(&PARAMETERS[..]), prop::sample::select(&VALUES[..]))
        .prop_map(|(name, value)| format!("{name}={value}"));
    let query = prop::collection::vec(parameter, 0..4).prop_map(|all| all.join("&"));
    let scheme = prop_oneof![
        8 => prop::sample::select(schemes()).prop_map(str::to_owned),
        1 => "[a-zA-Z]{0,8}".prop_filter("another test's", |scheme| !scheme.eq_ignore_ascii_case("file")),
    ];
    (scheme, user, prop::collection::vec(host(), 0..3), path, query)
        .prop_map(|(scheme, user, hosts, path, query)| format!("{scheme}://{user}{}{path}?{query}", hosts.join(",")))
}

/// A part of a user or a password.
fn part() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9]{0,5}", "[a-z@/?#:%,&=+\\[\\] .\\\\\"']{0,6}", "\\PC{0,4}"]
}

const FORMS: usize = 8;

fn written(form: usize, scheme: &str, user: &str, password: &str) -> String {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    match form {
        0 => format!("{scheme}://{user}:{password}@host/app"),
        1 => format!("{scheme}://{}:{}@host:1/app?ttl=9s", encoded(user), encoded(password)),
        2 => format!("{scheme}://:{password}@host?ttl=soon"),
        3 => format!("{scheme}://{user}:{password}@a,{user}:{password}@b/app"),
        4 => format!("{scheme}://{user}@corp:{password}@[::1]:1/app"),
        5 => format!("{scheme}://a/app?user={}&password={}", encoded(user), encoded(password)),
        6 => format!("etdc://{user}:{password}@host"),
        // With `://` in it, it is a URL of another scheme.
        _ => format!("{}@host:6379/app", password.replace("://", "")),
    }
}

fn refused(error: &Error, url: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{}: {}", url, error);
    prop_assert!(error.to_string().len() > 10, "{url}: {error}");
    Ok(())
}

fn world() -> World {
    World::background().unwrap()
}

proptest! {
    #[test]
    fn any_url_is_a_store_or_refused(url in url()) {
        if let Err(error) = connect(&url, &world()) {
            refused(&error, &url)?;
        }
    }

    #[test]
    fn any_text_is_a_store_or_refused(text in "\\PC{0,30}") {
        prop_assume!(!text.to_ascii_lowercase().starts_with("file:"));
        if let Err(error) = connect(&text, &world()) {
            refused(&error, &text)?;
        }
    }

    /// The directory is made when it is first used, so that none is made here.
    #[test]
    fn any_path_is_a_directory_or_refused(rest in "/{0,3}[a-z]{0,3}(/[a-z%0-9.]{0,4}){0,3}(\\?(ttl|x)=1)?") {
        let url = format!("file:{rest}");
        if let Err(error) = connect(&url, &world()) {
            refused(&error, &url)?;
        }
    }

    /// Wherever something else in the URL is wrong, and where nothing is.
    #[test]
    fn a_password_is_never_shown(
        scheme in prop::sample::select(schemes()),
        mark in prop::sample::select(vec!["", "%40", "%2F", ":", "%", "%zz", "[", ",", "@", "/", "?", "#", " "]),
        secret in "[a-z]{3}xqzj[a-z]{3}",
        host in host(),
        rest in "(/[a-z]{0,3})?(\\?(ttl|tll|db|layout|sslmode|ca)=[a-z0-9]{0,3})?",
    ) {
        let url = format!("{scheme}://user:{mark}{secret}@{host}{rest}");
        let shown = match connect(&url, &world()) {
            Ok(locks) => format!("{locks:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains(&secret), "{url}: {shown}");
    }

    /// As people write them: encoded or not, or where they do not belong. What is around the middle of the password may be cut
    /// off it by the mistake, so the middle is what must not be seen.
    #[test]
    fn no_user_and_password_is_ever_shown(
        scheme in prop::sample::select(schemes()),
        user in part(),
        before in part(),
        after in part(),
        form in 0..FORMS,
    ) {
        let url = written(form, scheme, &user, &format!("{before}xqzj{after}"));
        let shown = match connect(&url, &world()) {
            Ok((store, defaults)) => format!("{store:?} {defaults:?} {}", defaults.endpoint),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shown.contains("xqzj"), "{url}: {shown}");
    }

    /// A misspelt parameter is a setting that would silently do nothing.
    #[test]
    fn a_parameter_that_nobody_knows_is_named(scheme in prop::sample::select(available()), name in "[a-z]{2,9}zq") {
        let error = connect(&format!("{scheme}://user:pass@a/b?{name}=1"), &world()).unwrap_err();
        prop_assert!(error.to_string().contains(&format!("no parameter `{name}`")), "{error}");
    }

    #[test]
    fn what_is_given_for_all_stores_is_taken_over(seconds in 1..1000_u64, connect_ms in 1..100_000_u64, team in "[a-zA-Z0-9 /&=%é🔒]{0,12}") {
        let encoded: String = team.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let url = format!("memory:?ttl={seconds}&connect_timeout={connect_ms}ms&label.team={encoded}&label.a%2Eb=c");
        let (_, defaults) = connect(&url, &world()).unwrap();
        let defaults = &defaults;
        prop_assert_eq!(defaults.ttl.as_secs(), seconds);
        prop_assert_eq!(defaults.store(), "the store at memory:");
        prop_assert_eq!(defaults.connect_timeout.as_millis(), u128::from(connect_ms));
        prop_assert_eq!(&defaults.labels, &[("team".to_owned(), team), ("a.b".to_owned(), "c".to_owned())].into());
    }
}
