//! Questions to a server that do not pass through the code under test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For one answer, on the busiest machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is there.
    Nil,
    /// A number.
    Number(i64),
    /// A text, or a word such as "OK".
    Text(String),
    /// Several answers.
    List(Vec<Answer>),
}

impl Answer {
    /// The text, or nothing.
    pub fn text(self) -> Option<String> {
        match self {
            Answer::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    pub fn number(&self) -> i64 {
        match self {
            Answer::Number(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }
}

/// Sends one command over a connection of its own; the error is the server's, or why it does not answer.
pub(super) fn ask(address: SocketAddr, login: Option<&str>, command: &[&str]) -> Result<Answer, String> {
    let answer = || -> std::io::Result<Result<Answer, String>> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut answers = BufReader::new(stream.try_clone()?);
        if let Some(password) = login {
            send(&mut stream, &["AUTH", password])?;
            read(&mut answers)?.unwrap();
        }
        send(&mut stream, command)?;
        read(&mut answers)
    };
    answer().unwrap_or_else(|error| Err(error.to_string()))
}

fn send(stream: &mut TcpStream, command: &[&str]) -> std::io::Result<()> {
    let mut text = format!("*{}\r\n", command.len());
    command.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
    stream.write_all(text.as_bytes())
}

fn read(answers: &mut impl BufRead) -> std::io::Result<Result<Answer, String>> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    let size = || rest.parse::<i64>().unwrap();
    Ok(Ok(match kind {
        "+" => Answer::Text(rest.to_owned()),
        "-" => return Ok(Err(rest.to_owned())),
        ":" => Answer::Number(size()),
        "$" | "*" if size() < 0 => Answer::Nil,
        "$" => {
            let mut bytes = vec![0; usize::try_from(size()).unwrap() + 2];
            answers.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Answer::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let items = (0..size()).map(|_| read(answers).map(Result::unwrap));
            Answer::List(items.collect::<Result<_, _>>()?)
        }
        other => panic!("not an answer: {other:?}"),
    }))
}

/// How often each command was carried out, by a client or inside a script.
#[derive(Clone, Debug)]
pub struct Counts(BTreeMap<String, u64>);

/// What scripts do inside, and what the tests themselves ask. No client under test sends any of these.
const NOT_SENT: &[&str] = &[
    "time",
    "get",
    "mget",
    "strlen",
    "incrby",
    "getrange",
    "exists",
    "type",
    "set",
    "del",
    "hset",
    "hsetnx",
    "hget",
    "hgetall",
    "hlen",
    "hstrlen",
    "hmget",
    "hdel",
    "zadd",
    "zrange",
    "zrem",
    "zcard",
    "zrangebyscore",
    "zscore",
    "pexpire",
    "pttl",
    "publish",
    "spublish",
    "info",
    "config|resetstat",
    "keys",
    "zcard",
    "client|list",
];

impl Counts {
    /// Reads `INFO commandstats`.
    pub(super) fn parse(text: &str) -> Counts {
        let calls = text.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        });
        Counts(calls.collect())
    }

    /// How often this one, such as "evalsha" or "script|load".
    pub fn of(&self, command: &str) -> u64 {
        self.0.get(command).copied().unwrap_or(0)
    }

    /// How often any of them.
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// All that clients have sent, each command with how often.
    pub(super) fn sent(self) -> BTreeMap<String, u64> {
        self.0.into_iter().filter(|(name, _)| !NOT_SENT.contains(&name.as_str())).collect()
    }
}
