//! Releasing by force.

use crate::Site;
use distributed_locks::ErrorKind;
use fantoccini::Locator;
use support::browser::Browser;
use support::in_time;

pub(crate) async fn a_lock_is_released_by_who_types_its_key_and_only_from_the_holder_that_was_shown(browser: &Browser) {
    let site = Site::on_redis(&["--allow-break"]);
    let first = site.hold("/report", "first").await;
    site.open(browser).await;
    browser.until("document.querySelector('a.key')").await;
    browser.window.find(Locator::Css("a.key")).await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('tr.open a')").await;
    let force = async |typed: &str| {
        browser.window.find(Locator::Css("[name=typed]")).await.unwrap().send_keys(typed).await.unwrap();
        browser.window.find(Locator::Css(".danger")).await.unwrap().click().await.unwrap();
        browser.until("document.querySelector('.notice')").await;
        browser.ask("document.querySelector('.notice').innerText").await.as_str().unwrap().to_owned()
    };
    browser.window.find(Locator::Css("tr.open a")).await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('[name=typed]')").await;
    let said = force("/other").await;
    assert!(said.contains("is not the key"), "{said}");
    first.check().unwrap();
    // Another holds it by the time that the form is sent.
    browser.window.goto(&site.at("lock?key=/report")).await.unwrap();
    let next = site.wait_for("/report", "next");
    first.release().await.unwrap();
    let next = in_time(next).await.unwrap().unwrap();
    let said = force("/report").await;
    assert!(said.contains("any more. Nothing was done"), "{said}");
    next.confirm().await.unwrap();
    browser.window.find(Locator::LinkText("look at it again")).await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('[name=typed]')").await;
    let said = force("/report").await;
    assert!(said.starts_with("Released /report"), "{said}");
    assert_eq!(in_time(next.lost()).await.kind(), ErrorKind::Lost);
}
