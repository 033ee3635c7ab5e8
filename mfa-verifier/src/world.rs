//! What the verifier touches of the world, in one place, so that everything else can be given
//! another one.

use std::cell::OnceCell;
use std::path::Path;

use mfa_protocol::Secret;
use mfa_protocol::message::{Algorithm, Failure};

use crate::audit::Log;
use crate::config::{Config, StoreConfig};
use crate::failure::{of_codes, of_store};
use crate::local_time::{Zone, ZoneError};
use crate::mail::Mailer;
use crate::pam_services::PamServices;
use crate::reauth::FirstFactor;
use crate::record::{BackupCode, BackupCodes, Device, MovingFactor, UserRecord};
use crate::session::Session;
use crate::store::{OpenDbs, Opened, Owner, SledStore, Store, StoreError};
use crate::users::Users;

/// The world as one request sees it.
pub struct World<'a> {
    /// The policy file's contents; behind a ruling, what holds.
    pub config: &'a Config,
    /// The policy file's path.
    pub policy_file: &'a Path,
    /// The store.
    pub archive: &'a dyn Archive,
    /// The system's users.
    pub users: &'a dyn Users,
    /// The PAM services of this host.
    pub pam_services: &'a dyn PamServices,
    /// The clock, seconds since the Unix epoch.
    pub now: &'a dyn Fn() -> u64,
    /// The time zone of this host.
    pub zone: &'a dyn Fn() -> Result<Zone, ZoneError>,
    /// Whether the face does not wait for an answer any more.
    pub late: &'a dyn Fn() -> bool,
    /// The log.
    pub log: &'a dyn Log,
    /// This host's name.
    pub hostname: &'a str,
    /// Who asks, as far as the kernel knows.
    pub caller: &'a Owner,
    /// The version of the protocol that the face speaks.
    pub face_version: u16,
    /// The login session that the face runs in, if it is in one.
    pub session: &'a dyn Fn() -> Option<Session>,
    /// How the caller shows to be that, where a change of the own record needs it.
    pub first_factor: &'a dyn FirstFactor,
    /// Sends codes and notices.
    pub mailer: &'a dyn Mailer,
}

/// How to come by the store. It stays open until the archive goes, so that an answer does not wait
/// for it to be closed.
pub trait Archive {
    /// The store, or none on a fresh host, which has neither store nor key.
    fn open(&self) -> Result<Option<&dyn Store>, StoreError>;

    /// The store; a fresh host gets one, and with it the decoys' records. Not for logins.
    fn open_or_initialise(&self, decoy: &UserRecord) -> Result<&dyn Store, StoreError>;
}

impl<'a> World<'a> {
    /// The store, for who looks at it or changes it beside logging in: a making of it that was
    /// interrupted is completed, if it is root who looks.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn managed_store(&self) -> Result<Option<&'a dyn Store>, Failure> {
        match self.archive.open() {
            Err(StoreError::Unusable { .. }) if self.caller.is_root() => {
                self.store_to_enrol_in().map(Some)
            }
            opened => opened.map_err(|error| of_store(&error)),
        }
    }

    /// The store, which a fresh host gets now.
    ///
    /// # Errors
    /// As [`Archive::open_or_initialise`].
    pub fn store_to_enrol_in(&self) -> Result<&'a dyn Store, Failure> {
        let decoy = decoy(self.config).map_err(|error| of_codes(&error.into()))?;
        self.archive.open_or_initialise(&decoy).map_err(|error| of_store(&error))
    }
}

/// The store that the configuration names.
pub struct Configured<'a> {
    config: &'a StoreConfig,
    dbs: Option<&'a OpenDbs>,
    store: OnceCell<SledStore>,
}

impl<'a> Configured<'a> {
    /// Opens nothing yet. `dbs` are those that are open already and will stay so.
    #[must_use]
    pub fn new(config: &'a StoreConfig, dbs: Option<&'a OpenDbs>) -> Self {
        Self { config, dbs, store: OnceCell::new() }
    }

    fn keep(&self, store: SledStore) -> &SledStore {
        self.store.get_or_init(|| match self.dbs {
            Some(dbs) => store.sharing(dbs),
            None => store,
        })
    }

    /// The store, if anybody needed it.
    #[must_use]
    pub fn opened(&self) -> Option<&dyn Store> {
        self.store.get().map(|store| store as &dyn Store)
    }
}

impl Archive for Configured<'_> {
    fn open(&self) -> Result<Option<&dyn Store>, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(Some(store));
        }
        match SledStore::open(&self.config.path, &self.config.key_file)? {
            Opened::Fresh => Ok(None),
            Opened::Store(store) => Ok(Some(self.keep(store))),
        }
    }

    fn open_or_initialise(&self, decoy: &UserRecord) -> Result<&dyn Store, StoreError> {
        match self.open() {
            // An unusable store may be an initialisation that was interrupted.
            Ok(None) | Err(StoreError::Unusable { .. }) => {
                let store = SledStore::initialize(&self.config.path, &self.config.key_file, decoy)?;
                Ok(self.keep(store))
            }
            Ok(Some(store)) => Ok(store),
            Err(error) => Err(error),
        }
    }
}

/// A record like an ordinary user's that nobody has the key of: the work for users who have no
/// record is done on it, so that the time taken does not tell them apart.
pub fn decoy(config: &Config) -> Result<UserRecord, getrandom::Error> {
    let mut key = vec![0u8; key_length(config.totp.algorithm)];
    getrandom::fill(&mut key)?;
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt)?;
    let mut codes = Vec::new();
    for _ in 0..config.backup_codes.count {
        let mut hash = [0u8; 16];
        getrandom::fill(&mut hash)?;
        codes.push(BackupCode { hash, used: None });
    }
    Ok(UserRecord {
        devices: vec![Device {
            id: 1,
            label: String::new(),
            key: Secret::new(key),
            algorithm: config.totp.algorithm,
            digits: config.totp.digits,
            moving: MovingFactor::Time {
                period: config.totp.period,
                last_step: None,
                drift: 0,
                candidate: None,
            },
            added: 0,
            last_used: None,
            failures: 0,
            disabled: false,
        }],
        next_id: 2,
        default: 1,
        backup_codes: Some(BackupCodes { batch: getrandom::u64()?, salt, codes, made: 0 }),
        ..UserRecord::default()
    })
}

/// Bytes of a new key: as long as the hash's output, as RFC 6238 (5.1, R6) has it.
#[must_use]
pub fn key_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Sha1 => 20,
        Algorithm::Sha256 => 32,
        Algorithm::Sha512 => 64,
    }
}
