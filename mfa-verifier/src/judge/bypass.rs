//! Bypass codes.

use super::{Accepted, Judgement, Refusal};
use crate::config::Config;
use crate::factor::Method;
use crate::factor::bypass::Spent;
use crate::record::UserRecord;
use crate::source::Source;

/// A bypass code is what a backup code is, from somebody who has shown to the helpdesk who they are: it has its
/// budget, works while devices' codes do not, and takes the failures off.
pub(super) fn judge_bypass(
    mut record: UserRecord,
    salt: Option<[u8; 16]>,
    hash: &[u8; 16],
    source: Source,
    now: u64,
    config: &Config,
) -> (Judgement, UserRecord) {
    let rules = &config.lockout;
    let admitted = record.lockout.admit_backup_code(source, now, rules);
    let found = record.bypass.as_ref().is_some_and(|bypass| bypass.is(hash));
    let refused = |refusal, record| (Judgement::Refused(refusal), record);
    if !config.policy.methods.accept(Method::Bypass) {
        return refused(Refusal::NotAccepted, record);
    }
    if let Err(barred) = admitted {
        return refused(Refusal::Barred(barred), record);
    }
    if record.bypass.as_ref().map(|bypass| bypass.salt) != salt {
        return refused(Refusal::AnotherBatch, record);
    }
    let refusal = match record.bypass.as_mut().filter(|_| found).map(|bypass| bypass.spend(now)) {
        Some(Ok(uses_left)) => {
            record.lockout.clear_user();
            record.lockout.clear_source(source, now, rules);
            return (Judgement::Accepted(Accepted::Bypass { uses_left }), record);
        }
        Some(Err(Spent::Used)) => return refused(Refusal::Used { label: None }, record),
        Some(Err(Spent::Ended)) => Refusal::BypassEnded,
        None => Refusal::Wrong,
    };
    record.lockout.charge_backup_code(source, now, rules);
    refused(refusal, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::otp::tests::{code, device};
    use crate::factor::{Typed, bypass, codes};
    use crate::judge::{Attempt, Code, judge};
    use crate::lockout::Barred;
    use crate::record::Bypass;
    use mfa_protocol::Secret;
    use mfa_protocol::message::Algorithm;
    use zeroize::Zeroizing;

    const HOME: Source = Source::V4([192, 0, 2, 1]);
    const NOW: u64 = 1_800_000_000;
    const HOUR: u64 = 3_600;

    /// Somebody who has a phone, and the code that the helpdesk gave.
    fn given(uses: u8) -> (UserRecord, Secret) {
        let (shown, hashed) = bypass::new_code().unwrap();
        let record = UserRecord {
            devices: vec![device(b"0123456789", Algorithm::Sha1, 6)],
            backup_codes: Some(codes::new_batch(1, NOW).unwrap().0),
            bypass: Some(hashed.made(NOW, HOUR, uses)),
            ..UserRecord::default()
        };
        (record, shown)
    }

    fn attempt(record: &UserRecord, shown: &Secret) -> Attempt {
        let Typed::Bypass(plain) = Typed::of(shown.expose()) else { panic!() };
        let salt = record.bypass.as_ref().map(|bypass| bypass.salt);
        let hash = codes::hash(&plain, &salt.unwrap_or([0; 16])).unwrap();
        Attempt { code: Code::Bypass { salt, hash }, source: HOME }
    }

    fn wrong(record: &UserRecord) -> Attempt {
        let salt = record.bypass.as_ref().map(|bypass| bypass.salt);
        Attempt { code: Code::Bypass { salt, hash: [0; 16] }, source: HOME }
    }

    fn accepted(uses_left: u8) -> Judgement {
        Judgement::Accepted(Accepted::Bypass { uses_left })
    }

    fn left(record: &UserRecord) -> Option<u8> {
        record.bypass.as_ref().map(|bypass| bypass.uses_left)
    }

    #[test]
    fn a_code_lets_in_as_often_as_was_said_and_then_costs_nothing() {
        let (mut record, shown) = given(2);
        let config = Config::default();
        let attempt = attempt(&record, &shown);
        for uses_left in [1, 0] {
            let (judgement, after) = judge(record, &attempt, NOW, &config);
            assert_eq!((judgement, left(&after)), (accepted(uses_left), Some(uses_left)));
            record = after;
        }
        for _ in 0..20 {
            let (judgement, after) = judge(record.clone(), &attempt, NOW + 1, &config);
            assert_eq!(judgement, Judgement::Refused(Refusal::Used { label: None }));
            assert_eq!(after.lockout, record.lockout);
        }
    }

    #[test]
    fn it_lets_in_who_is_locked_and_takes_the_failures_off() {
        let (mut record, shown) = given(1);
        let config = Config::default();
        record.lockout.failures = 100;
        record.lockout.counted_at = NOW;
        let phone = code(&record.devices[0], NOW / 30);
        let phone = Attempt { code: Code::OneTime(Zeroizing::new(phone)), source: HOME };
        let (judgement, record) = judge(record, &phone, NOW, &config);
        assert_eq!(judgement, Judgement::Refused(Refusal::Barred(Barred::Disabled)));
        let attempt = attempt(&record, &shown);
        let (judgement, record) = judge(record, &attempt, NOW, &config);
        assert_eq!(judgement, accepted(0));
        let (judgement, _) = judge(record, &phone, NOW, &config);
        assert!(matches!(judgement, Judgement::Accepted(_)), "{judgement:?}");
    }

    #[test]
    fn before_it_was_made_and_behind_its_end_it_is_charged_like_a_wrong_one() {
        let (record, shown) = given(1);
        let right = attempt(&record, &shown);
        // Behind its end it is at its end, also for a clock that is set back.
        for (now, uses_left) in
            [(NOW + HOUR, 0), (NOW + 86_400, 0), (NOW - 1, 1), (NOW - 86_400, 1)]
        {
            let (judgement, after) = judge(record.clone(), &right, now, &Config::default());
            assert_eq!(judgement, Judgement::Refused(Refusal::BypassEnded), "{now}");
            let (_, charged) = judge(record.clone(), &wrong(&record), now, &Config::default());
            assert_eq!(after.lockout, charged.lockout, "{now}");
            assert_eq!((after.lockout.sources[0].wrong_codes, left(&after)), (1, Some(uses_left)));
        }
    }

    #[test]
    fn a_wrong_one_has_the_budget_of_backup_codes_whoever_has_one() {
        let (with, shown) = given(1);
        let without = UserRecord { bypass: None, ..with.clone() };
        let config = Config::default();
        for mut record in [with.clone(), without] {
            for tried in 1..=config.lockout.backup_codes_per_hour {
                let (judgement, after) = judge(record.clone(), &wrong(&record), NOW, &config);
                assert_eq!(judgement, Judgement::Refused(Refusal::Wrong));
                assert_eq!(after.lockout.sources[0].wrong_codes, tried);
                assert_eq!(after.lockout.failures, 0, "a device's codes are not concerned");
                record = after;
            }
            let right = attempt(&record, &shown);
            let (judgement, after) = judge(record.clone(), &right, NOW, &config);
            let barred = Barred::Until(NOW + HOUR);
            assert_eq!(judgement, Judgement::Refused(Refusal::Barred(barred)));
            assert_eq!((left(&after), &after.lockout), (left(&record), &record.lockout));
            let backup = record.backup_codes.as_ref().map(|batch| batch.batch);
            let backup =
                Attempt { code: Code::Backup { batch: backup, hash: [0; 16] }, source: HOME };
            let (judgement, _) = judge(record, &backup, NOW, &config);
            assert_eq!(judgement, Judgement::Refused(Refusal::Barred(barred)));
        }
    }

    #[test]
    fn one_that_was_replaced_or_revoked_is_refused() {
        let (record, shown) = given(5);
        let (_, other) = given(5);
        let before = attempt(&record, &shown);
        let anew = |bypass: Option<Bypass>| UserRecord { bypass, ..record.clone() };
        for record in [anew(given(5).0.bypass), anew(None)] {
            // Hashed before that, it is not compared.
            let (judgement, after) = judge(record.clone(), &before, NOW, &Config::default());
            assert_eq!(judgement, Judgement::Refused(Refusal::AnotherBatch));
            assert_eq!(after.lockout, record.lockout);
            for shown in [&shown, &other] {
                let attempt = attempt(&record, shown);
                let (judgement, after) = judge(record.clone(), &attempt, NOW, &Config::default());
                assert_eq!(judgement, Judgement::Refused(Refusal::Wrong));
                assert_eq!(left(&after), left(&record));
            }
        }
    }

    #[test]
    fn policy_accepts_it_where_it_accepts_backup_codes() {
        let (record, shown) = given(1);
        let mut config = Config::default();
        config.policy.methods =
            crate::config::Methods { backup_code: true, ..config.policy.methods };
        let right = attempt(&record, &shown);
        assert_eq!(judge(record.clone(), &right, NOW, &config).0, accepted(0));
        config.policy.methods.backup_code = false;
        for attempt in [&right, &wrong(&record)] {
            let (judgement, after) = judge(record.clone(), attempt, NOW, &config);
            assert_eq!(judgement, Judgement::Refused(Refusal::NotAccepted));
            assert_eq!((left(&after), after.lockout), (Some(1), record.lockout.clone()));
        }
    }
}
