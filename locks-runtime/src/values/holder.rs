//! Who holds a lock: the small record that the store keeps beside an entry, for people and for tools.

use crate::values::mode::Mode;
use crate::values::shown::{self, Shown};
use once_cell::sync::Lazy;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Who holds a lock, or waits for it, according to the record in the store.
///
/// It is JSON with a version, and read leniently: every field may be missing. Clients of other projects write no
/// record, and one that cannot be read counts as none; such a holder is [unknown](Holder::is_known).
///
/// Whoever may write to the store may write what they like into a record. The fields are what it says, only not longer than
/// 2,048 characters each, with at most 64 labels; a record of more than 64 KiB is not read. `Display` and `Debug` escape what
/// cannot be seen (line breaks, escape codes of terminals, changes of the text's direction), and `Display` cuts each field after
/// 256 characters: show a holder by it, and escape the fields if you show those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Holder {
    /// The version of the record's form; 1 today, 0 where there is no record.
    #[serde(rename = "v", deserialize_with = "lenient")]
    pub version: u32,
    /// What the holder calls itself: `module::function`, or the attribute's `name`.
    #[serde(deserialize_with = "lenient")]
    pub name: Cow<'static, str>,
    /// Where that function is: `file:line`.
    #[serde(deserialize_with = "lenient")]
    pub origin: Cow<'static, str>,
    /// The host's name.
    #[serde(deserialize_with = "lenient")]
    pub host: Cow<'static, str>,
    /// The process id on that host.
    #[serde(deserialize_with = "lenient")]
    pub pid: u32,
    /// One client of one process: two clients never share it, a restart changes it.
    #[serde(deserialize_with = "lenient")]
    pub instance: Cow<'static, str>,
    /// `exclusive`, `shared`, or `permit`.
    #[serde(deserialize_with = "lenient")]
    pub mode: Cow<'static, str>,
    /// Of a `permit`: how many there are at the same time, as far as this holder knows; 0 otherwise.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "lenient")]
    pub permits: u32,
    /// When the lock was asked for, by the holder's own wall clock, in milliseconds since 1970.
    #[serde(rename = "at", deserialize_with = "lenient")]
    pub requested_at_ms: u64,
    /// Distinguishes this request from every other of the same [`instance`](Holder::instance).
    #[serde(skip_serializing_if = "is_default", deserialize_with = "lenient")]
    pub id: u64,
    /// The holds that the request is made under, of the same instance, if it waits without a limit: they are not released before
    /// it has had its turn.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient")]
    pub under: Vec<Under>,
    /// How long it waits at most, in milliseconds; 0 of one that waits without a limit, or does not wait at all.
    #[serde(rename = "limit", skip_serializing_if = "is_default", deserialize_with = "lenient")]
    pub limit_ms: u64,
    /// The application's own labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "lenient")]
    pub labels: BTreeMap<String, String>,
    /// Of an [elected leader](crate::Locks::leader), or a candidate: what it says of itself, such as its address. Not cut, as the
    /// other fields are.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub value: Option<String>,
    /// It was [handed over](crate::Guard::detach), and whoever has the ticket has not adopted it yet: this is the record of who had it
    /// before.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "lenient")]
    pub detached: bool,
    /// It was handed over to this holder, who has [adopted](crate::Locks::adopt) it.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "lenient")]
    pub adopted: bool,
    /// What is odd about this entry, in words for a person; never stored.
    #[serde(skip)]
    pub remark: Option<String>,
}

/// A hold, as the record of a request names it that is made under it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Under {
    /// The lock.
    pub key: String,
    /// The [`id`](Holder::id) of the hold's own record.
    pub id: u64,
}

impl Under {
    /// The hold of this lock with this id.
    #[must_use]
    pub fn new(key: impl Into<String>, id: u64) -> Self {
        Self { key: key.into(), id }
    }
}

/// How many holds of a record are kept.
const MOST_UNDER: usize = 64;

/// The longest text of a record that is kept, in characters.
const LONGEST_FIELD: usize = 2_048;

/// The longest text of a record that is shown in a message, in characters.
const LONGEST_SHOWN: usize = 256;

/// How many labels of a record are kept.
const MOST_LABELS: usize = 64;

/// The largest record that is read, in bytes.
pub(crate) const LARGEST_RECORD: usize = 64 * 1024;

/// A field of a type we do not expect counts as missing: a newer writer must not blind an older reader.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// What most records do not have is not written.
fn is_default<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

impl Holder {
    /// The version that this code writes.
    pub const VERSION: u32 = 1;

    /// A holder that left no record: a client of another project, or one that cannot be read.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// A holder without a record, with what can be said about it.
    #[must_use]
    pub fn unknown_because(remark: impl Into<String>) -> Self {
        Self { remark: Some(shown::fit(remark.into(), 2 * LONGEST_SHOWN)), ..Self::default() }
    }

    /// A leader of which there is its value alone.
    #[cfg(feature = "etcd")]
    pub(crate) fn of_value(value: &[u8]) -> Self {
        if value.len() > LARGEST_RECORD {
            return Self::unknown_because(format!("its value of {} bytes is too large to be read", value.len()));
        }
        let value = String::from_utf8_lossy(value).into_owned();
        let remark = format!("a leader with the value {}", Shown::new(&value, LONGEST_SHOWN));
        Self { value: Some(value), ..Self::unknown_because(remark) }
    }

    /// What every record of this process has in common.
    pub(crate) fn here() -> Self {
        Self { version: Self::VERSION, host: host().into(), pid: std::process::id(), ..Self::default() }
    }

    /// Whether there is a record.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.version != 0
    }

    /// Whether it is the record of the same request, whatever else the two say.
    pub(crate) fn is_same_request(&self, other: &Self) -> bool {
        self.is_known() && self.id == other.id && self.instance == other.instance
    }

    /// Who may hold the lock beside it, as far as the record says.
    pub(crate) fn mode(&self) -> Mode {
        Mode::of_record(&self.mode, self.permits)
    }

    /// When the lock was asked for, by the holder's own wall clock.
    #[must_use]
    pub fn requested_at(&self) -> Option<SystemTime> {
        (self.requested_at_ms != 0)
            .then(|| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.requested_at_ms)))
            .flatten()
    }

    /// The record of what this holder has handed over. No client takes it for its own.
    pub(crate) fn handed_over(&self) -> Self {
        Self {
            detached: true,
            adopted: false,
            instance: "".into(),
            id: 0,
            under: Vec::new(),
            limit_ms: 0,
            ..self.clone()
        }
    }

    /// Whether the record of `other` says the same, but for the time and the request.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let (requested_at_ms, id) = (self.requested_at_ms, self.id);
        *self == Self { requested_at_ms, id, ..other.clone() }
    }

    /// How large the record is with a leader's value, if that is too large to be read again.
    pub(crate) fn too_large(&self) -> Option<usize> {
        let size = self.to_json().len();
        (self.value.is_some() && size > LARGEST_RECORD).then_some(size)
    }

    /// Reads a record; bytes that are no record make an unknown holder.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::unknown_because("a client of another project, which leaves no record");
        }
        if bytes.len() > LARGEST_RECORD {
            return Self::unknown_because(format!("its record of {} bytes is too large to be read", bytes.len()));
        }
        // By way of a map: serde would also take a JSON array for a struct.
        serde_json::from_slice::<serde_json::Map<_, _>>(bytes)
            .and_then(|record| serde_json::from_value::<Self>(record.into()))
            .ok()
            .filter(Self::is_known)
            .map(Self::bounded)
            .unwrap_or_else(|| Self::unknown_because("its record cannot be read"))
    }

    /// With no more of each field than a person could read.
    fn bounded(mut self) -> Self {
        for text in [&mut self.name, &mut self.origin, &mut self.host, &mut self.instance, &mut self.mode] {
            if let Some(short) = shown::cut(text, LONGEST_FIELD) {
                *text = short.into();
            }
        }
        self.under.truncate(MOST_UNDER);
        self.under.retain(|under| under.key.len() <= LONGEST_FIELD);
        let short = |text: String| shown::cut(&text, LONGEST_FIELD).unwrap_or(text);
        let labels = self.labels.into_iter().take(MOST_LABELS);
        self.labels = labels.map(|(name, value)| (short(name), short(value))).collect();
        // A part of an address would be another one.
        if self.too_large().is_some() {
            self.value = None;
        }
        self
    }

    /// The record as the store keeps it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Most are shorter, and the buffer does not grow while it is written.
        let mut record = Vec::with_capacity(320);
        match serde_json::to_writer(&mut record, self) {
            Ok(()) => record,
            Err(_) => Vec::new(),
        }
    }
}

/// The name of this host, asked for once.
pub(crate) fn host() -> &'static str {
    static HOST: Lazy<String> = Lazy::new(ask_for_host);
    &HOST
}

#[cfg(unix)]
fn ask_for_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What Windows sets for every process. It is for people: nothing is decided by it.
#[cfg(not(unix))]
fn ask_for_host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() {
            let [name, origin, host] =
                [&self.name, &self.origin, &self.host].map(|text| Shown::new(text, LONGEST_SHOWN));
            write!(f, "{name} ({origin}) in process {} on {host}", self.pid)?;
            if self.detached {
                write!(f, ", who has handed it over: it waits to be adopted")?;
            }
        } else {
            write!(f, "an unknown holder")?;
        }
        match &self.remark {
            Some(remark) => write!(f, ": {}", Shown::new(remark, 2 * LONGEST_SHOWN)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_survives_the_store() {
        let holder = Holder {
            version: Holder::VERSION,
            name: "cron::nightly".into(),
            origin: "src/cron.rs:12".into(),
            pid: 7,
            labels: [("team".to_owned(), "billing".to_owned())].into(),
            ..Holder::default()
        };
        assert_eq!(Holder::from_json(&holder.to_json()), holder);
    }

    #[test]
    fn a_newer_or_odd_record_is_read_as_far_as_it_goes() {
        let holder = Holder::from_json(br#"{"v":9,"name":"x","pid":"no number","more":[1]}"#);
        assert_eq!((holder.version, &*holder.name, holder.pid), (9, "x", 0));
        assert!(!Holder::from_json(b"").is_known());
        assert!(!Holder::from_json(b"[1]").is_known());
    }

    #[test]
    fn what_is_shown_of_a_hostile_record_is_one_short_line() {
        let record = |name: &str| serde_json::json!({"v": 1, "name": name, "host": name, "origin": name}).to_string();
        let holder = Holder::from_json(record("\u{1b}[2Jroot\r\n\u{202e}x").as_bytes());
        let shown = format!("{holder} {holder:?}");
        assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2Jroot\\r\\n\\u{202e}x"), "{shown}");
        assert_eq!(holder.name, "\u{1b}[2Jroot\r\n\u{202e}x", "a program reads what was written");

        let long = Holder::from_json(record(&"é".repeat(5_000)).as_bytes());
        assert_eq!((long.name.chars().count(), long.name.chars().last()), (LONGEST_FIELD + 1, Some('…')));
        let many: serde_json::Map<_, _> = (0..500).map(|label| (label.to_string(), "y".repeat(60).into())).collect();
        let many = Holder::from_json(serde_json::json!({"v": 1, "labels": many}).to_string().as_bytes());
        assert_eq!(many.labels.len(), MOST_LABELS);
    }

    #[test]
    fn a_value_is_all_there_or_not_at_all() {
        let with = |value: String| Holder { version: 1, value: Some(value), ..Holder::default() };
        let long = with("\"é".repeat(15_000));
        assert_eq!(long.too_large(), None);
        assert_eq!(Holder::from_json(&long.to_json()).value, long.value);
        let longer = with("x".repeat(65_500));
        assert!(longer.too_large() > Some(65_536));
        let fits_by_itself = format!(r#"{{"v":1,"value":"{}"}}"#, "x".repeat(65_500));
        assert_eq!(Holder::from_json(fits_by_itself.as_bytes()).value, None);
    }

    #[test]
    fn a_bomb_is_an_unknown_holder() {
        let deep = format!("{{\"v\":1,\"name\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        let huge = serde_json::json!({"v": 1, "name": "x".repeat(20_000_000)}).to_string();
        for bomb in [deep, huge] {
            let holder = Holder::from_json(bomb.as_bytes());
            assert!(!holder.is_known() && holder.to_string().len() < 200, "{holder}");
        }
        let remark = Holder::unknown_because("<br>\n".repeat(1_000_000)).to_string();
        assert!(remark.len() < 2_000 && !remark.contains('\n'), "{remark}");
    }

    /// JSON of any shape, with the record's own fields more often than others.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let number = any::<f64>().prop_map(serde_json::Value::from);
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<u64>().prop_map(serde_json::Value::from),
            number,
            any::<String>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let name = prop_oneof![
                prop::sample::select(vec![
                    "v", "name", "origin", "host", "pid", "instance", "mode", "permits", "at", "labels", "id", "under",
                    "value"
                ])
                .prop_map(str::to_owned),
                any::<String>(),
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::btree_map(name, inner, 0..9)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn any_holder() -> impl Strategy<Value = Holder> {
        let texts: [_; 5] = std::array::from_fn(|_| any::<String>().prop_map(Cow::Owned));
        let labels = prop::collection::btree_map(any::<String>(), any::<String>(), 0..5);
        let value = any::<Option<String>>();
        (1..u32::MAX, texts, [any::<u32>(), any::<u32>()], any::<u64>(), labels, value).prop_map(
            |(version, [name, origin, host, instance, mode], [pid, permits], requested_at_ms, labels, value)| Holder {
                version,
                name,
                origin,
                host,
                pid,
                instance,
                mode,
                permits,
                requested_at_ms,
                id: requested_at_ms / 3,
                under: (0..permits % 3).map(|id| Under::new(id.to_string(), id.into())).collect(),
                limit_ms: requested_at_ms / 5,
                labels,
                value,
                detached: permits % 2 == 1,
                adopted: permits % 3 == 1,
                remark: None,
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Holder::from_json(&bytes).to_string();
        }

        /// One odd field does not hide the others.
        #[test]
        fn any_json_is_read_as_far_as_it_goes(json in any_json(), name: String) {
            let holder = Holder::from_json(json.to_string().as_bytes());
            prop_assert_eq!(holder.is_known(), json.get("v").and_then(serde_json::Value::as_u64).is_some_and(|v| v != 0 && u32::try_from(v).is_ok()));
            let _ = (holder.to_string(), holder.requested_at());
            if let serde_json::Value::Object(mut fields) = json {
                fields.insert("v".into(), 1.into());
                fields.insert("name".into(), name.clone().into());
                let read = Holder::from_json(serde_json::Value::Object(fields).to_string().as_bytes());
                prop_assert_eq!((read.version, &*read.name), (1, name.as_str()));
            }
        }

        #[test]
        fn any_record_survives_the_store(holder in any_holder()) {
            let later = Holder { requested_at_ms: holder.requested_at_ms / 2, ..holder.clone() };
            prop_assert!(holder.is_like(&later));
            prop_assert_eq!(Holder::from_json(&holder.to_json()), holder);
        }

        /// What is cut off in the middle is no record, rather than half of one.
        #[test]
        fn a_record_that_is_cut_off_is_none(holder in any_holder(), cut: prop::sample::Index) {
            let json = holder.to_json();
            prop_assert!(!Holder::from_json(&json[..cut.index(json.len())]).is_known());
        }
    }
}
