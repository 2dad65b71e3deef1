//! A real Prometheus that scrapes one program, with the alert rules of the documentation.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;
use crate::programs::version;

/// A running server. Stopped by `Drop`.
#[derive(Debug)]
pub struct Prometheus(Daemon);

impl Prometheus {
    /// Whether this machine has one.
    #[must_use]
    pub fn is_installed() -> bool {
        version(Path::new("prometheus")).is_some()
    }

    /// One that scrapes `address` every second.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn of(address: &str) -> Prometheus {
        crate::daemon::start(|| Prometheus::prepare(address), |prometheus| vec![&prometheus.0])
    }

    fn prepare(scraped: &str) -> Prometheus {
        let (directory, port) = (fast_directory("locks-prometheus-"), ports::free());
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts.yml");
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs: [{{job_name: locks, static_configs: [{{targets: ['{scraped}']}}]}}]\n",
            rules.display()
        );
        let (path, data): (PathBuf, PathBuf) = (directory.path().join("prometheus.yml"), directory.path().join("data"));
        fs::write(&path, settings).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Prometheus(Daemon::new(Launch {
            name: format!("prometheus at {address}"),
            directory,
            address,
            url: ClientUrl::default(),
            command: Box::new(move || {
                let mut command = Command::new("prometheus");
                command
                    .arg(format!("--config.file={}", path.display()))
                    .arg(format!("--storage.tsdb.path={}", data.display()))
                    .arg(format!("--web.listen-address={address}"));
                command
            }),
            answers: Box::new(move || TcpStream::connect(address).is_ok()),
        }))
    }

    /// What its API answers, under `data`.
    ///
    /// # Errors
    ///
    /// The answer, if it is not a success.
    pub fn ask(&self, path: &str) -> Result<Value, String> {
        let request = minreq::get(format!("http://{}/api/v1/{path}", self.0.address()));
        let answer = request.with_timeout(crate::HANG_LIMIT.as_secs()).send().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(answer.as_bytes()).map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer.to_string()) }
    }

    /// The value of an expression that has one, and no character that a URL escapes.
    ///
    /// # Errors
    ///
    /// The answer, if it has none yet, or several.
    pub fn value(&self, expression: &str) -> Result<f64, String> {
        let answer = self.ask(&format!("query?query={expression}"))?;
        match answer["result"].as_array().map(Vec::as_slice) {
            Some([one]) => one["value"][1].as_str().and_then(|value| value.parse().ok()).ok_or(one.to_string()),
            _ => Err(answer.to_string()),
        }
    }
}
