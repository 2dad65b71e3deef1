//! Random requests, of the kinds that the store sends and of some more.

use super::answers;
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, GetOptions, LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions,
    SortOrder, SortTarget, Txn, TxnOp,
};
use locks_models::Random;

/// Sends the request that `random` decides on, and tells its answer in words.
pub(crate) async fn send(client: &mut Client, mut random: Random, revision: i64) -> String {
    let random = &mut random;
    match random.below(25) {
        0 | 1 => {
            let options = LeaseGrantOptions::new().with_id(lease(random));
            let granted = client.lease_grant(600 + random.below(9) as i64, Some(options)).await;
            answers::of(granted, |answer| format!("granted {} {}", answer.id(), answer.ttl()))
        }
        2 | 3 => {
            let revoked = client.lease_revoke(lease(random)).await;
            answers::of(revoked, |answer| format!("revoked at {}", answer.header().unwrap().revision()))
        }
        4 | 5 => {
            let options = LeaseTimeToLiveOptions::new().with_keys();
            let asked = client.lease_time_to_live(lease(random), Some(options)).await;
            answers::of(asked, |answer| {
                let mut keys = answer.keys().to_vec();
                keys.sort();
                format!("{} {} {keys:?}", answer.ttl() > 0, answer.granted_ttl())
            })
        }
        6 | 7 => answers::of(client.lease_keep_alive(lease(random)).await, |_| "kept alive".to_owned()),
        8 | 9 => {
            let (key, options) = (key(random), options(random));
            // Past, compacted and future ones.
            let at = (revision + 2 - random.below(22) as i64).max(1);
            let options = if random.chance(40) { options.with_revision(at) } else { options };
            let read = client.get(key, Some(options)).await;
            answers::of(read, |answer| format!("at {} {}", answer.header().unwrap().revision(), answers::keys(&answer)))
        }
        10 => {
            let compacted = client.compact(revision - random.below(12) as i64 + 1, None).await;
            answers::of(compacted, |answer| format!("compacted at {}", answer.header().unwrap().revision()))
        }
        _ => {
            let conditions: Vec<Compare> = (0..random.below(3)).map(|_| compare(random, revision)).collect();
            let then: Vec<TxnOp> = (0..random.below(4)).map(|_| op(random)).collect();
            let or: Vec<TxnOp> = (0..random.below(3)).map(|_| op(random)).collect();
            let txn = Txn::new().when(conditions).and_then(written_once(then)).or_else(written_once(or));
            answers::of(client.txn(txn).await, |answer| answers::transaction(&answer))
        }
    }
}

fn key(random: &mut Random) -> String {
    random.pick(&["a/1", "a/2", "a/3", "a/b/1", "b/1", "b"]).to_owned()
}

fn lease(random: &mut Random) -> i64 {
    1 + random.below(4) as i64
}

fn options(random: &mut Random) -> GetOptions {
    let mut options = GetOptions::new();
    if random.chance(70) {
        options = options.with_range(random.pick(&["a0", "b0", "\0", "a/2"]));
    }
    if random.chance(50) {
        options = options.with_keys_only();
    }
    if random.chance(10) {
        options = options.with_count_only();
    }
    if random.chance(60) {
        let target = random.pick(&[SortTarget::Create, SortTarget::Mod, SortTarget::Key, SortTarget::Version]);
        options = options.with_sort(target, random.pick(&[SortOrder::Ascend, SortOrder::Descend]));
    }
    if random.chance(40) {
        options = options.with_limit(1 + random.below(3) as i64);
    }
    if random.chance(20) {
        options = options.with_max_create_revision(1 + random.below(200) as i64);
    }
    options
}

fn op(random: &mut Random) -> TxnOp {
    match random.below(4) {
        0 => {
            let mut put = PutOptions::new();
            if random.chance(60) {
                put = put.with_lease(lease(random));
            }
            TxnOp::put(key(random), format!("{}", random.below(3)), Some(put))
        }
        1 => TxnOp::delete(key(random), random.chance(20).then(|| DeleteOptions::new().with_range("a/3"))),
        _ => TxnOp::get(key(random), Some(options(random))),
    }
}

fn compare(random: &mut Random, revision: i64) -> Compare {
    let op = random.pick(&[CompareOp::Equal, CompareOp::Greater, CompareOp::Less, CompareOp::NotEqual]);
    let near = if random.chance(40) { 0 } else { (revision - random.below(6) as i64).max(0) };
    let compare = match random.below(5) {
        0 => Compare::create_revision(key(random), op, near),
        1 => Compare::mod_revision(key(random), op, near),
        2 => Compare::lease(key(random), op, random.below(5) as i64),
        3 => Compare::version(key(random), op, random.below(3) as i64),
        _ => Compare::value(key(random), op, format!("{}", random.below(3))),
    };
    if random.chance(30) { compare.with_range("a0") } else { compare }
}

/// etcd refuses two puts of one key in one transaction; the store never sends such.
fn written_once(ops: Vec<TxnOp>) -> Vec<TxnOp> {
    let mut has_written = false;
    let mut is_allowed = |op: &TxnOp| {
        let text = format!("{op:?}");
        let writes = ["TxnOp(Put", "RequestPut", "RequestDelete"].iter().any(|kind| text.contains(kind));
        !(writes && std::mem::replace(&mut has_written, true))
    };
    ops.into_iter().filter(|op| is_allowed(op)).collect()
}
