//! Where a mail server is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mfa_protocol::mail::Server;

/// Its addresses. This host is found without asking anybody: what answers for its name might be another.
pub fn addresses(server: &Server) -> io::Result<Vec<SocketAddr>> {
    if server.host == "localhost" {
        let this_host = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(this_host.map(|address| SocketAddr::new(address, server.port)).into());
    }
    Ok((server.host.as_str(), server.port).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::mail::Security;

    #[test]
    fn this_host_is_found_without_a_name_service() {
        let (security, host) = (Security::Plain, "localhost".to_owned());
        let server = Server { security, user: None, host, port: 2525 };
        let found: Vec<String> =
            addresses(&server).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.1:2525", "[::1]:2525"]);
    }
}
