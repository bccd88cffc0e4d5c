//! What stands between a script and the network: the list of hosts, asked before a request, for each
//! redirect, and for each address that a name leads to.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use tokio::sync::Semaphore;

use super::MOST_REDIRECTS;
use super::address::is_public;
use crate::config::{Hosts, literal};

/// A request that the list does not allow, with the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(pub(super) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Refused {}

/// The refusal among an error's causes.
pub(super) fn refusal(error: &reqwest::Error) -> Option<Refused> {
    let mut cause: Option<&dyn StdError> = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        cause = inner.source();
    }
    None
}

/// Asks the list for a URL. A name that passes is asked again when its addresses are known.
pub(super) fn permit(script: &str, hosts: &Hosts, url: &Url) -> Result<(), Refused> {
    hosts
        .permit(script, url)
        .map_err(|missing| Refused(format!("{}: {}", missing.message, missing.remedy)))?;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    match literal(host) {
        Some(address) if !is_public(address) && !hosts.lists(address, port) => {
            let port = url.port().map(|port| port.to_string());
            let entry = entry(address, port.as_deref());
            Err(private(script, hosts, &address.to_string(), &entry))
        }
        _ => Ok(()),
    }
}

/// An address as an entry of the list.
fn entry(address: IpAddr, port: Option<&str>) -> String {
    match (address, port) {
        (_, None) => address.to_string(),
        (IpAddr::V4(_), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(_), Some(port)) => format!("[{address}]:{port}"),
    }
}

/// `what` is not of the public internet; `entry` would open it.
fn private(script: &str, hosts: &Hosts, what: &str, entry: &str) -> Refused {
    let remedy = hosts.remedy(script, entry);
    Refused(format!(
        "{what} is not of the public internet; if the script {script} may call it, {remedy}"
    ))
}

/// Names that are looked up at once, of a script and of all. The system's lookup occupies a thread of those that
/// the whole process shares, and goes on when nobody waits for it any more; those beyond this wait.
const LOOKUPS: (usize, usize) = (4, 64);

/// The lookups of all scripts.
static ALL_LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS.1);

/// Resolver and judge of redirects.
pub(super) struct Guard {
    script: String,
    hosts: Arc<Hosts>,
    lookups: Arc<Semaphore>,
    /// The system's lookup; it blocks.
    look_up: fn(&str) -> io::Result<Vec<IpAddr>>,
}

impl Guard {
    pub(super) fn new(script: String, hosts: Arc<Hosts>) -> Self {
        Self {
            script,
            hosts,
            lookups: Arc::new(Semaphore::new(LOOKUPS.0)),
            look_up: |name| {
                let found = (name, 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            },
        }
    }

    /// Follows a redirect only to where the script could have gone itself.
    pub(super) fn redirects(&self) -> Policy {
        let (script, hosts) = (self.script.clone(), Arc::clone(&self.hosts));
        Policy::custom(move |attempt: Attempt<'_>| {
            if attempt.previous().len() > MOST_REDIRECTS {
                return attempt.error(format!("more than {MOST_REDIRECTS} redirects"));
            }
            let from = attempt.previous().last().map(Url::scheme);
            if from == Some("https") && attempt.url().scheme() != "https" {
                return attempt.error(Refused("it redirects from https to http".to_owned()));
            }
            match permit(&script, &hosts, attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(Refused(problem)) => {
                    attempt.error(Refused(format!("it redirects, and {problem}")))
                }
            }
        })
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (script, hosts) = (self.script.clone(), Arc::clone(&self.hosts));
        let (lookups, look_up) = (Arc::clone(&self.lookups), self.look_up);
        Box::pin(async move {
            let own = lookups.acquire_owned().await?;
            let of_all = ALL_LOOKUPS.acquire().await?;
            let asked = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || {
                // Until the lookup ends, not until somebody has given it up.
                let _permits = (own, of_all);
                look_up(&asked)
            });
            let found = found.await??;
            let (open, closed): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|&at| is_public(at) || hosts.lists_for(name.as_str(), at));
            match closed.first() {
                Some(&address) if open.is_empty() => {
                    let what = format!("{address}, the address of {},", name.as_str());
                    let entry = entry(address, Some("*"));
                    Err(private(&script, &hosts, &what, &entry).into())
                }
                // The port is put in by the caller.
                _ => Ok(Box::new(open.into_iter().map(|at| SocketAddr::new(at, 0))) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn lookups_that_hang_are_few_however_many_requests_gave_them_up() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        static OVER: AtomicBool = AtomicBool::new(false);
        let hosts = Arc::new(["*:*".parse().unwrap()].into_iter().collect());
        let guard = Guard {
            look_up: |_| {
                BEGUN.fetch_add(1, Ordering::SeqCst);
                while !OVER.load(Ordering::SeqCst) {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Ok(vec![IpAddr::from([1, 1, 1, 1])])
            },
            ..Guard::new("news".to_owned(), hosts)
        };
        let resolve = || guard.resolve("slow.test".parse().unwrap());
        for _ in 0..50 {
            let given_up = tokio::time::timeout(Duration::from_millis(1), resolve()).await;
            assert!(given_up.is_err());
        }
        OVER.store(true, Ordering::SeqCst);
        let found = resolve().await.map_err(|error| error.to_string());
        assert_eq!(found.unwrap().count(), 1);
        // Of those that were given up, and the last one.
        let begun = BEGUN.load(Ordering::SeqCst);
        assert!(begun <= LOOKUPS.0 + 1, "{begun}");
    }

    #[tokio::test]
    async fn a_name_opens_only_public_addresses_and_listed_ones() {
        let resolve = async |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            let guard = Guard::new("news".to_owned(), Arc::new(hosts));
            let found = guard.resolve("localhost".parse().unwrap()).await;
            found
                .map(|addresses| addresses.count())
                .map_err(|e| e.to_string())
        };
        let refused = resolve(&["*:*", "10.0.0.0/8:*", "127.0.0.1:80"])
            .await
            .unwrap_err();
        assert!(
            refused.contains("the address of localhost, is not of the public internet"),
            "{refused}"
        );
        assert!(refused.contains(":*\"] under [script.news]"), "{refused}");
        assert!(resolve(&["localhost:3000"]).await.unwrap() > 0);
        assert!(resolve(&["127.0.0.0/8:*", "[::1]:*"]).await.unwrap() > 0);
    }
}
