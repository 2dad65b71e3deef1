//! What may be said on the command line.

use crate::exit::{self, Code};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use distributed_locks::Mode;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Runs a command under a distributed lock, and shows who holds which.
#[derive(Debug, Parser)]
#[command(name = "locks", version, long_version = long_version(), about, arg_required_else_help = true)]
#[command(
    disable_help_subcommand = true,
    after_help = "Exit codes: https://github.com/distributed-locks/distributed-locks/blob/main/docs/cli.md"
)]
pub(crate) struct Arguments {
    /// The store: `file:///var/lock/app`, `etcd://a:2379,b:2379` …, or @FILE that contains it. Default: LOCKS_URL
    #[arg(short, long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command while the lock is held
    Run(Box<Run>),
    /// Run a command while the lock is held, and campaign again when it was lost
    Lead(Box<Lead>),
    /// Hold the lock until a signal, or the end of stdin
    Hold(Box<Hold>),
    /// List the locks that are held or waited for
    Ls(Ls),
    /// Show one lock: its holders, and who waits in which order
    Show(Show),
    /// Report every change, as it happens
    Watch(Watch),
    /// Wait until nobody holds the lock; it is not acquired
    Wait(Wait),
    /// Release the lock by force, from the holder that is shown: whoever it is, where the store shows no fences
    Break(Break),
    /// Check the store: reach, rights, exclusion, round trips, what it promises; etcd's version and alarms
    Doctor(Doctor),
    /// Show the locks on a page in a browser, live
    Ui(Ui),
    /// Print completions for a shell
    Completions { shell: Shell },
    /// Print the manual page
    Man,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// How a lock is acquired and held.
#[derive(Args, Clone, Debug)]
pub(crate) struct Lock {
    /// The lock's key
    pub(crate) key: String,
    /// One more lock, all or none at one moment; may be repeated
    #[arg(short = 'k', long = "key", value_name = "KEY")]
    pub(crate) more: Vec<String>,
    /// How long the lock outlives this program if it dies; renewed meanwhile [default: the URL's, or 10s]
    #[arg(short, long, value_name = "DUR", value_parser = length)]
    pub(crate) ttl: Option<Duration>,
    /// How long to wait for the lock [default: for ever]
    #[arg(short, long, value_name = "DUR", value_parser = length, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Duration>,
    /// Do not wait
    #[arg(short, long = "no-wait")]
    pub(crate) no_wait: bool,
    /// Share the lock with others that share it: a reader
    #[arg(short, long, conflicts_with = "permits")]
    pub(crate) shared: bool,
    /// At most N holders at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) permits: Option<u32>,
    /// Keep the lock taken this long, even if the command ends sooner
    #[arg(long, value_name = "DUR", value_parser = length)]
    pub(crate) at_least: Option<Duration>,
    /// Stop after this long
    #[arg(long, value_name = "DUR", value_parser = length)]
    pub(crate) at_most: Option<Duration>,
    /// The exit code if the lock was not acquired [default: 75]
    #[arg(short = 'E', long = "busy-code", value_name = "CODE", value_parser = clap::value_parser!(u8), conflicts_with = "busy_ok")]
    pub(crate) busy_code: Option<u8>,
    /// Exit with 0, and say nothing, if the lock was not acquired: for cron
    #[arg(short = 'x', long = "busy-ok")]
    pub(crate) busy_ok: bool,
    /// What the holder calls itself [default: the command's file name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A label for the holder record; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

impl Lock {
    pub(crate) fn mode(&self) -> Mode {
        match self.permits {
            Some(permits) => Mode::Permits(permits),
            None if self.shared => Mode::Shared,
            None => Mode::Exclusive,
        }
    }
}

/// What is said on stderr.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Talk {
    /// Say nothing
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say when the lock is waited for, acquired and released
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Supervision {
    /// What happens to the command when the lock is lost
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OnLost::Term)]
    pub(crate) on_lost: OnLost,
    /// How long the command has between TERM and KILL, after a loss or `--at-most` [default: an eighth of the TTL, and 5s]
    #[arg(long, value_name = "DUR", value_parser = length)]
    pub(crate) grace: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLost {
    /// TERM, and KILL after `--grace`
    Term,
    /// KILL at once
    Kill,
    /// It goes on without the lock
    Continue,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) lock: Lock,
    #[command(flatten)]
    pub(crate) supervision: Supervision,
    /// The command and its arguments, without a shell in between
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Lead {
    #[command(flatten)]
    pub(crate) run: Run,
    /// Campaign again when the command has ended, too
    #[arg(long)]
    pub(crate) restart: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Hold {
    #[command(flatten)]
    pub(crate) lock: Lock,
}

#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Only locks whose keys begin with this
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    pub(crate) key: String,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Only locks whose keys begin with this
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Wait {
    pub(crate) key: String,
    /// For how long [default: for ever]
    #[arg(short, long, value_name = "DUR", value_parser = length)]
    pub(crate) wait: Option<Duration>,
    /// Say nothing
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Break {
    pub(crate) key: String,
    /// Only if the holder is the one with this fence, as `show` has it, where the store shows fences
    #[arg(long, value_name = "N")]
    pub(crate) fence: Option<u64>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Print the statement that makes the default table of PostgreSQL, or of MariaDB and MySQL if the URL names one, and end
    #[arg(long)]
    pub(crate) print_migration: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Ui {
    /// Only locks whose keys begin with this
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Where the page is; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Let those who have the link release a lock by force: the hold that is shown, and only by typing its key
    #[arg(long)]
    pub(crate) allow_break: bool,
    /// Listen on an address that other machines reach, without TLS: whoever can read the traffic has the token
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// A name under which a browser may ask for it, beside addresses and localhost; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// Mark holds that last longer than this
    #[arg(long, value_name = "DUR", value_parser = length, default_value = "1h")]
    pub(crate) mark_after: Duration,
}

/// What was asked for; on wrong use, and for `--help`, what to end with.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Arguments, Code> {
    let parsed = Arguments::try_parse_from(arguments).and_then(checked);
    parsed.map_err(|error| {
        // A closed pipe is not worth a word.
        let _ = error.print();
        if error.use_stderr() { exit::USAGE } else { exit::OK }
    })
}

/// What two arguments mean together.
fn checked(arguments: Arguments) -> Result<Arguments, clap::Error> {
    let lock = match &arguments.command {
        Command::Run(run) => &run.lock,
        Command::Lead(lead) => &lead.run.lock,
        Command::Hold(hold) => &hold.lock,
        _ => return Ok(arguments),
    };
    match (lock.at_least, lock.at_most) {
        (Some(least), Some(most)) if least > most => {
            let message = "--at-least must not be more than --at-most";
            Err(Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, message))
        }
        _ => Ok(arguments),
    }
}

/// A duration, as everywhere in this project.
fn length(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(31_557_600);
    let length = distributed_locks::store::parse_duration(text)?;
    if length > YEAR { Err("at most a year".to_owned()) } else { Ok(length) }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// With the stores that are built in.
fn long_version() -> &'static str {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(version_and_stores);
    &TEXT
}

fn version_and_stores() -> String {
    let stores = [
        ("etcd", cfg!(feature = "etcd")),
        ("mysql", cfg!(feature = "mysql")),
        ("kubernetes", cfg!(feature = "kubernetes")),
        ("postgres", cfg!(feature = "postgres")),
        ("redis", cfg!(feature = "redis")),
        ("zookeeper", cfg!(feature = "zookeeper")),
    ];
    let built: Vec<_> =
        std::iter::once("file").chain(stores.iter().filter(|(_, is)| *is).map(|(name, _)| *name)).collect();
    let page = if cfg!(feature = "ui") { "built in" } else { "not built in (feature `ui`)" };
    format!("{}\nstores: {}\npage: {page}", env!("CARGO_PKG_VERSION"), built.join(", "))
}

pub(crate) fn completions(shell: Shell) -> Code {
    use clap_complete::{generate, shells};
    let (mut command, mut script) = (Arguments::command(), Vec::new());
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, "locks", &mut script),
        Shell::Elvish => generate(shells::Elvish, &mut command, "locks", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "locks", &mut script),
        Shell::Powershell => generate(shells::PowerShell, &mut command, "locks", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "locks", &mut script),
    }
    printed(&script)
}

pub(crate) fn man() -> Code {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Arguments::command()).render(&mut page);
    if rendered.is_err() { exit::OS } else { printed(&page) }
}

fn printed(text: &[u8]) -> Code {
    // Whoever closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(text);
    exit::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_contradict_nothing() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_url_stands_before_or_after_the_command() {
        for line in ["locks -u file:///x ls", "locks ls -u file:///x"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.url.as_deref(), Some("file:///x"));
        }
    }
}
