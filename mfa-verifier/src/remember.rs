//! Logins that are remembered: what one is bound to, and for how long it stands in for a code. Pure.
//!
//! A login over the network is remembered if its owner says yes, by the public key that sshd names;
//! one by password alone only where policy says so, since whoever shares the address needs only the
//! password then. `sudo` and `su` are remembered unasked, by the login session and its terminal.
//!
//! What it is bound to is hashed together with all factors of the user, so that none outlives a change
//! of them, whoever makes it and however.

use mfa_protocol::message::{LoginRequest, RememberedLogin, Tie};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::attempt::Purpose;
use crate::config::{Methods, PolicyConfig};
use crate::factor::Method;
use crate::policy::LENT;
use crate::record::{MAX_REMEMBERED, MAX_SERVICE, Remembered, UserRecord};
use crate::session::Session;
use crate::source::{Place, Source};

/// The services of which a login session is remembered.
const BY_SESSION: [&str; 4] = ["sudo", "sudo-i", "su", "su-l"];

/// What a login is known again by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    tie: Tie,
    /// Seconds for which policy has it remembered, at this moment.
    lifetime: u64,
    /// What policy accepts in place of what is remembered, likewise.
    methods: Methods,
    service: String,
    from: Place,
    /// The keys, or who asks in which session.
    particulars: Vec<String>,
}

/// Whether it matters in which login session the face runs.
#[must_use]
pub fn is_by_session(policy: &PolicyConfig, request: &LoginRequest) -> bool {
    policy.remember_session > 0 && BY_SESSION.contains(&request.service.as_str())
}

/// Seconds for which such a login may be remembered; 0: it is not.
#[must_use]
pub fn lifetime(policy: &PolicyConfig, service: &str, source: Source) -> u64 {
    if policy.remember_session > 0 && BY_SESSION.contains(&service) {
        return policy.remember_session;
    }
    let is_from_an_address = matches!(source, Source::V4(_) | Source::V6(_));
    if is_from_an_address { policy.remember } else { 0 }
}

impl Bond {
    /// Of this login; none where it is not to be remembered. `session` is the face's, as the kernel
    /// has it.
    #[must_use]
    pub fn of(
        policy: &PolicyConfig,
        request: &LoginRequest,
        purpose: Purpose,
        session: Option<Session>,
    ) -> Option<Self> {
        let from = Place::of(&request.service, request.rhost.as_deref(), request.tty.as_deref());
        let lifetime = lifetime(policy, &request.service, from.source());
        let bond = |tie, particulars| Self {
            tie,
            lifetime,
            methods: policy.methods,
            service: request.service.clone(),
            from,
            particulars,
        };
        if is_by_session(policy, request) {
            // `mfa-setup judge` for such a service has neither, and wants a code judged.
            let (tty, caller) = (request.tty.clone()?, request.ruser.clone()?);
            let particulars = vec![session?.to_string(), tty, caller];
            return Some(bond(Tie::Session, particulars));
        }
        if lifetime == 0 || purpose != Purpose::Login {
            return None;
        }
        let keys = keys(request);
        if !keys.is_empty() {
            Some(bond(Tie::Key, keys))
        } else if policy.without_key && request.password_given {
            Some(bond(Tie::Source, keys))
        } else {
            None
        }
    }

    /// What it is bound to in this record, hashed.
    #[must_use]
    pub fn digest(&self, record: &UserRecord) -> [u8; 16] {
        let mut hash = Hash(Sha256::new());
        // What policy lends is no part of the record.
        let devices = || record.devices.iter().filter(|device| device.id != LENT);
        hash.count(devices().count());
        for device in devices() {
            hash.count(device.id as usize);
            hash.add(device.key.expose());
            hash.count(usize::from(device.disabled));
        }
        let batch = record.backup_codes.as_ref().map_or([0; 8], |codes| codes.batch.to_le_bytes());
        hash.add(&batch);
        hash.count(record.tokens.len());
        for token in &record.tokens {
            hash.add(&token.hash);
        }
        hash.count(self.tie as usize);
        hash.add(self.service.as_bytes());
        hash.add(self.from.source().to_string().as_bytes());
        for particular in &self.particulars {
            hash.add(particular.as_bytes());
        }
        let digest: [u8; 32] = hash.0.finalize().into();
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// What the person is asked; nothing where it is remembered unasked.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        let time = in_words(self.lifetime);
        (self.tie != Tie::Session).then(|| format!("Remember this login for {time}? [y/N] "))
    }
}

/// Fields whose borders are part of what is hashed.
struct Hash(Sha256);

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn count(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }
}

impl UserRecord {
    /// The place of the remembered login that stands in for a code where `bond` holds.
    ///
    /// A clock that was set back behind anything that this record has seen proves nothing about how
    /// much time has passed.
    #[must_use]
    pub fn recall(&self, bond: &Bond, now: u64) -> Option<usize> {
        let bound_to = bond.digest(self);
        let found = self.remembered.iter().position(|login| {
            let is_this = bool::from(login.bound_to.ct_eq(&bound_to));
            is_this
                && bond.methods.accept(login.given)
                && (login.since..login.end(bond.lifetime)).contains(&now)
        });
        found.filter(|_| now >= self.last_seen())
    }

    /// Remembers a login at which this was given at `since`, and says until when. Where there are too many, the
    /// oldest goes. None where there is no room for it; the record is then not to be saved.
    pub fn remember(&mut self, bond: &Bond, given: Method, since: u64) -> Option<u64> {
        let bound_to = bond.digest(self);
        self.remembered.retain(|login| login.bound_to != bound_to && login.until > since);
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.remove(0);
        }
        let highest = self.remembered.iter().map(|login| login.number).max();
        self.remembered.push(Remembered {
            number: highest.unwrap_or(0).saturating_add(1),
            bound_to,
            by: bond.tie,
            service: bond.service.chars().take(MAX_SERVICE).collect(),
            from: bond.from,
            given,
            since,
            until: since.saturating_add(bond.lifetime),
            last_used: None,
        });
        self.fit();
        self.remembered.last().map(|login| login.until)
    }

    /// Forgets the one of this number, or all, and says whether there was any such. Whoever is asked meanwhile
    /// whether a login is to be remembered has no number yet that could be named, and is not remembered either.
    pub fn forget(&mut self, number: Option<u32>) -> bool {
        let meant = |login: &Remembered| number.is_none_or(|number| login.number == number);
        let found = self.remembered.iter().any(meant);
        self.remembered.retain(|login| !meant(login));
        self.forgotten = self.forgotten.wrapping_add(1);
        found
    }

    /// Forgets all of them where the clock was set back behind anything that this record has seen. What is noted
    /// next, at a time that was before, would else take the place of what shows it.
    pub fn distrust_clock(&mut self, now: u64) {
        if now < self.last_seen() {
            self.remembered.clear();
        }
    }

    /// The latest time that it has noted.
    fn last_seen(&self) -> u64 {
        let devices = self.devices.iter().filter_map(|device| device.last_used);
        let codes = self.backup_codes.iter().flat_map(|batch| &batch.codes);
        let codes = codes.filter_map(|code| code.used);
        let tokens = self.tokens.iter().filter_map(|token| token.last_used);
        let uses = devices.chain(codes).chain(tokens).map(|used| used.at);
        let sources = self.lockout.sources.iter().map(|state| state.last_seen);
        let logins = self.remembered.iter().map(|login| login.last_used.unwrap_or(login.since));
        uses.chain(sources).chain(logins).max().unwrap_or(0)
    }
}

impl Remembered {
    /// What its owner may know of it, where policy lets it stand: `policy` is what holds for such a login from
    /// where it began. What holds elsewhere in the same network makes it no longer than was promised there.
    #[must_use]
    pub fn standing(&self, policy: &PolicyConfig, now: u64) -> Option<RememberedLogin> {
        let lifetime = match self.by {
            Tie::Key => policy.remember,
            Tie::Source if policy.without_key => policy.remember,
            Tie::Source => 0,
            Tie::Session => policy.remember_session,
        };
        let until = self.end(lifetime);
        (until > now && policy.methods.accept(self.given)).then(|| RememberedLogin {
            number: self.number,
            service: self.service.clone(),
            from: self.from.source().to_string(),
            by: self.by,
            since: self.since,
            until,
            last_used: self.last_used,
        })
    }

    /// When it ends: policy shortens what was promised, and never lengthens it.
    fn end(&self, lifetime: u64) -> u64 {
        self.until.min(self.since.saturating_add(lifetime))
    }
}

/// The public keys that sshd has seen succeed, each as `TYPE BLOB`; believed of sshd alone.
fn keys(request: &LoginRequest) -> Vec<String> {
    if request.service != "sshd" {
        return Vec::new();
    }
    let methods = request.ssh_auth_info.iter().flat_map(|methods| methods.lines());
    methods
        .filter_map(|method| method.strip_prefix("publickey "))
        .filter(|key| key.split_once(' ').is_some_and(|(_, blob)| !blob.trim().is_empty()))
        .map(str::to_owned)
        .collect()
}

fn in_words(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let whole = UNITS.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "second"));
    let number = seconds / unit;
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
