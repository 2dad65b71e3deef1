//! Releasing by force: the hold that was shown, by who types its key.

use crate::support::{Site, site, site_of};
use axum::http::StatusCode;
use locks_runtime::ErrorKind;
use locks_ui::Page;

async fn form(site: &Site) -> (String, String) {
    let path = "/lock?key=%2Fa";
    let fence = site.between(path, "name=\"fence\" value=\"", "\"").await;
    (fence, site.between(path, "name=\"mark\" value=\"", "\"").await)
}

#[tokio::test]
async fn the_hold_that_is_shown_is_released_and_no_other() {
    let site = site_of("force_shown", Page::allow_break);
    let first = site.hold("/a").await;
    let (fence, mark) = form(&site).await;
    first.release().await.unwrap();
    let next = site.hold("/a").await;
    let stale = site.post("/break", &format!("key=%2Fa&typed=%2Fa&fence={fence}&mark={mark}")).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("Nothing was done"), "{}", stale.text);
    next.check().unwrap();
    let (fence, mark) = form(&site).await;
    let done = site.post("/break", &format!("key=%2Fa&typed=%2Fa&fence={fence}&mark={mark}")).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(next.lost().await.kind(), ErrorKind::Lost);
    let lock = site.get("/lock?key=%2Fa").await.text;
    assert!(lock.contains("released by force from this page") && lock.contains("It is free."), "{lock}");
}

#[tokio::test]
async fn the_key_has_to_be_typed_and_the_form_to_be_of_this_page() {
    let site = site_of("force_typed", Page::allow_break);
    let guard = site.hold("/a").await;
    let (fence, mark) = form(&site).await;
    for (typed, mark, fence, status) in [
        ("", &*mark, &*fence, StatusCode::UNPROCESSABLE_ENTITY),
        ("%2Fb", &mark, &fence, StatusCode::UNPROCESSABLE_ENTITY),
        ("%2Fa", "", &fence, StatusCode::FORBIDDEN),
        ("%2Fa", &site.token, &fence, StatusCode::FORBIDDEN),
        ("%2Fa", &mark, "", StatusCode::BAD_REQUEST),
        ("%2Fa", &mark, "-1", StatusCode::BAD_REQUEST),
        ("%2Fa", &mark, "1", StatusCode::CONFLICT),
    ] {
        let answer = site.post("/break", &format!("key=%2Fa&typed={typed}&fence={fence}&mark={mark}")).await;
        assert_eq!(answer.status, status, "{typed} {}", answer.text);
    }
    assert_eq!(site.get("/break").await.status, StatusCode::METHOD_NOT_ALLOWED);
    guard.check().unwrap();
    guard.confirm().await.unwrap();
}

#[tokio::test]
async fn it_is_refused_unless_it_is_allowed() {
    let site = site("force_off");
    let guard = site.hold("/a").await;
    let answer = site.post("/break", &format!("key=%2Fa&typed=%2Fa&fence={}&mark=x", guard.fence().number())).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("--allow-break"), "{}", answer.text);
    guard.confirm().await.unwrap();
}

/// What the page does not show is not released by it either, by whatever form.
#[tokio::test]
async fn a_lock_that_the_page_does_not_show_is_not_released() {
    let site = site_of("force_prefix", |page| page.prefix("/mine/").allow_break());
    let (mine, other) = (site.hold("/mine/a").await, site.hold("/other").await);
    let mark = site.between("/lock?key=%2Fmine%2Fa", "name=\"mark\" value=\"", "\"").await;
    let fence = other.fence().number();
    let answer = site.post("/break", &format!("key=%2Fother&typed=%2Fother&fence={fence}&mark={mark}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
    assert!(other.is_held() && site.locks.inspect("/other").await.unwrap().is_some());
    drop((mine, other));
}
