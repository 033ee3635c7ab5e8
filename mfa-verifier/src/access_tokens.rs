//! Access tokens as their owner sees them: made, listed, revoked.

use mfa_protocol::Conversation;
use mfa_protocol::escape::escape;
use mfa_protocol::message::{Failure, MadeToken, NewToken, Reply, TokenStatus};

use crate::change::{alter, load};
use crate::config;
use crate::enrol::judge_text;
use crate::factor::tokens;
use crate::failure::{of_codes, usage};
use crate::record::{Altered, MAX_SCOPES, MAX_SERVICE, MAX_TOKENS, Network, Token, UserRecord};
use crate::self_service::{Intent, authorise, permit};
use crate::store::Owner;
use crate::world::World;

/// Seconds for which a token may be good: a year.
const LONGEST: u64 = 366 * 86_400;

/// Makes one, which is shown this once.
pub(crate) fn make(
    world: &World,
    owner: &Owner,
    asked: &NewToken,
    conversation: &mut dyn Conversation,
) -> Result<Reply, Failure> {
    let record = load(world, owner)?;
    let permitted = permit(world, owner, &record, Intent::Alter)?;
    let wanted = Wanted::of(&record, asked)?;
    let authority = authorise(world, owner, &record, permitted, conversation)?;
    let (secret, hash) = tokens::new_token().map_err(|error| of_codes(&error.into()))?;
    let token = wanted.token(hash, (world.now)());
    alter(world, owner, &authority, Altered::TokenMade, wanted.name, |record| {
        wanted.enter(record, token.clone())
    })?;
    let token = status(&token);
    Ok(Reply::TokenMade(Box::new(MadeToken { user: owner.name.clone(), secret, token })))
}

/// What the owner may know of each.
pub(crate) fn list(world: &World, owner: &Owner) -> Result<Reply, Failure> {
    let tokens = load(world, owner)?.tokens.iter().map(status).collect();
    Ok(Reply::Tokens { user: owner.name.clone(), tokens })
}

/// Ends one.
pub(crate) fn revoke(
    world: &World,
    owner: &Owner,
    name: &str,
    conversation: &mut dyn Conversation,
) -> Result<Reply, Failure> {
    let record = load(world, owner)?;
    let permitted = permit(world, owner, &record, Intent::Alter)?;
    find(&record, name)?;
    let authority = authorise(world, owner, &record, permitted, conversation)?;
    alter(world, owner, &authority, Altered::TokenRevoked, name, |record| {
        let index = find(record, name)?;
        record.tokens.remove(index);
        Ok(())
    })
}

fn find(record: &UserRecord, name: &str) -> Result<usize, Failure> {
    record.tokens.iter().position(|token| token.name == name).ok_or_else(|| {
        let error = format!("there is no token \"{}\"", escape(name));
        usage(error, "see which there are: mfa-setup token list")
    })
}

/// A token that can be made, as far as can be told before anybody is asked anything.
#[derive(Debug)]
struct Wanted<'a> {
    name: &'a str,
    lifetime: u64,
    networks: Vec<Network>,
    services: Vec<String>,
}

impl<'a> Wanted<'a> {
    /// Judges what was asked for.
    fn of(record: &UserRecord, asked: &'a NewToken) -> Result<Self, Failure> {
        if !(1..=LONGEST).contains(&asked.lifetime) {
            return Err(usage("that is no time for a token", "choose up to a year: --expires 90d"));
        }
        judge_text(&asked.name, "name for a token")?;
        if asked.networks.len() > MAX_SCOPES || asked.services.len() > MAX_SCOPES {
            let error = format!("a token has at most {MAX_SCOPES} networks and as many services");
            return Err(usage(error, "make two tokens"));
        }
        let networks = asked.networks.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
        let services = asked.services.iter().map(|text| service(text)).collect::<Result<_, _>>()?;
        let wanted = Self { name: &asked.name, lifetime: asked.lifetime, networks, services };
        wanted.find_place(record)?;
        Ok(wanted)
    }

    /// Puts the token into the record as it is now.
    fn enter(&self, record: &mut UserRecord, token: Token) -> Result<(), Failure> {
        self.find_place(record)?;
        record.tokens.push(token);
        if record.has_room() { Ok(()) } else { Err(no_room()) }
    }

    fn find_place(&self, record: &UserRecord) -> Result<(), Failure> {
        if record.tokens.iter().any(|token| token.name == self.name) {
            return Err(usage(
                format!("there is a token \"{}\" already", escape(self.name)),
                "choose another name, or revoke that one first",
            ));
        }
        if record.tokens.len() >= MAX_TOKENS {
            return Err(usage(
                format!("there are {MAX_TOKENS} tokens, which is the most there can be"),
                "revoke one first: mfa-setup token revoke NAME",
            ));
        }
        Ok(())
    }

    fn token(&self, hash: tokens::Hash, now: u64) -> Token {
        Token {
            name: self.name.to_owned(),
            hash,
            made: now,
            expires: now.saturating_add(self.lifetime),
            networks: self.networks.clone(),
            services: self.services.clone(),
            last_used: None,
        }
    }
}

fn status(token: &Token) -> TokenStatus {
    TokenStatus {
        name: token.name.clone(),
        made: token.made,
        expires: token.expires,
        networks: token.networks.iter().map(ToString::to_string).collect(),
        services: token.services.clone(),
        last_used: token.last_used.map(|used| used.at),
        last_from: token.last_used.map(|used| used.from.to_string()),
    }
}

/// As policy reads them.
fn network(text: &str) -> Result<Network, Failure> {
    let network = config::network(text);
    network.map(Network::from).map_err(|error| usage(error, "write it as in: --from 10.0.0.0/8"))
}

fn service(text: &str) -> Result<String, Failure> {
    let hint = "a service is named as its file in /etc/pam.d: sshd";
    let service = config::service(text).map_err(|error| usage(error, hint))?;
    if service.len() <= MAX_SERVICE {
        Ok(service)
    } else {
        Err(usage(format!("{service:?} has more than {MAX_SERVICE} bytes"), hint))
    }
}

/// The record would have no room left for what logins note in it.
pub(crate) fn no_room() -> Failure {
    usage(
        "there is no room for it in this user's record",
        "remove a device or revoke a token that is no longer used, or choose shorter names",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::largest;

    fn asked(name: &str) -> NewToken {
        NewToken {
            name: name.to_owned(),
            lifetime: 90 * 86_400,
            networks: Vec::new(),
            services: Vec::new(),
        }
    }

    fn error(asked: &NewToken) -> String {
        Wanted::of(&UserRecord::default(), asked).unwrap_err().error
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_by_name() {
        let of = |networks: &[&str], services: &[&str]| NewToken {
            networks: networks.iter().map(ToString::to_string).collect(),
            services: services.iter().map(ToString::to_string).collect(),
            ..asked("backup")
        };
        for (wanted, expected) in [
            (NewToken { lifetime: 0, ..asked("x") }, "no time"),
            (NewToken { lifetime: 366 * 86_400 + 1, ..asked("x") }, "no time"),
            (asked(""), "no name for a token"),
            (asked("a\nb"), "no name for a token"),
            (asked(&"x".repeat(33)), "no name for a token"),
            (of(&["10.0.0.0/33"], &[]), "no network"),
            (of(&["10.0.0"], &[]), "no network"),
            (of(&["localhost"], &[]), "no network"),
            (of(&["fe80::1%eth0"], &[]), "has a scope"),
            (of(&["10.1.2.3/8"], &[]), "the network is 10.0.0.0/8"),
            (of(&["10.0.0.0/8"; 3], &[]), "at most 2 networks"),
            (of(&[], &["sshd"; 3]), "at most 2 networks and as many services"),
            (of(&[], &["ss hd"]), "no name of a PAM service"),
            (of(&[], &[""]), "no name of a PAM service"),
            (of(&[], &["!sshd"]), "no name of a PAM service"),
            (of(&[], &["x".repeat(33).as_str()]), "more than 32 bytes"),
        ] {
            assert!(error(&wanted).contains(expected), "{wanted:?}: {}", error(&wanted));
        }
    }

    #[test]
    fn networks_and_services_are_those_that_a_policy_would_mean() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), expected);
        }
        // libpam makes the letters of a service's name small.
        assert_eq!(service("SSHD").unwrap(), "sshd");
    }

    #[test]
    fn there_are_eight_of_different_names_and_no_more_than_there_is_room_for() {
        let mut record = UserRecord::default();
        for n in 0..8 {
            let asked = asked(&n.to_string());
            let wanted = Wanted::of(&record, &asked).unwrap();
            wanted.enter(&mut record, wanted.token([n; 20], 5)).unwrap();
        }
        let again = Wanted::of(&record, &asked("ninth")).unwrap_err();
        assert!(again.error.contains("8 tokens"), "{}", again.error);
        record.tokens.pop();
        let again = Wanted::of(&record, &asked("3")).unwrap_err();
        assert!(again.error.contains("already"), "{}", again.error);

        // Eight devices at their limits.
        let mut full = largest();
        let refused = (0..8).find_map(|n| {
            let long = NewToken {
                networks: vec!["2001:db8::/32".to_owned(); 2],
                services: vec!["x".repeat(MAX_SERVICE); 2],
                ..asked(&format!("{n:032}"))
            };
            let wanted = Wanted::of(&full, &long).unwrap();
            wanted.enter(&mut full, wanted.token([n; 20], 1_800_000_000)).err()
        });
        let refused = refused.unwrap();
        assert!(refused.error.contains("no room"), "{}", refused.error);
    }
}
