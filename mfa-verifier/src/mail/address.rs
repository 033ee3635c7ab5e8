//! Addresses: narrower than RFC 5321 allows, because one becomes an argument of a program, a line of
//! a protocol and a header, and what reads it there may be a shell script.

use std::fmt;

use mfa_protocol::escape::escape;
use serde::{Deserialize, Serialize};

/// Bytes of an address: RFC 5321 (4.5.3.1.3) allows a path 256, and two are its brackets.
const LONGEST: usize = 254;

/// Bytes before the `@`: RFC 5321 (4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

/// Bytes of one label of a domain: RFC 1035 (2.3.4).
const LONGEST_LABEL: usize = 63;

/// What stands for the user's name.
const USER: &str = "{user}";

/// An address that mail can be sent to, or come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// The addresses of all users of a host: `{user}@example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Too long as a whole.
    #[error("it has more than {LONGEST} characters")]
    Long,
    /// Letters that are not ASCII, spaces, control characters, quotes.
    #[error("letters, digits and a few signs of ASCII are all that may stand in it")]
    Character,
    /// None, or more than one.
    #[error("it must have exactly one @")]
    At,
    /// What stands before the `@`.
    #[error(
        "before the @ there must be 1 to {LONGEST_LOCAL} characters, none of \"%!/|\" among them, \
             without \"-\" at the beginning and without a dot at either end or beside another"
    )]
    Local,
    /// What stands behind the `@`.
    #[error("behind the @ there must be the name of a host or domain")]
    Domain,
    /// A template without the user's name would send everybody's codes to one mailbox.
    #[error("{USER} must stand in it once, before the @")]
    Template,
    /// A name that means something else in an address.
    #[error(
        "a user name may be put into it that has nothing but small letters, digits, \".\", \"_\" and \
             \"-\", and begins with none of \".\" and \"-\""
    )]
    User,
}

impl Address {
    /// The text, if it is an address.
    ///
    /// # Errors
    /// What it lacks.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > LONGEST {
            return Err(AddressError::Long);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\(),:;<>[]".contains(&byte)) {
            return Err(AddressError::Character);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::At)?;
        if domain.contains('@') {
            return Err(AddressError::At);
        }
        if !is_local(local) {
            return Err(AddressError::Local);
        }
        if !domain.split('.').all(is_label) {
            return Err(AddressError::Domain);
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5322's dot-atom without what mail systems take for a route (`%`, `!`), a file or a program (`/`,
/// `|`), a shell for its own, and their command lines for an option.
fn is_local(local: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+=#&'*?^~".contains(&byte);
    (1..=LONGEST_LOCAL).contains(&local.len())
        && !local.starts_with('-')
        && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(plain))
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| not_an_address(&text, error))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl Template {
    /// The text, if a user's name makes an address of it.
    ///
    /// # Errors
    /// What it lacks.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let template = Self(text.to_owned());
        let local = text.split('@').next().unwrap_or_default();
        if text.matches(USER).count() != 1 || !local.contains(USER) {
            return Err(AddressError::Template);
        }
        template.fill("user")?;
        Ok(template)
    }

    /// This user's address.
    ///
    /// # Errors
    /// Where the name would mean something else in an address, or makes it too long.
    pub fn fill(&self, user: &str) -> Result<Address, AddressError> {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if user.is_empty() || user.starts_with(['.', '-']) || !user.bytes().all(plain) {
            return Err(AddressError::User);
        }
        Address::parse(&self.0.replace(USER, user))
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| not_an_address(&text, error))
    }
}

fn not_an_address(text: &str, error: AddressError) -> String {
    format!("\"{}\" is no address to send mail to: {error}", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_taken() {
        let local = "l".repeat(64);
        let long = format!("{local}@{0}.{0}.{1}", "d".repeat(63), "d".repeat(61));
        assert_eq!(long.len(), 254);
        for text in [
            "alice@example.org",
            "Alice.Liddell+mfa@mail.example.co.uk",
            "o'brien@example.org",
            "a_b-c@xn--bcher-kva.example",
            "root@localhost",
            "7@192-0-2-7.example",
            &long,
        ] {
            assert_eq!(
                Address::parse(text).map(|address| address.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_could_be_a_header_an_option_a_route_or_a_program_is_refused() {
        use AddressError::{At, Character, Domain, Local, Long};
        let rows = [
            ("", At),
            ("alice", At),
            ("a@b@c", At),
            ("a@b\r\nBcc: x@y", Character),
            ("a\n@b", Character),
            ("a@b\0", Character),
            ("a\t@b", Character),
            ("a b@c", Character),
            ("a\u{2028}@b", Character),
            ("a@b\u{0085}", Character),
            ("\u{202e}a@b", Character),
            ("ａ@example.org", Character),
            ("a@bücher.example", Character),
            ("\"a\"@b", Character),
            ("a\\@b", Character),
            ("a@[192.0.2.7]", Character),
            ("<a@b>", Character),
            ("a@b,c", Character),
            ("a:b@c", Character),
            ("(x)a@b", Character),
            ("-oQ/tmp@b", Local),
            ("-f@b", Local),
            ("/etc/passwd@b", Local),
            ("|sh@b", Local),
            ("a%other.example@b", Local),
            ("other.example!a@b", Local),
            ("`id`@b", Local),
            ("$HOME@b", Local),
            ("{a}@b", Local),
            (".a@b", Local),
            ("a.@b", Local),
            ("a..b@c", Local),
            ("@b", Local),
            ("a@", Domain),
            ("a@.b", Domain),
            ("a@b.", Domain),
            ("a@b..c", Domain),
            ("a@-b", Domain),
            ("a@b-", Domain),
            ("a@b_c", Domain),
            ("a@b/c", Domain),
        ];
        for (text, error) in rows {
            assert_eq!(Address::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Address::parse(&format!("{}@b", "l".repeat(65))), Err(Local));
        assert_eq!(Address::parse(&format!("a@{}", "d".repeat(64))), Err(Domain));
        assert_eq!(Address::parse(&format!("a@{}", "d.".repeat(126))), Err(Domain));
        assert_eq!(Address::parse(&format!("a@{}d", "d.".repeat(127))), Err(Long));
    }

    #[test]
    fn a_users_name_fills_the_template_and_cannot_leave_its_place() {
        let template = Template::parse("{user}@example.org").unwrap();
        for user in ["alice", "a.b_c-7", "0", "_apt", "a-"] {
            let filled = template.fill(user).unwrap();
            assert_eq!(filled.as_str(), format!("{user}@example.org"));
        }
        for user in [
            "",
            "-oQ",
            ".a",
            "Alice",
            "a b",
            "a@b",
            "a+b",
            "a%b",
            "a\nb",
            "a\0",
            "ä",
            "a\u{2029}",
            "a'b",
            "../x",
            "{user}",
            "EXAMPLE\\alice",
            "alice@example.org",
            "a$",
        ] {
            assert_eq!(template.fill(user), Err(AddressError::User), "{user:?}");
        }
        assert_eq!(template.fill("a."), Err(AddressError::Local));
        assert_eq!(template.fill("a..b"), Err(AddressError::Local));
        assert_eq!(template.fill(&"a".repeat(65)), Err(AddressError::Local));
    }

    #[test]
    fn a_template_has_the_name_once_and_before_the_at() {
        assert!(Template::parse("host+{user}@example.org").is_ok());
        for text in
            ["all@example.org", "{user}{user}@b", "x@{user}.example.org", "{user}@b@{user}", ""]
        {
            assert_eq!(Template::parse(text), Err(AddressError::Template), "{text:?}");
        }
        assert_eq!(Template::parse("{user}"), Err(AddressError::At));
        assert_eq!(Template::parse("{name}{user}@b"), Err(AddressError::Local));
        assert_eq!(Template::parse("-{user}@b"), Err(AddressError::Local));
        assert_eq!(Template::parse("{user}@b\r\nX: y"), Err(AddressError::Character));
    }
}
