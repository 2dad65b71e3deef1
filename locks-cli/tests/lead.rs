//! `lead`: a command that is kept running.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]

mod support;

use rustix::process::Signal;
use support::{Place, lasting};

#[test]
fn lead_campaigns_again_after_a_loss_and_ends_with_its_command() {
    let place = Place::new();
    let script = "echo up $LOCKS_FENCE; if [ -e $D/again ]; then exit 5; fi; touch $D/again; sleep 1000";
    let mut lead = place.start(&["lead", "-t", "1", "/a", "--", "sh", "-c", script]);
    let first = lead.line();
    place.lose("/a");
    let second = lead.line();
    assert!(second.starts_with("up ") && first != second, "{first} {second}");
    assert_eq!(lead.code(), 5);
    let mut stopped =
        place.start(&["lead", "/a", "--", "sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"]);
    stopped.line();
    stopped.signal(Signal::TERM);
    assert_eq!(stopped.code(), 143);
    let mut again = place.start(&["lead", "--restart", "/a", "--", "echo", "up"]);
    assert_eq!([again.line(), again.line()], ["up", "up"]);
    again.signal(Signal::TERM);
    assert_eq!(again.code(), 143);
}

#[test]
fn a_term_counts_although_the_lock_is_lost_while_the_command_ends() {
    let place = Place::new();
    // Once more it would end at once.
    let script = "[ -e $D/again ] && exit 5; touch $D/again; trap 'echo told; read line; exit 0' TERM; echo up; while :; do sleep 0.01; done";
    for more in [&[][..], &["--restart"]] {
        let arguments = [&["lead"], more, &["--grace", "1ms", "/a", "--", "sh", "-c", script]].concat();
        let mut lead = place.start(&arguments);
        assert_eq!(lead.line(), "up");
        lead.signal(Signal::TERM);
        assert_eq!(lead.line(), "told");
        place.lose("/a");
        assert_eq!(lead.code(), 143, "{more:?}");
        std::fs::remove_file(place.path("again")).unwrap();
    }
    // And so does one after which the limit passes.
    let script = format!("echo >> $D/begun; {}", script.replace("read line", "while :; do sleep 0.01; done"));
    let mut lead =
        place.start(&["lead", "--restart", "--at-most", "10", "--grace", "1ms", "/a", "--", "sh", "-c", &script]);
    assert_eq!(lead.line(), "up");
    lead.signal(Signal::TERM);
    assert_eq!(lead.line(), "told");
    let (code, said) = lead.end();
    assert!(code == Some(143) && said.contains("--at-most 10s passed"), "{code:?} {said}");
    assert_eq!(std::fs::read_to_string(place.path("begun")).unwrap(), "\n", "the limit was not what ended it first");
}

#[test]
fn a_hangup_for_a_reload_does_not_end_the_restarts() {
    let place = Place::new();
    let script = "trap 'echo reloads' HUP; echo up; until [ -e $D/go ]; do sleep 0.01; done; rm $D/go";
    let mut lead = place.start(&["lead", "--restart", "/a", "--", "sh", "-c", script]);
    assert_eq!(lead.line(), "up");
    lead.signal(Signal::HUP);
    assert_eq!(lead.line(), "reloads");
    std::fs::write(place.path("go"), "").unwrap();
    assert_eq!(lead.line(), "up");
    lead.signal(Signal::TERM);
    assert_eq!(lead.code(), 143);
}

#[test]
fn a_term_is_not_replaced_by_a_later_signal() {
    let place = Place::new();
    let script = "trap 'echo told' TERM; trap 'echo hung up; exit 0' HUP; echo up; while :; do sleep 0.01; done";
    for more in [&[][..], &["--restart"]] {
        let mut lead = place.start(&[&["lead"], more, &["/a", "--", "sh", "-c", script]].concat());
        for (line, signal) in [("up", Signal::TERM), ("told", Signal::HUP)] {
            assert_eq!(lead.line(), line);
            lead.signal(signal);
        }
        assert_eq!(lead.line(), "hung up");
        assert_eq!(lead.code(), 143, "{more:?}");
    }
}

#[test]
fn a_busy_lock_is_not_taken_for_a_store_that_is_away() {
    let place = Place::new();
    let mut first = place.start(&["run", "/a", "--", "sh", "-c", &lasting("first")]);
    first.line();
    let mut lead = place.start(&["lead", "-n", "-E", "69", "/a", "--", "true"]);
    assert_eq!(lead.code(), 69);
}
