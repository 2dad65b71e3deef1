//! What happens while somebody looks.

use crate::Site;
use crate::site::row;
use fantoccini::Locator;
use fantoccini::key::Key;
use support::browser::Browser;
use support::in_time;

pub(crate) async fn a_lock_its_waiter_and_the_hand_off_appear_and_an_open_row_stays_open(browser: &Browser) {
    let site = Site::start(&[]);
    site.open(browser).await;
    browser.until("document.body.innerText.includes('Nobody holds a lock')").await;
    let first = site.hold("/report", "first").await;
    browser.until(&format!("{}.includes('first')", row("/report"))).await;
    browser.window.find(Locator::Css("a.key")).await.unwrap().click().await.unwrap();
    let opened = "(document.querySelector('tr.open')?.innerText ?? '')";
    browser.until(&format!("{opened}.includes('holds')")).await;
    let second = site.wait_for("/report", "second");
    browser.until(&format!("{}.includes('longest')", row("/report"))).await;
    browser.until(&format!("{opened}.includes('waits 1') && {opened}.includes('second')")).await;
    // The same element all the time, with the focus.
    browser.ask("void (window.before = document.querySelector('a.key'), window.before.focus())").await;
    first.release().await.unwrap();
    browser.until(&format!("{}.includes('second')", row("/report"))).await;
    browser.until(&format!("{opened}.includes('released it after') && {opened}.includes('holds it')")).await;
    browser.until("document.querySelectorAll('.lanes rect').length === 2").await;
    assert_eq!(browser.ask("document.activeElement === document.querySelector('a.key')").await, true);
    browser.until("document.activeElement.getAttribute('aria-expanded') === 'true'").await;
    in_time(second).await.unwrap().unwrap().release().await.unwrap();
    browser.until("!document.querySelector('#rows tr')").await;
    assert_eq!(browser.ask("location.search").await, "", "the token does not stay in the address");
}

pub(crate) async fn the_filter_and_the_order_are_kept_while_it_is_live(browser: &Browser) {
    let site = Site::start(&[]);
    let mut guards = Vec::new();
    for at in 0..120 {
        guards.push(site.hold(&format!("/many/{at:03}"), "many").await);
    }
    guards.push(site.hold("/few/1", "few").await);
    let waiting = site.wait_for("/many/077", "next");
    site.open(browser).await;
    let first = "document.querySelector('a.key').dataset.key";
    let count = "document.querySelectorAll('#rows tr').length";
    browser.until("document.body.innerText.includes('1–100 of 121')").await;
    assert_eq!(browser.ask(first).await, "/few/1");
    let field = browser.window.find(Locator::Css("[name=prefix]")).await.unwrap();
    field.send_keys("/many/07").await.unwrap();
    browser.until(&format!("{count} === 10")).await;
    assert_eq!(browser.ask("location.search").await, "?prefix=%2Fmany%2F07");
    guards.push(site.hold("/many/07x", "new").await);
    browser.until(&format!("{count} === 11 && document.activeElement.name === 'prefix'")).await;
    browser.window.goto(&site.at("?sort=wanted&prefix=/many")).await.unwrap();
    browser.until(&format!("document.body.dataset.live === '' && {first} === '/many/077'")).await;
    assert_eq!(browser.ask("document.querySelector('[name=prefix]').value").await, "/many");
    browser.window.find(Locator::LinkText("next →")).await.unwrap().click().await.unwrap();
    browser.until("document.body.dataset.live === '' && document.body.innerText.includes('101–121 of 121')").await;
    waiting.abort();
}

pub(crate) async fn all_of_it_is_reached_by_keyboard(browser: &Browser) {
    let site = Site::start(&[]);
    let (_one, _two) = (site.hold("/one", "one").await, site.hold("/two", "two").await);
    site.open(browser).await;
    browser.until("document.querySelectorAll('#rows tr').length === 2").await;
    let press = async |keys: &str| {
        let focused = browser.window.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    };
    press("/").await;
    assert_eq!(browser.ask("document.activeElement.name").await, "prefix");
    let tab: String = char::from(Key::Tab).into();
    for _ in 0..20 {
        press(&tab).await;
        if browser.ask("document.activeElement.dataset.key === '/one'").await == true {
            break;
        }
    }
    press(&String::from(char::from(Key::Down))).await;
    assert_eq!(browser.ask("document.activeElement.dataset.key").await, "/two");
    press(&String::from(char::from(Key::Enter))).await;
    browser.until("(document.querySelector('tr.open')?.innerText ?? '').includes('two')").await;
    assert_eq!(browser.ask("document.activeElement.getAttribute('aria-expanded')").await, "true");
    press(&String::from(char::from(Key::Enter))).await;
    browser.until("!document.querySelector('tr.open')").await;
}

pub(crate) async fn it_says_when_the_server_is_away(browser: &Browser) {
    let mut site = Site::start(&[]);
    let _guard = site.hold("/one", "one").await;
    site.open(browser).await;
    assert_eq!(browser.ask("document.getElementById('server').hidden").await, true);
    // With the stream open.
    site.program.terminate();
    let ended = site.program.wait();
    assert!(ended.success(), "{ended}");
    browser.until("document.getElementById('server').innerText.includes('is away')").await;
    browser.until(&format!("{}.includes('one')", row("/one"))).await;
}

pub(crate) async fn no_name_becomes_markup(browser: &Browser) {
    let site = Site::start(&[]);
    let evil = "<img src=x onerror=\"window.hacked=1\">";
    let (_key, _name) = (site.hold(evil, "key").await, site.hold("/name", evil).await);
    site.open(browser).await;
    browser.until("document.querySelectorAll('#rows tr').length === 2").await;
    // Those that the script has made, too.
    let _late = site.hold("/late", "<script>window.hacked=1</script>\u{202e}x").await;
    let waiting = site.wait_for("/late", evil);
    browser.until(&format!("{}.includes('longest')", row("/late"))).await;
    for link in browser.window.find_all(Locator::Css("a.key")).await.unwrap() {
        link.click().await.unwrap();
    }
    browser.until("[...document.querySelectorAll('tr.open')].filter((row) => row.innerText.includes('Who had it')).length === 3").await;
    assert!(browser.ask("document.body.innerText").await.as_str().unwrap().contains("</script>\\u{202e}x"));
    assert_eq!(browser.ask("document.querySelectorAll('img').length + document.scripts.length").await, 1);
    assert_eq!(browser.ask("window.hacked ?? null").await, serde_json::Value::Null);
    waiting.abort();
}
