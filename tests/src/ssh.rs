//! A person with an ssh client.

use crate::host::Running;
use crate::pty::Pty;

/// What the remote command prints when a login went through.
const GREETING: &str = "logged in as ";

/// An ssh client that is being set up; [`Ssh::open`] starts it.
#[derive(Debug)]
pub struct Ssh<'a> {
    host: &'a Running,
    user: String,
    options: Vec<String>,
    address: &'static str,
    locale: &'static str,
}

impl<'a> Ssh<'a> {
    pub(crate) fn new(host: &'a Running, user: &str) -> Self {
        let options = [
            // None of the client's own files, and only what is said here.
            "-F/dev/null",
            "-oStrictHostKeyChecking=yes",
            "-oUserKnownHostsFile=/dev/null",
            "-oIdentitiesOnly=yes",
            "-oIdentityFile=none",
        ];
        let options = options.map(str::to_owned).to_vec();
        Self { host, user: user.to_owned(), options, address: "127.0.0.1", locale: "C.UTF-8" }
    }

    /// Offers the key that [`Running::make_key`] made.
    #[must_use]
    pub fn key(self) -> Self {
        let key = format!("-oIdentityFile=/root/.ssh/id_{}", self.user);
        self.option(&key)
    }

    /// Tries only these methods of authentication: `publickey,keyboard-interactive`.
    #[must_use]
    pub fn methods(self, methods: &str) -> Self {
        self.option(&format!("-oPreferredAuthentications={methods}"))
    }

    /// Comes from another address: one of `127.0.0.0/8`, the documentation networks `192.0.2.0/24`,
    /// `198.51.100.0/24`, `203.0.113.0/24`, and `2001:db8::/32`.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        if address.contains(':') {
            self.address = "::1";
        }
        self.option(&format!("-oBindAddress={address}"))
    }

    /// The locale of the client and of its terminal.
    #[must_use]
    pub fn locale(self, locale: &'static str) -> Self {
        Self { locale, ..self }
    }

    /// Any option.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Starts it, on a terminal.
    pub fn open(self) -> Session {
        let mut argv = vec!["env".to_owned(), format!("LC_ALL={}", self.locale), "ssh".to_owned()];
        argv.extend(self.options);
        // One round of questions, unless an option said otherwise: the first one counts.
        argv.push("-oNumberOfPasswordPrompts=1".to_owned());
        argv.extend(["-l".to_owned(), self.user, self.address.to_owned()]);
        argv.push(format!("echo {GREETING}$(id -un)"));
        Session { pty: self.host.pty(&argv) }
    }
}

/// A login under way.
#[derive(Debug)]
pub struct Session {
    pty: Pty,
}

impl Session {
    /// Waits for a question and answers it.
    #[track_caller]
    pub fn answer(&mut self, question: &str, answer: &str) -> &mut Self {
        self.pty.expect(question);
        self.pty.send_line(answer);
        self
    }

    /// The terminal itself.
    pub fn pty(&mut self) -> &mut Pty {
        &mut self.pty
    }

    /// Waits for the end: who was let in, and all that was shown.
    #[track_caller]
    pub fn end(&mut self) -> Ended {
        let (code, _) = self.pty.end();
        let text = self.pty.text();
        let who = text.split(GREETING).nth(1).and_then(|rest| rest.split_whitespace().next());
        Ended { who: who.filter(|_| code == Some(0)).map(str::to_owned), text: text.clone() }
    }
}

/// How a login ended.
#[derive(Debug)]
pub struct Ended {
    /// Who was let in, if somebody was.
    pub who: Option<String>,
    /// All that the terminal showed.
    pub text: String,
}

impl Ended {
    /// The login must have gone through as `user`.
    #[track_caller]
    pub fn let_in(self, user: &str) {
        assert_eq!(self.who.as_deref(), Some(user), "{}", self.text);
    }

    /// The login must have been refused; what was shown.
    #[track_caller]
    pub fn refused(self) -> String {
        assert_eq!(self.who, None, "{}", self.text);
        assert!(self.text.contains("Permission denied"), "{}", self.text);
        self.text
    }
}
