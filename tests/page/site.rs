//! A page, by the program itself.

use distributed_locks::{Error, Guard, Locks};
use support::HANG_LIMIT;
use support::browser::Browser;
use support::cases::Program;
use support::child::{Child, binary};
use support::redis::{self, Redis};
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) struct Site {
    pub(crate) program: Child,
    /// With the token.
    pub(crate) link: String,
    url: String,
    _directory: Option<TempDir>,
    _redis: Option<Redis>,
}

impl Site {
    /// Of locks in files.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().join("locks").display());
        Self { _directory: Some(directory), ..Self::of(&url, arguments) }
    }

    /// Of locks in Redis, which can be released by force.
    pub(crate) fn on_redis(arguments: &[&str]) -> Self {
        let installed = redis::Binary::installed().last();
        let redis = installed.expect("a Redis, which `make servers` installs").start(&redis::Setup::default());
        let site = Self::of(&redis.url(), arguments);
        Self { _redis: Some(redis), ..site }
    }

    fn of(url: &str, arguments: &[&str]) -> Self {
        let mut command = binary("locks");
        command.arg("ui").args(arguments).env("LOCKS_URL", url);
        let mut program = Child::start(&mut command);
        let link = format!("http{}", program.expect_line("http", HANG_LIMIT));
        Self { program, link, url: url.to_owned(), _directory: None, _redis: None }
    }

    /// Opens it, and returns once it is live.
    pub(crate) async fn open(&self, browser: &Browser) {
        browser.window.goto(&self.link).await.unwrap();
        browser.until("document.body.dataset.live === ''").await;
    }

    /// The address of one of its pages.
    pub(crate) fn at(&self, path: &str) -> String {
        let (base, _) = self.link.split_once("?").unwrap();
        format!("{base}{path}")
    }

    /// A client, as another process would be.
    pub(crate) fn client(&self) -> Locks {
        Locks::connect(&self.url).unwrap()
    }

    pub(crate) async fn hold(&self, key: &str, name: &str) -> Guard {
        self.client().lock(key).name(name.to_owned()).acquire().await.unwrap()
    }

    pub(crate) fn wait_for(&self, key: &str, name: &str) -> JoinHandle<Result<Guard, Error>> {
        let lock = self.client().lock(key).name(name.to_owned());
        tokio::spawn(async move { lock.acquire().await })
    }
}

/// The row of a lock, in the page's script.
pub(crate) fn row(key: &str) -> String {
    format!("(document.querySelector('a.key[data-key=\"{key}\"]')?.closest('tr')?.innerText ?? '')")
}
