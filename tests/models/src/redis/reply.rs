//! What the model answers, and both directions of the wire: RESP2 and RESP3.

use super::keyspace::Bytes;
use std::fmt;

/// An answer, or a message that nobody asked for.
#[derive(Clone, PartialEq)]
pub enum Reply {
    /// Nothing is there.
    Nil,
    /// A number.
    Int(i64),
    /// A text of bytes.
    Bulk(Bytes),
    /// A word, as `OK`.
    Status(&'static str),
    /// An error, with its code first.
    Error(String),
    /// Several answers.
    Array(Vec<Reply>),
    /// Pairs, which RESP2 has in one array.
    Map(Vec<(Reply, Reply)>),
    /// A message that is no answer, which only RESP3 has.
    Push(Vec<Reply>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bulk(text) => write!(f, "{:.200?}", String::from_utf8_lossy(text)),
            Self::Status(word) => f.write_str(word),
            Self::Error(text) => write!(f, "error {text:?}"),
            Self::Array(items) | Self::Push(items) => f.debug_list().entries(items).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(name, value)| (name, value))).finish(),
        }
    }
}

impl Reply {
    /// A text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Bulk(text.into())
    }

    /// An error.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// As it goes over a connection.
    #[must_use]
    pub fn encoded(&self, is_resp3: bool) -> Bytes {
        let mut out = Vec::new();
        self.encode(is_resp3, &mut out);
        out
    }

    fn encode(&self, is_resp3: bool, out: &mut Bytes) {
        match self {
            Self::Nil => out.extend(if is_resp3 { &b"_\r\n"[..] } else { b"$-1\r\n" }),
            Self::Int(number) => out.extend(format!(":{number}\r\n").bytes()),
            Self::Bulk(text) => {
                out.extend(format!("${}\r\n", text.len()).bytes());
                out.extend(text);
                out.extend(b"\r\n");
            }
            Self::Status(word) => out.extend(format!("+{word}\r\n").bytes()),
            Self::Error(text) => out.extend(format!("-{}\r\n", text.replace(['\r', '\n'], " ")).bytes()),
            Self::Array(items) => all('*', items, is_resp3, out),
            Self::Push(items) => all(if is_resp3 { '>' } else { '*' }, items, is_resp3, out),
            Self::Map(pairs) => {
                let (sign, count) = if is_resp3 { ('%', pairs.len()) } else { ('*', pairs.len() * 2) };
                out.extend(format!("{sign}{count}\r\n").bytes());
                for (name, value) in pairs {
                    name.encode(is_resp3, out);
                    value.encode(is_resp3, out);
                }
            }
        }
    }
}

fn all(sign: char, items: &[Reply], is_resp3: bool, out: &mut Bytes) {
    out.extend(format!("{sign}{}\r\n", items.len()).bytes());
    items.iter().for_each(|item| item.encode(is_resp3, out));
}

/// Takes the first request out of what has arrived, if it is complete: a command and its arguments.
pub(super) fn take_request(arrived: &mut Bytes) -> Option<Vec<Bytes>> {
    let mut at = 0;
    let count = number(arrived, &mut at, b'*')?;
    let mut request = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(arrived, &mut at, b'$')?;
        request.push(arrived.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    if at > arrived.len() {
        return None;
    }
    arrived.drain(..at);
    Some(request)
}

/// A line with a sign and a number.
fn number(arrived: &[u8], at: &mut usize, sign: u8) -> Option<usize> {
    let rest = arrived.get(*at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(rest[0], sign, "a request is an array of texts: {:?}", String::from_utf8_lossy(rest));
    *at += end + 2;
    Some(std::str::from_utf8(&rest[1..end]).expect("a number").parse().expect("a number"))
}
