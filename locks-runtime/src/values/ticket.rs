//! The ticket of a hand-over: a held lock as text, on its way from one process to another.

use super::error::{Error, ErrorKind};
use super::fence::Fence;
use super::key::Key;
use super::secret::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A lock on its way from one process to another: [`Guard::detach`](crate::Guard::detach) makes it, and
/// [`Locks::adopt`](crate::Locks::adopt) takes it.
///
/// It travels as text: `Display` and `FromStr`, or serde. The text is one word of letters, digits, `.`, `-` and `%`, which needs no
/// quotes in JSON, in a header or in an argument. **It is a secret**: whoever has it, and may use the store, may adopt the lock.
/// `Debug` does not show that part.
///
/// A text that was cut or changed is refused by `FromStr`, with `InvalidTicket`.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use distributed_locks::{ErrorKind, Locks, Ticket};
/// use std::time::Duration;
///
/// let locks = Locks::connect("memory:ticket")?;
/// let guard = locks.lock("/import/7").acquire().await?;
/// let ticket = guard.detach(Duration::from_secs(30)).await?;
/// let text = ticket.to_string(); // to the process that goes on
///
/// let ticket: Ticket = text.parse()?;
/// assert_eq!(ticket.key().as_str(), "/import/7");
/// let guard = locks.adopt(&ticket).await?;
/// assert!(guard.fence() > ticket.fence());
/// assert_eq!(text[..20].parse::<Ticket>().unwrap_err().kind(), ErrorKind::InvalidTicket);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) key: Key,
    pub(crate) fence: Fence,
    /// The TTL that the hold had, for that of the next one.
    pub(crate) hold_ttl: Duration,
    /// When it lapses, by the wall clock of who made it, in milliseconds since 1970: only a hint.
    pub(crate) lapses_at_ms: u64,
    pub(crate) detached: Arc<Detached>,
}

/// What a store needs to find an entry again that was [detached](crate::store::Session::detach).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detached {
    /// What the entry is known by from then on: [32 hexadecimal digits](crate::store::Detaching::secret).
    pub secret: Secret<Arc<str>>,
    /// Which of all stores it is in, as far as the store can say that without a request: a ticket is refused at another.
    pub site: Arc<str>,
    /// Where in it, and whatever else the store has to know: nothing but that store reads it.
    pub place: Arc<str>,
}

impl Detached {
    /// An entry that is known by this secret at this site, in a place that follows from both.
    #[must_use]
    pub fn new(secret: Secret<Arc<str>>, site: impl Into<Arc<str>>) -> Self {
        Self { secret, site: site.into(), place: "".into() }
    }

    /// The same, in this place.
    #[must_use]
    pub fn with_place(self, place: impl Into<Arc<str>>) -> Self {
        Self { place: place.into(), ..self }
    }

    /// Whether it is at this site.
    ///
    /// # Errors
    ///
    /// `InvalidTicket` if it is not.
    pub fn check_site(&self, site: &str) -> Result<(), Error> {
        if *self.site == *site {
            return Ok(());
        }
        Err(invalid(format!(
            "it was made at `{}`, and this client is at `{site}`; adopt it with a client of the same store and namespace",
            self.site
        )))
    }
}

/// What the text begins with, and ends before its version.
const MARK: &str = "locks";
const VERSION: &str = "1";
/// No ticket is longer.
const LONGEST: usize = 16 * 1024;
/// What stands as it is in a field. Dots are between them.
const AS_IT_IS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

impl Ticket {
    /// The lock.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The fence of the hold that was handed over. Who adopts it has a greater one.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// When it lapses, by the wall clock of who made it: a hint. Whether it has lapsed the store decides, by its own clock.
    #[must_use]
    pub fn lapses_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.lapses_at_ms))
    }

    /// All but the check at the end.
    fn content(&self) -> String {
        let Self { key, fence, hold_ttl, lapses_at_ms, detached } = self;
        let text = |text: &str| utf8_percent_encode(text, AS_IT_IS).to_string();
        let fields = [
            text(key.as_str()),
            fence.number().to_string(),
            fence.sequence().to_string(),
            millis(*hold_ttl).to_string(),
            lapses_at_ms.to_string(),
            text(&detached.site),
            text(&detached.place),
            text(detached.secret.reveal()),
        ];
        format!("{MARK}{VERSION}.{}", fields.join("."))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Finds what was cut or mistyped; it is no signature. (FNV-1a: no change of one byte leaves it as it was.)
fn check(content: &str) -> String {
    let hash = content
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// The text of a ticket with this content.
pub(crate) fn with_check(content: &str) -> String {
    format!("{content}.{}", check(content))
}

/// The text that [`FromStr`] reads. It is a secret.
impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_check(&self.content()))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("key", &self.key)
            .field("fence", &self.fence)
            .field("site", &self.detached.site)
            .field("secret", &self.detached.secret)
            .finish_non_exhaustive()
    }
}

impl FromStr for Ticket {
    type Err = Error;

    /// # Errors
    ///
    /// `InvalidTicket` if it is no ticket, or none any more. White space around it is no matter.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(invalid("there is nothing; was it written before it was read?"));
        }
        let rest = text.strip_prefix(MARK).filter(|_| text.len() <= LONGEST);
        let Some((version, fields)) = rest.and_then(|rest| rest.split_once('.')) else {
            return Err(invalid("it is no text that `Ticket` has written"));
        };
        let is_version = (1..=20).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit());
        if version != VERSION && is_version {
            let newer = format!(
                "its form is {version}, and this version of the crate reads {VERSION}; upgrade this process first"
            );
            return Err(invalid(newer));
        }
        let ticket =
            text.rsplit_once('.').filter(|(content, given)| check(content) == *given).and_then(|_| read(fields));
        // One way to write it, so that nothing which was changed is read.
        ticket.filter(|ticket| ticket.to_string() == text).ok_or_else(|| invalid("it was cut or changed on its way"))
    }
}

fn read(fields: &str) -> Option<Ticket> {
    let text = |field: &str| Some(percent_decode_str(field).decode_utf8().ok()?.into_owned());
    let fields: Vec<&str> = fields.split('.').collect();
    let [key, number, sequence, hold_ttl, lapses_at_ms, site, place, secret, _] = fields[..] else { return None };
    let secret = Secret::new(Arc::from(text(secret)?));
    Some(Ticket {
        key: Key::new(text(key)?).ok()?,
        fence: Fence::new(number.parse().ok()?, sequence.parse().ok()?),
        hold_ttl: Duration::from_millis(hold_ttl.parse().ok()?),
        lapses_at_ms: lapses_at_ms.parse().ok()?,
        detached: Arc::new(Detached::new(secret, text(site)?).with_place(text(place)?)),
    })
}

/// A ticket that cannot be adopted, whoever tries.
pub(crate) fn invalid(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidTicket, format!("the ticket cannot be adopted: {why}"))
}

/// As its text.
impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From its text.
impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket(key: &str, site: &str, place: &str) -> Ticket {
        let secret = Secret::new(Arc::from("5ec2e7005ec2e7005ec2e7005ec2e700"));
        Ticket {
            key: Key::new(key).unwrap(),
            fence: Fence::new(17, 2),
            hold_ttl: Duration::from_secs(10),
            lapses_at_ms: 1_800_000_000_000,
            detached: Arc::new(Detached::new(secret, site).with_place(place)),
        }
    }

    fn said(text: &str) -> String {
        let error = text.parse::<Ticket>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidTicket);
        error.to_string()
    }

    #[test]
    fn it_is_one_word_and_debug_does_not_show_the_secret() {
        let ticket = ticket("/import 7", "memory:5", "");
        let text = ticket.to_string();
        let expected = "locks1.%2Fimport%207.17.2.10000.1800000000000.memory%3A5..5ec2e7005ec2e7005ec2e7005ec2e700.";
        assert!(text.starts_with(expected), "{text}");
        assert!(!format!("{ticket:?} {:?}", ticket.detached).contains("5ec2"), "{ticket:?}");
        assert_eq!(format!(" {text}\n").parse::<Ticket>().unwrap(), ticket, "as a line of a file");
        let json = serde_json::to_string(&ticket).unwrap();
        assert_eq!((json.len(), serde_json::from_str::<Ticket>(&json).unwrap()), (text.len() + 2, ticket));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = ticket("k", "s", "p").to_string();
        for (odd, why) in [
            ("", "there is nothing"),
            ("hello", "no text that `Ticket` has written"),
            ("locks", "no text that `Ticket` has written"),
            ("locksmith.k", "cut or changed"),
            ("locks.k", "cut or changed"),
            ("locks2.k.1", "its form is 2, and this version of the crate reads 1"),
            ("locks99999999999999999999.k", "upgrade this process"),
            (&text[..text.len() - 1], "cut or changed"),
            (&text.to_uppercase(), "no text that `Ticket` has written"),
            (&format!("{text}."), "cut or changed"),
            (&format!("{text} {text}"), "cut or changed"),
        ] {
            assert!(said(odd).contains(why), "{odd}: {}", said(odd));
        }
        assert!(said(&format!("locks1.{}", "x".repeat(20_000))).contains("no text"));
        // With a check that is right.
        for content in ["locks1.k", "locks1..1.0.1.1.s.p.x", "locks1.k.01.0.1.1.s.p.x", "locks1.%6b.1.0.1.1.s.p.x"] {
            assert!(said(&with_check(content)).contains("cut or changed"), "{content}");
        }
    }

    #[test]
    fn another_site_is_refused() {
        let detached = Arc::clone(&ticket("k", "redis:0:app/", "p").detached);
        assert!(detached.check_site("redis:0:app/").is_ok());
        let error = detached.check_site("redis:0:other/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidTicket);
        assert!(
            error.to_string().contains("made at `redis:0:app/`, and this client is at `redis:0:other/`"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn it_survives_its_way(key in "[^\\p{Cc}]{1,60}", site in "\\PC{0,20}", place in "\\PC{0,60}", number: u64) {
            let ticket = Ticket { fence: Fence::new(number, 1), ..ticket(&key, &site, &place) };
            let text = ticket.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-%".contains(&byte)), "{}", text);
            prop_assert_eq!(text.parse::<Ticket>().unwrap(), ticket);
        }

        #[test]
        fn no_change_is_overlooked(at in 0..200usize, byte in 0x21..0x7fu8, cut in 1..200usize) {
            let text = ticket("/a/b", "etcd:5e:ns/", "5e-7 9").to_string();
            let mut changed = text.clone().into_bytes();
            let at = at % changed.len();
            prop_assume!(changed[at] != byte);
            changed[at] = byte;
            prop_assert!(String::from_utf8(changed).unwrap().parse::<Ticket>().is_err());
            prop_assert!(text[..text.len() - cut.min(text.len())].parse::<Ticket>().is_err());
            prop_assert!(text[cut.min(text.len())..].parse::<Ticket>().is_err());
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*|locks1\\.[a-z0-9.%]{0,90}") {
            let _ = text.parse::<Ticket>();
        }
    }
}
