//! A real browser, driven by its own driver: Chromium without a window.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::programs::version;
use crate::{HANG_LIMIT, ports};

/// A running browser with one window. Ended by `Drop`.
#[derive(Debug)]
pub struct Browser {
    /// Its window.
    pub window: Client,
    driver: Daemon,
    _profile: TempDir,
}

impl Browser {
    /// Whether this machine has one, and its driver.
    #[must_use]
    pub fn is_installed() -> bool {
        ["chromium", "chromedriver"].iter().all(|program| version(Path::new(program)).is_some())
    }

    /// Starts one.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub async fn start() -> Browser {
        let driver = crate::daemon::start(prepare, |driver| vec![driver]);
        let profile = fast_directory("locks-browser-");
        // Without its sandbox, which does not work for root; with a pipe, whose end ends it.
        let arguments = [
            "--headless=new".to_owned(),
            "--remote-debugging-pipe".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--window-size=1280,800".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"goog:chromeOptions": {"args": arguments}});
        let url = format!("http://{}", driver.address());
        let mut connecting = ClientBuilder::new(HttpConnector::new());
        let window = connecting.capabilities(wanted.as_object().unwrap().clone()).connect(&url).await.unwrap();
        Browser { window, driver, _profile: profile }
    }

    /// A command of Chromium's own protocol, which the driver passes on.
    pub async fn command(&self, name: &str, parameters: &Value) -> Value {
        let session = self.window.session_id().await.unwrap().unwrap();
        let url = format!("http://{}/session/{session}/goog/cdp/execute", self.driver.address());
        let body = json!({"cmd": name, "params": parameters}).to_string();
        let request = minreq::post(url).with_body(body).with_timeout(HANG_LIMIT.as_secs());
        let answer = request.send().unwrap();
        assert_eq!(answer.status_code, 200, "{name}: {}", answer.as_str().unwrap_or_default());
        serde_json::from_slice(answer.as_bytes()).unwrap()
    }

    /// What a script returns.
    pub async fn ask(&self, script: &str) -> Value {
        self.window.execute(&format!("return {script}"), Vec::new()).await.unwrap()
    }

    /// Returns once an expression is true.
    ///
    /// # Panics
    ///
    /// If it is not within the time in which nothing hangs, with the page.
    pub async fn until(&self, expression: &str) {
        let waited = tokio::time::timeout(HANG_LIMIT, async {
            while self.ask(&format!("Boolean({expression})")).await != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        if waited.await.is_err() {
            panic!("not so: {expression}\n{}", self.ask("document.body.innerText").await);
        }
    }
}

fn prepare() -> Daemon {
    let (directory, port) = (fast_directory("locks-chromedriver-"), ports::free());
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
    Daemon::new(Launch {
        name: format!("chromedriver at {address}"),
        directory,
        address,
        url: ClientUrl::default(),
        command: Box::new(move || {
            let mut command = Command::new("chromedriver");
            command.arg(format!("--port={port}"));
            command
        }),
        answers: Box::new(move || TcpStream::connect(address).is_ok()),
    })
}
