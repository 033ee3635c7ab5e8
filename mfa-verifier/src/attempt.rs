//! One answer, judged under the user's lock: the same for a login and for a change of the record.

use std::mem;

use crate::decision::{Decision, Given, Nobody};
use crate::factor::Typed;
use crate::factor::codes::{self, CodesError};
use crate::factor::tokens;
use crate::judge::{Accepted, Attempt, Code, GivenToken, Judgement, Refusal, judge};
use crate::policy::{LENT, Situation};
use crate::reason::Reason;
use crate::record::{BackupCodes, Device, UserRecord};
use crate::store::{self, Change, Decoy, Owner, Store, StoreError};
use crate::world::World;

/// Whose record is judged: the user's own, or a decoy for who has none.
pub(crate) struct Subject {
    owner: Owner,
    /// With what is lent in it.
    record: UserRecord,
    /// What policy lends to the user's own record; it is never kept in it.
    lent: Option<Device>,
    stands_for: Option<(Nobody, Decoy)>,
}

impl Subject {
    /// The user's own record if there is a device in it, be it a `lent` one; else a decoy.
    pub(crate) fn of(
        store: &dyn Store,
        user: Option<&Owner>,
        own: UserRecord,
        lent: Option<Device>,
    ) -> Result<Self, AttemptError> {
        let nobody = match user {
            Some(owner) if own.is_enrolled() || lent.is_some() => {
                return Ok(Self::own(owner, own, lent));
            }
            Some(_) => Nobody::NotEnrolled,
            None => Nobody::Unknown,
        };
        let decoy = Decoy::take();
        let owner = decoy.owner();
        let (mut record, _) = store.load(&owner)?;
        if let Some(lent) = lent {
            // Who is unknown looks like who has not enrolled.
            (record.default, record.devices, record.backup_codes) = (lent.id, vec![lent], None);
        }
        Ok(Self { owner, record, lent: None, stands_for: Some((nobody, decoy)) })
    }

    /// The user's own record.
    pub(crate) fn own(owner: &Owner, mut record: UserRecord, lent: Option<Device>) -> Self {
        record.devices.extend(lent.clone());
        Self { owner: owner.clone(), record, lent, stands_for: None }
    }

    /// [`store::update`], of the record with what is lent in it. Nothing is saved where `change` says
    /// none, or where everything was taken from the user meanwhile: a record that is empty must not come
    /// of it.
    pub(crate) fn update<T>(
        &self,
        store: &dyn Store,
        mut change: impl FnMut(&mut UserRecord) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        store::update(store, &self.owner, |mut record| {
            record.devices.extend(self.lent.clone());
            if !record.is_enrolled() {
                return Change::Keep(None);
            }
            let changed = change(&mut record);
            record.devices.retain(|device| device.id != LENT);
            record.fit();
            match changed {
                Some(changed) => Change::Save(record, Some(changed)),
                None => Change::Keep(None),
            }
        })
    }

    /// Whose record it is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The record, which may be a decoy's.
    pub(crate) fn record(&self) -> &UserRecord {
        &self.record
    }

    /// The record, where it is the user's own.
    pub(crate) fn own_record(&self) -> Option<&UserRecord> {
        self.stands_for.is_none().then_some(&self.record)
    }
}

/// What the answer was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A login, at which the person learns what was altered.
    Login,
    /// A trial, or a login whose texts may be seen by nobody: what is told may have to be told again.
    Unseen,
    /// A change of the record by its owner.
    Change,
}

/// Judges one answer and saves what came of it.
pub(crate) fn answered(
    world: &World,
    store: &dyn Store,
    subject: &Subject,
    situation: &Situation,
    typed: Typed,
    purpose: Purpose,
) -> Result<Decision, AttemptError> {
    let code = match typed {
        Typed::Empty => return Ok(Decision::NoCode(Reason::Empty)),
        Typed::NotAscii => return Ok(Decision::NoCode(Reason::NotAscii)),
        Typed::Misshapen => return Ok(Decision::NoCode(Reason::Misshapen)),
        // Slow, so it is done before the lock is taken.
        Typed::OneTimeCode(code)
            if subject.record.has_scratch_codes() && codes::is_scratch_code(&code) =>
        {
            let (batch, hash) = hash(&code, &subject.record)?;
            Code::OneTimeOrBackup { code, batch, hash }
        }
        Typed::OneTimeCode(code) => Code::OneTime(code),
        Typed::BackupCode(plain) => {
            let (batch, hash) = hash(&plain, &subject.record)?;
            Code::Backup { batch, hash }
        }
        Typed::Bypass(plain) => hash_bypass(&plain, &subject.record)?,
        Typed::Token(plain) => Code::Token(GivenToken {
            hash: tokens::hash(&plain),
            from: situation.address,
            service: situation.service.to_owned(),
        }),
    };
    let given = Given::of(&code, &subject.record);
    let attempt = Attempt { code, source: situation.source };
    let judged = subject.update(store, |record| {
        if (world.late)() {
            return None;
        }
        let now = (world.now)();
        let judgement;
        (judgement, *record) = judge(mem::take(record), &attempt, now, world.config);
        // Who is lent a mailbox has none, and is to make none.
        let codes_left = record.backup_codes.as_ref().map(BackupCodes::left);
        let news = match (&judgement, purpose) {
            // Nobody reads what a script is told.
            (Judgement::Accepted(Accepted::Token { .. }), _) => Vec::new(),
            (Judgement::Accepted(accepted), Purpose::Login) => record.take_news(accepted, now),
            (Judgement::Accepted(_), Purpose::Unseen) => record.news(now),
            _ => Vec::new(),
        };
        Some((judgement, codes_left, news))
    })?;
    let (judgement, codes_left, news) = match judged {
        Some(judged) => judged,
        None if (world.late)() => return Err(AttemptError::Late),
        // Nothing is left that it could be a code of.
        None => (Judgement::Refused(Refusal::Misshapen), None, Vec::new()),
    };
    Ok(match (judgement, &subject.stands_for) {
        (_, Some((nobody, _))) => Decision::Nobody { given, nobody: *nobody },
        (Judgement::Accepted(accepted), None) => Decision::Granted { accepted, codes_left, news },
        (Judgement::Refused(refusal), None) => {
            Decision::Refused { given: given.judged(&refusal, &subject.record), refusal }
        }
    })
}

/// The batch there is, and the hash by its salt: as much work where there is none.
fn hash(plain: &str, record: &UserRecord) -> Result<(Option<u64>, [u8; 16]), CodesError> {
    let batch = record.backup_codes.as_ref();
    let salt = batch.map_or([0; 16], |batch| batch.salt);
    Ok((batch.map(|batch| batch.batch), codes::hash(plain, &salt)?))
}

/// As much work, whether there is a bypass code or not.
fn hash_bypass(plain: &str, record: &UserRecord) -> Result<Code, CodesError> {
    let salt = record.bypass.as_ref().map(|bypass| bypass.salt);
    Ok(Code::Bypass { salt, hash: codes::hash(plain, &salt.unwrap_or([0; 16]))? })
}

/// Why an answer could not be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// Nobody would get in by it any more.
    #[error("it took so long that nobody waits for the answer any more; nothing was judged")]
    Late,
}
