//! Who may use an HTTP server that has no password: pages and programs of this machine.
//!
//! A web page of somebody else must not reach it through the user's browser. Two ways are closed: a
//! foreign name that resolves to this machine (DNS rebinding) is seen by the `Host` header, a foreign page
//! that sends requests here by the `Origin` header.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

/// The `Host` must be a loopback name or address, or the address that the server listens on; when it
/// listens on every address, any address but no name. An `Origin` must be the same server.
///
/// # Errors
/// A sentence for the one who asked.
pub fn check(headers: &HeaderMap, listen: SocketAddr) -> Result<(), &'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host = text(header::HOST).ok_or("the request has no Host header")?;
    if !is_here(host, listen.ip()) {
        return Err("this Host is not this server: use its address or localhost");
    }
    match text(header::ORIGIN) {
        None => Ok(()),
        Some(origin) if origin.strip_prefix("http://") == Some(host) => Ok(()),
        Some(_) => Err("a page of another origin may not use this server"),
    }
}

fn is_here(host: &str, listen: IpAddr) -> bool {
    let name = host_name(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == listen || listen.is_unspecified(),
        Err(_) => false,
    }
}

/// `name:port` without the port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::http::{HeaderMap, HeaderValue, header};

    use super::check;

    fn allowed(host: &'static str, origin: Option<&'static str>, listen: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let listen: SocketAddr = listen.parse().expect("an address");
        check(&headers, listen).is_ok()
    }

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        let here = "127.0.0.1:7400";
        for host in [
            "127.0.0.1:7400",
            "localhost:7400",
            "LOCALHOST",
            "[::1]:7400",
        ] {
            assert!(allowed(host, None, here), "{host}");
        }
        for host in [
            "evil.example:7400",
            "192.168.1.2:7400",
            "localhost.evil.example",
            "",
        ] {
            assert!(!allowed(host, None, here), "{host}");
        }
        assert!(allowed("192.168.1.2:7400", None, "192.168.1.2:7400"));
        assert!(allowed("192.168.1.2:7400", None, "0.0.0.0:7400"));
        assert!(!allowed("evil.example:7400", None, "0.0.0.0:7400"));
        assert!(check(&HeaderMap::new(), here.parse().expect("an address")).is_err());
    }

    #[test]
    fn only_the_servers_own_pages_are_origins() {
        let here = "127.0.0.1:7400";
        let from = |origin| allowed("127.0.0.1:7400", Some(origin), here);
        assert!(from("http://127.0.0.1:7400"));
        for origin in [
            "http://evil.example",
            "http://127.0.0.1:9999",
            "https://127.0.0.1:7400",
            "null",
        ] {
            assert!(!from(origin), "{origin}");
        }
    }
}
