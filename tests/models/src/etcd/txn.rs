//! Ranges, comparisons and transactions.

use super::machine::{Machine, compacted, future, in_range, no_lease, no_space};
use etcd_client::proto::{
    PbCompare, PbDeleteResponse, PbKeyValue, PbPutResponse, PbRangeRequest, PbRangeResponse, PbResponseOp,
    PbTargetUnion, PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use std::collections::BTreeMap;
use tonic::Status;

const DESCENDING: i32 = 2;

impl Machine {
    pub(super) fn range(&self, ask: &PbRangeRequest) -> Result<PbRangeResponse, Status> {
        if ask.revision > self.data.revision {
            return Err(future());
        }
        let past;
        let all = if ask.revision > 0 && ask.revision < self.data.revision {
            if ask.revision < self.data.compacted {
                return Err(compacted());
            }
            past = self.at(ask.revision);
            &past
        } else {
            &self.data.keys
        };
        let found: Vec<&PbKeyValue> = all.values().filter(|kv| in_range(&kv.key, &ask.key, &ask.range_end)).collect();
        let count = found.len() as i64;
        let bound = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
        let mut kvs: Vec<PbKeyValue> = found
            .into_iter()
            .filter(|kv| bound(kv.mod_revision, ask.min_mod_revision, ask.max_mod_revision))
            .filter(|kv| bound(kv.create_revision, ask.min_create_revision, ask.max_create_revision))
            .cloned()
            .collect();
        if ask.sort_order != 0 {
            sort(&mut kvs, ask);
        }
        if ask.count_only {
            kvs.clear();
        }
        let more = ask.limit > 0 && kvs.len() as i64 > ask.limit;
        if more {
            kvs.truncate(ask.limit as usize);
        }
        for kv in kvs.iter_mut().filter(|_| ask.keys_only) {
            kv.value.clear();
            if self.quirks.keys_only_without_lease {
                kv.lease = 0;
            }
        }
        Ok(PbRangeResponse { header: self.header(), kvs, more, count })
    }

    /// The keys as they were at a revision.
    fn at(&self, revision: i64) -> BTreeMap<Vec<u8>, PbKeyValue> {
        let mut keys = BTreeMap::new();
        for kv in self.data.history.iter().filter(|kv| kv.mod_revision <= revision) {
            if kv.version == 0 {
                keys.remove(&kv.key);
            } else {
                keys.insert(kv.key.clone(), kv.clone());
            }
        }
        keys
    }

    pub(super) fn txn(&mut self, txn: &PbTxnRequest) -> Result<PbTxnResponse, Status> {
        if self.quirks.no_space && (puts(&txn.success) || puts(&txn.failure)) {
            return Err(no_space());
        }
        let succeeded = txn.compare.iter().all(|compare| self.is_true(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let has_lease = |op: &PbTxnRequestOp| match &op.request {
            Some(PbTxnOpRequest::RequestPut(put)) => put.lease == 0 || self.data.leases.contains_key(&put.lease),
            _ => true,
        };
        if !ops.iter().all(has_lease) {
            return Err(no_lease());
        }
        let (at, mut has_written) = (self.data.revision + 1, false);
        let mut responses = Vec::new();
        for op in ops {
            let request = op.request.as_ref().ok_or_else(|| Status::invalid_argument("no operation"))?;
            let response = self.carry_out(request, at, &mut has_written)?;
            responses.push(PbResponseOp { response: Some(response) });
        }
        if has_written {
            self.data.revision = at;
        }
        Ok(PbTxnResponse { header: self.header(), succeeded, responses })
    }

    fn carry_out(
        &mut self,
        request: &PbTxnOpRequest,
        at: i64,
        has_written: &mut bool,
    ) -> Result<PbTxnOpResponse, Status> {
        Ok(match request {
            PbTxnOpRequest::RequestRange(range) => PbTxnOpResponse::ResponseRange(self.range(range)?),
            PbTxnOpRequest::RequestPut(put) => {
                *has_written = true;
                self.put(&put.key, &put.value, put.lease, at);
                PbTxnOpResponse::ResponsePut(PbPutResponse { header: self.header(), prev_kv: None })
            }
            PbTxnOpRequest::RequestDeleteRange(delete) => {
                let deleted = self.delete(&delete.key, &delete.range_end, at);
                *has_written |= deleted > 0;
                let header = self.header();
                PbTxnOpResponse::ResponseDeleteRange(PbDeleteResponse { header, deleted, prev_kvs: Vec::new() })
            }
            PbTxnOpRequest::RequestTxn(_) => return Err(Status::unimplemented("a nested transaction")),
        })
    }

    fn is_true(&self, ask: &PbCompare) -> bool {
        let nothing = PbKeyValue::default();
        let mut found: Vec<&PbKeyValue> =
            self.data.keys.values().filter(|kv| in_range(&kv.key, &ask.key, &ask.range_end)).collect();
        if found.is_empty() {
            if matches!(ask.target_union, Some(PbTargetUnion::Value(_))) {
                return false;
            }
            found.push(&nothing);
        }
        found.iter().all(|kv| {
            let order = match &ask.target_union {
                Some(PbTargetUnion::Version(other)) => kv.version.cmp(other),
                Some(PbTargetUnion::CreateRevision(other)) => kv.create_revision.cmp(other),
                Some(PbTargetUnion::ModRevision(other)) => kv.mod_revision.cmp(other),
                Some(PbTargetUnion::Value(other)) => kv.value.cmp(other),
                Some(PbTargetUnion::Lease(other)) => kv.lease.cmp(other),
                None => return false,
            };
            match ask.result {
                0 => order.is_eq(),
                1 => order.is_gt(),
                2 => order.is_lt(),
                _ => order.is_ne(),
            }
        })
    }
}

/// Stable in both directions, as Go's sort is for a few keys.
fn sort(kvs: &mut [PbKeyValue], ask: &PbRangeRequest) {
    kvs.sort_by(|one, two| {
        let order = match ask.sort_target {
            0 => one.key.cmp(&two.key),
            1 => one.version.cmp(&two.version),
            2 => one.create_revision.cmp(&two.create_revision),
            3 => one.mod_revision.cmp(&two.mod_revision),
            _ => one.value.cmp(&two.value),
        };
        if ask.sort_order == DESCENDING { order.reverse() } else { order }
    });
}

fn puts(ops: &[PbTxnRequestOp]) -> bool {
    ops.iter().any(|op| matches!(op.request, Some(PbTxnOpRequest::RequestPut(_))))
}

/// A transaction in a few words.
pub(super) fn describe(txn: &PbTxnRequest) -> String {
    let ops = |ops: &[PbTxnRequestOp]| {
        let words = ops.iter().map(|op| match &op.request {
            Some(PbTxnOpRequest::RequestPut(put)) => {
                format!("put {} on {:x}", String::from_utf8_lossy(&put.key), put.lease)
            }
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
                format!("delete {}", String::from_utf8_lossy(&delete.key))
            }
            _ => "read".to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let compares: Vec<_> = txn.compare.iter().map(|compare| &compare.target_union).collect();
    format!("if {compares:?} {{{}}} else {{{}}}", ops(&txn.success), ops(&txn.failure))
}
