//! A cluster whose quota is used up, and how an operator makes room.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, Error};
use tokio::time::timeout;

use super::admin::Admin;
use super::retries::Retries;

/// What takes the space, outside of what the observer looks at.
const FILLER: &str = "filler";

/// For one request to a member that is busy with a database of many megabytes.
const PATIENT: Duration = Duration::from_secs(30);

impl Admin {
    /// Puts a megabyte again and again until the store refuses it: the alarm is raised, and all members refuse whatever
    /// needs space.
    pub async fn fill_up(&self) {
        while !self.is_full(1 << 20).await {}
    }

    /// Whether so many bytes are refused because there is no space, as soon as a member answers.
    pub async fn is_full(&self, bytes: usize) -> bool {
        let retries = Retries::begin();
        loop {
            let mut last = String::new();
            for mut client in self.members().clients().iter().cloned() {
                match timeout(PATIENT, client.put(FILLER, vec![b'x'; bytes], None)).await {
                    Ok(Ok(_)) => return false,
                    Ok(Err(error)) if error.to_string().contains("space exceeded") => return true,
                    Ok(Err(error)) => last = error.to_string(),
                    Err(_) => "timed out".clone_into(&mut last),
                }
            }
            retries.after(last).await;
        }
    }

    /// Deletes what takes the space, compacts the history, defragments every member, and turns the alarm off; again, until
    /// puts are accepted.
    pub async fn make_room(&self) {
        let retries = Retries::begin();
        loop {
            let failure = match self.try_make_room().await {
                Ok(()) if !self.is_full(1).await => return,
                Ok(()) => "still out of space".to_owned(),
                Err(failure) => failure,
            };
            retries.after(failure).await;
        }
    }

    async fn try_make_room(&self) -> Result<(), String> {
        let deleted = self.members().try_request(|mut client| async move { client.delete(FILLER, None).await }).await?;
        let revision = deleted.header().map_or(0, |header| header.revision());
        self.members().try_request(|client| compact(client, revision)).await?;
        for mut client in self.members().clients().iter().cloned() {
            let done =
                timeout(PATIENT, client.defragment()).await.map_err(|_| "defragments for too long".to_owned())?;
            done.map_err(|error| error.to_string())?;
        }
        let list = |mut client: Client| async move { client.alarm(AlarmAction::Get, AlarmType::None, None).await };
        for alarm in self.members().try_request(list).await?.alarms() {
            self.members().try_request(|client| disarm(client, alarm.member_id())).await?;
        }
        Ok(())
    }
}

/// Gives the space back to the database before it returns. Done already is done.
async fn compact(mut client: Client, revision: i64) -> Result<(), Error> {
    match client.compact(revision, Some(CompactionOptions::new().with_physical())).await {
        Err(error) if !error.to_string().contains("has been compacted") => Err(error),
        _ => Ok(()),
    }
}

async fn disarm(mut client: Client, member: u64) -> Result<(), Error> {
    let mut of_member = AlarmOptions::new();
    of_member.with_member(member);
    client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(of_member)).await.map(drop)
}
