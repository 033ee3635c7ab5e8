//! What is written in a mail: a code, or a notice, and by what the reader can tell who asked for it.
//!
//! Plain text and no link: who gets used to following links from such mails is led astray by the next
//! one, which is somebody else's. The subject has no code in it, since a locked phone shows subjects.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use mfa_protocol::Secret;
use mfa_protocol::escape::is_unsafe;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::MailError;
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

    /// This host's name, as a protocol can bear it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the text has the letter's code in it.
    pub(super) fn is_told_by(&self, text: &str) -> bool {
        self.code.expose_str().is_some_and(|code| !code.is_empty() && text.contains(code))
    }

    /// The whole message with its headers, lines ending as on the network.
    pub(super) fn compose(&self, from: &Address) -> Result<Zeroizing<Vec<u8>>, MailError> {
        let mailbox = |address: &Address| -> Result<Mailbox, MailError> {
            let parsed = address.as_str().parse().map_err(|error| MailError::compose(&error))?;
            Ok(Mailbox::new(None, parsed))
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| MailError::compose(&error))?;
        let random = u128::from_ne_bytes(random);
        let message = lettre::Message::builder()
            .from(mailbox(from)?)
            .to(mailbox(&self.to)?)
            .subject(self.subject.as_str())
            .date(UNIX_EPOCH + Duration::from_secs(self.now.min(LATEST)))
            .message_id(Some(format!("<{random:032x}@{}>", self.host)))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            // RFC 3834: nothing answers it, not even who is on holiday.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .body(self.body.expose_str().unwrap_or_default().to_owned())
            .map_err(|error| MailError::compose(&error))?;
        Ok(Zeroizing::new(message.formatted()))
    }
}

/// The end of the year 9999, the last that a date of RFC 5322 was made for.
const LATEST: u64 = 253_402_300_799;

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

    fn text_of(letter: &Letter) -> String {
        let message = letter.compose(&address("mfa@example.org")).unwrap();
        String::from_utf8(message.to_vec()).unwrap()
    }

    /// The headers, and the rest.
    fn parts(letter: &Letter) -> (Vec<String>, String) {
        let text = text_of(letter);
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        (headers.split("\r\n").map(str::to_owned).collect(), body.to_owned())
    }

    fn code_for(at: &Occasion) -> Letter {
        Letter::login_code(&address("alice@example.org"), &"042195".into(), 300, at)
    }

    #[test]
    fn a_letter_says_for_what_its_code_is_and_who_asked_from_where() {
        let (headers, body) = parts(&code_for(&at("wonder.example.org", "alice")));
        for header in [
            "From: mfa@example.org",
            "To: alice@example.org",
            "Subject: Login to wonder.example.org",
            "Date: Sun, 22 Nov 2026 13:03:43 +0000",
            "Auto-Submitted: auto-generated",
            "Content-Type: text/plain; charset=utf-8",
            "MIME-Version: 1.0",
        ] {
            assert!(headers.iter().any(|line| line == header), "{header}: {headers:#?}");
        }
        assert!(body.starts_with("042195 is the code for a login to wonder.example.org.\r\n"));
        for fact in ["alice", "sshd", "192.0.2.7", "2026-11-22 13:03:43 UTC", "5 minutes"] {
            assert!(body.contains(fact), "{fact}: {body}");
        }
        assert!(!headers.concat().contains("042195"));
        assert!(!body.contains("://") && !body.contains("www."), "{body}");
        assert!(headers.contains(&"Content-Transfer-Encoding: 7bit".to_owned()), "{headers:#?}");
    }

    #[test]
    fn each_message_has_an_id_of_its_own() {
        let id = |letter: &Letter| {
            let (headers, _) = parts(letter);
            headers.into_iter().find(|line| line.starts_with("Message-ID: ")).unwrap()
        };
        let letter = code_for(&at("wonder.example.org", "alice"));
        assert!(id(&letter).ends_with("@wonder.example.org>"), "{}", id(&letter));
        assert_ne!(id(&letter), id(&letter));
        assert!(id(&code_for(&at("my host\r\nX: y", "alice"))).ends_with("@localhost>"));
    }

    #[test]
    fn nothing_that_comes_from_outside_makes_a_header_or_a_line() {
        let hostile = "a\r\nBcc: eve@example.org\r\n\r\nClick\u{2028}\u{202e}here\0%0d%0aX: y";
        let at =
            Occasion { host: hostile, user: hostile, service: hostile, source: hostile, now: 0 };
        let to = address("alice@example.org");
        let expected: Vec<String> = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Content-Type",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Transfer-Encoding",
        ]
        .map(str::to_owned)
        .into();
        for letter in [
            code_for(&at),
            Letter::address_code(&to, &"1".into(), 7200, &at),
            Letter::notice(&to, hostile, &at),
        ] {
            let (headers, _) = parts(&letter);
            let names: Vec<String> = headers
                .iter()
                .filter(|line| !line.starts_with(' '))
                .map(|line| line.split(':').next().unwrap().to_owned())
                .collect();
            for name in &names {
                assert!(expected.contains(name), "{headers:#?}");
            }
            assert_eq!(names.len(), expected.len(), "{headers:#?}");
            let body = letter.body.expose_str().unwrap();
            assert!(!body.contains(['\r', '\0', '\u{2028}', '\u{202e}']), "{body:?}");
            assert!(!body.contains("\nBcc") && !body.contains("\nClick"), "{body}");
        }
    }

    #[test]
    fn text_that_is_not_ascii_travels_as_ascii() {
        let letter = code_for(&at("büro", "zoë"));
        let text = text_of(&letter);
        assert!(text.is_ascii(), "{text}");
        // RFC 2047, and RFC 2045 (6.7): "ë" is c3 ab in UTF-8.
        // `printf büro | base64`
        assert!(text.contains("Subject: Login to =?utf-8?b?YsO8cm8=?="), "{text}");
        assert!(text.contains("zo=C3=AB"), "{text}");
    }

    #[test]
    fn an_address_is_confirmed_and_a_notice_given_in_other_words() {
        let to = address("alice@example.org");
        let at = at("wonder", "alice");
        let (_, body) = parts(&Letter::address_code(&to, &"123456".into(), 7_200, &at));
        assert!(body.starts_with("123456 confirms this address for logins to wonder."), "{body}");
        assert!(body.contains("2 hours"), "{body}");
        let (_, body) = parts(&Letter::notice(&to, "A device was added: \"phone\".", &at));
        assert!(body.starts_with("A device was added: \"phone\".\r\n"), "{body}");
    }

    #[test]
    fn neither_code_nor_text_is_shown_by_debug() {
        let shown = format!("{:?}", code_for(&at("wonder", "alice")));
        assert!(!shown.contains("042195"), "{shown}");
    }
}
