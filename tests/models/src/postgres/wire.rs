//! Both directions of the wire: version 3 of the protocol, as far as the client crate uses it.

use super::answer::{Refusal, Rows};
use super::value::{Kind, Value, size};
use std::collections::BTreeMap;

/// What a client sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// It wants a session.
    Start,
    /// It wants another connection's statement to be cancelled.
    Cancel {
        /// The process that was announced to that one.
        process: i32,
        /// And its secret.
        secret: i32,
    },
    /// Statements without values.
    Simple(String),
    /// One with values.
    Extended(Asked),
    /// One that will be asked for by its name.
    Prepare(String, Vec<Kind>),
    /// One that will not be asked for any more.
    Close,
    /// It leaves.
    Terminate,
}

/// A statement that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its text.
    pub text: String,
    /// Its values.
    pub values: Vec<Value>,
    /// It was prepared: only its name was sent.
    pub is_prepared: bool,
}

/// Statements with the types of their values, by the names by which a connection knows them. What has just come with its text
/// has no name.
pub(super) type Named = BTreeMap<String, (String, Vec<Kind>)>;

const VERSION: i32 = 0x0003_0000;
const CANCEL: i32 = 80_877_102;

/// Takes the first request out of what has arrived, if it is complete. The first of a connection has no tag.
pub(super) fn take_request(arrived: &mut Vec<u8>, is_first: bool, named: &mut Named) -> Option<Request> {
    let mut reader = Reader { bytes: arrived, at: 0 };
    let request = if is_first { first(&mut reader)? } else { later(&mut reader, named)? };
    let read = reader.at;
    arrived.drain(..read);
    Some(request)
}

fn first(reader: &mut Reader<'_>) -> Option<Request> {
    let end = reader.at + usize::try_from(reader.int4()?).ok()?;
    let code = reader.int4()?;
    let request = match code {
        VERSION => Request::Start,
        CANCEL => Request::Cancel { process: reader.int4()?, secret: reader.int4()? },
        other => panic!("the model does not begin with {other}"),
    };
    reader.bytes.get(..end)?;
    reader.at = end;
    Some(request)
}

fn later(reader: &mut Reader<'_>, named: &mut Named) -> Option<Request> {
    let (mut parsed, mut bound) = (None, None);
    loop {
        let (tag, body) = reader.message()?;
        let mut body = Reader { bytes: body, at: 0 };
        match tag {
            b'Q' => return Some(Request::Simple(body.text()?)),
            b'X' => return Some(Request::Terminate),
            b'P' => {
                let name = body.text()?;
                let statement = parse(&mut body)?;
                named.insert(name.clone(), statement.clone());
                parsed = Some((name, statement));
            }
            b'B' => bound = Some(bind(&mut body, named)?),
            b'C' => {
                let (_of_a_statement, name) = (body.take(1)?, body.text()?);
                named.remove(&name);
            }
            b'D' | b'E' => {}
            b'S' => {
                return Some(match (parsed, bound) {
                    (_, Some(asked)) => Request::Extended(asked),
                    (Some((_, (text, kinds))), None) => Request::Prepare(text, kinds),
                    (None, None) => Request::Close,
                });
            }
            other => panic!("the model does not know the message {:?}", char::from(other)),
        }
    }
}

fn parse(body: &mut Reader<'_>) -> Option<(String, Vec<Kind>)> {
    let text = body.text()?;
    let kinds =
        (0..body.int2()?).map(|_| body.int4().map(|oid| Kind::of(oid.unsigned_abs()))).collect::<Option<_>>()?;
    Some((text, kinds))
}

fn bind(body: &mut Reader<'_>, named: &Named) -> Option<Asked> {
    let (_portal, name) = (body.text()?, body.text()?);
    let (text, kinds) = named.get(&name).expect("a statement that the connection knows");
    for _ in 0..body.int2()? {
        assert_eq!(body.int2()?, 1, "values come in binary");
    }
    assert_eq!(usize::try_from(body.int2()?), Ok(kinds.len()), "a value for each parameter");
    let mut values = Vec::new();
    for kind in kinds {
        values.push(match usize::try_from(body.int4()?) {
            Err(_) => Value::Null,
            Ok(length) => Value::read(*kind, body.take(length)?),
        });
    }
    Some(Asked { text: text.clone(), values, is_prepared: !name.is_empty() })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        Some(taken)
    }

    fn int2(&mut self) -> Option<i16> {
        self.take(2).map(|bytes| i16::from_be_bytes(bytes.try_into().expect("two bytes")))
    }

    fn int4(&mut self) -> Option<i32> {
        self.take(4).map(|bytes| i32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.bytes.get(self.at..)?.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    fn message(&mut self) -> Option<(u8, &'a [u8])> {
        let tag = self.take(1)?[0];
        let length = usize::try_from(self.int4()?).ok()?;
        Some((tag, self.take(length.checked_sub(4)?)?))
    }
}

/// What the server sends.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn message(&mut self, tag: u8, body: &[u8]) -> &mut Self {
        self.0.push(tag);
        self.0.extend(size(body.len() + 4).to_be_bytes());
        self.0.extend(body);
        self
    }

    /// The client has a session, with this process.
    pub(super) fn started(&mut self, process: i32, secret: i32) {
        self.message(b'R', &0_i32.to_be_bytes());
        for (name, value) in [("server_version", "15.0"), ("client_encoding", "UTF8"), ("TimeZone", "Etc/UTC")] {
            self.message(b'S', format!("{name}\0{value}\0").as_bytes());
        }
        self.message(b'K', &[process.to_be_bytes(), secret.to_be_bytes()].concat());
    }

    /// The server waits for the next request; `status` is that of the transaction.
    pub(super) fn ready(&mut self, status: u8) {
        self.message(b'Z', &[status]);
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.message(b'C', format!("{tag}\0").as_bytes());
    }

    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let Refusal { code, message, is_fatal, routine } = refusal;
        let severity = if *is_fatal { "FATAL" } else { "ERROR" };
        let fields = format!("S{severity}\0V{severity}\0C{code}\0M{message}\0Fmodel.c\0L1\0R{routine}\0\0");
        self.message(b'E', fields.as_bytes());
    }

    /// The answer to a statement with values: what it returns is binary.
    pub(super) fn answered(&mut self, values: usize, rows: &Rows) {
        self.message(b'1', &[]).message(b'2', &[]);
        self.parameters(&vec![Kind::Text; values]).columns(rows.columns).rows(&rows.rows);
    }

    /// The same, of one that was prepared.
    pub(super) fn answered_prepared(&mut self, rows: &Rows) {
        self.message(b'2', &[]).rows(&rows.rows);
    }

    /// A statement is prepared.
    pub(super) fn prepared(&mut self, parameters: &[Kind], columns: &[(&str, Kind)]) {
        self.message(b'1', &[]).parameters(parameters).columns(columns);
    }

    /// A prepared statement is forgotten.
    pub(super) fn closed(&mut self) {
        self.message(b'3', &[]);
    }

    fn parameters(&mut self, kinds: &[Kind]) -> &mut Self {
        let oids: Vec<u8> = kinds.iter().flat_map(|kind| kind.oid().to_be_bytes()).collect();
        self.message(b't', &[&count(kinds.len())[..], &oids].concat())
    }

    /// What a statement without values returns is text.
    pub(super) fn shown(&mut self, name: &'static str, value: &str) {
        self.columns(&[(name, Kind::Text)]).data(&[Value::Text(value.to_owned())]);
        self.complete("SHOW");
    }

    fn columns(&mut self, columns: &[(&str, Kind)]) -> &mut Self {
        let mut body = count(columns.len()).to_vec();
        for (name, kind) in columns {
            body.extend(name.as_bytes());
            body.push(0);
            // No table's column; the type, of any length, without a modifier.
            body.extend([0; 6]);
            body.extend(kind.oid().to_be_bytes());
            body.extend((-1_i16).to_be_bytes());
            body.extend((-1_i32).to_be_bytes());
            body.extend([0; 2]);
        }
        self.message(b'T', &body)
    }

    fn rows(&mut self, rows: &[Vec<Value>]) {
        rows.iter().for_each(|row| self.data(row));
        self.complete(&format!("SELECT {}", rows.len()));
    }

    /// Values are binary; a text is the same as text.
    fn data(&mut self, row: &[Value]) {
        let mut body = count(row.len()).to_vec();
        for value in row {
            match value.encoded() {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(bytes) => {
                    body.extend(size(bytes.len()).to_be_bytes());
                    body.extend(bytes);
                }
            }
        }
        self.message(b'D', &body);
    }

    /// A notification from another session.
    pub(super) fn notified(&mut self, channel: &str, payload: &str) {
        let body = [&1_i32.to_be_bytes()[..], format!("{channel}\0{payload}\0").as_bytes()].concat();
        self.message(b'A', &body);
    }
}

fn count(count: usize) -> [u8; 2] {
    i16::try_from(count).expect("a small number").to_be_bytes()
}
