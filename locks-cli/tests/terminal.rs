//! Job control: an interactive shell on a terminal of its own.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test whose preparation fails has failed"
)]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use support::{HANG, Place};

/// A shell with job control.
struct Session {
    shell: Child,
    terminal: File,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Session {
    fn start(place: &Place) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let given = place.locks(&[]);
        // Whoever started the tests may ignore signals, and what is ignored stays ignored.
        let mut shell = Command::new("env");
        shell.args(["--default-signal", "setsid", "--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"]);
        shell.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PS1", "ready> ");
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let shell = shell.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let terminal = File::from(master);
        let (sender, output) = mpsc::channel();
        let mut reader = terminal.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut session = Self { shell, terminal, output, seen: String::new() };
        session.expect("ready> ");
        session
    }

    fn keys(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Skips to what is shown next.
    #[track_caller]
    fn expect(&mut self, shown: &str) {
        loop {
            if let Some(at) = self.seen.find(shown) {
                self.seen.drain(..at + shown.len());
                return;
            }
            match self.output.recv_timeout(HANG) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{shown:?} is not shown; this is: {:?}", self.seen),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn the_command_has_the_terminal_and_gives_it_back() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run /a -- sh -c 'echo as\"\"ks; read line </dev/tty; echo heard \"$line\"'; echo code \"\"$?\n");
    session.expect("asks");
    session.keys("hello\n");
    session.expect("heard hello");
    session.expect("code 0");
    // The shell reads again.
    session.keys("echo still\"\" here\n");
    session.expect("still here");
}

#[test]
fn an_interrupt_reaches_the_command_once() {
    let place = Place::new();
    let mut session = Session::start(&place);
    let script = "trap 'n=$((n+1))' INT; trap 'all=1' USR1; n=0; all=; echo $$ > $D/one; echo be\"\"gun; \
        while [ $n = 0 ]; do sleep 0.01; done; echo on\"\"ce; while [ ! $all ]; do sleep 0.01; done; echo counted $n";
    session.keys(&format!("$L run /a -- sh -c '{}'\n", script.replace('\'', "'\\''")));
    session.expect("begun");
    session.keys("\u{3}");
    session.expect("once");
    // What the program passes on arrives in order: whatever it had made of the interrupt is there before this.
    let locks = place.line("/a")["holders"][0]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(locks.try_into().unwrap()).unwrap(), Signal::USR1).unwrap();
    session.expect("counted 1");
}

#[test]
fn a_job_stops_goes_on_and_ends() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run -t 60 /a -- sh -c 'echo be\"\"gun; read line; echo heard \"$line\"'; echo code \"\"$?\n");
    session.expect("begun");
    session.keys("\u{1a}");
    session.expect("stopped: the lock lapses in ");
    session.expect("Stopped");
    // Still held, and the shell has the terminal.
    session.keys("$L run -n /a -- true; echo code \"\"$?\n");
    session.expect("code 75");
    session.keys("fg\n");
    session.expect("run -t 60");
    session.keys("again\n");
    session.expect("heard again");
}

#[test]
fn a_job_that_is_stopped_for_too_long_has_lost_its_command() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run -t 1 /a -- sh -c 'echo $$ > $D/one; echo be\"\"gun; exec sleep 1000'\n");
    session.expect("begun");
    session.keys("\u{1a}");
    session.expect("Stopped");
    let command = place.pid("one");
    support::until("the command is killed", || !place.is_alive(command));
    session.keys("fg; echo code \"\"$?\n");
    session.expect("code 79");
}

#[test]
fn in_the_background_a_command_that_reads_waits_for_fg() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run -t 60 /a -- sh -c 'read line; echo heard \"$line\"' & echo $! > $D/job\n");
    session.expect("stopped: ");
    // It says so first.
    support::until("the job is stopped", || support::status(place.pid("job")).contains("State:\tT"));
    session.keys("fg\n");
    session.expect("run -t 60");
    session.keys("word\n");
    session.expect("heard word");
}

#[test]
fn in_a_pipeline_the_others_keep_the_terminal_and_an_interrupt_ends_it() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run /a -- sh -c 'echo $$ > $D/one; echo be\"\"gun >&2; exec sleep 1000' | sh -c 'read x </dev/tty; echo other \"$x\"; cat'\n");
    session.expect("begun");
    let command = place.pid("one");
    session.keys("reads\n");
    session.expect("other reads");
    session.keys("\u{3}");
    session.expect("ready> ");
    support::until("the command has ended", || !place.is_alive(command));
}

#[test]
fn a_terminal_that_hangs_up_ends_the_command() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run /a -- sh -c 'echo $$ > $D/one; echo be\"\"gun; exec sleep 1000'\n");
    session.expect("begun");
    let command = place.pid("one");
    drop(session.shell.kill());
    drop(session);
    support::until("the command has ended", || !place.is_alive(command));
    support::until("the lock is free", || place.code(&["run", "-n", "/a", "--", "true"]) == 0);
}

#[test]
fn an_interrupt_ends_the_restarts() {
    let place = Place::new();
    for command in ["exec sleep 1000", "trap \"exit 130\" INT; while :; do sleep 0.01; done"] {
        let mut session = Session::start(&place);
        session.keys(&format!("$L lead --restart /a -- sh -c 'echo be\"\"gun; {command}'; echo code \"\"$?\n"));
        session.expect("begun");
        session.keys("\u{3}");
        session.expect("code 130");
    }
}

#[test]
fn a_hold_in_the_background_goes_on() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L hold /a &\n");
    session.expect("{\"fence\"");
    let pid = place.line("/a")["holders"][0]["pid"].as_i64().unwrap();
    // It asks for its stdin again and again, which it does not get.
    let asked = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let statuses = tasks.map(|task| std::fs::read_to_string(task.path().join("status")).unwrap_or_default());
        let reader = statuses.into_iter().find(|status| status.starts_with("Name:\tstdin\n"))?;
        let count = reader.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:\t"))?;
        count.parse::<u64>().ok()
    };
    support::until("it reads", || asked().is_some());
    let before = asked().unwrap();
    support::until("it goes on", || asked().unwrap() > before + 3);
    session.keys("fg; echo code \"\"$?\n");
    session.expect("hold /a");
    session.keys("a line is not the end\n\u{4}");
    session.expect("code 0");
}

#[test]
fn a_hold_that_is_stopped_says_when_its_lock_lapses() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L hold -t 600 /a\n");
    session.expect("{\"fence\"");
    session.keys("\u{1a}");
    session.expect("stopped: the lock lapses in ");
    session.expect("Stopped");
    session.expect("hold -t 600");
    session.keys("fg; echo code \"\"$?\n");
    session.expect("hold -t 600");
    session.keys("\u{4}");
    session.expect("code 0");
}

#[test]
fn break_asks_and_no_is_75() {
    let place = Place::new();
    let mut session = Session::start(&place);
    session.keys("$L run /a -- sh -c 'echo be\"\"gun; exec sleep 1000' </dev/null >$D/out &\n");
    support::until("it runs", || std::fs::read_to_string(place.path("out")).is_ok_and(|said| said == "begun\n"));
    for answer in ["n", "", "no, never"] {
        session.keys("$L break /a; echo code \"\"$?\n");
        session.expect("/a is held by sh@");
        session.expect("Release it by force? Its holder goes on until it notices. [y/N] ");
        session.keys(&format!("{answer}\n"));
        session.expect("code 75");
    }
    session.keys("$L break /a; echo code \"\"$?\n");
    session.expect("[y/N] ");
    session.keys("y\n");
    // On files a holder that lives is not to be broken.
    session.expect("code 78");
    session.keys("$L break /a; echo code \"\"$?\n");
    session.expect("[y/N] ");
    let run = place.line("/a")["holders"][0]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(run.try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    support::until("it is over", || place.line("/a")["holders"] == serde_json::json!([]));
    session.keys("y\n");
    session.expect("/a is not held by sh@");
    session.expect(" any more");
    session.expect("code 75");
}
