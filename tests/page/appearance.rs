//! How it looks: on a phone, without a script, light and dark.

use crate::Site;
use crate::site::row;
use distributed_locks::{Guard, Mode};
use fantoccini::Locator;
use serde_json::json;
use std::any::Any;
use std::path::Path;
use std::time::Duration;
use support::browser::Browser;

pub(crate) async fn it_fits_a_phone(browser: &Browser) {
    let site = Site::start(&[]);
    let long = "/a/very/long/key/of/something/that/somebody/has/named/after/everything/that/it/does/0123456789";
    let _guard = site.hold(long, "a::module::with::a::long::name::and_a_function").await;
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true});
    browser.command("Emulation.setDeviceMetricsOverride", &phone).await;
    site.open(browser).await;
    browser.until(&format!("{}.includes('module')", row(long))).await;
    browser.window.find(Locator::Css("a.key")).await.unwrap().click().await.unwrap();
    browser.until("(document.querySelector('tr.open')?.innerText ?? '').includes('Who had it')").await;
    let width = browser.ask("document.documentElement.scrollWidth").await;
    assert!(width.as_u64().unwrap() <= 360, "{width} of 360");
}

pub(crate) async fn it_is_read_without_a_script(browser: &Browser) {
    let site = Site::on_redis(&["--allow-break"]);
    let (_one, _two) = (site.hold("/one", "one").await, site.hold("/two", "two").await);
    browser.command("Emulation.setScriptExecutionDisabled", &json!({"value": true})).await;
    let window = &browser.window;
    window.goto(&site.link).await.unwrap();
    let source = window.source().await.unwrap();
    assert!(source.contains("data-key=\"/one\"") && source.contains("data-key=\"/two\""), "{source}");
    assert!(!source.contains("data-live"), "a script has run");
    window.find(Locator::Css("[name=prefix]")).await.unwrap().send_keys("/tw").await.unwrap();
    window.find(Locator::Css("#filter button")).await.unwrap().click().await.unwrap();
    window
        .wait()
        .at_most(support::HANG_LIMIT)
        .for_url(&site.at("?prefix=%2Ftw&sort=key").parse().unwrap())
        .await
        .unwrap();
    let source = window.source().await.unwrap();
    assert!(!source.contains("data-key=\"/one\"") && source.contains("data-key=\"/two\""), "{source}");
    window.find(Locator::Css("a.key")).await.unwrap().click().await.unwrap();
    window.wait().at_most(support::HANG_LIMIT).for_element(Locator::Css("[name=typed]")).await.unwrap();
    window.find(Locator::Css("[name=typed]")).await.unwrap().send_keys("/two").await.unwrap();
    window.find(Locator::Css(".danger")).await.unwrap().click().await.unwrap();
    let notice = window.wait().at_most(support::HANG_LIMIT).for_element(Locator::Css(".notice")).await.unwrap();
    let said = notice.text().await.unwrap();
    assert!(said.starts_with("Released /two"), "{said}");
}

/// `LOCKS_SCREENSHOTS=1` writes the pictures of the documentation.
pub(crate) async fn it_is_light_and_dark(browser: &Browser) {
    let are_kept = std::env::var_os("LOCKS_SCREENSHOTS").is_some();
    // Redis shows when a lock expires.
    let site = Site::on_redis(&["--mark-after", "8s"]);
    let size = json!({"width": 1120, "height": 830, "deviceScaleFactor": 1, "mobile": false});
    browser.command("Emulation.setDeviceMetricsOverride", &size).await;
    site.open(browser).await;
    let _held = some_locks(&site, browser, Duration::from_secs(if are_kept { 2 } else { 0 })).await;
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.command("Emulation.setEmulatedMedia", &media).await;
        site.open(browser).await;
        browser.until(&format!("{}.includes('longest')", row("/report/weekly"))).await;
        let link = browser.window.find(Locator::Css("a.key[data-key='/report/weekly']")).await.unwrap();
        link.click().await.unwrap();
        browser.until("document.querySelectorAll('tr.open .lanes li').length === 3").await;
        grounds.push(browser.ask("getComputedStyle(document.body).backgroundColor").await);
        if are_kept {
            let picture = browser.window.screenshot().await.unwrap();
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
            std::fs::write(docs.join(format!("page-{scheme}.png")), picture).unwrap();
        }
    }
    assert_eq!(grounds, ["rgb(255, 255, 255)", "rgb(20, 23, 28)"]);
}

/// As a small cluster would have them. Each hold of the first lock lasts so long, for the lanes of the picture.
async fn some_locks(site: &Site, browser: &Browser, each: Duration) -> Vec<Box<dyn Any>> {
    let lock =
        |key: &str, name: &str, origin: &str| site.client().lock(key).name(name.to_owned()).origin(origin.to_owned());
    let mut held: Vec<Box<dyn Any>> = Vec::new();
    held.push(Box::new(lock("/leader/indexer", "indexer::lead", "src/indexer.rs:31").acquire().await.unwrap()));
    for name in ["report::weekly", "report::by_hand"] {
        let guard: Guard = lock("/report/weekly", name, "src/report.rs:12").acquire().await.unwrap();
        // A hold that is over before Redis is asked about it is not shown.
        browser.until(&format!("{}.includes('{name}')", row("/report/weekly"))).await;
        tokio::time::sleep(each).await;
        guard.release().await.unwrap();
    }
    held.push(Box::new(lock("/report/weekly", "report::weekly", "src/report.rs:12").acquire().await.unwrap()));
    held.push(Box::new(site.wait_for("/report/weekly", "report::by_hand")));
    held.push(Box::new(lock("/cron/lock/invoices", "jobs::invoices", "src/jobs.rs:40").acquire().await.unwrap()));
    for name in ["geocode::ask", "geocode::ask"] {
        let lock = lock("/api/geocoder", name, "src/geocode.rs:8").mode(Mode::Permits(5));
        held.push(Box::new(lock.acquire().await.unwrap()));
    }
    tokio::time::sleep(each).await;
    held
}
