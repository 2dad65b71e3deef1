//! The network between the members of a cluster, link by link.
//!
//! etcd gives each member one address for its peers, for all of them. So that the way from one member to another can be cut
//! alone, there is a gate before each member: it asks the system which process a connection comes from, and sends it
//! through the [`Proxy`] of that pair.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::ports;
use crate::proxy::Proxy;

/// A member whose connection is refused asks again at once, by several at a time, and each costs a look at the system's
/// table of connections: a hundred of them in a second leave the other members too little time to elect a leader.
const BEFORE_REFUSAL: Duration = Duration::from_secs(1);

/// The process number of each member, 0 while it is down.
type Pids = Arc<OnceLock<Vec<Arc<AtomicU32>>>>;

/// Every way from one member to another.
#[derive(Debug)]
pub struct Links {
    gates: Vec<Gate>,
    proxies: Arc<Vec<Vec<Option<Proxy>>>>,
    pids: Pids,
}

/// Closed by `Drop`, with all its connections.
#[derive(Debug)]
struct Gate {
    address: SocketAddr,
    _open: oneshot::Sender<()>,
}

impl Links {
    /// Between members that will listen to their peers on these ports.
    pub(super) fn between(listening: &[u16]) -> Links {
        let way = |from: usize, to: usize| (from != to).then(|| Proxy::to((Ipv4Addr::LOCALHOST, listening[to]).into()));
        let members = 0..listening.len();
        let proxies: Vec<Vec<_>> =
            members.clone().map(|from| members.clone().map(|to| way(from, to)).collect()).collect();
        let (proxies, pids) = (Arc::new(proxies), Pids::default());
        let gates = members.map(|to| Gate::before(to, proxies.clone(), pids.clone())).collect();
        Links { gates, proxies, pids }
    }

    /// The port that the member of this number is to advertise to its peers.
    pub(super) fn advertised(&self, member: usize) -> u16 {
        self.gates[member].address.port()
    }

    /// Makes the members' processes known to the gates.
    pub(super) fn know(&self, pids: Vec<Arc<AtomicU32>>) {
        self.pids.set(pids).expect("members are made known once");
    }

    /// The way by which the member `from` connects to the member `to`. What `to` sends back on such a connection goes
    /// the same way: to cut a pair, cut both ways.
    pub fn way(&self, from: usize, to: usize) -> &Proxy {
        self.proxies[from][to].as_ref().expect("a member has no link to itself")
    }

    /// All ways that lead from or to this member.
    pub fn of(&self, member: usize) -> impl Iterator<Item = &Proxy> {
        let others = (0..self.gates.len()).filter(move |other| *other != member);
        others.flat_map(move |other| [self.way(member, other), self.way(other, member)])
    }
}

impl Gate {
    fn before(member: usize, proxies: Arc<Vec<Vec<Option<Proxy>>>>, pids: Pids) -> Gate {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = ports::listen_anywhere();
        let address = listener.local_addr().unwrap();
        let (open, closed) = oneshot::channel::<()>();
        let serve = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((peer, from)) = listener.accept().await {
                let way = member_of(from, address, &pids).and_then(|from| proxies[from][member].as_ref());
                // Of a member that has just died, or is not known yet: it will try again.
                let Some(way) = way.map(Proxy::addr) else { continue };
                tokio::spawn(pass(peer, way));
            }
        };
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { () = serve => {} _ = closed => {} }
            });
        });
        Gate { address, _open: open }
    }
}

async fn pass(mut peer: TcpStream, way: SocketAddr) {
    let Ok(mut member) = TcpStream::connect(way).await else { return tokio::time::sleep(BEFORE_REFUSAL).await };
    let _ = (peer.set_nodelay(true), member.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut peer, &mut member).await;
}

/// The member whose process has the socket at the other end of the connection from `from` to `to`.
fn member_of(from: SocketAddr, to: SocketAddr, pids: &Pids) -> Option<usize> {
    let inode = inode(from, to)?;
    let socket = format!("socket:[{inode}]");
    pids.get()?.iter().position(|pid| has_open(pid.load(Ordering::Acquire), &socket))
}

/// The number of the socket, from the system's table: `sl local remote state queues timers retransmits uid timeout inode`.
fn inode(from: SocketAddr, to: SocketAddr) -> Option<String> {
    let hex = |address: SocketAddr| format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let ports = [hex(from), hex(to)];
    table.lines().filter(|line| ports.iter().all(|port| line.contains(port))).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.get(1)?.ends_with(&ports[0]) && columns.get(2)?.ends_with(&ports[1]))
            .then(|| columns.get(9).map(ToString::to_string))?
    })
}

fn has_open(pid: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file.to_str() == Some(socket))
}
