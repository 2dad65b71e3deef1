//! A real server, by the client crate.

use crate::Blocked;
use crate::compare::{Answer, COLUMNS, kind};
use locks_models::postgres::{Beside, Kind, LONG_AGO, Refusal, Row, Rows, Statement, Value, Waiter};
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// A statement of the store.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) statement: Statement,
    pub(crate) values: Vec<Value>,
    /// It is sent in a transaction of its own that is begun and committed.
    pub(crate) in_transaction: bool,
}

impl Ask {
    pub(crate) fn new(statement: Statement, values: Vec<Value>) -> Self {
        Self { statement, values, in_transaction: false }
    }
}

/// Somebody to fill the disk, but not for superusers.
const PREPARED: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON distributed_locks FOR EACH ROW
        WHEN (current_user = 'app') EXECUTE FUNCTION refuse(); END $$;";

/// A server and four connections: who sends, who listens, who may do everything, and whose transaction stays open.
pub(crate) struct Real {
    sender: Client,
    listener: Client,
    administrator: Client,
    holder: Client,
    received: UnboundedReceiver<String>,
}

impl Real {
    pub(crate) async fn connect(server: &support::postgres::Postgres) -> Self {
        let (noted, received) = unbounded_channel();
        let connect = async |user: &str| {
            let (host, port) = (server.address().ip().to_string(), server.address().port());
            let mut settings = tokio_postgres::Config::new();
            let connected = settings.host(&host).port(port).user(user).dbname("locks").connect(NoTls).await;
            let (client, connection) = connected.unwrap();
            tokio::spawn(drive(connection, noted.clone()));
            client
        };
        let real = Self {
            sender: connect("app").await,
            listener: connect("app").await,
            administrator: connect("postgres").await,
            holder: connect("postgres").await,
            received,
        };
        real.sender.batch_execute(Statement::Settings.text()).await.unwrap();
        real.sender.batch_execute(Statement::Create.text()).await.unwrap();
        real.listener.batch_execute(Statement::Listen.text()).await.unwrap();
        real.administrator.batch_execute(PREPARED).await.unwrap();
        real
    }

    /// The server's clock, in microseconds since 1970.
    pub(crate) async fn now(&self) -> i64 {
        let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        self.administrator.query_one(now, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        if ask.in_transaction {
            self.sender.batch_execute(Statement::Begin.text()).await.unwrap();
        }
        let answer = send(&self.sender, ask).await;
        if ask.in_transaction {
            self.sender.batch_execute(Statement::Commit.text()).await.unwrap();
        }
        answer
    }

    /// Sends a request; commits the transaction that is open once the request waits for it, or is answered.
    pub(crate) async fn ask_behind(&self, ask: &Ask) -> Blocked {
        let mut answer = pin!(send(&self.sender, ask));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'";
        let mut answered = None;
        let has_waited = loop {
            tokio::select! {
                biased;
                done = &mut answer => {
                    answered = Some(done);
                    break false;
                }
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
            if self.administrator.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                break true;
            }
        };
        let released = self.now().await;
        self.let_go("COMMIT").await;
        let expected = match answered {
            Some(answer) => answer,
            None => answer.await,
        };
        Blocked { expected, released, has_waited, end: self.now().await }
    }

    /// Begins a transaction with this statement, and leaves it open.
    pub(crate) async fn hold(&self, statement: &str) {
        self.holder.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
    }

    pub(crate) async fn let_go(&self, how: &str) {
        self.holder.batch_execute(how).await.unwrap();
    }

    pub(crate) async fn administer(&self, statement: &str) {
        self.administrator.batch_execute(statement).await.unwrap();
    }

    /// Changes the settings of who sends.
    pub(crate) async fn set_up(&self, statement: &str) {
        self.sender.batch_execute(statement).await.unwrap();
    }

    /// What arrived since the last call; so many are expected.
    pub(crate) async fn notifications(&mut self, expected: usize) -> Vec<Value> {
        let mut received = Vec::new();
        while received.len() < expected {
            let Ok(Some(payload)) = tokio::time::timeout(Duration::from_secs(30), self.received.recv()).await else {
                break;
            };
            received.push(Value::Text(payload));
        }
        // One too many has come before this is answered.
        self.listener.batch_execute("SELECT 1").await.unwrap();
        while let Ok(payload) = self.received.try_recv() {
            received.push(Value::Text(payload));
        }
        received
    }

    pub(crate) async fn rows(&self) -> Vec<Row> {
        let micros = |moment: &str| format!("(extract(epoch FROM {moment}) * 1000000)::bigint");
        let of_queue = |what: &str| {
            format!(
                "ARRAY(SELECT {what} FROM jsonb_array_elements(queue) WITH ORDINALITY AS q(w, place) ORDER BY place)"
            )
        };
        let select = format!(
            "SELECT name, fence, session, number, holder, {}, CASE WHEN keep_until = '-infinity' THEN {LONG_AGO} ELSE {} END, \
             {}, {}, {}, {}, {}, {}, {} FROM distributed_locks ORDER BY name",
            micros("locked_until"),
            micros("keep_until"),
            of_queue("w->>'s'"),
            of_queue("(w->>'n')::bigint"),
            of_queue(&micros("(w->>'u')::timestamptz")),
            of_queue("w->>'h'"),
            of_queue("(w->'m')::text"),
            of_queue("(w->>'f')::bigint"),
            of_queue(&format!(
                "CASE WHEN w->>'k' = '-infinity' THEN {LONG_AGO} ELSE {} END",
                micros("(w->>'k')::timestamptz")
            )),
        );
        let rows = self.administrator.query(&select, &[]).await.unwrap();
        let row = |row: &tokio_postgres::Row| {
            let (sessions, numbers): (Vec<String>, Vec<i64>) = (row.get(7), row.get(8));
            let (untils, holders): (Vec<i64>, Vec<Option<String>>) = (row.get(9), row.get(10));
            let (kinds, fences): (Vec<Option<String>>, Vec<Option<i64>>) = (row.get(11), row.get(12));
            let keeps: Vec<Option<i64>> = row.get(13);
            let parts = sessions.into_iter().zip(numbers).zip(untils).zip(holders);
            let beside = kinds.into_iter().map(|kind| kind.as_deref().map(Beside::read)).zip(fences).zip(keeps);
            let waiter = |((((session, number), until), holder), ((beside, fence), keep))| Waiter {
                session,
                number,
                until,
                holder,
                beside,
                fence,
                keep,
            };
            Row {
                name: row.get(0),
                fence: row.get(1),
                session: row.get(2),
                number: row.get(3),
                holder: row.get(4),
                locked_until: row.get(5),
                keep_until: row.get(6),
                queue: parts.zip(beside).map(waiter).collect(),
                ..Row::default()
            }
        };
        rows.iter().map(row).collect()
    }
}

async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, noted: UnboundedSender<String>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message {
            let _ = noted.send(notification.payload().to_owned());
        }
    }
}

async fn send(client: &Client, ask: &Ask) -> Answer {
    let values: Vec<(Box<dyn ToSql + Sync + Send>, Type)> =
        ask.values.iter().map(|value| parameter(value, ask.statement)).collect();
    let values: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect();
    match client.query_typed(ask.statement.text(), &values).await {
        Ok(rows) => Ok(Rows {
            // An answer without rows shows no columns.
            columns: rows.first().map_or(&[], columns),
            rows: rows.iter().map(|row| (0..row.len()).map(|at| value(row, at)).collect()).collect(),
        }),
        Err(error) => {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
            let code = error.code().code().to_owned();
            Err(Refusal {
                code: Box::leak(code.into_boxed_str()),
                message: error.message().to_owned(),
                is_fatal: error.severity() == "FATAL",
                routine: "",
            })
        }
    }
}

fn columns(row: &tokio_postgres::Row) -> &'static [(&'static str, Kind)] {
    let known = |name: &str| *COLUMNS.iter().find(|known| **known == name).unwrap_or(&"pg_notify");
    row.columns().iter().map(|column| (known(column.name()), kind(column.type_().oid()))).collect::<Vec<_>>().leak()
}

fn parameter(value: &Value, statement: Statement) -> (Box<dyn ToSql + Sync + Send>, Type) {
    match value.clone() {
        Value::Null if statement == Statement::Find => (Box::new(None::<Vec<String>>), Type::TEXT_ARRAY),
        Value::Null => (Box::new(None::<String>), Type::TEXT),
        Value::Bool(value) => (Box::new(value), Type::BOOL),
        Value::Int8(value) => (Box::new(value), Type::INT8),
        Value::Float8(value) => (Box::new(value), Type::FLOAT8),
        Value::Text(value) => (Box::new(value), Type::TEXT),
        Value::Int8s(value) => (Box::new(value), Type::INT8_ARRAY),
        Value::Texts(value) => (Box::new(value), Type::TEXT_ARRAY),
        other => panic!("no statement takes {other:?}"),
    }
}

fn value(row: &tokio_postgres::Row, at: usize) -> Value {
    fn or_null<'a, T: FromSql<'a>>(row: &'a tokio_postgres::Row, at: usize, of: impl FnOnce(T) -> Value) -> Value {
        row.get::<_, Option<T>>(at).map_or(Value::Null, of)
    }
    match kind(row.columns()[at].type_().oid()) {
        Kind::Void => or_null(row, at, |Nothing| Value::Void),
        Kind::Bool => or_null(row, at, Value::Bool),
        Kind::Int4 => or_null(row, at, Value::Int4),
        Kind::Int8 => or_null(row, at, Value::Int8),
        Kind::Float8 => or_null(row, at, Value::Float8),
        Kind::Text => or_null(row, at, Value::Text),
        Kind::Bools => or_null(row, at, Value::Bools),
        Kind::Int4s => or_null(row, at, Value::Int4s),
        Kind::Int8s => or_null(row, at, Value::Int8s),
        Kind::Texts => or_null(row, at, Value::Texts),
    }
}

/// What a function returns that returns nothing.
struct Nothing;

impl FromSql<'_> for Nothing {
    fn from_sql(_: &Type, _: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::VOID
    }
}
