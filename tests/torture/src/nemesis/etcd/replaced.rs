//! Members and clusters that are not what they were: replaced by others, taken for others, restored from a snapshot.

use std::sync::atomic::Ordering;
use std::time::Duration;

use support::etcd::Cluster;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::retries::ready;
use super::{EtcdCluster, Fault};
use crate::history::Scope;
use crate::nemesis::log::FaultLog;

/// By how much a restored cluster is ahead of its snapshot: more than it can have had since.
const BUMP: u64 = 1_000_000;

/// In milliseconds: whoever held a lock asks for something within a TTL, and learns that the store is another one, or
/// that its entry is not there.
const NOTICED_WITHIN: u64 = 3_000;

impl EtcdCluster {
    /// A member leaves the cluster for good, because it has lost its data or is removed while it runs; another one takes
    /// its place, without data.
    pub(super) async fn exchange_member(&self, number: usize, length: Duration, fault: Fault, log: &FaultLog) {
        let member = self.cluster.member(number);
        let (url, mut name) = (member.peer_url(), member.name());
        let begun = log.begin(crate::nemesis::Fault::Etcd(fault), Scope::Store);
        if matches!(fault, Fault::WipeMember(_)) {
            member.kill();
        } else {
            name = format!("m{number}.{}", self.replaced.fetch_add(1, Ordering::Relaxed) + 1);
        }
        self.admin.remove_member(&url).await;
        sleep(length).await;
        self.admin.add_member(&url).await;
        block_in_place(|| self.cluster.rejoin(number, &name));
        ready(member).await;
        log.end(begun);
    }

    /// For a time there is a server of another cluster behind the member's address.
    pub(super) async fn impersonate(&self, number: usize, length: Duration, fault: Fault, log: &FaultLog) {
        let member = self.cluster.member(number);
        let begun = log.begin(crate::nemesis::Fault::Etcd(fault), Scope::Impostor);
        member.kill();
        let impostor = block_in_place(|| member.impostor());
        sleep(length).await;
        block_in_place(|| drop(impostor));
        member.launch();
        log.end(begun);
    }

    /// Replaces all members by what the cluster was some seconds ago, as an operator does who heeds etcd's advice: no
    /// revision comes twice.
    pub(super) async fn restore(&self, renamed: bool, length: Duration, log: &FaultLog) {
        if !Cluster::can_restore() {
            return;
        }
        let snapshot = self.cluster.member(0).log().with_file_name("snapshot");
        self.admin.save_snapshot(&snapshot).await;
        sleep(length).await;
        let fault = crate::nemesis::Fault::Etcd(Fault::Restore(renamed));
        let begun = [log.begin(fault, Scope::Store), log.begin(fault, Scope::Forgotten(NOTICED_WITHIN))];
        if renamed {
            self.identity.fetch_add(1, Ordering::Relaxed);
        }
        let token = match self.identity.load(Ordering::Relaxed) {
            0 => "etcd-cluster".to_owned(),
            number => format!("restored-{number}"),
        };
        block_in_place(|| self.cluster.restore(&snapshot, &token, BUMP));
        for member in self.cluster.members() {
            ready(member).await;
        }
        self.admin.forget_identity();
        begun.into_iter().for_each(|fault| log.end(fault));
    }
}
