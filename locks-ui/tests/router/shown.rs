//! What is shown: texts as texts, and of many locks a few.

use crate::support::{HANG, eventually, site, site_of};
use axum::http::StatusCode;
use locks_runtime::Locks;
use serde_json::Value;
use std::time::Duration;

#[tokio::test]
async fn a_lock_and_who_waits_for_it_are_in_the_page_without_a_script() {
    let site = site("shown_page");
    let guard = site.locks.lock("/report/weekly").name("report").acquire().await.unwrap();
    let waiting = site.wait_for("/report/weekly", "next");
    eventually("somebody waits", async || site.get("/").await.text.contains("<b>1</b> waiting")).await;
    let page = site.get("/").await.text;
    for text in [
        "<b>1</b> held",
        ">/report/weekly</a>",
        "exclusive",
        "<b class=\"name\">report</b>",
        &guard.fence().number().to_string(),
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    let lock = site.get("/lock?key=%2Freport%2Fweekly").await.text;
    for text in ["holds</th>", "waits 1</th>", "<b class=\"name\">next</b>", "Who had it, since"] {
        assert!(lock.contains(text), "{text} is not in {lock}");
    }
    assert!(!lock.contains("<form"), "nobody has allowed that");
    guard.release().await.unwrap();
    let next = tokio::time::timeout(HANG, waiting).await.unwrap().unwrap().unwrap();
    eventually("the next one holds it", async || {
        let lock = site.get("/lock?key=%2Freport%2Fweekly").await.text;
        lock.contains("released it after") && lock.contains("next") && lock.contains("holds it")
    })
    .await;
    next.release().await.unwrap();
    eventually("it is free", async || site.get("/").await.text.contains("Nobody holds a lock")).await;
    assert!(site.get("/lock?key=%2Freport%2Fweekly").await.text.contains("It is free."));
}

#[tokio::test]
async fn no_name_becomes_markup() {
    let site = site_of("shown_markup", locks_ui::Page::allow_break);
    let evil = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><b>",
        "'><b>",
        "</td></tr>",
        "&lt;b&gt;",
        "javascript:alert(1)",
        "\u{202e}gpj.exe",
        "\u{2066}x\u{2069}",
        "a\u{200b}b",
        "]]>",
        "--><!--",
    ];
    let mut guards = Vec::new();
    for (at, text) in evil.iter().enumerate() {
        let labelled = Locks::connect(format!("memory:shown_markup?label.x={}", encoded(text))).unwrap();
        let lock = labelled.lock(format!("/{at}/{text}"));
        guards.push(lock.name(text.to_string()).acquire().await.unwrap());
    }
    let waiting = site.wait_for(&format!("/0/{}", evil[0]), evil[1]);
    eventually("somebody waits", async || site.get("/").await.text.contains("<b>1</b> waiting")).await;
    let table = site.get("/").await.text;
    assert_eq!(table.matches("<tr>").count(), evil.len() + 1);
    let mut pages = vec![
        table,
        site.get("/?sort=function").await.text,
        site.get(&format!("/?prefix={}", encoded("<script>\"'"))).await.text,
    ];
    for (at, text) in evil.iter().enumerate() {
        pages.push(site.get(&format!("/lock?key={}", encoded(&format!("/{at}/{text}")))).await.text);
    }
    for page in &pages {
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("<img") && !page.contains("<b>\"") && !page.contains("--><!--"), "{page}");
        // What is hidden is only where nobody reads: in what is sent back.
        let read: String =
            page.split("data-key=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect();
        let read: String = read
            .split("name=\"key\" value=\"")
            .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest))
            .collect();
        assert!(!read.contains(['\u{202e}', '\u{2066}', '\u{200b}']), "{read}");
    }
    assert!(pages[0].contains("\\u{202e}gpj.exe"));
    let json: Value = serde_json::from_str(&site.get("/locks.json").await.text).unwrap();
    assert_eq!(json["locks"][0]["holders"][0]["name"], evil[0]);
    waiting.abort();
    drop(guards);
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn of_ten_thousand_locks_a_page_is_sent() {
    const MANY: usize = 10_000;
    let site = site("shown_many");
    let mut guards = Vec::with_capacity(MANY);
    for at in 0..MANY {
        guards.push(site.hold(&format!("/many/{at:05}")).await);
    }
    let page = site.get("/").await.text;
    assert!(page.contains("<b>10,000</b> held") && page.contains("1–100 of 10,000"), "{page}");
    assert!(page.len() < 100_000, "{} bytes", page.len());
    assert_eq!(page.matches("class=\"key\"").count(), 100);
    let last = site.get("/?page=100").await.text;
    assert!(last.contains("9,901–10,000 of 10,000") && last.contains("/many/09999") && !last.contains("next →"));
    assert!(site.get("/?page=999999").await.text.contains("9,901–10,000"), "beyond the end is the end");
    let few = site.get("/?prefix=%2Fmany%2F0123").await.text;
    assert!(few.contains("1–10 of 10") && few.contains("/many/01239"), "{few}");
    assert!(site.get("/?prefix=%2Fnone").await.text.contains("No lock that is held or waited for begins with /none."));
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let all = json(&site.get("/locks.json").await.text);
    assert_eq!((all["total"].as_u64(), all["locks"].as_array().unwrap().len()), (Some(10_000), MANY));
    let some = json(&site.get("/locks.json?limit=3&prefix=%2Fmany%2F00001&sort=oldest").await.text);
    assert_eq!((some["total"].as_u64(), some["locks"].as_array().unwrap().len()), (Some(1), 1));
    assert!(some["locks"][0]["holders"][0]["fence"].is_string(), "{some}");
    drop(guards);
}

#[tokio::test]
async fn the_order_is_the_servers() {
    let site = site("shown_order");
    let mut guards = Vec::new();
    for key in ["/c", "/a", "/b"] {
        guards.push(site.hold(key).await);
        // The clock of holds is in milliseconds.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let waiting = site.wait_for("/b", "next");
    eventually("somebody waits", async || site.get("/").await.text.contains("<b>1</b> waiting")).await;
    let order = async |query: &str| -> Vec<String> {
        let page = site.get(&format!("/?{query}")).await.text;
        page.split("data-key=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    assert_eq!(order("").await, ["/a", "/b", "/c"]);
    assert_eq!(order("sort=oldest").await, ["/c", "/a", "/b"]);
    assert_eq!(order("sort=wanted").await[0], "/b");
    assert_eq!(order("sort=nonsense&page=-1&limit=x").await, ["/a", "/b", "/c"]);
    assert!(site.get("/?sort=function").await.text.contains("<tr class=\"group\">"));
    waiting.abort();
}

#[tokio::test]
async fn what_somebody_should_look_at_is_marked() {
    let site = site_of("shown_marks", |page| page.mark_after(Duration::ZERO));
    let _long = site.hold("/long").await;
    eventually("it is marked", async || site.get("/?prefix=%2Flong").await.text.contains(">held long</span>")).await;
}

#[tokio::test]
async fn a_part_of_the_store_is_all_that_is_shown() {
    let site = site_of("shown_prefix", |page| page.prefix("/mine/"));
    let (_one, _other) = (site.hold("/mine/a").await, site.hold("/other/b").await);
    let page = site.get("/").await.text;
    assert!(page.contains("/mine/a") && !page.contains("/other/b"));
    assert_eq!(site.get("/lock?key=%2Fother%2Fb").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/lock?key=").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.get(&format!("/lock?key=%2Fmine%2F{}", "x".repeat(10_000))).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn metrics_have_figures_and_no_names() {
    let site = site("shown_metrics");
    let _guard = site.hold("/secret/key").await;
    let answer = site.get("/metrics").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "locks_page_store_up 1",
        "locks_page_held_locks 1",
        "locks_page_waiters 0",
        "# TYPE locks_page_oldest_hold_seconds gauge",
    ] {
        assert!(answer.text.lines().any(|found| found == line), "{line} is not in {}", answer.text);
    }
    assert!(!answer.text.contains("secret"));
}
