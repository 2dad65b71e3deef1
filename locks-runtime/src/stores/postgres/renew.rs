//! Renewing: one statement for all entries of a session. It also shows which of them hold a lock now and which are gone,
//! in case no notification did.

use super::entries::{Status, confirmed, renewable};
use super::error::ENTRY_GONE;
use super::row::{column, fence};
use super::shared::Shared;
use crate::contract::{Entry, Renewal};
use crate::values::error::Error;
use crate::values::target::TARGET;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_postgres::types::Type;

pub(super) async fn renew(shared: &Shared) -> Result<Renewal, Error> {
    renew_entries(shared).await?;
    withdraw_orphans(shared, &shared.entries.renewed().entries).await;
    shared.check()?;
    Ok(Renewal::complete())
}

/// Renews out of turn, after no connection has received notifications for a while.
///
/// It does not count as one of the renewals for which orphans are looked for: a connection that breaks often must not make
/// that time shorter.
pub(super) async fn catch_up(shared: &Shared) -> Result<(), Error> {
    if !shared.entries.is_empty() {
        renew_entries(shared).await?;
        withdraw_orphans(shared, &shared.entries.orphans()).await;
    }
    Ok(())
}

async fn renew_entries(shared: &Shared) -> Result<(), Error> {
    shared.check()?;
    let sent = shared.client.world.now();
    renew_rows(shared).await?;
    shared.renewed(sent);
    Ok(())
}

/// The statement alone; a session that is being opened sends it to see that the database can be used.
pub(super) async fn renew_rows(shared: &Shared) -> Result<(), Error> {
    let (client, entries) = (&shared.client, &shared.entries);
    let confirmed = confirmed(entries, client.config().layout.has_queue());
    let (names, numbers) = shared.names_and_numbers(&renewable(entries))?;
    let values = [
        (&names as _, Type::TEXT_ARRAY),
        (&shared.id as _, Type::TEXT),
        (&numbers as _, Type::INT8_ARRAY),
        (&shared.ttl_micros() as _, Type::FLOAT8),
    ];
    let answer = client.ask(&client.upkeep, &client.statements.renew, &values).await?;
    let mut found = BTreeSet::new();
    for row in &answer.rows {
        if let Some(held) = column::<Option<i64>>(row, "held")?.and_then(|held| u64::try_from(held).ok()) {
            found.insert(held);
            let status = Status::Held(fence(column(row, "fence")?));
            entries.get(held, |state| state.advance(status));
        }
        let waiting: Vec<i64> = column(row, "waiting")?;
        found.extend(waiting.into_iter().filter_map(|number| u64::try_from(number).ok()));
    }
    for number in confirmed.into_iter().filter(|number| !found.contains(number)) {
        entries.get(number, |state| state.advance(Status::Removed(ENTRY_GONE)));
    }
    Ok(())
}

async fn withdraw_orphans(shared: &Shared, orphans: &[Arc<Entry>]) {
    if orphans.is_empty() {
        return;
    }
    // The next renewal tries again.
    if let Err(error) = shared.withdraw(orphans).await {
        tracing::debug!(target: TARGET, error = %error.chain(), "orphaned entries could not be withdrawn");
    }
}
