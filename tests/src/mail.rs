//! Mail servers, and a verifier's mailer without the verifier: see `src/bin/send-mail.rs`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache;
use crate::host::{Host, Running};

/// Where the program is found in a host with [`Host::mailer`].
const SEND: &str = "/usr/local/bin/send-mail";

/// Where the servers are.
const SERVER: &str = "/usr/local/bin/mail-server.py";

/// Where what the servers took is.
const RECEIVED: &str = "/root/received";

/// The policy file of [`Running::send_mail`].
const CONFIG: &str = "/etc/pam_mfa/mail.toml";

/// The certificate of who signs [`SERVER_NAME`]'s.
pub const AUTHORITY: &str = "/root/tls/authority.pem";

/// The name in the servers' certificate.
pub const SERVER_NAME: &str = "mail.example.org";

/// Another name of theirs.
pub const OTHER_NAME: &str = "other.example.org";

/// What the servers want to hear of user `mfa`.
pub const PASSWORD: &str = "correct horse";

/// The code in every letter.
pub const CODE: &str = "042195";

/// What came of a letter.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Why it was not sent, and what to do about it.
    pub error: Option<(String, String)>,
    /// How long that took.
    pub took: Duration,
}

/// What a server took.
#[derive(Debug, Deserialize)]
pub struct Received {
    /// Of the envelope.
    pub sender: String,
    /// Of the envelope.
    pub recipients: Vec<String>,
    /// Whether it came through TLS.
    pub encrypted: bool,
    /// Who logged in.
    pub user: String,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The text, decoded.
    pub body: String,
    /// Whether all of it was ASCII on the way.
    pub ascii: bool,
}

impl Received {
    /// The value of the one header of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let (Some((_, value)), None) = (found.next(), found.next()) else {
            panic!("not one {name} in {:#?}", self.headers)
        };
        value
    }
}

impl Host {
    /// Has servers and the verifier's mailer.
    #[must_use]
    pub fn mailer(self) -> Self {
        self.bind(cache::program("send-mail"), SEND)
            .file(SERVER, include_str!("mail/server.py"))
            .file_with_mode("/etc/pam_mfa/mail.password", format!("{PASSWORD}\n"), 0o600)
    }
}

/// A mail server, until the host ends.
#[derive(Debug)]
pub struct MailServer {
    _process: Child,
    // Holds the other end open.
    _said: BufReader<ChildStdout>,
}

impl Running {
    /// Gives the servers their names and a certificate, from an authority that is made up.
    pub fn make_certificate(&self) {
        let hosts = self.read("/etc/hosts");
        self.write("/etc/hosts", format!("{hosts}127.0.0.1 {SERVER_NAME} {OTHER_NAME}\n"));
        self.shell(&format!(
            "mkdir /root/tls; cd /root/tls
             new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
             openssl req -x509 $new -days 2 -subj /CN=Authority -keyout authority.key -out {AUTHORITY}
             openssl req $new -subj /CN={SERVER_NAME} -keyout key.pem -out request.pem
             echo subjectAltName=DNS:{SERVER_NAME} > extensions
             openssl x509 -req -in request.pem -CA {AUTHORITY} -CAkey authority.key -CAcreateserial \
                 -days 2 -extfile extensions -out certificate.pem"
        ));
    }

    /// Starts a server of this kind (`src/mail/server.py` has them all) on a port of its own.
    #[track_caller]
    pub fn mail_server(&self, kind: &str, port: u16) -> MailServer {
        let port = port.to_string();
        let (certificate, key) = ("/root/tls/certificate.pem", "/root/tls/key.pem");
        let mut command = self.command(&["python3", SERVER, kind, &port, certificate, key]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the {kind} server does not listen");
        MailServer { _process: process, _said: said }
    }

    /// Sends a letter with a code, by a policy whose section `[email]` has these lines.
    #[track_caller]
    pub fn send_mail(&self, email: &str, to: &str) -> Sent {
        self.write(CONFIG, format!("[email]\nfrom = \"mfa@example.org\"\n{email}\n"));
        let said = self.run(&[SEND, CONFIG, to]).ok();
        serde_json::from_str(&said).unwrap()
    }

    /// The same where many are under way.
    pub fn mail_command(&self, config: &str, email: &str, to: &str) -> Command {
        self.write(config, format!("[email]\nfrom = \"mfa@example.org\"\n{email}\n"));
        self.command(&[SEND, config, to])
    }

    /// What the servers took so far.
    pub fn received(&self) -> Vec<Received> {
        if !self.path(RECEIVED).exists() {
            return Vec::new();
        }
        self.read(RECEIVED).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
