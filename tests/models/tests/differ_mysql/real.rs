//! A real server, by the client crate.

use crate::requests::{Ask, Who};
use locks_models::mysql::{Row, Statement};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, Params, Value};

const NOW: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

const ROWS: &str = "SELECT name, version, fence, session, number, holder, locked_until, keep_until, queue \
     FROM distributed_locks ORDER BY name";

/// What a server answers.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    /// The columns' names and values.
    pub(crate) rows: Vec<Vec<(String, String)>>,
    pub(crate) affected: u64,
    pub(crate) insert_id: u64,
}

impl Told {
    /// What has no order comes in any. A version's last digits are the real server's own.
    pub(crate) fn in_order(mut self, statement: Statement) -> Self {
        if statement == Statement::Find {
            self.rows.iter_mut().flatten().filter(|(name, _)| name == "version").for_each(|(_, version)| {
                *version = version.contains("MariaDB").to_string();
            });
        }
        if statement != Statement::Page {
            self.rows.sort();
        }
        self
    }
}

/// A server and its connections: those that send, one that may do everything, and one whose transaction stays open.
pub(crate) struct Real {
    app: Conn,
    poor: Conn,
    administrator: Conn,
    holder: Conn,
}

impl Real {
    pub(crate) async fn connect(server: &support::mysql::Mysql) -> Self {
        let connect = async |user: &str, database: Option<&str>| {
            let (host, port) = (server.address().ip().to_string(), server.address().port());
            let options = OptsBuilder::default().ip_or_hostname(host).tcp_port(port).prefer_socket(false);
            let mut connection = Conn::new(options.user(Some(user)).db_name(database)).await.unwrap();
            for setting in [Statement::Settings, Statement::Isolation] {
                connection.query_drop(setting.text(1)).await.unwrap();
            }
            connection
        };
        let mut administrator = connect("admin", Some("locks")).await;
        administrator.query_drop(Statement::Create.text(1)).await.unwrap();
        Self {
            app: connect("app", Some("locks")).await,
            poor: connect("poor", None).await,
            holder: connect("admin", Some("locks")).await,
            administrator,
        }
    }

    /// What follows happens at about this time, in microseconds since 1970; returns at which exactly.
    pub(crate) async fn set_time(&mut self, who: Who, micros: i64) -> i64 {
        let connection = self.of(who);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        connection.query_drop(format!("SET SESSION timestamp = {seconds}.{rest:06}")).await.unwrap();
        connection.query_first(NOW).await.unwrap().unwrap()
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Told, (u16, String)> {
        let connection = self.of(ask.who);
        let values = if ask.values.is_empty() { Params::Empty } else { Params::Positional(ask.values.clone()) };
        let rows: Vec<mysql_async::Row> = match connection.exec(ask.statement.text(ask.rows), values).await {
            Ok(rows) => rows,
            // That of a column is one of the table.
            Err(Error::Server(error)) if error.code == 1143 => return Err((1142, error.state)),
            Err(Error::Server(error)) => return Err((error.code, error.state)),
            Err(other) => panic!("{other:?}"),
        };
        let named = |row: mysql_async::Row| {
            let names: Vec<String> = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
            names.into_iter().zip(row.unwrap().into_iter().map(plain)).collect()
        };
        let (affected, insert_id) = (connection.affected_rows(), connection.last_insert_id().unwrap_or(0));
        Ok(Told { rows: rows.into_iter().map(named).collect(), affected, insert_id }.in_order(ask.statement))
    }

    pub(crate) async fn administer(&mut self, sql: &str) {
        self.administrator.query_drop(sql).await.unwrap();
    }

    /// Locks a row, or inserts one and does not commit.
    pub(crate) async fn hold(&mut self, name: &str, is_there: bool) {
        let sql = if is_there {
            format!("SELECT 1 FROM distributed_locks WHERE name = '{name}' FOR UPDATE")
        } else {
            format!(
                "INSERT INTO distributed_locks (name, version, fence, locked_until, queue) VALUES ('{name}', 1, 1, 1, '')"
            )
        };
        self.holder.query_drop("BEGIN").await.unwrap();
        self.holder.query_drop(sql).await.unwrap();
    }

    pub(crate) async fn let_go(&mut self) {
        self.holder.query_drop("ROLLBACK").await.unwrap();
    }

    pub(crate) async fn rows(&mut self) -> Vec<Row> {
        let read = |row: mysql_async::Row| Row {
            name: row.get("name").unwrap(),
            version: row.get("version").unwrap(),
            fence: row.get("fence").unwrap(),
            session: row.get("session").unwrap(),
            number: row.get("number").unwrap(),
            holder: row.get("holder").unwrap(),
            locked_until: row.get("locked_until").unwrap(),
            keep_until: row.get("keep_until").unwrap(),
            queue: row.get("queue").unwrap(),
        };
        let rows: Vec<mysql_async::Row> = self.administrator.query(ROWS).await.unwrap();
        rows.into_iter().map(read).collect()
    }

    fn of(&mut self, who: Who) -> &mut Conn {
        match who {
            Who::App => &mut self.app,
            Who::Administrator => &mut self.administrator,
            Who::Poor => &mut self.poor,
        }
    }
}

/// A value, for comparison.
pub(crate) fn plain(value: Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}
