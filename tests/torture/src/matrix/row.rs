//! One row of the matrix: the options of a call, what the caller does with it, and a fault at one of its phases.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an enum whose values have numbers, so that they can be factors of a covering design.
macro_rules! factor {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$value_doc])* $value,)* }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value,)*];
        }
    };
}

factor! {
    /// What is called.
    Function {
        /// An async function with the attribute, stopped when the lock is lost.
        Async,
        /// The same with `on_lost = continue`.
        Continuing,
        /// A plain function with the attribute.
        Plain,
        /// `Lock::run`, without the attribute.
        Run,
        /// `Lock::acquire`, and a guard that the caller watches.
        Guard,
    }
}

factor! {
    /// `wait`.
    Waits {
        /// None: as long as it takes.
        Forever,
        /// For some seconds.
        Limited,
        /// Not at all.
        Never,
    }
}

factor! {
    /// `hold_at_least`.
    Least {
        /// None.
        None,
        /// Less than the TTL.
        Below,
        /// More than the TTL.
        Above,
    }
}

factor! {
    /// `hold_at_most`.
    Most {
        /// None.
        None,
        /// Some seconds.
        Some,
    }
}

factor! {
    /// Which client of the process.
    Client {
        /// The one that all other calls of the process use, too.
        First,
        /// Another one on the same store, with the same TTL.
        Second,
        /// A third one, whose TTL is twice as long.
        LongerTtl,
    }
}

factor! {
    /// How long the body runs.
    Length {
        /// Milliseconds.
        Brief,
        /// Longer than the TTL of most locks.
        Long,
    }
}

factor! {
    /// What is called inside the body.
    Nested {
        /// Nothing.
        Nothing,
        /// A function with the same key, which joins the hold.
        Joins,
        /// The same, with `hold_at_least`.
        JoinsAtLeast,
        /// Two of them at the same time.
        JoinsTwice,
        /// A function with another key, which everybody's bodies use.
        Other,
    }
}

factor! {
    /// Who else may hold the lock.
    Access {
        /// Nobody.
        Exclusive,
        /// Other readers.
        Shared,
        /// One or two others who have a permit.
        Permits,
    }
}

factor! {
    /// How many locks it requests at one moment.
    Keys {
        /// One.
        One,
        /// Two or three, in random order.
        Several,
    }
}

factor! {
    /// What the caller does with the call.
    Caller {
        /// Waits for it.
        Waits,
        /// Waits for it, and the body panics in the end.
        Panics,
        /// Drops it before its body has begun.
        DropsBefore,
        /// Drops it in the middle of its body.
        DropsInside,
    }
}

factor! {
    /// Where the call is when something happens.
    Phase {
        /// Nothing does.
        None,
        /// The store has granted the lock, and the call was not polled since.
        Granted,
        /// `hold_at_least` is arranged, and the body has not begun.
        Kept,
        /// In the body, or in the function that the body has called.
        Body,
        /// The body has ended, and the lock is being released.
        Release,
        /// The body runs, and its client is being closed.
        Close,
    }
}

factor! {
    /// What happens there.
    Deed {
        /// Nothing, or nothing but the phase itself.
        Nothing,
        /// The process stops itself (SIGSTOP), and is resumed.
        Pause,
        /// Its connections misbehave.
        Cut,
        /// It is killed (SIGKILL).
        Kill,
        /// `main` returns.
        Return,
        /// `std::process::exit`.
        Exit,
        /// `std::process::abort`.
        Abort,
        /// It forks, and the child requests the same lock.
        Fork,
    }
}

impl Deed {
    /// Whether the process ends by it.
    #[must_use]
    pub fn ends_process(self) -> bool {
        matches!(self, Self::Kill | Self::Return | Self::Exit | Self::Abort)
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Row {
    pub caller: Caller,
    pub phase: Phase,
    pub deed: Deed,
    pub function: Function,
    pub waits: Waits,
    pub least: Least,
    pub most: Most,
    pub client: Client,
    pub length: Length,
    pub nested: Nested,
    pub mode: Access,
    pub keys: Keys,
}

/// How many factors there are.
pub(super) const FACTORS: usize = 12;

/// The factors' names, in the order of their numbers.
const NAMES: [&str; FACTORS] = [
    "caller",
    "phase",
    "deed",
    "function",
    "wait",
    "hold_at_least",
    "hold_at_most",
    "client",
    "length",
    "nested",
    "mode",
    "keys",
];

impl Row {
    /// How many values each factor has. Those come first that decide which of the others have an effect.
    #[must_use]
    pub fn sizes() -> Vec<usize> {
        let first = [Caller::ALL.len(), Phase::ALL.len(), Deed::ALL.len()];
        let options = [Function::ALL.len(), Waits::ALL.len(), Least::ALL.len(), Most::ALL.len(), Client::ALL.len()];
        first
            .into_iter()
            .chain(options)
            .chain([Length::ALL.len(), Nested::ALL.len(), Access::ALL.len(), Keys::ALL.len()])
            .collect()
    }

    /// The row of these values.
    #[must_use]
    pub fn from_values(values: &[usize]) -> Self {
        Self {
            caller: Caller::ALL[values[0]],
            phase: Phase::ALL[values[1]],
            deed: Deed::ALL[values[2]],
            function: Function::ALL[values[3]],
            waits: Waits::ALL[values[4]],
            least: Least::ALL[values[5]],
            most: Most::ALL[values[6]],
            client: Client::ALL[values[7]],
            length: Length::ALL[values[8]],
            nested: Nested::ALL[values[9]],
            mode: Access::ALL[values[10]],
            keys: Keys::ALL[values[11]],
        }
    }

    /// Its values.
    #[must_use]
    pub fn values(&self) -> Vec<usize> {
        let Self { caller, phase, deed, function, waits, least, most, client, length, nested, mode, keys } = *self;
        let first = [caller as usize, phase as usize, deed as usize];
        let options = [function as usize, waits as usize, least as usize, most as usize, client as usize];
        first
            .into_iter()
            .chain(options)
            .chain([length as usize, nested as usize, mode as usize, keys as usize])
            .collect()
    }

    /// Whether anything happens beside the call.
    #[must_use]
    pub fn disturbs(&self) -> bool {
        self.phase != Phase::None
    }
}

/// A factor's value as text, as in `phase=Release`.
#[must_use]
pub fn shown((factor, value): (usize, usize)) -> String {
    // Any row has a value of each factor: one with this value shows its name.
    let mut values = vec![0; FACTORS];
    values[factor] = value;
    let Row { caller, phase, deed, function, waits, least, most, client, length, nested, mode, keys } =
        Row::from_values(&values);
    let shown: [&dyn fmt::Debug; FACTORS] =
        [&caller, &phase, &deed, &function, &waits, &least, &most, &client, &length, &nested, &mode, &keys];
    format!("{}={:?}", NAMES[factor], shown[factor])
}
