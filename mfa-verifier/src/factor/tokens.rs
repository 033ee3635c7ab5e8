//! Access tokens: what a script gives where a person gives a code.
//!
//! A token is [`PREFIX`] and 160 random bits in base32, shown as
//! `mfatok-xxxxxxxx-xxxxxxxx-xxxxxxxx-xxxxxxxx`. The prefix has a letter that backup codes do not
//! have ("o" looks like a zero), and digits alone are a device's code; so the shape tells them apart.
//! Kept is SHA-256: a slow hash hinders the guessing of what people choose, and there is nothing to
//! guess among 2¹⁶⁰.

use std::net::IpAddr;

use base32::Alphabet::Rfc4648Lower;
use mfa_protocol::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::record::Token;

/// What every token begins with.
pub const PREFIX: &str = "mfatok";

/// Random bytes of a token.
const BYTES: usize = 20;

/// Characters of a token behind its prefix, without dashes.
const LENGTH: usize = 32;

/// Characters of a group.
const GROUP: usize = 8;

/// The hash that is kept of a token.
pub type Hash = [u8; BYTES];

/// Why a token that is right is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfScope {
    /// It has ended.
    Expired,
    /// It is not for where it was given from.
    Source,
    /// It is not for the service.
    Service,
}

/// A new token: as it is shown, this once, and its hash.
pub fn new_token() -> Result<(Secret, Hash), getrandom::Error> {
    let mut random = Zeroizing::new([0u8; BYTES]);
    getrandom::fill(random.as_mut_slice())?;
    let text = base32::encode(Rfc4648Lower { padding: false }, random.as_slice());
    let mut plain = Zeroizing::new(String::with_capacity(PREFIX.len() + LENGTH));
    plain.push_str(PREFIX);
    plain.push_str(&Zeroizing::new(text));
    Ok((as_shown(&plain), hash(&plain)))
}

/// Whether `plain` (small letters, no dashes) can be a token.
#[must_use]
pub fn has_shape(plain: &str) -> bool {
    plain.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == LENGTH && rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
    })
}

/// The hash that is kept of a token.
#[must_use]
pub fn hash(plain: &str) -> Hash {
    let digest: [u8; 32] = Sha256::digest(plain.as_bytes()).into();
    digest.first_chunk().copied().unwrap_or_default()
}

/// The place of the token with this hash. Takes the same time wherever it is.
#[must_use]
pub fn position(tokens: &[Token], hash: &Hash) -> Option<usize> {
    let mut found = None;
    for (index, token) in tokens.iter().enumerate() {
        if bool::from(token.hash.ct_eq(hash)) {
            found = Some(index);
        }
    }
    found
}

impl Token {
    /// Whether it is good for `service`, from this address: none is in no network.
    pub fn admit(&self, now: u64, from: Option<IpAddr>, service: &str) -> Result<(), OutOfScope> {
        let is_in_a_network =
            || from.is_some_and(|from| self.networks.iter().any(|net| net.contains(from)));
        if now >= self.expires {
            Err(OutOfScope::Expired)
        } else if !self.networks.is_empty() && !is_in_a_network() {
            Err(OutOfScope::Source)
        } else if !self.services.is_empty() && !self.services.iter().any(|name| name == service) {
            Err(OutOfScope::Service)
        } else {
            Ok(())
        }
    }
}

fn as_shown(plain: &str) -> Secret {
    let mut shown = Vec::with_capacity(PREFIX.len() + LENGTH + LENGTH / GROUP);
    let (prefix, rest) = plain.split_at_checked(PREFIX.len()).unwrap_or((plain, ""));
    shown.extend_from_slice(prefix.as_bytes());
    for group in rest.as_bytes().chunks(GROUP) {
        shown.push(b'-');
        shown.extend_from_slice(group);
    }
    Secret::new(shown)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::OutOfScope::{Expired, Service, Source};
    use super::*;
    use crate::factor::Typed;
    use crate::record::Network;
    use mfa_protocol::backup_code;

    /// A token called "backup" of this hash, good for a day after `NOW`, everywhere.
    pub(crate) fn token(hash: Hash) -> Token {
        Token {
            name: "backup".to_owned(),
            hash,
            made: NOW,
            expires: NOW + 86_400,
            networks: Vec::new(),
            services: Vec::new(),
            last_used: None,
        }
    }

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_token_as_it_is_shown_is_found_by_its_hash_and_no_other_is() {
        let (shown, hash) = new_token().unwrap();
        let tokens = [token(new_token().unwrap().1), token(hash)];
        for answer in [
            shown.expose_str().unwrap().to_owned(),
            shown.expose_str().unwrap().to_uppercase().replace('-', " "),
            shown.expose_str().unwrap().replace('-', ""),
        ] {
            let Typed::Token(plain) = Typed::of(answer.as_bytes()) else { panic!("{answer}") };
            assert_eq!(position(&tokens, &super::hash(&plain)), Some(1));
        }
        assert_eq!(position(&tokens[..1], &hash), None);
    }

    #[test]
    fn the_hash_is_sha_256_cut_to_160_bits() {
        // From `printf mfatokaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | sha256sum`.
        let expected = u128::from_str_radix("93e854bc9f30abefcae7b53b52c4aec0", 16).unwrap();
        let hash = hash(&format!("{PREFIX}{}", "a".repeat(32)));
        assert_eq!(hash[..16], expected.to_be_bytes());
        assert_eq!(hash[16..], 0x4c7e_84dc_u32.to_be_bytes());
    }

    #[test]
    fn a_token_has_160_bits_and_can_be_taken_for_nothing_else() {
        let (shown, _) = new_token().unwrap();
        let text = shown.expose_str().unwrap();
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(groups[0], PREFIX);
        assert_eq!(groups[1..].iter().map(|group| group.len()).collect::<Vec<_>>(), [8; 4]);
        // 32 characters of five bits.
        assert_eq!(groups[1..].concat().len() * 5, 160);
        assert!(PREFIX.bytes().any(|byte| !backup_code::ALPHABET.contains(&byte)));
        for other in [&text[..text.len() - 1], &text[1..], &text.replace("mfatok", "mfatak")] {
            assert!(matches!(Typed::of(other.as_bytes()), Typed::Misshapen), "{other}");
        }
    }

    #[test]
    fn a_token_is_good_within_its_time_its_networks_and_its_services() {
        let net = |text: &str| Network::from(text.parse::<ipnet::IpNet>().unwrap());
        let here = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let scoped = Token {
            networks: vec![net("192.0.2.0/24"), net("2001:db8::/32")],
            services: vec!["sshd".to_owned(), "su".to_owned()],
            ..token([0; 20])
        };
        for (now, from, service, expected) in [
            (NOW, here("192.0.2.7"), "sshd", Ok(())),
            (NOW, here("::ffff:192.0.2.7"), "su", Ok(())),
            (NOW, here("2001:db8:1::7"), "sshd", Ok(())),
            (NOW + 86_399, here("192.0.2.7"), "sshd", Ok(())),
            (NOW + 86_400, here("192.0.2.7"), "sshd", Err(Expired)),
            (NOW, here("192.0.3.7"), "sshd", Err(Source)),
            (NOW, here("2001:db9::7"), "sshd", Err(Source)),
            (NOW, None, "sshd", Err(Source)),
            (NOW, here("192.0.2.7"), "sudo", Err(Service)),
            (NOW, here("192.0.2.7"), "ssh", Err(Service)),
        ] {
            assert_eq!(scoped.admit(now, from, service), expected, "{now} {from:?} {service}");
        }
        assert_eq!(token([0; 20]).admit(NOW, None, "anything"), Ok(()));
    }
}
