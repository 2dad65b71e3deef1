//! What the server says of itself.

use super::client::Client;
use super::row::text;
use super::sql::NOW;
use crate::contract::ServerFacts;
use crate::values::error::Error;

pub(super) async fn facts(client: &Client) -> Result<ServerFacts, Error> {
    let ask = format!(
        "SELECT VERSION() AS version, IF(@@global.log_bin, @@global.binlog_format, 'none') AS binlog, \
         CAST(@@global.innodb_flush_log_at_trx_commit AS CHAR) AS flush_log, CAST({NOW} DIV 1000 AS CHAR) AS wall_clock_ms"
    );
    let limit = client.config().request_timeout();
    let reply = client.attempt(limit, &client.work, &ask.as_str().into(), &[], &mut false).await?;
    let fact = |name: &'static str| Some((name, text(reply.rows.first()?, name).ok()??));
    let mut facts: ServerFacts =
        ["version", "binlog", "flush_log", "wall_clock_ms"].into_iter().filter_map(fact).collect();
    let is_mariadb = facts.get("version").is_some_and(|version| version.contains("MariaDB"));
    facts.insert("server", if is_mariadb { "MariaDB" } else { "MySQL" }.to_owned());
    Ok(facts)
}
