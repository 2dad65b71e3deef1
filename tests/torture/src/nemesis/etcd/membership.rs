//! Which members the cluster has, as an operator changes it.

use etcd_client::{Client, Member};

use super::admin::Admin;
use super::retries::Retries;

impl Admin {
    /// Removes the member with this address for its peers.
    pub async fn remove_member(&self, peer_url: &str) {
        let retries = Retries::begin();
        loop {
            let removed = match self.member(peer_url).await {
                Ok(None) => return,
                Ok(Some(id)) => {
                    let remove = |mut client: Client| async move { client.member_remove(id).await };
                    self.members().try_request(remove).await.map(drop)
                }
                Err(failure) => Err(failure),
            };
            retries.after(removed.err().unwrap_or_default()).await;
        }
    }

    /// Adds a member with this address for its peers. etcd refuses until the other members have been connected with each
    /// other for five seconds.
    pub async fn add_member(&self, peer_url: &str) {
        let add = |mut client: Client| async move { client.member_add([peer_url], None).await };
        let retries = Retries::begin();
        loop {
            let added = match self.member(peer_url).await {
                Ok(Some(_)) => return,
                Ok(None) => self.members().try_request(add).await.map(drop),
                Err(failure) => Err(failure),
            };
            retries.after(added.err().unwrap_or_default()).await;
        }
    }

    /// The number that the cluster gave to the member with this address for its peers.
    ///
    /// # Errors
    ///
    /// If no member answers.
    pub async fn member(&self, peer_url: &str) -> Result<Option<u64>, String> {
        let all = self.members().try_request(|mut client| async move { client.member_list().await }).await?;
        let found = all.members().iter().find(|member| member.peer_urls().iter().any(|url| url == peer_url));
        Ok(found.map(Member::id))
    }
}
