//! One answer, judged under the user's lock: the same for a login and for a change of the record.

use crate::decision::{Decision, Given, Nobody};
use crate::factor::Typed;
use crate::factor::codes::{self, CodesError};
use crate::factor::tokens;
use crate::judge::{Accepted, Attempt, Code, GivenToken, Judgement, Refusal, judge};
use crate::policy::Situation;
use crate::record::{BackupCodes, UserRecord};
use crate::store::{self, Change, Decoy, Owner, Store, StoreError};
use crate::world::World;

/// Whose record is judged: the user's own, or a decoy for who has none.
pub(crate) struct Subject {
    owner: Owner,
    record: UserRecord,
    stands_for: Option<(Nobody, Decoy)>,
}

impl Subject {
    /// The user's own record if there is a device in it, else a decoy.
    pub(crate) fn of(
        store: &dyn Store,
        user: Option<&Owner>,
        own: UserRecord,
    ) -> Result<Self, AttemptError> {
        let nobody = match user {
            Some(owner) if own.is_enrolled() => return Ok(Self::own(owner, own)),
            Some(_) => Nobody::NotEnrolled,
            None => Nobody::Unknown,
        };
        let decoy = Decoy::take();
        let owner = decoy.owner();
        let (record, _) = store.load(&owner)?;
        Ok(Self { owner, record, stands_for: Some((nobody, decoy)) })
    }

    /// The user's own record.
    pub(crate) fn own(owner: &Owner, record: UserRecord) -> Self {
        Self { owner: owner.clone(), record, stands_for: None }
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
        Typed::Empty => return Ok(Decision::NoCode("empty")),
        Typed::Misshapen => return Ok(Decision::NoCode("misshapen")),
        Typed::OneTimeCode(code) => Code::OneTime(code),
        // Slow, so it is done before the lock is taken.
        Typed::BackupCode(plain) => hash(&plain, &subject.record)?,
        Typed::Token(plain) => Code::Token(GivenToken {
            hash: tokens::hash(&plain),
            from: situation.address,
            service: situation.service.to_owned(),
        }),
    };
    let given = Given::of(&code, &subject.record);
    let attempt = Attempt { code, source: situation.source };
    let judged = store::update(store, &subject.owner, |record| {
        if (world.late)() {
            return Change::Keep(None);
        }
        if !record.is_enrolled() {
            // Everything was taken from the user while the code was typed. A record that is empty
            // must not come of it.
            return Change::Keep(Some((Judgement::Refused(Refusal::Misshapen), 0, Vec::new())));
        }
        let now = (world.now)();
        let (judgement, mut record) = judge(record, &attempt, now, world.config);
        let codes_left = record.backup_codes.as_ref().map_or(0, BackupCodes::left);
        record.fit();
        let news = match (&judgement, purpose) {
            // Nobody reads what a script is told.
            (Judgement::Accepted(Accepted::Token { .. }), _) => Vec::new(),
            (Judgement::Accepted(accepted), Purpose::Login) => record.take_news(accepted, now),
            (Judgement::Accepted(_), Purpose::Unseen) => record.news(now),
            _ => Vec::new(),
        };
        Change::Save(record, Some((judgement, codes_left, news)))
    })?;
    let (judgement, codes_left, news) = judged.ok_or(AttemptError::Late)?;
    Ok(match (judgement, &subject.stands_for) {
        (_, Some((nobody, _))) => Decision::Nobody { given, nobody: *nobody },
        (Judgement::Accepted(accepted), None) => Decision::Granted { accepted, codes_left, news },
        (Judgement::Refused(refusal), None) => Decision::Refused { given, refusal },
    })
}

fn hash(plain: &str, record: &UserRecord) -> Result<Code, CodesError> {
    let batch = record.backup_codes.as_ref();
    let salt = batch.map_or([0; 16], |batch| batch.salt);
    Ok(Code::Backup { batch: batch.map(|batch| batch.batch), hash: codes::hash(plain, &salt)? })
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
