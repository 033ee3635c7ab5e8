//! A host with a store in memory, a scripted person and a clock of its own.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, dead_code)]

pub mod mail;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use mfa_protocol::conversation::{Conversation, Prompt, Scripted};
use mfa_protocol::message::{
    Action, DeviceKind, Failure, FailureKind, LoginRequest, ManageRequest, NewDevice, Reply,
    Terminal,
};
use mfa_protocol::{Outcome, PROTOCOL_VERSION, Secret, Verdict};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::audit::{Line, Log, Severity};
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::local_time::Zone;
use mfa_verifier::login::login;
use mfa_verifier::mail::{Letter, MailError, Mailer, Posted};
use mfa_verifier::manage::manage;
use mfa_verifier::pam_services::PamServices;
use mfa_verifier::reauth::FirstFactor;
use mfa_verifier::record::UserRecord;
use mfa_verifier::session::Session;
use mfa_verifier::store::{MemoryStore, Owner, Store, StoreError};
use mfa_verifier::users::Users;
use mfa_verifier::world::{Archive, World};

pub const NOW: u64 = 1_800_000_000;

/// Base32 of "12345678901234567890", the key of the RFCs.
pub const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

pub struct Host {
    pub config: Config,
    pub store: Option<MemoryStore>,
    pub now: Cell<u64>,
    /// Whether the face has given up waiting.
    pub late: Cell<bool>,
    /// Seconds that pass at each look at the clock.
    pub tick: Cell<u64>,
    pub lines: RefCell<Vec<String>>,
    /// Who runs `mfa-setup`.
    pub caller: RefCell<Owner>,
    /// What PAM would say of the first factor and of the account.
    pub pam: Cell<(bool, bool)>,
    /// The files in `pam.d`.
    pub pam_d: RefCell<BTreeMap<String, String>>,
    /// The version of the protocol that the face speaks.
    pub face_version: Cell<u16>,
    /// The login session that the face runs in.
    pub session: RefCell<Option<Session>>,
    /// Every letter that the mailer took: to whom, and what is in it.
    pub letters: RefCell<Vec<(String, String)>>,
    /// Whether the mailer takes none.
    pub unsendable: Cell<bool>,
    /// Whether the host does not say which time it is here, and who is in which group.
    pub silent: Cell<bool>,
}

impl Host {
    pub fn new(mode: Mode) -> Self {
        let mut config = Config::default();
        config.policy.mode = mode;
        let decoy = mfa_verifier::world::decoy(&config).unwrap();
        let store = Some(MemoryStore::of_decoys(&decoy).unwrap());
        let caller = RefCell::new(root());
        let (now, pam) = (Cell::new(NOW), Cell::new((true, true)));
        let (tick, lines, session) = (Cell::new(0), RefCell::default(), RefCell::default());
        let (late, letters, unsendable) = (Cell::default(), RefCell::default(), Cell::default());
        let silent = Cell::default();
        let files = ["sshd", "sudo", "sudo-i"].map(|name| (name.to_owned(), String::new()));
        Self {
            pam_d: RefCell::new(files.into()),
            face_version: Cell::new(PROTOCOL_VERSION),
            config,
            store,
            now,
            late,
            tick,
            lines,
            caller,
            pam,
            session,
            letters,
            unsendable,
            silent,
        }
    }

    pub fn with_alice(mode: Mode) -> (Self, Vec<String>) {
        let host = Self::new(mode);
        let Reply::Added(added) = host.manage(Action::Add(Box::new(device())), &mut nobody())
        else {
            panic!()
        };
        let codes = added.backup_codes.iter().map(|c| c.expose_str().unwrap().to_owned());
        (host, codes.collect())
    }

    pub fn world<T>(&self, act: impl FnOnce(&World) -> T) -> T {
        let caller = self.caller.borrow().clone();
        act(&World {
            config: &self.config,
            policy_file: Path::new("/etc/pam_mfa/config.toml"),
            archive: self,
            users: self,
            pam_services: self,
            now: &|| self.now.replace(self.now.get() + self.tick.get()),
            zone: &|| {
                Zone::of_rule(if self.silent.get() { "" } else { "CET-1CEST,M3.5.0,M10.5.0/3" })
            },
            late: &|| self.late.get(),
            log: self,
            hostname: "host",
            caller: &caller,
            face_version: self.face_version.get(),
            session: &|| self.session.borrow().clone(),
            first_factor: self,
            mailer: self,
        })
    }

    pub fn login(&self, request: &LoginRequest, script: &mut Scripted) -> Outcome {
        self.world(|world| login(world, request, Purpose::Login, script))
    }

    pub fn verdict(&self, user: &str, answer: &str) -> Verdict {
        self.login(&from(user, "192.0.2.7"), &mut Scripted::new([answer])).verdict
    }

    pub fn manage(&self, action: Action, script: &mut Scripted) -> Reply {
        let request = ManageRequest { user: Some(b"alice".to_vec()), action };
        self.world(|world| manage(world, &request, script))
    }

    pub fn last_line(&self) -> String {
        self.lines.borrow().last().unwrap().clone()
    }
}

impl Archive for Host {
    fn open(&self) -> Result<Option<&dyn Store>, StoreError> {
        Ok(self.store.as_ref().map(|store| store as &dyn Store))
    }

    fn open_or_initialise(&self, _decoy: &UserRecord) -> Result<&dyn Store, StoreError> {
        Ok(self.store.as_ref().unwrap())
    }
}

impl Users for Host {
    /// Alice also by a longer name.
    fn by_name(&self, name: &[u8]) -> io::Result<Option<Owner>> {
        let name = if name == b"alice@example.org" { &b"alice"[..] } else { name };
        let known = [("alice", 1000), ("bob", 1001)];
        Ok(known
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(name, uid)| Owner { uid: *uid, name: (*name).to_owned() }))
    }

    fn by_uid(&self, uid: u32) -> io::Result<Option<Owner>> {
        Ok([alice(), bob()].into_iter().find(|owner| owner.uid == uid))
    }

    /// Alice is in `wheel`.
    fn groups(&self, user: &[u8], among: &BTreeSet<&str>) -> io::Result<BTreeSet<String>> {
        if self.silent.get() {
            return Err(io::Error::other("the directory is down"));
        }
        let wheel = among.contains("wheel") && user == b"alice";
        Ok(wheel.then(|| "wheel".to_owned()).into_iter().collect())
    }

    fn has_group(&self, name: &str) -> io::Result<bool> {
        Ok(name == "wheel")
    }
}

impl PamServices for Host {
    fn names(&self) -> BTreeSet<String> {
        self.pam_d.borrow().keys().cloned().collect()
    }

    fn place(&self, name: &str) -> Option<PathBuf> {
        self.pam_d.borrow().contains_key(name).then(|| Path::new("/etc/pam.d").join(name))
    }

    fn read(&self, name: &str) -> Option<String> {
        self.pam_d.borrow().get(name).cloned()
    }
}

impl FirstFactor for Host {
    /// Asks for the password as PAM would, and takes any.
    fn prove(
        &self,
        _: &Owner,
        asked: bool,
        conversation: &mut dyn Conversation,
    ) -> Result<(), Failure> {
        let (password, account) = self.pam.get();
        if asked {
            conversation.ask(&Prompt::hidden("Password: ")).map_err(|_| refused("no answer"))?;
        }
        if asked && !password || !account { Err(refused("PAM says no")) } else { Ok(()) }
    }
}

impl Mailer for Host {
    fn send(&self, letter: &Letter) -> Result<(), MailError> {
        if self.unsendable.get() {
            return Err(MailError::Io(io::Error::other("no process")));
        }
        let to = letter.to().to_string();
        let body = letter.body().expose_str().unwrap().to_owned();
        self.letters.borrow_mut().push((to, body));
        Ok(())
    }

    fn post(&self, letter: Option<Letter>, line: Line) -> Posted {
        let Some(letter) = letter else { return Posted::settled(Ok(())) };
        self.lines.borrow_mut().push(line.finish());
        Posted::settled(self.send(&letter))
    }
}

fn refused(error: &str) -> Failure {
    Failure { kind: FailureKind::Refused, error: error.to_owned(), hint: String::new() }
}

impl Log for Host {
    fn write(&self, _severity: Severity, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
}

pub fn root() -> Owner {
    Owner { uid: 0, name: "root".to_owned() }
}

pub fn alice() -> Owner {
    Owner { uid: 1000, name: "alice".to_owned() }
}

pub fn bob() -> Owner {
    Owner { uid: 1001, name: "bob".to_owned() }
}

pub fn nobody() -> Scripted {
    Scripted::default()
}

pub fn from(user: &str, rhost: &str) -> LoginRequest {
    LoginRequest {
        user: user.as_bytes().to_vec(),
        service: "sshd".to_owned(),
        rhost: Some(rhost.to_owned()),
        tty: Some("ssh".to_owned()),
        password_given: true,
        ..LoginRequest::default()
    }
}

pub fn device() -> NewDevice {
    NewDevice {
        kind: DeviceKind::Totp,
        label: Some("phone".to_owned()),
        algorithm: None,
        digits: None,
        period: None,
        counter: None,
        secret: Some(Secret::from(KEY)),
        confirm: false,
        guided: false,
        show: false,
        terminal: Terminal { columns: 80, utf8: true },
    }
}

/// RFC 6238's reference, by a crate that the verifier does not judge with: HMAC by hand would prove
/// less, so the vectors in `factor::otp` carry the proof, and this only makes codes.
pub fn code(step: u64) -> String {
    let totp = totp_rs::Builder::new()
        .with_secret(b"12345678901234567890".to_vec())
        .with_step_duration(1)
        .build()
        .unwrap();
    totp.generate(step).to_string()
}

pub fn current() -> String {
    code(NOW / 30)
}
