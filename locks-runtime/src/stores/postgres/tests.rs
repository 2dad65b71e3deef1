//! Whatever a row or a notification says, it is read or ignored, and never a panic.

use super::entries::{Hint, Status};
use super::row::{View, fence};
use super::{notifications, shedlock, wait};
use crate::values::holder::Holder;
use crate::world::World;
use crate::world::clock::Moment;
use proptest::prelude::*;
use std::time::Duration;

fn any_seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -10.0..10.0,
        prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE]),
    ]
}

fn any_position() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(prop_oneof![1..9_i64, prop::sample::select(vec![0, -1, i64::MIN, i64::MAX]), any::<i64>()])
}

/// No statement of ours returns one: positions count from 1.
#[test]
fn an_impossible_position_is_far_behind_and_overflows_nothing() {
    let world = World::background().unwrap();
    for position in [0, i64::MIN] {
        let view = View { is_holder: false, seconds: 1.0, fence: 0, position: Some(position), beside: None };
        let Some(Status::Queued { ahead, until }) = view.status(Moment::from_nanos(0)) else { panic!("{view:?}") };
        assert_eq!(ahead, u32::MAX);
        let _ = wait::pause(&world, Duration::from_secs(10), false, ahead, until);
    }
}

proptest! {
    #[test]
    fn any_row_is_read(is_holder: bool, seconds in any_seconds(), number: i64, position in any_position(), now: u64, arrive: bool) {
        let (now, world) = (Moment::from_nanos(now), World::background().unwrap());
        let status = View { is_holder, seconds, fence: number, position, beside: None }.status(now);
        match status {
            Some(Status::Held(held)) => prop_assert!(is_holder && seconds > 0.0 && held == fence(number)),
            Some(Status::Queued { ahead, until }) => {
                prop_assert!(position.is_some() && until >= now);
                prop_assert!(position != Some(1) || ahead == 0);
                // And then it waits, but not without end.
                let pause = wait::pause(&world, Duration::from_secs(10), arrive, ahead, until);
                prop_assert!(pause <= Duration::from_secs(60), "{pause:?}");
                if until > world.now() + Duration::from_secs(1) {
                    prop_assert!(pause >= Duration::from_millis(50), "it would ask without a pause: {pause:?}");
                }
            }
            Some(other) => prop_assert!(false, "{other:?}"),
            None => prop_assert!(position.is_none()),
        }
    }

    #[test]
    fn any_notification_is_read_or_ignored(
        text in "\\PC{0,30}|(turn|wait|gone|probe|x)( ([0-9a-f]{0,4}|-?[0-9]{1,24}|\\PC{0,3})){0,5}",
        now: u64,
    ) {
        let now = Moment::from_nanos(now);
        if let Some((session, number, _)) = notifications::read(&text, now) {
            let words: Vec<&str> = text.split(' ').collect();
            prop_assert_eq!((words[1], words[2].parse()), (session, Ok(number)));
        }
    }

    #[test]
    fn what_a_notification_says_is_read(session in "[0-9a-f]{1,32}", number: u64, value: u64) {
        let now = Moment::from_nanos(5);
        let read = |text: &str| notifications::read(text, now).map(|(session, number, hint)| (session.to_owned(), number, hint));
        let hint = |hint| Some((session.clone(), number, hint));
        prop_assert_eq!(read(&format!("turn {session} {number} {value}")), hint(Hint::Turn));
        prop_assert_eq!(read(&format!("gone {session} {number}")), hint(Hint::Gone));
        let until = now + Duration::from_micros(value);
        prop_assert_eq!(read(&format!("wait {session} {number} {value}")), hint(Hint::Wait(until)));
        prop_assert_eq!(read(&format!("turn {session} {number} {value} more")), None);
    }

    #[test]
    fn any_name_of_a_holder_fits_shedlocks_column(host: String, name: String, locked_by in prop::option::of(any::<String>())) {
        let signature = shedlock::signature(&Holder { host: host.into(), name: name.into(), ..Holder::default() });
        prop_assert!(!signature.contains(char::is_control));
        let shown = shedlock::holder(locked_by.as_deref()).to_string();
        prop_assert!(!shown.contains(char::is_control), "{shown}");
    }
}
