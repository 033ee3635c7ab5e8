//! How large a record may become, and what gives way. Pure.
//!
//! A login must never fail because a record has no room for what the login has to note. So whatever is
//! made on purpose (a device, a token) is refused where it would leave too little room for all that
//! logins and changes may add to it; and what is of use only for a while gives way.

use crate::factor::mail_code::MailCodes;
use crate::record::{
    Alteration, Altered, BackupCode, Bypass, Invitation, MAX_ALTERATIONS, MAX_LABEL, MAX_SOURCES,
    MovingFactor, RecordError, SourceState, TimeCandidate, Use, UserRecord,
};
use crate::source::Source;

/// A time whose encoding is as long as that of any until the year 3058.
const SOME_TIME: u64 = u32::MAX as u64;

const SOME_USE: Option<Use> = Some(Use { at: SOME_TIME, from: Source::V6([0xff; 8]) });

impl UserRecord {
    /// Whether there is room for all that may become of it without another device or token. Remembered
    /// logins do not count: they give way.
    #[must_use]
    pub fn has_room(&self) -> bool {
        grown(self).encode().is_ok()
    }

    /// Takes up an invitation in place of the one before, to which remembered logins give way. Whether there is
    /// room for it; else the record is not to be saved.
    pub fn invite(&mut self, invitation: Invitation) -> bool {
        self.invitation = Some(invitation);
        self.fit();
        self.invitation.is_some()
    }

    /// The same of a bypass code.
    pub fn grant(&mut self, bypass: Bypass) -> bool {
        self.bypass = Some(bypass);
        self.fit();
        self.bypass.is_some()
    }

    /// Drops what is worth least until it can be kept: remembered logins, the oldest first; then an
    /// invitation and a bypass code, which root can make anew; then sources, those that were silent longest first; then
    /// notices, the latest first. Never devices, codes or tokens. Of a record that
    /// [`Self::has_room`] nothing is dropped but remembered logins.
    pub fn fit(&mut self) {
        // Without these the largest record there can be is far below the bound.
        let addressed = self.devices.iter().any(|device| device.address().is_some());
        if self.tokens.is_empty() && self.remembered.is_empty() && !addressed {
            return;
        }
        while self.encode().is_err_and(|error| error == RecordError::TooLarge) {
            let sources = &mut self.lockout.sources;
            if !self.remembered.is_empty() {
                self.remembered.remove(0);
            } else if self.invitation.take().is_some() || self.bypass.take().is_some() {
                // Gone.
            } else if let Some(silent) = longest_silent(sources) {
                sources.remove(silent);
            } else if self.alterations.pop().is_none() {
                return;
            }
        }
    }
}

fn longest_silent(sources: &[SourceState]) -> Option<usize> {
    let sources = sources.iter().enumerate();
    sources.min_by_key(|(_, state)| state.last_seen).map(|(index, _)| index)
}

/// The record with everything noted in it that can be, each as long as it can be.
fn grown(record: &UserRecord) -> UserRecord {
    let mut grown = UserRecord {
        next_id: u32::MAX,
        invitation: Some(Invitation { salt: [0; 16], hash: [0; 16], expires: SOME_TIME }),
        remembered: Vec::new(),
        forgotten: u32::MAX,
        mail_codes: MailCodes::longest(),
        bypass: Some(Bypass {
            salt: [0; 16],
            hash: [0; 16],
            made: SOME_TIME,
            expires: SOME_TIME,
            uses_left: u8::MAX,
        }),
        scratch_batch: Some(u64::MAX),
        ..record.clone()
    };
    for device in &mut grown.devices {
        device.moving = longest(&device.moving);
        device.last_used = SOME_USE;
        device.failures = u32::MAX;
    }
    if let Some(batch) = &mut grown.backup_codes {
        // A new batch may have more codes than this one.
        batch.codes = vec![BackupCode { hash: [0; 16], used: SOME_USE }; 10];
        batch.batch = u64::MAX;
    }
    for token in &mut grown.tokens {
        token.last_used = SOME_USE;
    }
    let lockout = &mut grown.lockout;
    (lockout.failures, lockout.counted_at, lockout.not_before) = (u32::MAX, SOME_TIME, SOME_TIME);
    let source = SourceState {
        source: Source::V6([0xff; 8]),
        last_success: Some(SOME_TIME),
        failures: u32::MAX,
        last_seen: SOME_TIME,
        not_before: SOME_TIME,
        wrong_codes: u32::MAX,
        codes_since: SOME_TIME,
    };
    lockout.sources = vec![source; MAX_SOURCES];
    let alteration = Alteration {
        at: SOME_TIME,
        again: Some(SOME_TIME),
        what: Altered::TokenRevoked,
        label: "x".repeat(MAX_LABEL),
        by_root: true,
    };
    grown.alterations = vec![alteration; MAX_ALTERATIONS];
    grown
}

fn longest(moving: &MovingFactor) -> MovingFactor {
    match moving {
        MovingFactor::Time { period, .. } => MovingFactor::Time {
            period: *period,
            last_step: Some(SOME_TIME),
            drift: i32::MIN,
            candidate: Some(TimeCandidate {
                step: SOME_TIME,
                offset: i32::MIN,
                seen: u8::MAX,
                since: SOME_TIME,
            }),
        },
        MovingFactor::Counter { .. } => {
            MovingFactor::Counter { next: u64::MAX, candidate: Some(u64::MAX) }
        }
        MovingFactor::Sent { .. } => moving.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::Method;
    use crate::factor::tokens::tests::token;
    use crate::mail::Address;
    use crate::record::tests::largest;
    use crate::record::{
        Device, MAX_DEVICES, MAX_ENCODED, MAX_REMEMBERED, MAX_SERVICE, MAX_TOKENS, Network,
        Remembered, Token,
    };
    use crate::source::Place;
    use mfa_protocol::message::Tie;

    /// A token with everything at its limit.
    fn large_token() -> Token {
        Token {
            name: "x".repeat(MAX_LABEL),
            expires: SOME_TIME,
            networks: vec![Network::V6([0xff; 16], 128); 2],
            services: vec!["x".repeat(MAX_SERVICE); 2],
            last_used: SOME_USE,
            ..token([0xff; 20])
        }
    }

    fn remembered() -> Remembered {
        Remembered {
            number: u32::MAX,
            bound_to: [0xff; 16],
            by: Tie::Session,
            service: "x".repeat(MAX_SERVICE),
            from: Place::Address([0xff; 16].into()),
            given: Method::Token,
            since: SOME_TIME,
            until: SOME_TIME,
            last_used: Some(SOME_TIME),
        }
    }

    /// [`largest`] with as many tokens as it has room for.
    fn full() -> UserRecord {
        let mut record = largest();
        while record.has_room() {
            record.tokens.push(large_token());
        }
        record.tokens.pop();
        record
    }

    fn size(record: &UserRecord) -> usize {
        record.encode().unwrap().len()
    }

    #[test]
    fn eight_devices_at_their_limits_leave_room_for_some_tokens_and_usual_ones_for_eight_of_all() {
        let record = full();
        println!("{} tokens, {} bytes", record.tokens.len(), size(&record));
        assert!((3..MAX_TOKENS).contains(&record.tokens.len()), "{}", record.tokens.len());
        let mut usual = largest();
        for device in &mut usual.devices {
            device.label = "authenticator".to_owned();
            device.key = mfa_protocol::Secret::new(vec![0xff; 20]);
        }
        for alteration in &mut usual.alterations {
            alteration.label = "authenticator".to_owned();
        }
        usual.tokens = vec![Token { name: "nightly backup".to_owned(), ..large_token() }; 4];
        let here = Token { networks: vec![Network::V4([10, 0, 0, 0], 8)], ..token([0; 20]) };
        usual.tokens.extend(vec![Token { services: vec!["sshd".to_owned()], ..here }; 4]);
        assert_eq!((usual.devices.len(), usual.tokens.len()), (MAX_DEVICES, MAX_TOKENS));
        assert!(usual.has_room());
        usual.remembered =
            vec![Remembered { service: "sshd".to_owned(), ..remembered() }; MAX_REMEMBERED];
        println!("the usual ones and eight remembered logins, {} bytes", size(&usual));
        usual.fit();
        assert_eq!(usual.remembered.len(), MAX_REMEMBERED);
    }

    #[test]
    fn without_tokens_and_remembered_logins_no_record_is_too_large() {
        assert!(grown(&largest()).encode().is_ok());
    }

    #[test]
    fn addresses_take_room_like_anything_else_that_is_made_on_purpose() {
        let mailbox = |length: usize| {
            let address = Address::parse(&format!("a@{}example", "d.".repeat(length / 2))).unwrap();
            Device { moving: MovingFactor::Sent { address }, ..largest().devices.remove(0) }
        };
        let usual = UserRecord { devices: vec![mailbox(30); MAX_DEVICES], ..largest() };
        assert!(usual.has_room());
        let mut record = UserRecord { devices: Vec::new(), ..largest() };
        while record.has_room() {
            record.devices.push(mailbox(230));
        }
        println!("{} devices with the longest addresses are too many", record.devices.len());
        record.devices.pop();
        record.remembered = vec![remembered(); MAX_REMEMBERED];
        record.fit();
        assert!(size(&record) <= MAX_ENCODED);
        assert!(grown(&record).encode().is_ok());
    }

    #[test]
    fn what_has_room_can_grow_as_far_as_it_may_and_still_be_kept() {
        let grown = grown(&full());
        assert!(size(&grown) <= MAX_ENCODED);
        // Nothing of what can be in a record was overlooked.
        assert!(size(&grown) >= size(&full()));
        let more = UserRecord { tokens: [&grown.tokens[..], &[large_token()]].concat(), ..grown };
        assert!(!more.has_room());
    }

    #[test]
    fn remembered_logins_give_way_the_oldest_first_and_nothing_else_does() {
        let mut record = full();
        record.remembered = (1..=8).map(|number| Remembered { number, ..remembered() }).collect();
        assert_eq!(record.remembered.len(), MAX_REMEMBERED);
        assert!(record.encode().is_err());
        record.fit();
        assert!(size(&record) <= MAX_ENCODED);
        let left: Vec<u32> = record.remembered.iter().map(|login| login.number).collect();
        assert!(!left.contains(&1) && left.iter().is_sorted(), "{left:?}");
        assert_eq!(UserRecord { remembered: vec![], ..record }.encode(), full().encode());
    }

    /// Fills it to the last byte.
    fn pad(record: &mut UserRecord) {
        while record.encode().is_ok() {
            record.alterations[0].label.push('x');
        }
        record.alterations[0].label.pop();
    }

    #[test]
    fn remembered_logins_give_way_to_an_invitation_and_nothing_else_does() {
        let mut record = UserRecord { invitation: None, ..full() };
        record.remembered = vec![Remembered { service: "su".to_owned(), ..remembered() }; 8];
        record.fit();
        let before = record.remembered.len();
        pad(&mut record);
        let invitation = || Invitation { salt: [1; 16], hash: [2; 16], expires: SOME_TIME };
        assert!(record.invite(invitation()));
        assert!(size(&record) <= MAX_ENCODED);
        assert_eq!(record.remembered.len() + 1, before);
        (record.remembered, record.invitation) = (Vec::new(), None);
        pad(&mut record);
        assert!(!record.invite(invitation()));
        assert_eq!(record.lockout.sources.len(), MAX_SOURCES);
    }

    #[test]
    fn what_has_room_has_it_for_a_bypass_code_to_which_remembered_logins_give_way() {
        let mut record = UserRecord { bypass: None, ..full() };
        while record.has_room() {
            record.tokens[0].name.push('x');
        }
        record.tokens[0].name.pop();
        let bypass = largest().bypass.unwrap();
        let grown = UserRecord { bypass: Some(bypass.clone()), ..grown(&record) };
        assert_eq!(size(&grown), MAX_ENCODED);
        record.remembered = vec![remembered(); MAX_REMEMBERED];
        assert!(record.grant(bypass.clone()));
        assert!(size(&record) <= MAX_ENCODED);
        assert_eq!(record.tokens, grown.tokens);
        // Into a record that was filled otherwise it does not go; that one is not to be saved.
        record.tokens = vec![large_token(); MAX_TOKENS];
        assert!(!record.grant(bypass));
    }

    #[test]
    fn a_record_that_was_filled_otherwise_loses_what_can_be_had_again_but_no_factor() {
        let mut record = full();
        let key = |record: &UserRecord| record.devices[7].key.expose().to_vec();
        record.lockout.sources[3].last_seen = 5;
        let devices = record.devices.len();
        while record.encode().is_ok() {
            record.tokens.push(large_token());
        }
        // To have dropped the invitation is not enough.
        record.tokens.push(large_token());
        let tokens = record.tokens.len();
        record.fit();
        assert!(size(&record) <= MAX_ENCODED);
        assert_eq!((record.devices.len(), record.tokens.len()), (devices, tokens));
        assert_eq!(key(&record), key(&full()));
        assert_eq!(record.backup_codes, full().backup_codes);
        assert_eq!(record.invitation, None);
        assert!(record.lockout.sources.iter().all(|state| state.last_seen != 5));
        assert_eq!(record.alterations.len(), MAX_ALTERATIONS);
    }

    #[test]
    fn a_record_that_fits_stays_as_it_is() {
        let mut record = largest();
        let before = record.encode().unwrap();
        record.fit();
        assert_eq!(record.encode().unwrap(), before);
    }
}
