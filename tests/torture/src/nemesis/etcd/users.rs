//! A cluster with users, whose rights and passwords change while they are used.

use std::time::Duration;

use etcd_client::{Client, Error, Permission, RoleRevokePermissionOptions};
use support::etcd::Users;
use tokio::time::sleep;

use super::admin::{Admin, PREFIX};
use super::retries::Retries;
use super::{EtcdCluster, Fault};
use crate::history::Scope;
use crate::nemesis::log::FaultLog;

/// The workers' user. A token lasts for less than most faults.
pub(super) fn workers() -> Users {
    Users { prefix: PREFIX.to_owned(), token_ttl: Duration::from_secs(2), ..Users::default() }
}

impl EtcdCluster {
    /// Changes what the workers' user may do, and changes it back.
    pub(super) async fn change_users(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let number = log.begin(crate::nemesis::Fault::Etcd(fault), Scope::Store);
        self.admin.set_right(fault, false).await;
        sleep(length).await;
        self.admin.set_right(fault, true).await;
        log.end(number);
    }
}

impl Admin {
    /// Does what the fault is about, or undoes it.
    async fn set_right(&self, fault: Fault, is_undone: bool) {
        let retries = Retries::begin();
        while let Err(failure) = self.members().try_request(|client| set_right(client, fault, is_undone)).await {
            retries.after(failure).await;
        }
    }
}

async fn set_right(mut client: Client, fault: Fault, is_undone: bool) -> Result<(), Error> {
    let Users { name, password, .. } = workers();
    match (fault, is_undone) {
        (Fault::AuthenticationOff, false) => client.auth_disable().await.map(drop),
        (Fault::AuthenticationOff, true) => client.auth_enable().await.map(drop),
        (Fault::ChangePassword, false) => client.user_change_password(name, "another").await.map(drop),
        (Fault::ChangePassword, true) => client.user_change_password(name, password).await.map(drop),
        (_, true) => client.role_grant_permission(name, Permission::read_write(PREFIX).with_prefix()).await.map(drop),
        (_, false) => {
            let prefix = Some(RoleRevokePermissionOptions::new().with_prefix());
            match client.role_revoke_permission(name, PREFIX, prefix).await {
                // Of an attempt that was not answered.
                Err(error) if !error.to_string().contains("permission is not granted") => Err(error),
                _ => Ok(()),
            }
        }
    }
}
