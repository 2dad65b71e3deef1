//! The script as clients call it, by hand: for lines that are longer than clients make them in the time of a test, and for
//! what one request does by itself, before any client asks about it.

use support::redis::{Answer, Redis};

const SCRIPT: &str = include_str!("../../locks-runtime/src/stores/redis/queue.lua");

/// For as long as any test takes, in milliseconds.
pub(crate) const LONG: &str = "3600000";

/// A server that knows the script.
pub(crate) struct Script<'a> {
    redis: &'a Redis,
    name: String,
}

impl<'a> Script<'a> {
    pub(crate) fn on(redis: &'a Redis) -> Self {
        let name = redis.ask(&["SCRIPT", "LOAD", SCRIPT]).text().unwrap();
        Self { redis, name }
    }

    /// What it replies.
    pub(crate) fn run(&self, command: &str, locks: &[&str], arguments: &[&str]) -> Answer {
        self.try_run(command, locks, arguments).unwrap()
    }

    /// The same, or the server's error.
    pub(crate) fn try_run(&self, command: &str, locks: &[&str], arguments: &[&str]) -> Result<Answer, String> {
        let count = locks.len().to_string();
        let call = [&["EVALSHA", &self.name, &count], locks, &[command, "", "0"], arguments];
        self.redis.try_ask(&call.concat())
    }

    /// Acquires the locks for the entry with this token, or makes it wait; returns whether it holds them.
    pub(crate) fn enter(&self, token: &str, locks: &[&str]) -> bool {
        let command = if locks.len() > 1 { "enter_all" } else { "enter" };
        let states = self.run(command, locks, &[LONG, "queue", "0", token, r#"{"v":1}"#]);
        states != Answer::Nil && words(&states).iter().all(|word| word == "held" || word == "several")
    }

    /// One request for what is to be done to this lock for each of these items; the word that each is answered with.
    pub(crate) fn renew(&self, lock: &str, items: &[String]) -> Vec<String> {
        self.for_each("renew", &format!("{LONG}/{LONG}"), lock, items)
    }

    /// The same for a look at each.
    pub(crate) fn poll(&self, lock: &str, items: &[String]) -> Vec<String> {
        self.for_each("poll", "", lock, items)
    }

    fn for_each(&self, command: &str, argument: &str, lock: &str, items: &[String]) -> Vec<String> {
        let arguments: Vec<&str> = std::iter::once(argument).chain(items.iter().map(String::as_str)).collect();
        words(&self.run(command, &vec![lock; items.len()], &arguments))
    }
}

/// The token of an entry that wants this, as in `.p1`.
pub(crate) fn token(number: usize, wants: &str) -> String {
    format!("00000000000000aa.00000000000000bb.{number}{wants}")
}

/// The first word of a reply, or of each of the replies in it.
fn words(reply: &Answer) -> Vec<String> {
    match reply {
        Answer::Text(word) => vec![word.clone()],
        Answer::List(items) if items.iter().any(|item| matches!(item, Answer::List(_))) => {
            items.iter().flat_map(words).collect()
        }
        Answer::List(items) => items.first().map(words).unwrap_or_default(),
        Answer::Nil | Answer::Number(_) => Vec::new(),
    }
}
