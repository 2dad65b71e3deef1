//! Faults that the script had once, and others: each is put back alone, and has to be found.

use locks_models::redis::{Redis, Replicated, ReplicatedSetup, Setup};

/// Within so many schedules each is found, and usually within ten.
const SCHEDULES: u64 = 1500;

/// On a server whose script has these faults.
#[track_caller]
fn assert_found(parts: &str, broken: &'static [(&'static str, &'static str)]) {
    let schedules = locks_models::assert_found::<Redis>(SCHEDULES, parts, |setup| Setup { broken, ..setup });
    println!("after {schedules} schedules");
}

/// On several servers.
#[track_caller]
fn assert_found_on_several(parts: &str, broken: &'static [(&'static str, &'static str)]) {
    let broken = |setup| ReplicatedSetup { broken, ..setup };
    println!("after {} schedules", locks_models::assert_found::<Replicated>(SCHEDULES, parts, broken));
}

/// At `maxmemory` one waiter's write ended the renewals of all.
#[test]
fn a_waiters_write_stops_renewals_at_maxmemory() {
    assert_found(
        "+full +tasks -bad -events -stops -forgets -rights -strangers -outages -dozen",
        &[
            (
                "    local done, reply = pcall(work, number, ARGV[4 + number])",
                "    local done, reply = true, work(number, ARGV[4 + number])",
            ),
            (
                "  expire_no_sooner(px, lock.queue)\n  expire_no_sooner(px, lock.waiters)\n  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. rest)\n  return { holds",
                "  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. rest)\n  return { holds",
            ),
            (
                "    else\n      expire_no_sooner(px, lock.name)",
                "    else\n      redis.call('SET', lock.name, token, 'PX', px)",
            ),
            (
                "        redis.call('PEXPIRE', KEYS[number], held_px)",
                "        redis.call('SET', KEYS[number], value, 'PX', held_px)",
            ),
        ],
    );
}

/// A release takes the lock away from whoever holds it by then.
#[test]
fn a_release_that_does_not_compare() {
    assert_found(
        "+bad",
        &[(
            "  if holds(lock, current, token) then\n    if lock.group then return release_one",
            "  if current then\n    if lock.group then return release_one",
        )],
    );
}

/// The same of a hold in one piece.
#[test]
fn a_release_that_does_not_compare_a_hold_in_one_piece() {
    assert_found(
        "+bad",
        &[(
            "not values[2] and string.sub(value, 1, #token) == token then",
            "not values[2] and string.find(value, '\\n', 1, true) then",
        )],
    );
}

/// After a restart without data the number begins anew.
#[test]
fn a_fence_that_is_only_counted() {
    assert_found("+forgets -bad", &[("    if fence < tonumber(ARGV[6]) then", "    if false then")]);
}

/// Who has lost the lock is told that it holds it.
#[test]
fn a_renewal_that_does_not_compare() {
    assert_found(
        "+bad +strangers",
        &[
            (
                "  if holds(lock, current, token) then\n    if lock.group then\n      lapse",
                "  if current then\n    if lock.group then\n      lapse",
            ),
            (
                "      local is_whole = string.sub(value, 1, #token + 1) == token .. '\\n'\n      if sign",
                "      local is_whole = true\n      if sign",
            ),
        ],
    );
}

/// A hand-off gives less time than the waiter's client counts on.
#[test]
fn a_hand_off_for_too_short() {
    assert_found(
        "+events",
        &[(
            "    local fence = grant(lock, first, record, lapses - now)",
            "    local fence = grant(lock, first, record, 500)",
        )],
    );
}

/// The fence follows the clock, which may be set back.
#[test]
fn a_fence_that_follows_the_clock_alone() {
    assert_found("+clock -bad", &[("math.max(micros, fence_in(FENCES) + 1, fence_in(lock.fence) + 1)", "micros")]);
}

/// The next in the queue is not notified.
#[test]
fn a_hand_off_without_a_notification() {
    assert_found("-bad -events -stops", &[("    notify(first, '+', fence)\n", "")]);
}

/// The lock is handed off to those who have died.
#[test]
fn a_hand_off_to_who_has_lapsed() {
    assert_found(
        "+stops +events",
        &[(
            "    if lapses > now then return first, lapses, record, names end\n    withdraw(lock, first)",
            "    if first then return first, math.max(lapses, now + 3600000), record, names end\n    withdraw(lock, first)",
        )],
    );
}

/// A stranger's lock is no lock.
#[test]
fn a_lock_of_redissons_that_is_overwritten() {
    assert_found(
        "+strangers -bad",
        &[(
            "if string.find(value.err or '', 'WRONGTYPE', 1, true) then return '' end",
            "if string.find(value.err or '', 'WRONGTYPE', 1, true) then return false end",
        )],
    );
}

/// A waiter whose queue was deleted is in no queue, and would wait beside a free lock for ever.
#[test]
fn a_waiter_whose_queue_was_deleted() {
    assert_found(
        "+strangers -bad -events -stops",
        &[("if not redis.call('ZSCORE', lock.queue, token) then", "if false then")],
    );
}

/// There is one more than the lock has.
#[test]
fn one_permit_more_than_there_are() {
    assert_found(
        "+modes -bad -events",
        &[("  if ahead < limit then return true end", "  if ahead <= limit then return true end")],
    );
}

/// A reader holds beside a writer.
#[test]
fn a_reader_that_does_not_look_who_holds() {
    assert_found(
        "+modes -bad -events",
        &[(
            "  if current and (kind == '' or kind_of(lock, current) ~= kind) then return false end",
            "  if current and kind == '' then return false end",
        )],
    );
}

/// The second of several locks is not looked at.
#[test]
fn some_of_several_locks() {
    assert_found(
        "+several -bad -events -cluster",
        &[("not (lock == settling or lets_hold(lock, current, token, place))", "false")],
    );
}

/// What the replica had not received is counted once more.
#[test]
fn a_fence_that_is_only_counted_goes_back_in_a_failover() {
    assert_found_on_several("+failovers -bad", &[("    if fence < tonumber(ARGV[6]) then", "    if false then")]);
}

/// The next in the queue is not notified, in no shard.
#[test]
fn a_hand_off_in_a_cluster_without_a_notification() {
    assert_found_on_several(
        "-bad -events -stops -failovers -moves -sentinels",
        &[("    notify(first, '+', fence)\n", "")],
    );
}
