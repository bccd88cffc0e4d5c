//! Which hosts a script may call over HTTP: `http` of `[script.NAME]`.
//!
//! | entry | allows |
//! |---|---|
//! | `api.example.com` | that host, at the ports 80 and 443 |
//! | `*.example.com` | every host below it, not itself |
//! | `*` | every host |
//! | `api.example.com:8443`, `localhost:*` | that port; any port |
//! | `192.0.2.7`, `[2001:db8::1]:8080`, `10.0.0.0/8` | an address, or every address of a network |
//!
//! A name leads where its owner wants it to lead. So an address that is not of the public internet (the
//! own machine, the local network, a cloud's metadata service) is called only if the list has the address
//! itself or a network around it, and by a name only if that entry has the port `*`: what resolves names
//! does not know the port. `localhost` as an entry stands for the own machine, and `*` does not.
//!
//! Both readers of the rule, what calls and what checks a script, ask here.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use reqwest::Url;

use super::permissions::key;

/// The hosts of one script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Entry>);

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it was written.
    text: String,
    host: Host,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// In lower case.
    Name(String),
    /// With the dot: `.example.com`.
    Below(String),
    Net(IpNet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// 80 and 443.
    Usual,
    One(u16),
    Any,
}

impl Port {
    fn covers(self, port: u16) -> bool {
        match self {
            Port::Usual => matches!(port, 80 | 443),
            Port::One(one) => one == port,
            Port::Any => true,
        }
    }
}

/// A host that a script may not call.
#[derive(Debug, PartialEq, Eq)]
pub struct NotListed {
    /// Who may not call what.
    pub message: String,
    /// What to write into bot.toml.
    pub remedy: String,
}

/// The name of the own machine (RFC 6761).
const LOCALHOST: &str = "localhost";

/// What an entry must look like.
#[derive(Debug, thiserror::Error)]
#[error("write the host alone: \"api.example.com\", without https:// and without a path")]
pub struct NoHost;

impl FromStr for Entry {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let (host, port) = split(text).ok_or(NoHost)?;
        let port = match port {
            None => Port::Usual,
            Some("*") => Port::Any,
            Some(number) => Port::One(number.parse().map_err(|_| NoHost)?),
        };
        let host = if host == "*" {
            Host::Any
        } else if let Some(net) = net(host) {
            Host::Net(net)
        } else {
            let host = host.to_ascii_lowercase();
            match host.strip_prefix("*.") {
                Some(parent) if is_name(parent) => Host::Below(format!(".{parent}")),
                None if is_name(&host) => Host::Name(host),
                _ => return Err(NoHost),
            }
        };
        Ok(Self {
            text: text.to_owned(),
            host,
            port,
        })
    }
}

/// Host and port of an entry. An IPv6 address with a port stands in brackets.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match text.split_once(':') {
        // More than one colon: an address without brackets.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

/// An address or a network.
fn net(host: &str) -> Option<IpNet> {
    let address = host.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| host.parse()).ok()
}

/// The labels of a name (RFC 1123; underscores are seen in the wild).
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=63).contains(&label.len()) && label.chars().all(plain)
        })
        // The last label of an address is a number, of a name it is not: `256.1.1.1` is neither.
        && !name.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()))
}

impl FromIterator<Entry> for Hosts {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl Hosts {
    /// Whether the host of a URL may be called at the port. Of a name this is half of the answer: what it
    /// leads to is asked of [`Hosts::lists_for`].
    pub fn allows(&self, host: &str, port: u16) -> bool {
        if let Some(address) = literal(host) {
            return self.any(port, |entry| match &entry.host {
                Host::Net(net) => net.contains(&address),
                Host::Any => true,
                Host::Name(_) | Host::Below(_) => false,
            });
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.any(port, |entry| match &entry.host {
            Host::Any => host != LOCALHOST,
            Host::Name(name) => *name == host,
            Host::Below(parent) => host.len() > parent.len() && host.ends_with(parent.as_str()),
            Host::Net(_) => false,
        })
    }

    /// Whether the list names the address itself at the port, so that it may be called although it is
    /// not of the public internet.
    pub fn lists(&self, address: IpAddr, port: u16) -> bool {
        self.any(port, |entry| match &entry.host {
            Host::Net(net) => net.contains(&address),
            Host::Any | Host::Name(_) | Host::Below(_) => false,
        })
    }

    /// The same for an address that an allowed name leads to.
    pub fn lists_for(&self, name: &str, address: IpAddr) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.0.iter().any(|entry| match &entry.host {
            Host::Net(net) => entry.port == Port::Any && net.contains(&address),
            Host::Name(listed) => {
                listed == LOCALHOST && name.eq_ignore_ascii_case(listed) && address.is_loopback()
            }
            Host::Any | Host::Below(_) => false,
        })
    }

    /// Asks for the host and port of a URL, as [`Hosts::allows`] has it.
    ///
    /// # Errors
    /// What is missing, and the line that would open it.
    pub fn permit(&self, script: &str, url: &Url) -> Result<(), NotListed> {
        let host = url.host_str().unwrap_or_default();
        if self.allows(host, url.port_or_known_default().unwrap_or_default()) {
            return Ok(());
        }
        let entry = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Err(NotListed {
            message: format!("the script {script} may not call {entry}"),
            remedy: self.remedy(script, &entry),
        })
    }

    /// What to write into bot.toml so that `script` may call this.
    pub fn remedy(&self, script: &str, entry: &str) -> String {
        let entries: Vec<_> = self
            .0
            .iter()
            .map(|entry| entry.text.as_str())
            .chain([entry])
            .map(|text| format!("\"{text}\""))
            .collect();
        format!(
            "write http = [{}] under [script.{}] in bot.toml",
            entries.join(", "),
            key(script)
        )
    }

    /// The entries as they were written.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.text.as_str())
    }

    fn any(&self, port: u16, fits: impl Fn(&Entry) -> bool) -> bool {
        self.0
            .iter()
            .any(|entry| entry.port.covers(port) && fits(entry))
    }
}

/// The address that the host of a URL is, with or without the brackets of IPv6.
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entries: &[&str]) -> Hosts {
        entries
            .iter()
            .map(|text| text.parse::<Entry>().unwrap_or_else(|_| panic!("{text}")))
            .collect()
    }

    #[test]
    fn an_entry_allows_a_host_at_a_port() {
        for (entry, host, port, allowed) in [
            ("api.example.com", "api.example.com", 443, true),
            ("api.example.com", "API.Example.COM.", 80, true),
            ("api.example.com", "api.example.com", 8443, false),
            ("api.example.com", "example.com", 443, false),
            ("api.example.com", "xapi.example.com", 443, false),
            ("api.example.com", "api.example.com.evil.org", 443, false),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "badexample.com", 443, false),
            ("*", "anything.org", 443, true),
            ("*", "anything.org", 22, false),
            ("*:*", "anything.org", 22, true),
            ("*", "192.0.2.1", 80, true),
            ("localhost:3000", "localhost", 3000, true),
            ("localhost:3000", "localhost", 80, false),
            ("127.0.0.1:*", "127.0.0.1", 9, true),
            ("127.0.0.1", "localhost", 80, false),
            ("10.0.0.0/8", "10.1.2.3", 80, true),
            ("10.0.0.0/8", "11.1.2.3", 80, false),
            ("[::1]:8080", "[::1]", 8080, true),
            ("::1", "[::1]", 443, true),
            ("2001:db8::/32", "[2001:db8::7]", 443, true),
        ] {
            assert_eq!(
                hosts(&[entry]).allows(host, port),
                allowed,
                "{entry} {host}:{port}"
            );
        }
        assert!(!Hosts::default().allows("example.com", 443));
    }

    #[test]
    fn a_wildcard_is_not_the_own_machine() {
        assert!(!hosts(&["*:*"]).allows("localhost", 22));
        let mixed = hosts(&["*:*", "127.0.0.1:3000"]);
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(mixed.lists(loopback, 3000) && !mixed.lists_for("evil.example.com", loopback));
        assert!(!hosts(&["*:*"]).lists(loopback, 22));
    }

    #[test]
    fn only_an_address_at_any_port_or_localhost_lists_what_a_name_leads_to() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let private: IpAddr = "10.0.0.5".parse().unwrap();
        for (entry, name, address, listed) in [
            ("localhost", "localhost", loopback, true),
            ("localhost", "localhost", private, false),
            ("localhost", "evil.example.com", loopback, false),
            ("evil.example.com", "evil.example.com", loopback, false),
            ("*", "evil.example.com", private, false),
            ("10.0.0.5:*", "db.example.com", private, true),
            ("10.0.0.5", "db.example.com", private, false),
            ("10.0.0.0/8:*", "db.example.com", private, true),
            ("10.0.0.6:*", "db.example.com", private, false),
        ] {
            assert_eq!(
                hosts(&[entry]).lists_for(name, address),
                listed,
                "{entry} {name}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "https://x.org",
            "x.org/",
            "x.org:http",
            "x.org:99999",
            "x..org",
            "*.*.org",
            "a*.org",
            "*.",
            "256.1.1.1",
            "10.0.0.0/33",
            "[::1",
            "[::1]8080",
            "ü.org",
            "a b",
        ] {
            assert!(text.parse::<Entry>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_remedy_is_the_line_to_write() {
        assert_eq!(
            hosts(&["a.org"]).remedy("news", "b.org:8080"),
            "write http = [\"a.org\", \"b.org:8080\"] under [script.news] in bot.toml"
        );
    }
}
