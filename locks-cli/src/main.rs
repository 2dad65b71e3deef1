//! The program `locks`: a command under a distributed lock, and who holds which.
//!
//! | file | job |
//! |---|---|
//! | `args` | what may be said on the command line |
//! | `client` | from `-u`, `@FILE` and LOCKS_URL to a client |
//! | `exit`, `report` | exit codes; the lines on stderr |
//! | `run/*` | `run` and `lead`: three processes, of which each outlives the death of the one before (`run/mod.rs`) |
//! | `hold`, `force`, `doctor`, `ui`, `look/*` | the other commands |

#![forbid(unsafe_code)]
#![cfg_attr(not(unix), allow(dead_code, unused_imports, reason = "the program says that it needs Unix, and ends"))]

#[cfg(unix)]
mod args;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod exit;
#[cfg(unix)]
mod force;
#[cfg(unix)]
mod hold;
#[cfg(unix)]
mod look;
#[cfg(unix)]
mod report;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod text;
#[cfg(unix)]
mod ui;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // The other two processes of a run are this program again.
    match arguments.get(1).and_then(|first| first.to_str()) {
        Some(run::GUARD) => return run::guard(&arguments[2..]),
        Some(run::LAUNCH) => return run::launch(&arguments[2..]),
        _ => {}
    }
    let command = match args::parse(arguments) {
        Ok(command) => command,
        Err(code) => return code.into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(dispatch(command));
            // What its threads still wait for, a name server for instance, keeps nobody.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            report::note(&format!("cannot start: {error}"));
            exit::OS
        }
    };
    code.into()
}

#[cfg(unix)]
async fn dispatch(arguments: args::Arguments) -> exit::Code {
    use args::Command;
    let url = arguments.url;
    match arguments.command {
        Command::Run(run) => run::run(url, *run).await,
        Command::Lead(lead) => run::lead(url, *lead).await,
        Command::Hold(hold) => hold::hold(url, *hold).await,
        Command::Ls(ls) => look::ls(url, ls).await,
        Command::Show(show) => look::show(url, show).await,
        Command::Watch(watch) => look::watch(url, watch).await,
        Command::Wait(wait) => look::wait(url, wait).await,
        Command::Break(force) => force::force(url, force).await,
        Command::Doctor(doctor) => doctor::doctor(url, doctor).await,
        Command::Ui(ui) => ui::ui(url, ui).await,
        Command::Completions { shell } => args::completions(shell),
        Command::Man => args::man(),
    }
}

#[cfg(not(unix))]
fn main() -> std::process::ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "locks: this program needs a Unix system: process groups and signals");
    std::process::ExitCode::from(69)
}
