//! `ui`: the locks of the store on a page, live, until a signal.

use crate::args::Ui;
use crate::exit::{self, Code};
use crate::report;

#[cfg(not(feature = "ui"))]
#[expect(clippy::unused_async, reason = "with the page it waits")]
pub(crate) async fn ui(_: Option<String>, _: Ui) -> Code {
    report::note("this program is built without the page: `cargo install locks-cli --features all-stores,ui`");
    exit::USAGE
}

#[cfg(feature = "ui")]
pub(crate) async fn ui(url: Option<String>, ui: Ui) -> Code {
    served(url, ui).await.unwrap_or_else(|code| code)
}

#[cfg(feature = "ui")]
async fn served(url: Option<String>, ui: Ui) -> Result<Code, Code> {
    use crate::run::{Signals, close};
    use crate::{client, look};
    use distributed_locks::ui::Page;
    use rustix::process::Signal;

    if !ui.listen.ip().is_loopback() && !ui.allow_remote {
        report::note(&format!(
            "{} is an address that other machines reach, and the page has no TLS: repeat it with --allow-remote if that is \
             meant, or let `ssh -L` or a proxy lead to a loopback address",
            ui.listen
        ));
        return Err(exit::USAGE);
    }
    let locks = client::connect(&client::url(url)?, &[])?;
    let mut signals = Signals::listen_or_say()?;
    let system = |error: std::io::Error| {
        report::note(&format!("cannot listen on {}: {error}", ui.listen));
        exit::OS
    };
    let listener = tokio::net::TcpListener::bind(ui.listen).await.map_err(system)?;
    let address = listener.local_addr().map_err(system)?;
    let page = Page::new(locks.clone()).map_err(|error| {
        report::note(&client::text(&error));
        exit::OS
    })?;
    let page = page.prefix(ui.prefix).mark_after(ui.mark_after);
    let page = ui.hosts.into_iter().fold(page, Page::host);
    let page = if ui.allow_break { page.allow_break() } else { page };
    look::print(&format!("http://{address}/?token={}", page.token().unwrap_or_default()))?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let ended = async {
        let signal = signals.ending().await;
        let _ = stop.send(());
        signal
    };
    let stopped = async move { drop(stopped.await) };
    let (served, signal) = tokio::join!(page.serve(listener, stopped), ended);
    close(&locks).await;
    match (served, signal) {
        (Err(error), _) => Err(system(error)),
        // Its usual end.
        (Ok(()), Signal::TERM) => Ok(exit::OK),
        (Ok(()), signal) => Ok(exit::signalled(signal.as_raw())),
    }
}
