//! The script against the rule: random entries of all modes, of one lock and of several, come, leave, lapse and die, and after
//! each step those hold of whom [`Mode::holds_behind`] says so, and no others.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a script that replies otherwise than it should has failed")]

use locks_models::Random;
use locks_models::redis::{Reply, Server};
use locks_runtime::Mode;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SCRIPT: &str = include_str!("../../../../locks-runtime/src/stores/redis/queue.lua");
const LOCKS: [&str; 3] = ["a", "b/c", "d"];
/// In milliseconds. Times are multiples of ten, and ends are none: no entry ends at the moment of a step.
const TTLS: [u64; 2] = [3005, 9005];
const BEGIN: u64 = 1_763_733_600_000;
/// Where the client of all entries is notified.
const CHANNEL: &str = "locks@0:00000000000000aa";

/// An entry as the rule has it.
#[derive(Clone, Debug)]
struct Entry {
    token: String,
    mode: Mode,
    locks: Vec<usize>,
    /// Nothing is there after this.
    until: u64,
    /// Its hold is over, and it lapses by itself.
    lapses: bool,
    has_held: bool,
}

/// All entries in the order in which they came, which is the order in each line.
struct Lines {
    server: Server,
    script: Vec<u8>,
    now: u64,
    entries: Vec<Entry>,
    numbers: u64,
    /// The greatest fence of each lock.
    fences: BTreeMap<usize, u64>,
    /// Who knows that it holds its locks, by a reply or by a notification.
    notified: BTreeSet<String>,
    steps: Vec<String>,
}

impl Lines {
    /// With a script that has this fault: what is in the place of what.
    fn new(fault: Option<(&str, &str)>) -> Self {
        let mut server = Server::new();
        server.at(BEGIN * 1000);
        let text = fault.map_or_else(
            || SCRIPT.to_owned(),
            |(good, broken)| {
                assert_eq!(SCRIPT.matches(good).count(), 1, "{good:?} is not in the script, or not once");
                SCRIPT.replace(good, broken)
            },
        );
        let Reply::Bulk(script) = server.answer(1, &words(&["SCRIPT", "LOAD", &text])) else { panic!("no script") };
        server.answer(2, &words(&["SUBSCRIBE", CHANNEL]));
        let (now, entries, numbers, fences, steps) = (BEGIN, Vec::new(), 0, BTreeMap::new(), Vec::new());
        Self { server, script, now, entries, numbers, fences, notified: BTreeSet::new(), steps }
    }

    /// What the script replies.
    fn run(&mut self, command: &str, locks: &[usize], arguments: &[&str]) -> Reply {
        self.steps.push(format!("{} {command} {locks:?} {arguments:?}", self.now - BEGIN));
        let names: Vec<&str> = locks.iter().map(|lock| LOCKS[*lock]).collect();
        let mut request = words(&["EVALSHA"]);
        request.extend([self.script.clone(), names.len().to_string().into_bytes()]);
        request.extend(words(&[&names, [command, "", "0"].as_slice(), arguments].concat()));
        let reply = self.server.answer(1, &request);
        for (_, message) in std::mem::take(&mut self.server.messages) {
            let Reply::Push(parts) = message else { panic!("{message:?}") };
            let text = text(&parts[2]);
            let mut lines = text.lines();
            if let (Some("+"), Some(token)) = (lines.next(), lines.next()) {
                self.notified.insert(token.to_owned());
            }
        }
        reply
    }

    /// Whether the rule lets the entry hold, behind those before `place`.
    fn holds_at(&self, entry: &Entry, place: usize) -> bool {
        entry.locks.iter().all(|lock| {
            let ahead = self.entries[..place].iter().filter(|other| other.locks.contains(lock));
            entry.mode.holds_behind(ahead.map(|other| other.mode))
        })
    }

    fn holds(&self, place: usize) -> bool {
        self.holds_at(&self.entries[place], place)
    }

    fn enter(&mut self, random: &mut Random) {
        let mode = random.pick(&[
            Mode::Exclusive,
            Mode::Shared,
            Mode::Shared,
            Mode::Permits(1),
            Mode::Permits(2),
            Mode::Permits(3),
        ]);
        let mut locks: Vec<usize> = (0..LOCKS.len()).filter(|_| random.chance(25)).collect();
        if locks.is_empty() {
            locks.push(random.index(2));
        }
        self.numbers += 1;
        let several = if locks.len() > 1 { "m" } else { "" };
        let wants = match mode {
            Mode::Shared => format!(".s{several}"),
            Mode::Permits(limit) => format!(".p{limit}{several}"),
            _ if several.is_empty() => String::new(),
            _ => format!(".{several}"),
        };
        let token = format!("00000000000000aa.00000000000000bb.{}{wants}", self.numbers);
        let (ttl, refuses) = (random.pick(&TTLS), random.chance(25));
        let command = if locks.len() > 1 { "enter_all" } else { "enter" };
        let (px, when_busy) = (ttl.to_string(), if refuses { "refuse" } else { "queue" });
        let reply = self.run(command, &locks, &[&px, when_busy, "9000000000000000", &token, &token]);
        let entry = Entry { token, mode, locks, until: self.now + ttl, lapses: false, has_held: false };
        let lets_hold = self.holds_at(&entry, self.entries.len());
        let shown = format!("{reply:?}");
        if refuses && !lets_hold {
            assert_eq!(word(&reply), "busy", "{shown}\n{}", self.story());
        } else {
            assert_ne!(word(&reply), "busy", "{shown}\n{}", self.story());
            if lets_hold {
                self.notified.insert(entry.token.clone());
            }
            self.entries.push(entry);
        }
    }

    fn leave(&mut self, random: &mut Random) {
        if self.entries.is_empty() {
            return;
        }
        let place = random.index(self.entries.len());
        let entry = self.entries[place].clone();
        let token = entry.token.trim_end_matches(".kept");
        match random.below(5) {
            // A hold that is over, and lapses.
            0 if !entry.lapses => {
                let (px, holds) = (random.pick(&TTLS), self.holds(place));
                assert_eq!(self.run("lapse", &entry.locks, &[&px.to_string(), token]), Reply::Int(holds.into()));
                if holds {
                    let entry = &mut self.entries[place];
                    (entry.lapses, entry.until, entry.token) = (true, self.now + px, format!("{token}.kept"));
                }
            }
            1 => {
                let items = vec![format!("!{token}"); entry.locks.len()];
                let arguments = std::iter::once("9005/9005").chain(items.iter().map(String::as_str));
                self.run("renew", &entry.locks, &arguments.collect::<Vec<_>>());
                self.entries.remove(place);
            }
            _ => {
                self.run(if entry.locks.len() > 1 { "leave_all" } else { "leave" }, &entry.locks, &[token]);
                self.entries.remove(place);
            }
        }
    }

    /// Somebody releases a lock by force, or of its holders the one with the greatest fence.
    fn force(&mut self, random: &mut Random) {
        let lock = random.index(LOCKS.len());
        let found = self.inspect(lock);
        let Some((owner, holders)) = found.owner.zip(Some(found.holders)).filter(|(_, holders)| !holders.is_empty())
        else {
            return;
        };
        let one = random.chance(50).then(|| holders.iter().max_by_key(|holder| holder.1).unwrap().clone());
        let fence = one.as_ref().map(|one| one.1.to_string()).unwrap_or_default();
        let Reply::Int(count) = self.run("force_release", &[lock], &[&owner, &fence]) else { panic!("no count") };
        let all = if one.is_some() { 1 } else { holders.len() };
        assert_eq!(usize::try_from(count), Ok(all), "{}", self.story());
        let taken: Vec<String> = one.map_or(holders, |one| vec![one]).into_iter().map(|(token, _)| token).collect();
        for token in taken {
            let place = self.entries.iter().position(|entry| entry.token == token).unwrap();
            let entry = self.entries.remove(place);
            let others: Vec<usize> = entry.locks.iter().copied().filter(|other| *other != lock).collect();
            // Its client finds out, and takes it out of the others.
            if !others.is_empty() {
                self.run("leave_all", &entry.locks, &[token.trim_end_matches(".kept")]);
            }
        }
    }

    /// One request for many entries, of which some leave. What it says of the others is so at its place in it.
    fn batch(&mut self, random: &mut Random) {
        let (mut locks, mut items, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        let mut places: Vec<usize> = (0..self.entries.len()).filter(|place| !self.entries[*place].lapses).collect();
        let mut left = Vec::new();
        while !places.is_empty() {
            let place = places.swap_remove(random.index(places.len()));
            let entry = self.entries[place].clone();
            let sign = if random.chance(30) {
                left.push(entry.token.clone());
                random.pick(&["!", "-", "."])
            } else {
                self.entries[place].until = entry.until.max(self.now + 9005);
                if entry.has_held { "*" } else { "+" }
            };
            for lock in entry.locks {
                locks.push(lock);
                items.push(format!("{sign}{}", entry.token));
                if "*+".contains(sign) {
                    expected.push(if self.holds(place) { "held" } else { "queued" });
                } else {
                    self.entries[place].locks.retain(|other| *other != lock);
                    expected.push("gone");
                }
            }
        }
        let arguments = std::iter::once("9005/9005").chain(items.iter().map(String::as_str)).collect::<Vec<_>>();
        let reply = self.run("renew", &locks, &arguments);
        let words: Vec<String> = self::items(&reply).iter().map(word).collect();
        assert_eq!(words, expected, "{}", self.story());
        self.entries.retain(|entry| !left.contains(&entry.token));
    }

    /// Time passes, and most renew.
    fn pass(&mut self, random: &mut Random) {
        self.now += 10 * (1 + random.below(400));
        self.server.at(self.now * 1000);
        let now = self.now;
        self.entries.retain(|entry| entry.until > now);
        for place in 0..self.entries.len() {
            let entry = self.entries[place].clone();
            if entry.lapses || random.chance(15) {
                continue;
            }
            let sign = if entry.has_held { "*" } else { "+" };
            let items = vec![format!("{sign}{}", entry.token); entry.locks.len()];
            let arguments = std::iter::once("9005/9005").chain(items.iter().map(String::as_str)).collect::<Vec<_>>();
            self.run("renew", &entry.locks, &arguments);
            self.entries[place].until = entry.until.max(self.now + 9005);
        }
    }

    /// The store shows those as holders of whom the rule says so.
    fn compare_holders(&mut self, about: &str) {
        for (lock, name) in LOCKS.into_iter().enumerate() {
            let shown: BTreeSet<String> = self.inspect(lock).holders.into_iter().map(|(token, _)| token).collect();
            let places = (0..self.entries.len()).filter(|place| self.entries[*place].locks.contains(&lock));
            let hold = places.filter(|place| self.holds(*place));
            let hold: BTreeSet<String> = hold.map(|place| self.entries[place].token.clone()).collect();
            assert_eq!(shown, hold, "who holds {name} {about}\n{}", self.story());
        }
    }

    /// Every client asks, as it does now and then; after that the store shows what the rule says. Once is enough, and whoever
    /// was asked about before another one's question let it in was notified.
    fn compare(&mut self) {
        for place in 0..self.entries.len() {
            let entry = self.entries[place].clone();
            let items = vec![entry.token; entry.locks.len()];
            let arguments = std::iter::once("0").chain(items.iter().map(String::as_str));
            self.run("poll", &entry.locks, &arguments.collect::<Vec<_>>());
        }
        self.compare_holders("when all have asked");
        for (lock, name) in LOCKS.into_iter().enumerate() {
            let found = self.inspect(lock);
            let here: Vec<usize> =
                (0..self.entries.len()).filter(|place| self.entries[*place].locks.contains(&lock)).collect();
            let (hold, wait): (Vec<usize>, Vec<usize>) = here.into_iter().partition(|place| self.holds(*place));
            let token = |place: &usize| self.entries[*place].token.clone();
            let waiters: Vec<String> = wait.iter().map(token).collect();
            assert_eq!(found.waiters, waiters, "who waits for {name}\n{}", self.story());
            // Whoever else uses the lock is kept out for as long as the last of them.
            let ends = hold.iter().map(|place| self.entries[*place].until).max();
            let left = u64::try_from(self.server.keys.pttl(name.as_bytes())).ok();
            assert_eq!(left.is_some(), ends.is_some(), "{left:?}\n{}", self.story());
            let lasts = left.is_none_or(|left| Some(self.now + left) >= ends);
            assert!(lasts, "{left:?}, and not until {ends:?}\n{}", self.story());
            let newest = found.holders.iter().map(|(_, fence)| *fence).max().unwrap_or(0);
            let known = self.fences.entry(lock).or_default();
            *known = newest.max(*known);
            let is_writers = hold.iter().any(|place| self.entries[*place].mode == Mode::Exclusive);
            assert!(!is_writers || newest == self.fences[&lock], "a fence of a writer went back\n{}", self.story());
        }
        for place in 0..self.entries.len() {
            let holds = self.holds(place);
            let entry = &mut self.entries[place];
            assert!(holds || !entry.has_held, "{} has lost its lock to nobody", entry.token);
            let is_notified = self.notified.contains(&entry.token);
            assert!(
                !holds || entry.has_held || is_notified,
                "{} was not notified that it holds its locks",
                entry.token
            );
            entry.has_held = holds;
        }
        if self.entries.is_empty() {
            let left: Vec<_> = self.server.keys.iter().filter(|(name, _)| name.as_slice() != b"{}:fence").collect();
            assert!(left.is_empty(), "{left:?}\n{}", self.story());
        }
    }

    fn inspect(&mut self, lock: usize) -> Found {
        let reply = self.run("inspect", &[lock], &["", ""]);
        self.steps.pop();
        let [found] = items(&reply) else { panic!("{reply:?}") };
        let [_, owner, _, holders, waiters, _] = items(found) else { panic!("{found:?}") };
        let holder = |holder: &Reply| {
            let [token, record, fence, _] = items(holder) else { panic!("{holder:?}") };
            assert_eq!(text(record), text(token).trim_end_matches(".kept"), "its own record");
            (text(token), text(fence).parse().unwrap())
        };
        Found {
            owner: matches!(owner, Reply::Bulk(_)).then(|| text(owner)),
            holders: items(holders).iter().map(holder).collect(),
            waiters: items(waiters).iter().map(|waiter| text(&items(waiter)[0])).collect(),
        }
    }

    /// What was done, and what is there.
    fn story(&self) -> String {
        format!("{}\n{:#?}", self.steps.join("\n"), self.entries)
    }
}

/// What the store shows of a lock.
struct Found {
    owner: Option<String>,
    /// Tokens and fences.
    holders: Vec<(String, u64)>,
    /// The tokens are their records.
    waiters: Vec<String>,
}

pub(crate) fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) => items,
        other => panic!("no list: {other:?}"),
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("no text: {other:?}"),
    }
}

fn word(reply: &Reply) -> String {
    text(&items(reply)[0])
}

#[test]
fn those_hold_of_whom_the_rule_says_so_and_no_others() {
    let seeds = std::env::var("SCHEDULES").map_or(25, |number| number.parse().unwrap());
    (0..seeds).for_each(|seed| play(seed, None));
}

fn play(seed: u64, fault: Option<(&str, &str)>) {
    let mut random = Random::new(seed);
    let mut lines = Lines::new(fault);
    lines.steps.push(format!("seed {seed}"));
    for _ in 0..60 {
        let step = random.below(11);
        match step {
            0..5 => lines.enter(&mut random),
            5..8 => lines.leave(&mut random),
            8 => lines.pass(&mut random),
            9 => lines.batch(&mut random),
            _ => lines.force(&mut random),
        }
        if step != 8 {
            // Whoever may hold by that does at once.
            lines.compare_holders("before anybody asks");
        }
        lines.compare();
    }
    while !lines.entries.is_empty() {
        lines.leave(&mut random);
        if lines.entries.iter().all(|entry| entry.lapses) {
            lines.pass(&mut random);
        }
        lines.compare();
    }
}

/// Each is put into the script alone, and has to be found.
#[test]
fn a_script_that_breaks_the_rule_is_found() {
    let faults = [
        // Permits are granted to waiters without being counted, or to who comes.
        ("      if ahead > 0 and ahead >= limit then\n", "      if false then\n"),
        ("  if ahead < limit then return true end\n", "  if true then return true end\n"),
        // A reader that comes overtakes a writer that waits.
        ("    elseif kind == '' or mode(item) ~= kind then\n", "    elseif kind == '' then\n"),
        // Those who have died have their place for as long as others renew.
        ("redis.call('ZRANGEBYSCORE', lock.holders, '-inf', now)", "{}"),
        // The key lasts as long as the first of its holders.
        ("  local px = lapses_in(lock, -1)\n", "  local px = lapses_in(lock, 0)\n"),
        // Of several locks one is enough.
        ("not (lock == settling or lets_hold(lock, current, token, place))", "false"),
        // Whoever leaves takes the lock from those beside it.
        ("  if redis.call('ZCARD', lock.holders) > 0 then\n", "  if false then\n"),
        // Nobody is let in when a waiter withdraws.
        ("  withdraw(lock, token)\n  note_left(lock)\nend\n", "  withdraw(lock, token)\nend\n"),
        // Who is let in is not notified: alone, beside others, in all of several locks.
        ("    notify(first, '+', fence)\n", ""),
        ("        notify(item, '+', fence)\n", ""),
        ("  notify(token, '+', fence)\n", ""),
        // A line that was settled is not, although somebody has left it since.
        ("  lock.is_settled = false\n  if not lock.is_left then\n", "  if not lock.is_left then\n"),
        // The holder is one that the lock had before.
        (
            "  lock.owner, lock.whole, lock.is_settled = current, nil, false\n",
            "  lock.whole, lock.is_settled = nil, false\n",
        ),
    ];
    for fault in faults {
        let is_found = |seed: &u64| std::panic::catch_unwind(|| play(*seed, Some(fault))).is_err();
        let found = (0..25).find(is_found);
        println!("{:?} is found by seed {found:?}", fault.0);
        assert!(found.is_some(), "{:?} is not found", fault.0);
    }
}
