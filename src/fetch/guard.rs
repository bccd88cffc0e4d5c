//! What stands between a script and the network: the list of hosts, asked before a request, for each
//! redirect, and for each address that a name leads to.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};

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

/// Resolver and judge of redirects.
pub(super) struct Guard {
    script: String,
    hosts: Arc<Hosts>,
}

impl Guard {
    pub(super) fn new(script: String, hosts: Arc<Hosts>) -> Self {
        Self { script, hosts }
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
        Box::pin(async move {
            // The port is put in by the caller.
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (open, closed): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|at| is_public(at.ip()) || hosts.lists_for(name.as_str(), at.ip()));
            match closed.first() {
                Some(closed) if open.is_empty() => {
                    let address = closed.ip();
                    let what = format!("{address}, the address of {},", name.as_str());
                    let entry = entry(address, Some("*"));
                    Err(private(&script, &hosts, &what, &entry).into())
                }
                _ => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
