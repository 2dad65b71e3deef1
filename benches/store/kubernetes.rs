//! An API server of Kubernetes, over an etcd without `fsync`.

use super::{Addresses, Contestant, Counts, FLOOR, OURS, Store, link};
use support::Server;
use support::cases::Program;
use support::kubernetes::{Binary, Setup};

/// Each is renewed by itself: with a TTL of 10 s these are 90 renewals a second, and the store warns from 100 on.
const MOST_HELD: u32 = 300;

pub(super) fn start(name: &'static str) -> Result<Store, String> {
    let program = Binary::all().last().ok_or("kube-apiserver (`tests/servers.sh kubernetes` builds it)")?;
    let server = program.start(&Setup::default());
    let links = vec![link(server.address())];
    let files = ["ca.pem", "token"].map(|file| server.file(file).display().to_string());
    let addresses = Addresses::of(&server.endpoint(), &links[0], str::to_owned);
    let [ca, token] = &files;
    let floor = addresses.map(|address| format!("{address} {ca} {token}"));
    let urls = addresses.map(|address| server.url_at(address));
    let floor = Contestant { waits: false, ..Contestant::here(FLOOR, "kubernetes-floor", &floor) };
    let contestants = vec![floor, Contestant::here(OURS, "ours", &urls)];
    let title = format!("{}, one API server over an etcd without fsync", program.label());
    let count = Box::new(move |_: &Contestant| {
        let requests = server.cost().values().sum();
        Counts { requests, work: requests, leases: 0, renewals: requests }
    });
    let (url, units) = (urls.near, Some(["requests", "requests"]));
    Ok(Store { name, title, url, contestants, missing: Vec::new(), units, links, most_held: Some(MOST_HELD), count })
}
