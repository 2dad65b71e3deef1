//! The page of `locks ui`, in a real browser: live, by keyboard, on a phone, without a script.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "tasks here are the tests', not the product's")]

mod appearance;
mod breaking;
mod live;
mod site;

use libtest_mimic::Trial;
use serde_json::json;
use site::Site;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use support::browser::Browser;
use support::cases;
use tokio::runtime::Runtime;

/// One browser for all tests, one after the other.
type Shared = Arc<Mutex<Option<(Runtime, Browser)>>>;

type Test = for<'a> fn(&'a Browser) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), (|browser| Box::pin($module::$name(browser))) as Test)),*]
    };
}

fn main() -> ExitCode {
    let shared = Shared::default();
    let tests = tests![
        live::a_lock_its_waiter_and_the_hand_off_appear_and_an_open_row_stays_open,
        live::the_filter_and_the_order_are_kept_while_it_is_live,
        live::all_of_it_is_reached_by_keyboard,
        live::it_says_when_the_server_is_away,
        live::no_name_becomes_markup,
        breaking::a_lock_is_released_by_who_types_its_key_and_only_from_the_holder_that_was_shown,
        appearance::it_fits_a_phone,
        appearance::it_is_read_without_a_script,
        appearance::it_is_light_and_dark,
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let shared = Arc::clone(&shared);
        cases::looked_at(name, move || run(&shared, test))
    });
    cases::run_trials(trials.collect::<Vec<Trial>>())
}

fn run(shared: &Shared, test: Test) {
    // A test that has failed leaves the browser as good as it was.
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (runtime, browser) = shared.get_or_insert_with(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let browser = runtime.block_on(Browser::start());
        (runtime, browser)
    });
    runtime.block_on(async {
        browser.command("Emulation.clearDeviceMetricsOverride", &json!({})).await;
        browser.command("Emulation.setScriptExecutionDisabled", &json!({"value": false})).await;
        browser.command("Emulation.setEmulatedMedia", &json!({"features": []})).await;
        browser.window.goto("about:blank").await.unwrap();
        test(browser).await;
    });
}
