//! What a caller's own transaction asks, to commit only while a lock is held.
//!
//! It locks the lock's row until the end of that transaction, `FOR SHARE`: whoever acquires, hands over or takes away the lock changes
//! the row, and waits. (`FOR KEY SHARE` would keep none of them off, for the name never changes.) It looks at no clock: a hold
//! that has lapsed, and whose lock nobody has acquired since, still has its row, and keeps it.

use super::clauses::{BESIDE, OWN};
use super::entries::Status;
use super::row::number;
use super::shared::Shared;
use crate::contract::{Entry, Native, NativeKind};
use crate::values::condition::PostgresCondition;

/// Of the hold that `entry` is.
pub(super) fn native(shared: &Shared, entry: &Entry) -> Native {
    let client = &shared.client;
    let names = match client.names(entry) {
        Ok(names) if client.config().layout.has_queue() => names,
        _ => return Native::none(),
    };
    // One that the store has shown to be gone has no fence any more, and its condition is never true.
    let fences = shared.entries.get(entry.number, |state| match state.status() {
        Status::Held(fence) => Some([&[fence], &*state.grant(fence).others].concat()),
        _ => None,
    });
    let fences = fences.flatten().unwrap_or_else(|| vec![0; names.len()]);
    let fences = fences.into_iter().map(|fence| i64::try_from(fence).unwrap_or(0)).collect();
    Native(NativeKind::PostgresCondition(Box::new(condition(
        &client.table_in_use(),
        (names, fences),
        (&shared.id, number(entry)),
    ))))
}

fn condition(
    table: &str,
    (names, fences): (Vec<String>, Vec<i64>),
    (session, number): (&str, i64),
) -> PostgresCondition {
    let array = |values: Vec<String>| format!("ARRAY[{}]", values.join(", "));
    let literals = [
        format!("{}::text[]", array(names.iter().map(|name| literal(name)).collect())),
        literal(session),
        format!("{number}::bigint"),
        format!("{}::bigint[]", array(fences.iter().map(i64::to_string).collect())),
    ];
    let body = format!(
        "BEGIN IF NOT EXISTS ({}) THEN RAISE EXCEPTION USING ERRCODE = {}, \
         MESSAGE = 'the lock is not held any more, and the transaction must not be committed', DETAIL = {}; END IF; END",
        query(table, &literals.each_ref().map(String::as_str)),
        literal(PostgresCondition::NOT_HELD),
        literal(&names.join(", ")),
    );
    PostgresCondition {
        sql: query(table, &["$1::text[]", "$2::text", "$3::bigint", "$4::bigint[]"]),
        assertion: format!("DO {}", literal(&body)),
        names,
        session: session.to_owned(),
        number,
        fences,
    }
}

/// Locks the rows that the hold has, in the order in which everybody locks them; one row if it has all.
fn query(table: &str, [names, session, number, fences]: &[&str; 4]) -> String {
    let own = OWN.replace("$2", session).replace("$3", number);
    // An entry that lapses was released already, and stays for its `hold_at_least` alone.
    format!(
        "WITH mine AS MATERIALIZED (SELECT l.name FROM {table} AS l, \
             unnest({names}, {fences}) AS wanted(name, fence) WHERE l.name = wanted.name \
             AND (l.session = {session} AND l.number = {number} AND l.fence = wanted.fence \
                      AND l.keep_until IS DISTINCT FROM '-infinity' \
                  OR l.session = '{BESIDE}' AND EXISTS (SELECT FROM jsonb_array_elements(l.queue) AS w WHERE {own} \
                      AND (w->>'f')::bigint = wanted.fence AND w->>'k' IS DISTINCT FROM '-infinity')) \
             ORDER BY l.name COLLATE \"C\" FOR SHARE OF l) \
         SELECT true AS held FROM mine HAVING count(*) = cardinality({names})"
    )
}

/// A text as a statement has it, whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_never_escapes() {
        assert_eq!(literal(r"a'b\c"), r"E'a''b\\c'");
        assert_eq!(literal(r"\'"), r"E'\\'''");
    }

    #[test]
    fn parameters_and_literals_ask_for_the_same() {
        let names = vec!["/a".to_owned(), r"/'; DROP TABLE x; --\".to_owned()];
        let condition = condition("\"t\"", (names, vec![7, 8]), ("s", 3));
        assert!(condition.sql().contains("unnest($1::text[], $4::bigint[])"), "{}", condition.sql());
        // Quoted twice: as a text of the block, which is a text itself.
        let quoted = r"ARRAY[E''/a'', E''/''''; DROP TABLE x; --\\\\'']::text[], ARRAY[7, 8]::bigint[]";
        assert!(condition.assertion().contains(quoted), "{}", condition.assertion());
        assert!(!condition.assertion().contains('$'), "{}", condition.assertion());
    }
}
