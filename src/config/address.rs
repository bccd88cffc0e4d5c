//! What kind of address a server has.

use reqwest::Url;

/// Whether an address is this machine's own: what goes there needs no encryption, and no proxy of the
/// environment, which could not reach it.
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_the_whole_net_and_the_name_and_nothing_that_looks_alike() {
        let is = |url: &str| is_loopback(&Url::parse(url).unwrap());
        for url in [
            "http://localhost:1",
            "http://127.9.0.1/x",
            "http://[::1]:7400",
        ] {
            assert!(is(url), "{url}");
        }
        for url in [
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://[::2]",
        ] {
            assert!(!is(url), "{url}");
        }
    }
}
