//! Keys from templates and values.

use crate::{assert_locked, current_key, store};
use distributed_locks::{Error, ErrorKind, distributed_lock};

const REGION: &str = "eu";

struct Order {
    id: u32,
    tags: Vec<String>,
}

#[distributed_lock(key = "/cron/lock/<job>", wait = 0)]
async fn angled(job: &str) -> Result<String, Error> {
    Ok(current_key())
}

#[distributed_lock(key = "/cron/lock/{job}", wait = 0)]
async fn braced(job: &str) -> Result<String, Error> {
    Ok(current_key())
}

#[distributed_lock(
    key = "/{REGION}/{order.id:04}/{order.tags[0]}/{&order.tags.len()}/{if *urgent { \"now\" } else { \"later\" }}"
)]
async fn expressions(order: &Order, urgent: &bool) -> Result<String, Error> {
    Ok(current_key())
}

#[distributed_lock(key = r#"/raw/{name.replace("}", "{")}/{name:?}/{number:>5.1}|{number:+e}"#)]
async fn raw(name: &str, number: f64) -> Result<String, Error> {
    Ok(current_key())
}

#[distributed_lock(key = "/{{literal}}/<not-a-name>/a < b/{'<'}name>/<{name}>/\u{fc}")]
async fn plain_text(name: &str) -> Result<String, Error> {
    Ok(current_key())
}

#[distributed_lock(key = format!("/given/{name}"))]
async fn computed(name: &str) -> Result<String, Error> {
    Ok(current_key())
}

/// A key that is an expression is borrowed, not moved.
#[distributed_lock(key = name)]
async fn from_argument(name: String) -> Result<(String, String), Error> {
    Ok((current_key(), name))
}

/// In a macro, the literal and the parameter have different origins.
macro_rules! locked {
    ($function:ident, $key:literal, $ttl:expr, $parameter:ident) => {
        #[distributed_lock(key = $key, ttl = $ttl, wait = 0, or = Err(error))]
        async fn $function($parameter: u32, own: u32) -> Result<u32, Error> {
            Ok($parameter + own)
        }
    };
}

locked!(by_macro, "/macro/{shard}/<own>", 60, shard);

#[tokio::test]
async fn both_notations_make_the_same_key() {
    let locks = store("templates");
    assert_locked(&locks, "/cron/lock/nightly", async || angled("nightly").await).await;
    assert_locked(&locks, "/cron/lock/nightly", async || braced("nightly").await).await;
    assert_locked(&locks, "/macro/1/2", async || by_macro(1, 2).await).await;
}

#[tokio::test]
async fn values_are_encoded_and_template_text_is_not() {
    let locks = store("templates-encoding");
    assert_eq!(distributed_locks::scoped(locks.clone(), braced("a/b%\n")).await.unwrap(), "/cron/lock/a%2Fb%25%0A");
    let text = distributed_locks::scoped(locks.clone(), plain_text("n")).await.unwrap();
    assert_eq!(text, "/{literal}/<not-a-name>/a < b/<name>/<n>/\u{fc}");
}

#[tokio::test]
async fn expressions_and_format_specs_are_those_of_rust() {
    let locks = store("templates-expressions");
    let order = Order { id: 7, tags: vec!["red".to_owned()] };
    let key = distributed_locks::scoped(locks.clone(), expressions(&order, &true)).await.unwrap();
    assert_eq!(key, "/eu/0007/red/1/now");
    let key = distributed_locks::scoped(locks.clone(), raw("a}", 2.5)).await.unwrap();
    assert_eq!(key, "/raw/a{/\"a}\"/  2.5|+2.5e0");
}

#[tokio::test]
async fn the_value_of_an_expression_is_not_encoded() {
    let locks = store("templates-computed");
    assert_eq!(distributed_locks::scoped(locks.clone(), computed("a/b")).await.unwrap(), "/given/a/b");
    let (key, name) = distributed_locks::scoped(locks, from_argument("/x%".to_owned())).await.unwrap();
    assert_eq!((key.as_str(), name.as_str()), ("/x%", "/x%"));
}

const LOOKS_LIKE_A_TEMPLATE: &str = "/given/{job}";

#[distributed_lock(key = LOOKS_LIKE_A_TEMPLATE)]
async fn from_constant(job: u8) -> Result<u8, Error> {
    Ok(job)
}

#[tokio::test]
async fn a_template_in_a_constant_is_not_one_key_for_every_call() {
    let error = distributed_locks::scoped(store("templates-constant"), from_constant(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidKey);
    assert!(error.to_string().contains("`{job}` is text here"), "{error}");
}

#[tokio::test]
async fn an_empty_value_is_an_invalid_key() {
    let locks = store("templates-empty");
    let error = distributed_locks::scoped(locks.clone(), braced("")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidKey);
    assert!(error.to_string().contains("`{job}` is empty"), "{error}");
    assert_eq!(
        distributed_locks::scoped(locks, from_argument(String::new())).await.unwrap_err().kind(),
        ErrorKind::InvalidKey
    );
}
