//! Mail servers as the policy names them: `smtps://user@host:465`.

use std::net::{IpAddr, Ipv6Addr};

use mfa_protocol::mail::{Security, Server};

use super::address::Address;

/// Bytes of a user's name on a server.
const LONGEST_USER: usize = 254;

/// The server that the text names.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Server, String> {
    let (scheme, rest) = text.split_once("://").ok_or_else(forms)?;
    let (security, usual_port) = match scheme {
        "smtps" => (Security::Tls, 465),
        "smtp+starttls" => (Security::StartTls, 587),
        "smtp" => (Security::Plain, 25),
        _ => return Err(forms()),
    };
    // Such a name is often an address.
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let (host, port) = place_of(place, usual_port).ok_or_else(forms)?;
    if let Some(user) = user {
        if user.contains(':') {
            return Err("a password belongs into the file that password_file names".to_owned());
        }
        let shown = |byte: u8| byte.is_ascii_graphic();
        if user.is_empty() || user.len() > LONGEST_USER || !user.bytes().all(shown) {
            return Err(forms());
        }
    }
    if security == Security::Plain && !is_this_host(host) {
        return Err("smtp:// is for this host (localhost, 127.0.0.1, [::1]); to all others it is \
                    smtps:// or smtp+starttls://"
            .to_owned());
    }
    if security == Security::Plain && user.is_some() {
        return Err("a password is not sent without TLS: smtps:// or smtp+starttls://".to_owned());
    }
    Ok(Server { security, user: user.map(str::to_owned), host: host.to_owned(), port })
}

fn forms() -> String {
    "expected smtps://[USER@]HOST[:PORT], smtp+starttls://[USER@]HOST[:PORT], or \
     smtp://localhost[:PORT]"
        .to_owned()
}

fn place_of(place: &str, usual_port: u16) -> Option<(&str, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
        None => usual_port,
    };
    // What may stand behind an @ is a host's name, and an IPv4 address looks like one.
    let is_host = host.parse::<Ipv6Addr>().is_ok() || Address::parse(&format!("a@{host}")).is_ok();
    (is_host && port != 0).then_some((host, port))
}

fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(security: Security, user: Option<&str>, host: &str, port: u16) -> Server {
        Server { security, user: user.map(str::to_owned), host: host.to_owned(), port }
    }

    #[test]
    fn a_server_is_named_by_its_kind_its_user_its_host_and_its_port() {
        use Security::{Plain, StartTls, Tls};
        let rows = [
            ("smtps://mail.example.org", server(Tls, None, "mail.example.org", 465)),
            (
                "smtps://mfa@mail.example.org:4650",
                server(Tls, Some("mfa"), "mail.example.org", 4650),
            ),
            ("smtps://mfa@a.b@mail.c", server(Tls, Some("mfa@a.b"), "mail.c", 465)),
            ("smtp+starttls://mail", server(StartTls, None, "mail", 587)),
            ("smtps://192.0.2.7:1", server(Tls, None, "192.0.2.7", 1)),
            ("smtps://[2001:db8::7]", server(Tls, None, "2001:db8::7", 465)),
            ("smtp://localhost", server(Plain, None, "localhost", 25)),
            ("smtp://127.0.0.2:2525", server(Plain, None, "127.0.0.2", 2525)),
            ("smtp://[::1]:26", server(Plain, None, "::1", 26)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nothing_goes_plain_to_another_host_and_no_password_stands_in_the_policy() {
        for text in [
            "smtp://mail.example.org",
            "smtp://192.0.2.7",
            "smtp://localhost.example.org",
            "smtp://[::2]",
            "smtp://me@localhost",
            "smtps://me:secret@mail.example.org",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("expected"), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "mail.example.org",
            "smtps:mail",
            "http://mail",
            "SMTPS://mail",
            "smtps://",
            "smtps://:465",
            "smtps://mail:",
            "smtps://mail:0",
            "smtps://mail:65536",
            "smtps://mail:+5",
            "smtps://mail:4x",
            "smtps://@mail",
            "smtps://mail/x",
            "smtps://mail?tls=off",
            "smtps://a b",
            "smtps://::1",
            "smtps://[::1",
            "smtps://[x]",
            "smtps://[::1]x",
            "smtps://a\r\nb@mail",
            "smtps://ü@mail",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("expected"), "{text:?}: {error}");
        }
    }
}
