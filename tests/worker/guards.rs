//! `worker guards HOW URL KEY`: a guard is where destructors are delicate, and the thread or the process ends. It prints
//! `start` when it is held, and `free` when the lock is free again.

use distributed_locks::{Error, Guard, Locks, blocking};
use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;
use tracing_subscriber::fmt::format::FmtSpan;

thread_local! {
    static HELD: RefCell<Option<Guard>> = const { RefCell::new(None) };
}

static FOR_EVER: Mutex<Option<Guard>> = Mutex::new(None);

pub(crate) fn run(how: &str, url: &str, key: &str) -> Result<(), Error> {
    // A subscriber has locals of every thread, which are destroyed before or after ours.
    let how_reported = if how.ends_with("-spans") { FmtSpan::FULL } else { FmtSpan::NONE };
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_span_events(how_reported);
    let subscriber = subscriber.with_writer(std::io::stderr);
    if tracing::subscriber::set_global_default(subscriber.finish()).is_err() {
        println!("no subscriber");
    }
    let locks = Locks::connect(url)?;
    let take = {
        let (locks, key) = (locks.clone(), key.to_owned());
        move || blocking(locks.lock(key).acquire())
    };
    let ended = match how.trim_end_matches("-spans") {
        // The local is made before those that acquiring makes, and so destroyed after them.
        "local-first" => on_a_thread(|| {
            HELD.with(|held| Ok::<_, Error>(*held.borrow_mut() = Some(take()?)))?;
            println!("start");
            Ok(())
        }),
        "local-last" => on_a_thread(|| {
            let guard = take()?;
            HELD.with(|held| *held.borrow_mut() = Some(guard));
            println!("start");
            Ok(())
        }),
        "local-of-main" => {
            HELD.with(|held| Ok::<_, Error>(*held.borrow_mut() = Some(take()?)))?;
            println!("start");
            return Ok(());
        }
        "static" => {
            if let Ok(mut held) = FOR_EVER.lock() {
                *held = Some(take()?);
            }
            println!("start");
            return Ok(());
        }
        "panic" => on_a_thread(|| {
            let _guard = take()?;
            println!("start");
            panic!("the worker was told to panic");
        }),
        // After the end of the runtime that it was acquired in.
        _ => on_a_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let guard = runtime.ok().map(|runtime| runtime.block_on(async { take() })).transpose()?;
            println!("start");
            drop(guard);
            Ok(())
        }),
    };
    println!("ended {ended}");
    drop(blocking(locks.lock(key).wait(Duration::from_secs(30)).acquire())?);
    println!("free");
    blocking(locks.close());
    Ok(())
}

/// Whether the thread ended as it should.
fn on_a_thread(take: impl FnOnce() -> Result<(), Error> + Send + 'static) -> bool {
    std::thread::spawn(|| take().is_ok()).join().unwrap_or(false)
}
