//! Whatever a row or a notification says: read, or passed over, and never a panic.

use super::enter::Shown;
use super::session::fence;
use super::slots::Stand;
use super::{hub, shedlock, turn};
use crate::values::holder::Holder;
use crate::world::clock::{Clock, Moment};
use proptest::prelude::*;
use std::time::Duration;

fn any_seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -10.0..10.0,
        prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE]),
    ]
}

fn any_place() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(prop_oneof![1..9_i64, prop::sample::select(vec![0, -1, i64::MIN, i64::MAX]), any::<i64>()])
}

/// No statement of ours gives one: places count from 1.
#[test]
fn a_place_that_cannot_be_is_far_behind_and_overflows_nothing() {
    for place in [0, i64::MIN] {
        let shown = Shown { is_entry: false, seconds: 1.0, fence: 0, place: Some(place) };
        let Some(Stand::Waiting { ahead, until }) = shown.stand(Moment::from_nanos(0)) else { panic!("{shown:?}") };
        assert_eq!(ahead, u32::MAX);
        let _ = turn::pause(Duration::from_secs(10), false, ahead, until);
    }
}

proptest! {
    #[test]
    fn any_row_is_read(is_entry: bool, seconds in any_seconds(), number: i64, place in any_place(), now: u64, hears: bool) {
        let now = Moment::from_nanos(now);
        let stand = Shown { is_entry, seconds, fence: number, place }.stand(now);
        match stand {
            Some(Stand::Held(held)) => prop_assert!(is_entry && seconds > 0.0 && held == fence(number)),
            Some(Stand::Waiting { ahead, until }) => {
                prop_assert!(place.is_some() && until >= now);
                prop_assert!(place != Some(1) || ahead == 0);
                // And then it waits, but not without end.
                let pause = turn::pause(Duration::from_secs(10), hears, ahead, until);
                prop_assert!(pause <= Duration::from_secs(60), "{pause:?}");
                if until > Clock::Boot.now() + Duration::from_secs(1) {
                    prop_assert!(pause >= Duration::from_millis(50), "it would ask without a pause: {pause:?}");
                }
            }
            Some(other) => prop_assert!(false, "{other:?}"),
            None => prop_assert!(place.is_none()),
        }
    }

    #[test]
    fn any_notification_is_read_or_passed_over(
        text in "\\PC{0,30}|(turn|wait|gone|probe|x)( ([0-9a-f]{0,4}|-?[0-9]{1,24}|\\PC{0,3})){0,5}",
        now: u64,
    ) {
        let now = Moment::from_nanos(now);
        if let Some((session, number, stand)) = hub::read(&text, now) {
            let words: Vec<&str> = text.split(' ').collect();
            prop_assert_eq!((words[1], words[2].parse()), (session, Ok(number)));
            prop_assert!(!matches!(stand, Stand::Sent | Stand::Left));
        }
    }

    #[test]
    fn what_is_told_is_heard(session in "[0-9a-f]{1,32}", number: u64, told: u64) {
        let now = Moment::from_nanos(5);
        let turn = format!("turn {session} {number} {told}");
        prop_assert_eq!(hub::read(&turn, now), Some((session.as_str(), number, Stand::Held(told))));
        let wait = format!("wait {session} {number} {told}");
        let until = now + Duration::from_micros(told);
        prop_assert_eq!(hub::read(&wait, now), Some((session.as_str(), number, Stand::Waiting { ahead: 0, until })));
    }

    #[test]
    fn any_name_of_a_holder_fits_shedlocks_column(host: String, name: String, locked_by in prop::option::of(any::<String>())) {
        let signature = shedlock::signature(&Holder { host: host.into(), name: name.into(), ..Holder::default() });
        prop_assert!(!signature.contains(char::is_control));
        let shown = shedlock::holder(locked_by.as_deref()).to_string();
        prop_assert!(!shown.contains(char::is_control), "{shown}");
    }
}
