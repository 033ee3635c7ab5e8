//! What is written in a mail: a code, or a notice, and by what the reader can tell who asked for it.
//!
//! Plain text and no link: who gets used to following links from such mails is led astray by the next
//! one, which is somebody else's. The subject has no code in it, since a locked phone shows subjects.

use mfa_protocol::Secret;
use mfa_protocol::escape::is_unsafe;
use mfa_protocol::mail::{Route, Task};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::address::Address;

/// Characters that are shown of a text from outside.
const LONGEST_TEXT: usize = 64;

/// At what a mail is sent.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// This host's name.
    pub host: &'a str,
    /// Whose second factor it is about.
    pub user: &'a str,
    /// What they log in to: `sshd`, or `mfa-setup`.
    pub service: &'a str,
    /// From where.
    pub source: &'a str,
    /// When, in seconds since the Unix epoch.
    pub now: u64,
}

/// A mail to one address.
#[derive(Debug)]
pub struct Letter {
    to: Address,
    subject: String,
    body: Secret,
    /// The code in it, which no error may quote.
    code: Secret,
    host: String,
    now: u64,
}

impl Letter {
    /// A code that lets in.
    #[must_use]
    pub fn login_code(to: &Address, code: &Secret, lifetime: u64, at: &Occasion) -> Self {
        let host = shown(at.host);
        let body = format!(
            "{code} is the code for a login to {host}.\n\n{facts}\n\
             It is good once, for {lifetime}. Nobody has any reason to ask you for it.\n\n\
             If it was not you who asked for it, then somebody has come as far as this\n\
             question and may know your password: change it, and tell an administrator.\n",
            code = code.expose_str().unwrap_or_default(),
            facts = facts(at),
            lifetime = lifetime_in_words(lifetime),
        );
        Self::new(to, format!("Login to {host}"), body, code.clone(), at)
    }

    /// A code that shows that mail to this address is read by who gives it.
    #[must_use]
    pub fn address_code(to: &Address, code: &Secret, lifetime: u64, at: &Occasion) -> Self {
        let host = shown(at.host);
        let body = format!(
            "{code} confirms this address for logins to {host}.\n\n{facts}\n\
             It is good once, for {lifetime}. From then on codes for logins come here.\n\n\
             If it was not you who gave this address, do nothing: without the code it\n\
             is not used.\n",
            code = code.expose_str().unwrap_or_default(),
            facts = facts(at),
            lifetime = lifetime_in_words(lifetime),
        );
        Self::new(to, format!("Your address for logins to {host}"), body, code.clone(), at)
    }

    /// Something that the owner of a second factor should know.
    #[must_use]
    pub fn notice(to: &Address, what: &str, at: &Occasion) -> Self {
        let host = shown(at.host);
        let body = format!(
            "{what}\n\n{facts}\nIf it was not you, tell the administrator of {host} at once.\n",
            what = harmless(what),
            facts = facts(at),
        );
        Self::new(to, format!("Your second factor on {host}"), body, Secret::default(), at)
    }

    fn new(to: &Address, subject: String, body: String, code: Secret, at: &Occasion) -> Self {
        let host = host_in_headers(at.host).to_owned();
        Self { to: to.clone(), subject, body: body.into(), code, host, now: at.now }
    }

    /// To whom it goes.
    #[must_use]
    pub fn to(&self) -> &Address {
        &self.to
    }

    /// What is in it.
    #[must_use]
    pub fn body(&self) -> &Secret {
        &self.body
    }

    /// Whether the text has the letter's code in it.
    pub(super) fn is_told_by(&self, text: &str) -> bool {
        self.code.expose_str().is_some_and(|code| !code.is_empty() && text.contains(code))
    }

    /// What `mfa-mail` is told.
    pub(super) fn task(&self, from: &Address, route: Route) -> Task {
        Task {
            route,
            from: from.to_string(),
            to: self.to.to_string(),
            subject: self.subject.clone(),
            body: self.body.clone(),
            host: self.host.clone(),
            now: self.now,
        }
    }
}

fn facts(at: &Occasion) -> String {
    format!(
        "    User:     {}\n    Service:  {}\n    From:     {}\n    Time:     {}\n",
        shown(at.user),
        shown(at.service),
        shown(at.source),
        time_in_words(at.now),
    )
}

/// Text from outside, on one line and no longer than somebody reads.
fn shown(text: &str) -> String {
    let text = harmless(text);
    if text.chars().count() <= LONGEST_TEXT {
        return text;
    }
    text.chars().take(LONGEST_TEXT).chain("...".chars()).collect()
}

/// A person reads this and no program: what could leave its place on the line need not be told apart.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '?' } else { c }).collect()
}

/// A host may be called anything; a message id and a greeting take only a name.
fn host_in_headers(host: &str) -> &str {
    if Address::parse(&format!("x@{host}")).is_ok() { host } else { "localhost" }
}

fn time_in_words(now: u64) -> String {
    i64::try_from(now)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.replace('T', " ").replace('Z', " UTC"))
}

fn lifetime_in_words(seconds: u64) -> String {
    match seconds.div_ceil(60) {
        0 | 1 => "a minute".to_owned(),
        minutes if minutes >= 120 && minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(host: &'a str, user: &'a str) -> Occasion<'a> {
        // 2026-11-22 13:03:43 UTC, by `date -u -d @1795352623`.
        Occasion { host, user, service: "sshd", source: "192.0.2.7", now: 1_795_352_623 }
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// What is sent of it.
    fn task(letter: &Letter) -> Task {
        letter.task(&address("mfa@example.org"), Route::Program("/usr/sbin/sendmail".into()))
    }

    fn body(task: &Task) -> &str {
        task.body.expose_str().unwrap()
    }

    fn code_for(at: &Occasion) -> Letter {
        Letter::login_code(&address("alice@example.org"), &"042195".into(), 300, at)
    }

    #[test]
    fn a_letter_says_for_what_its_code_is_and_who_asked_from_where() {
        let task = task(&code_for(&at("wonder.example.org", "alice")));
        assert_eq!(
            (task.from.as_str(), task.to.as_str()),
            ("mfa@example.org", "alice@example.org")
        );
        assert_eq!(task.subject, "Login to wonder.example.org");
        assert_eq!((task.host.as_str(), task.now), ("wonder.example.org", 1_795_352_623));
        let body = body(&task);
        assert!(body.starts_with("042195 is the code for a login to wonder.example.org.\n"));
        for fact in ["alice", "sshd", "192.0.2.7", "2026-11-22 13:03:43 UTC", "5 minutes"] {
            assert!(body.contains(fact), "{fact}: {body}");
        }
        assert!(!body.contains("://") && !body.contains("www."), "{body}");
    }

    #[test]
    fn nothing_that_comes_from_outside_makes_a_header_or_a_line() {
        let hostile = "a\r\nBcc: eve@example.org\r\n\r\nClick\u{2028}\u{202e}here\0%0d%0aX: y";
        let at =
            Occasion { host: hostile, user: hostile, service: hostile, source: hostile, now: 0 };
        let to = address("alice@example.org");
        for letter in [
            code_for(&at),
            Letter::address_code(&to, &"1".into(), 7200, &at),
            Letter::notice(&to, hostile, &at),
        ] {
            let task = task(&letter);
            assert!(!task.subject.contains(is_unsafe), "{:?}", task.subject);
            // In the message's id and the greeting.
            assert_eq!(task.host, "localhost");
            let body = body(&task);
            assert!(!body.contains(['\r', '\0', '\u{2028}', '\u{202e}']), "{body:?}");
            assert!(!body.contains("\nBcc") && !body.contains("\nClick"), "{body}");
        }
    }

    #[test]
    fn an_address_is_confirmed_and_a_notice_given_in_other_words() {
        let to = address("alice@example.org");
        let at = at("wonder", "alice");
        let confirms = task(&Letter::address_code(&to, &"123456".into(), 7_200, &at));
        let text = body(&confirms);
        assert!(text.starts_with("123456 confirms this address for logins to wonder."), "{text}");
        assert!(text.contains("2 hours"), "{text}");
        let notice = task(&Letter::notice(&to, "A device was added: \"phone\".", &at));
        let text = body(&notice);
        assert!(text.starts_with("A device was added: \"phone\".\n"), "{text}");
    }

    #[test]
    fn neither_code_nor_text_is_shown_by_debug() {
        let shown = format!("{:?}", code_for(&at("wonder", "alice")));
        assert!(!shown.contains("042195"), "{shown}");
    }
}
