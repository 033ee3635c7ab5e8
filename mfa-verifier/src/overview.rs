//! `mfa-setup users`: who has a record, with what, and who waits. Summaries are read and nothing else, so that
//! a list of thousands keeps nobody waiting and mends nothing: 10,000 users take 0.3 to 0.7 s, on two
//! processors that have other things to do.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use mfa_protocol::escape::escape;
use mfa_protocol::frame::MAX_FRAME;
use mfa_protocol::message::{Failure, FailureKind, ListedDevice, ListedUser, Standing, UserList};

use crate::failure::{failure, of_store, of_users};
use crate::record::{BackupCodes, Use, UserRecord};
use crate::store::{Glance, Owner, Store, StoreError};
use crate::world::World;

/// Bytes of a page: what goes around it in a frame fits into the rest.
const PAGE: usize = MAX_FRAME - 1024;

/// How long is looked for one page, where the name service is slow. The face asks again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Those whose uid is greater than `after`, as many as one answer has room for.
pub(crate) fn list(world: &World, after: Option<u32>) -> Result<UserList, Failure> {
    let begun = Instant::now();
    // A store that no login can use is not completed for being looked at.
    let opened = world.archive.open().map_err(|error| of_store(&error))?;
    let Some(store) = opened else { return Ok(UserList::default()) };
    let uids = store.uids().map_err(|error| of_store(&error))?;
    let names = world.users.candidates();
    let look = |uid| look(world, store, uid, &names).map_err(|error| of_store(&error));
    page(&uids, after, look, || begun.elapsed() > PATIENCE)
}

/// A page of those whose uid is greater than `after`; `over` says when it has taken long enough.
fn page<E>(
    uids: &BTreeSet<u32>,
    after: Option<u32>,
    mut look: impl FnMut(u32) -> Result<Option<ListedUser>, E>,
    over: impl Fn() -> bool,
) -> Result<UserList, E> {
    let mut list = UserList { users: Vec::new(), next: after };
    let mut size = 0;
    for uid in uids.range((after.map_or(Unbounded, Excluded), Unbounded)) {
        if let Some(user) = look(*uid)? {
            size += postcard::experimental::serialized_size(&user).unwrap_or(PAGE);
            // The first one is sent alone if need be, or nobody behind it would ever be.
            if !list.users.is_empty() && size > PAGE {
                return Ok(list);
            }
            list.users.push(user);
        }
        list.next = Some(*uid);
        if over() {
            return Ok(list);
        }
    }
    Ok(UserList { next: None, ..list })
}

/// What there is of this uid; none where the record went away meanwhile. An error is one of the whole store.
fn look(
    world: &World,
    store: &dyn Store,
    uid: u32,
    names: &HashMap<u32, Vec<String>>,
) -> Result<Option<ListedUser>, StoreError> {
    // A record opens for its name alone, so one that is right needs nobody to say so.
    for name in names.get(&uid).into_iter().flatten() {
        let owner = Owner { uid, name: name.clone() };
        if let Ok(Glance::Record(record)) = store.glance(&owner) {
            return Ok(Some(listed(owner, Ok(standing(&record, (world.now)())))));
        }
    }
    let owner = match world.users.by_uid(uid) {
        Ok(Some(owner)) => owner,
        Ok(None) => return Ok(Some(nameless(uid, gone(world, uid)))),
        Err(error) => return Ok(Some(nameless(uid, of_users(&error)))),
    };
    let unsure = |why: String| {
        let name = escape(&owner.name);
        let hint =
            format!("mfa-setup status --user {name} reads its other copy, and says what to do");
        Err(failure(FailureKind::Unusable, why, hint))
    };
    let standing = match store.glance(&owner) {
        Ok(Glance::Nobody) => return Ok(None),
        Ok(Glance::Record(record)) => Ok(standing(&record, (world.now)())),
        Ok(Glance::Unsure(why)) => unsure(why),
        Err(error @ StoreError::Unusable { .. }) => return Err(error),
        Err(error) => unsure(error.to_string()),
    };
    Ok(Some(listed(owner, standing)))
}

fn listed(owner: Owner, standing: Result<Standing, Failure>) -> ListedUser {
    ListedUser { uid: owner.uid, user: Some(owner.name), standing }
}

fn nameless(uid: u32, why: Failure) -> ListedUser {
    ListedUser { uid, user: None, standing: Err(why) }
}

/// Whoever is looked for where the users of a directory are, and that is down, is gone, too.
fn gone(world: &World, uid: u32) -> Failure {
    let room = world.config.store.path.join("users").join(uid.to_string());
    failure(
        FailureKind::Unusable,
        "no user has this uid now",
        format!(
            "look at: getent passwd {uid}; if the user is gone for good: rm -r {}",
            escape(&room.display().to_string())
        ),
    )
}

/// The record in short.
fn standing(record: &UserRecord, now: u64) -> Standing {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let last = last_use(record);
    let device = |device: &crate::record::Device| ListedDevice {
        label: device.label.clone(),
        kind: device.kind(),
        default: device.id == record.default,
        disabled: device.disabled,
        last_used: device.last_used.map(|used| used.at),
    };
    Standing {
        devices: record.devices.iter().map(device).collect(),
        backup_codes_left: narrow(record.backup_codes.as_ref().map_or(0, BackupCodes::left)),
        tokens: narrow(record.tokens.len()),
        last_used: last.map(|used| used.at),
        last_from: last.map(|used| used.from.to_string()),
        failures: record.lockout.all_failures(now),
        locked_until: Some(record.lockout.last_wait()).filter(|until| *until > now),
        bypass: record.bypass.as_ref().and_then(|bypass| bypass.status(now)),
        required: record.required,
    }
}

/// When and from where the user last got in by a device, a backup code or a token. Of one who is lent a
/// mailbox, and of a device that is removed, the sources alone know.
fn last_use(record: &UserRecord) -> Option<Use> {
    let devices = record.devices.iter().filter_map(|device| device.last_used);
    let codes = record.backup_codes.iter().flat_map(|batch| &batch.codes);
    let tokens = record.tokens.iter().filter_map(|token| token.last_used);
    let sources = record.lockout.sources.iter();
    let sources =
        sources.filter_map(|source| Some(Use { at: source.last_success?, from: source.source }));
    let all = devices.chain(codes.filter_map(|code| code.used)).chain(tokens).chain(sources);
    all.max_by_key(|used| used.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factor::codes;
    use crate::factor::otp::tests::device;
    use crate::factor::tokens::tests::token;
    use crate::record::tests::largest;
    use crate::source::Source;
    use mfa_protocol::message::{Algorithm, DeviceKind, Reply, ToFace};
    use mfa_protocol::relay::encode;

    const NOW: u64 = 1_800_000_000;
    const HOME: Source = Source::V4([192, 0, 2, 1]);

    fn used(at: u64) -> Use {
        Use { at, from: HOME }
    }

    #[test]
    fn nobody_who_was_never_let_in_has_a_last_use() {
        let mut record =
            UserRecord { devices: vec![device(b"1", Algorithm::Sha1, 6)], ..UserRecord::default() };
        record.default = record.devices[0].id;
        record.lockout.charge_otp(HOME, NOW, &crate::config::LockoutConfig::default());
        let standing = standing(&record, NOW);
        assert_eq!((standing.last_used, standing.last_from), (None, None));
        assert_eq!((standing.failures, standing.locked_until), (1, None));
        let [phone] = &standing.devices[..] else { panic!() };
        assert_eq!((phone.label.as_str(), phone.kind), ("phone", DeviceKind::Totp));
        assert!(phone.default && !phone.disabled && phone.last_used.is_none());
    }

    #[test]
    fn the_last_use_is_the_latest_of_whatever_let_in() {
        let mut record = UserRecord {
            devices: vec![device(b"1", Algorithm::Sha1, 6)],
            backup_codes: Some(codes::new_batch(2, 0).unwrap().0),
            tokens: vec![token([0; 20])],
            ..UserRecord::default()
        };
        let last = |record: &UserRecord| standing(record, NOW).last_used;
        record.devices[0].last_used = Some(used(NOW - 50));
        assert_eq!(last(&record), Some(NOW - 50));
        record.backup_codes.as_mut().unwrap().codes[1].used = Some(used(NOW - 40));
        assert_eq!(last(&record), Some(NOW - 40));
        record.tokens[0].last_used = Some(used(NOW - 30));
        assert_eq!(last(&record), Some(NOW - 30));
        record.lockout.clear_source(
            Source::Local,
            NOW - 20,
            &crate::config::LockoutConfig::default(),
        );
        let standing = standing(&record, NOW);
        assert_eq!(standing.last_used, Some(NOW - 20));
        assert_eq!(standing.last_from.as_deref(), Some("local"));
        assert_eq!((standing.backup_codes_left, standing.tokens), (1, 1));
    }

    #[test]
    fn a_wait_is_told_until_it_is_over() {
        let mut record = UserRecord::default();
        record.lockout.not_before = NOW + 30;
        assert_eq!(standing(&record, NOW + 29).locked_until, Some(NOW + 30));
        assert_eq!(standing(&record, NOW + 30).locked_until, None);
    }

    /// All pages, and whom they have in all.
    fn pages(
        uids: &BTreeSet<u32>,
        look: impl Fn(u32) -> Option<ListedUser>,
        over: impl Fn() -> bool,
    ) -> (Vec<UserList>, Vec<u32>) {
        let mut pages: Vec<UserList> = Vec::new();
        loop {
            let after = pages.last().and_then(|page| page.next);
            let next = page::<()>(uids, after, |uid| Ok(look(uid)), &over).unwrap();
            let is_last = next.next.is_none();
            assert!(is_last || next.next > after, "{next:?}");
            pages.push(next);
            if is_last {
                let users = pages.iter().flat_map(|page| &page.users).map(|user| user.uid);
                let users = users.collect();
                return (pages, users);
            }
        }
    }

    #[test]
    fn a_page_of_the_largest_fits_into_a_frame_and_the_next_begins_behind_it() {
        let mut record = largest();
        record.lockout.sources[0].last_success = Some(u64::MAX);
        let uids: BTreeSet<u32> = (u32::MAX - 1000..u32::MAX - 800).collect();
        let user = |uid| {
            let owner = Owner { uid, name: "x".repeat(256) };
            Some(listed(owner, Ok(standing(&record, 0))))
        };
        let (pages, users) = pages(&uids, user, || false);
        assert!(users.iter().eq(&uids) && pages.len() > 1);
        let frame = |page: &UserList| {
            encode(&ToFace::Done(Box::new(Reply::Users(page.clone())))).unwrap().len()
        };
        let (last, full) = pages.split_last().unwrap();
        assert!(frame(last) <= MAX_FRAME);
        for page in full {
            assert!((MAX_FRAME * 9 / 10..=MAX_FRAME).contains(&frame(page)), "{}", frame(page));
        }
    }

    #[test]
    fn a_list_comes_to_its_end_however_large_a_user_is_however_slow_and_whoever_went_away() {
        let user = |uid: u32, length: usize| {
            let standing = Ok(standing(&UserRecord::default(), 0));
            (!uid.is_multiple_of(3))
                .then(|| listed(Owner { uid, name: "x".repeat(length) }, standing))
        };
        let uids: BTreeSet<u32> = (0..10).collect();
        let there = [1, 2, 4, 5, 7, 8];
        let (large, users) = pages(&uids, |uid| user(uid, MAX_FRAME), || false);
        assert_eq!((large.len(), users.as_slice()), (6, &there[..]));
        let (slow, users) = pages(&uids, |uid| user(uid, 5), || true);
        assert_eq!((slow.len(), users.as_slice()), (11, &there[..]));
        let (quick, users) = pages(&uids, |uid| user(uid, 5), || false);
        assert_eq!((quick.len(), users.as_slice()), (1, &there[..]));
    }
}
