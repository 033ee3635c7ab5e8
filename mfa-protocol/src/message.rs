//! The messages. Encoded with postcard; variants and fields are only ever added at the end, and
//! then [`crate::PROTOCOL_VERSION`] goes up.
//!
//! Times are seconds since the Unix epoch, UTC.

mod examination;
mod helpdesk;
mod import;
mod instead;
mod packed;
mod policy;
mod users;

use serde::{Deserialize, Serialize};

pub use self::examination::{Asking, Examined, Finding, Level};
pub use self::helpdesk::{BypassStatus, FullStatus, MadeBypass};
pub use self::import::{
    ExportFormat, Exported, ExportedDevice, Import, ImportLine, Imported, ImportedDevice, Origin,
    SkippedLine,
};
pub use self::instead::{MadeToken, NewToken, RememberedLogin, Tie, TokenStatus};
pub use self::packed::Packed;
pub use self::policy::{Checked, Explained, ExplainedRule, Supposed};
pub use self::users::{ListedDevice, ListedUser, Standing, UserList};
use crate::{Answer, ConversationError, OLDEST_VERSION, Prompt, Secret, Style};

/// What a face asks of a verifier: the first frame, after two bytes of version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Somebody logs in, or a code is to be judged as if somebody did.
    Login(Box<LoginRequest>),
    /// Anything that `mfa-setup` does beside judging.
    Manage(ManageRequest),
    /// Since version 2: a login of which the person sees no text, as under `PAM_SILENT`, or that is
    /// none, as for `mfa-setup judge`. What is told then may have to be told again.
    Unseen(Box<LoginRequest>),
}

impl Request {
    /// Whether nothing comes of it but a question, or an outcome that uses nothing up, until a frame of
    /// the face's follows: a login that brings no answer along, also one that leads to an enrolment.
    /// One that is remembered may be noted twice so, which is as good as once. No code is sent by mail
    /// before the first answer has come.
    #[must_use]
    pub fn begins_with_a_question(&self) -> bool {
        match self {
            Self::Login(request) | Self::Unseen(request) => request.password.is_none(),
            Self::Manage(_) => false,
        }
    }
}

/// Who logs in, from where, and how the stack wants to be asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LoginRequest {
    /// `PAM_USER` as it came; it need not be UTF-8 nor anybody's name.
    pub user: Vec<u8>,
    /// `PAM_SERVICE`.
    pub service: String,
    /// `PAM_RHOST`: an address or a name, believed only as far as it is an address.
    pub rhost: Option<String>,
    /// `PAM_TTY`.
    pub tty: Option<String>,
    /// `PAM_RUSER`.
    pub ruser: Option<String>,
    /// `SSH_AUTH_INFO_0` of the PAM environment: the methods that sshd has already seen succeed,
    /// one on each line.
    pub ssh_auth_info: Option<String>,
    /// Whether `PAM_AUTHTOK` is set: some first factor has read a password.
    pub password_given: bool,
    /// The password itself, only under `try_first_pass`.
    pub password: Option<Secret>,
    /// `nullok`: `required` counts as `optional` in this stack.
    pub nullok: bool,
    /// `prompt=`, which replaces the configured one.
    pub prompt: Option<String>,
    /// `echo`: show what is typed. Without it the configuration decides.
    pub echo: bool,
    /// `debug`: more lines in the log, none of them with a secret.
    pub debug: bool,
}

/// What is asked of `mfa-reauth`, the program that leads PAM's conversation with somebody who changes
/// the own record (by the verifier) or is to enrol at a login (by `pam_mfa.so`): the first frame, after
/// two bytes of version. It is answered as a [`Request`] is, in the end by [`Reply::Done`] or
/// [`Reply::Failed`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReAuthentication {
    /// The user's name as the system has it.
    pub user: String,
    /// Whether the first factor is asked for; else only whether the account may be used.
    pub first_factor: bool,
    /// Whether it is for a login, whose own stack looks at the account once more: a password that must be
    /// changed is changed there, and proves its owner until then.
    pub at_login: bool,
}

/// Something that `mfa-setup` does for `user`, or for the caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManageRequest {
    /// `--user`; `None` is the user of the calling process.
    pub user: Option<Vec<u8>>,
    /// What to do.
    pub action: Action,
}

/// What can be done to a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Action {
    /// Enrol a device, in conversation. Answered by [`Reply::Added`].
    Add(Box<NewDevice>),
    /// Answered by [`Reply::Status`].
    Status,
    /// Remove the device of this label; the last one takes codes and tokens with it.
    /// Answered by [`Reply::Done`].
    Remove {
        /// The device's label.
        label: String,
    },
    /// Make the device of this label the default. Answered by [`Reply::Done`].
    MakeDefault {
        /// The device's label.
        label: String,
    },
    /// Which backup codes are left. Answered by [`Reply::Codes`].
    Codes,
    /// A new batch of backup codes; the old one ends. Answered by [`Reply::NewCodes`].
    NewCodes,
    /// Show a device's key again (root; audited). Answered by [`Reply::Key`].
    ShowKey {
        /// The device's label.
        label: String,
    },
    /// Forget failures, waits, and steps in the future. Answered by [`Reply::Done`].
    Unlock,
    /// Forget everything about the user, also a record that cannot be read. Answered by [`Reply::Done`].
    Reset,
    /// Bring back a device whose clock or counter is far off, by three consecutive codes of it.
    /// Answered by [`Reply::Done`].
    Resync {
        /// The device's label.
        label: String,
    },
    /// Make a code that stands in for the user's password at one change (root; audited).
    /// Answered by [`Reply::Invited`].
    Invite {
        /// Seconds for which it is good.
        lifetime: u64,
    },
    /// Since version 3: read the policy file as a login does, and say what is odd about it (root).
    /// Answered by [`Reply::Checked`].
    Check,
    /// Since version 3: what policy would ask of the user (root). Answered by [`Reply::Explained`].
    Explain(Box<Supposed>),
    /// Since version 3: make an access token. Answered by [`Reply::TokenMade`].
    NewToken(Box<NewToken>),
    /// Since version 3: which access tokens there are. Answered by [`Reply::Tokens`].
    Tokens,
    /// Since version 3: end an access token. Answered by [`Reply::Done`].
    RevokeToken {
        /// The token's name.
        name: String,
    },
    /// Since version 3: which logins are remembered. Answered by [`Reply::Remembered`].
    Remembered,
    /// Since version 3: end what is remembered. Answered by [`Reply::Done`].
    Forget {
        /// Which; `None` is all.
        number: Option<u32>,
    },
    /// Since version 3: make the store and its key where there is neither (root; audited). Answered by
    /// [`Reply::Initialised`].
    Initialise,
    /// Since version 3: who has a record (root). Answered by [`Reply::Users`].
    Users {
        /// Those whose uid is greater; `None`: from the first one on.
        after: Option<u32>,
    },
    /// Since version 3: all that [`Action::Status`] does not say, too. Answered by [`Reply::FullStatus`].
    FullStatus,
    /// Since version 3: make a bypass code in place of the one before (root; audited). Answered by
    /// [`Reply::BypassMade`].
    MakeBypass {
        /// Seconds for which it is good.
        lifetime: u64,
        /// For how many logins.
        uses: u32,
    },
    /// Since version 3: end the bypass code (root; audited). Answered by [`Reply::Done`].
    RevokeBypass,
    /// Since version 3: refuse a device's codes until it is enabled again (root; audited). Answered by
    /// [`Reply::Disabled`].
    Disable {
        /// The device's label.
        label: String,
    },
    /// Since version 3: take that back (root; audited). Answered by [`Reply::Done`].
    Enable {
        /// The device's label.
        label: String,
    },
    /// Since version 3: whether a second factor is required of the user, whatever policy says of all (root;
    /// audited). Answered by [`Reply::Done`].
    Require {
        /// Whether it is.
        required: bool,
    },
    /// Since version 3: what is wrong with this host as far as logins are concerned (root). Answered by
    /// [`Reply::Examined`].
    Examine,
    /// Since version 3: take over what another module keeps of the user (root; audited). Answered by
    /// [`Reply::Imported`].
    Import(Packed<Import>),
    /// Since version 3: show all devices with their keys (root; audited). Answered by [`Reply::Exported`].
    Export {
        /// In which form.
        format: ExportFormat,
    },
}

/// The kind of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Time-based codes, RFC 6238.
    Totp,
    /// Counter-based codes, RFC 4226.
    Hotp,
    /// Since version 3: codes that are sent by e-mail.
    Email,
}

impl DeviceKind {
    /// The name in arguments, JSON and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Hotp => "hotp",
            Self::Email => "email",
        }
    }

    /// The version of the protocol that it came with.
    fn since(self) -> u16 {
        match self {
            Self::Totp | Self::Hotp => OLDEST_VERSION,
            Self::Email => 3,
        }
    }
}

/// The hash of a device's HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// SHA-1: the only one that every app honours.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A device to enrol. What is `None` comes from the configuration, or is asked (the label) where
/// `guided` is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewDevice {
    /// TOTP, HOTP or e-mail, whose address is asked for.
    pub kind: DeviceKind,
    /// `--label`.
    pub label: Option<String>,
    /// `--algorithm`.
    pub algorithm: Option<Algorithm>,
    /// `--digits`, 6 to 8.
    pub digits: Option<u8>,
    /// `--period`, 15 to 300 s; TOTP only.
    pub period: Option<u16>,
    /// `--counter`, the first counter expected; HOTP only.
    pub counter: Option<u64>,
    /// `--secret-file`: the key in base32, as it was read. `None`: a new one is made.
    pub secret: Option<Secret>,
    /// Without `--no-confirm`: a code must be right before anything is saved.
    pub confirm: bool,
    /// Explain each step and ask for a label: the guided enrolment.
    pub guided: bool,
    /// Show QR code and key on the conversation.
    pub show: bool,
    /// What the person's terminal can show.
    pub terminal: Terminal,
}

/// What the person's terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Columns; a QR code that does not fit is left out.
    pub columns: u16,
    /// Whether half blocks can be shown; else `#` and blanks.
    pub utf8: bool,
}

/// From a face, after its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromFace {
    /// The answer to the last [`ToFace::Ask`].
    Answer(Answer),
    /// There is none; the request is given up.
    GaveUp(GaveUp),
}

/// [`ConversationError`], as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GaveUp {
    /// See [`ConversationError::Aborted`].
    Aborted,
    /// See [`ConversationError::NobodyThere`].
    NobodyThere,
    /// See [`ConversationError::Broken`].
    Broken,
}

impl From<ConversationError> for GaveUp {
    fn from(error: ConversationError) -> Self {
        match error {
            ConversationError::Aborted => Self::Aborted,
            ConversationError::NobodyThere => Self::NobodyThere,
            ConversationError::Broken => Self::Broken,
        }
    }
}

impl From<GaveUp> for ConversationError {
    fn from(gave_up: GaveUp) -> Self {
        match gave_up {
            GaveUp::Aborted => Self::Aborted,
            GaveUp::NobodyThere => Self::NobodyThere,
            GaveUp::Broken => Self::Broken,
        }
    }
}

/// From the verifier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToFace {
    /// Ask this, and send the answer.
    Ask(Prompt),
    /// Tell this; nothing is sent back.
    Tell(Style, String),
    /// The end.
    Done(Box<Reply>),
    /// Since version 2: something else than the person at the face is waited for, such as a finger
    /// on a reader; the face waits on. Since version 3 it is also how a resident verifier greets
    /// whoever connects, before anything was asked.
    Wait,
}

/// How a request ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// Of a login.
    Outcome(Outcome),
    /// Of [`Action::Add`].
    Added(Added),
    /// Of [`Action::Status`].
    Status(Status),
    /// Of [`Action::Codes`].
    Codes {
        /// Whose.
        user: String,
        /// All of the batch, in the order of their numbers.
        codes: Vec<CodeStatus>,
    },
    /// Of [`Action::NewCodes`].
    NewCodes {
        /// Whose.
        user: String,
        /// The codes, in the order of their numbers, shown this once.
        backup_codes: Vec<Secret>,
    },
    /// Of [`Action::ShowKey`].
    Key(Key),
    /// It is done and there is nothing to show.
    Done {
        /// Whose.
        user: String,
    },
    /// It was not done.
    Failed(Failure),
    /// Of [`Action::Invite`].
    Invited {
        /// Who is invited.
        user: String,
        /// The code, shown this once.
        code: Secret,
        /// Until when it is good.
        expires: u64,
    },
    /// Of [`Action::Check`].
    Checked(Checked),
    /// Of [`Action::Explain`].
    Explained(Box<Explained>),
    /// Of [`Action::NewToken`].
    TokenMade(Box<MadeToken>),
    /// Of [`Action::Tokens`].
    Tokens {
        /// Whose.
        user: String,
        /// All of them, oldest first.
        tokens: Vec<TokenStatus>,
    },
    /// Of [`Action::Remembered`].
    Remembered {
        /// Whose.
        user: String,
        /// All of them, oldest first.
        logins: Vec<RememberedLogin>,
    },
    /// Of [`Action::Initialise`].
    Initialised(Initialised),
    /// Of [`Action::Users`].
    Users(UserList),
    /// Of [`Action::FullStatus`].
    FullStatus(Box<FullStatus>),
    /// Of [`Action::MakeBypass`].
    BypassMade(Box<MadeBypass>),
    /// Of [`Action::Disable`].
    Disabled {
        /// Whose.
        user: String,
        /// How many devices are left that are not disabled.
        enabled: u32,
    },
    /// Of [`Action::Examine`].
    Examined(Examined),
    /// Of [`Action::Import`].
    Imported(Packed<Imported>),
    /// Of [`Action::Export`].
    Exported(Packed<Exported>),
}

impl Reply {
    /// The version of the protocol that has all of it: older faces cannot read it.
    #[must_use]
    pub fn since(&self) -> u16 {
        match self {
            Self::Outcome(_)
            | Self::Codes { .. }
            | Self::NewCodes { .. }
            | Self::Key(_)
            | Self::Done { .. }
            | Self::Failed(_)
            | Self::Invited { .. } => OLDEST_VERSION,
            Self::Added(added) => added.kind.since(),
            Self::Status(Status { devices, .. }) => {
                devices.iter().map(|device| device.kind.since()).max().unwrap_or(OLDEST_VERSION)
            }
            Self::Checked(_)
            | Self::Explained(_)
            | Self::TokenMade(_)
            | Self::Tokens { .. }
            | Self::Remembered { .. }
            | Self::Initialised(_)
            | Self::Users(_)
            | Self::FullStatus(_)
            | Self::BypassMade(_)
            | Self::Disabled { .. }
            | Self::Examined(_)
            | Self::Imported(_)
            | Self::Exported(_) => 3,
        }
    }
}

/// The end of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What came of it.
    pub verdict: Verdict,
    /// The user's name as the system has it, if there is such a user.
    pub user: Option<String>,
    /// The factor that was given: `totp`, `hotp`, `email`, `backup_code`, `bypass`, `token`; `otp` where it
    /// could be any of the first three.
    pub factor: Option<String>,
    /// The label of the device that was used, or the name of the access token.
    pub label: Option<String>,
}

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A factor was given and is right.
    Granted,
    /// Policy asks nothing of this user here, provably.
    Exempt,
    /// Refused.
    Denied,
    /// Refused, since too many were refused before.
    Locked,
    /// It could not be judged: configuration, key, store or time.
    Unavailable,
}

impl Verdict {
    /// The name in JSON and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Exempt => "exempt",
            Self::Denied => "denied",
            Self::Locked => "locked",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A device was enrolled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Added {
    /// Whose.
    pub user: String,
    /// Their uid.
    pub uid: u32,
    /// The device's number in the record.
    pub id: u32,
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Its key in base32, without padding; none of an e-mail device.
    pub secret: Secret,
    /// Its `otpauth://` URI; none of an e-mail device.
    pub uri: Secret,
    /// The backup codes, if this was the first device; else empty.
    pub backup_codes: Vec<Secret>,
    /// Whether the conversation has already shown the codes to a person.
    pub codes_shown: bool,
}

/// Where the records are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialised {
    /// The store's path.
    pub store: String,
    /// The path of its sealing key.
    pub key_file: String,
    /// Whether they were made now; else they were there and can be used.
    pub made: bool,
}

/// A device's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    /// Whose.
    pub user: String,
    /// The device's label.
    pub label: String,
    /// The key in base32, without padding.
    pub secret: Secret,
    /// The `otpauth://` URI.
    pub uri: Secret,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The name.
    pub user: String,
    /// The uid.
    pub uid: u32,
    /// The devices; none means not enrolled.
    pub devices: Vec<DeviceStatus>,
    /// Backup codes left.
    pub backup_codes_left: u32,
    /// Wrong codes that are still counted.
    pub failures: u32,
    /// Until when codes from some source are not judged.
    pub locked_until: Option<u64>,
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its number in the record.
    pub id: u32,
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Whether it is the default.
    pub default: bool,
    /// When it was enrolled.
    pub added: u64,
    /// When it was last used.
    pub last_used: Option<u64>,
    /// From where: `local`, `unknown` or an address.
    pub last_from: Option<String>,
    /// The learned offset in steps; 0 for HOTP.
    pub drift: i32,
    /// Wrong codes since its last right one.
    pub failures: u32,
    /// Whether its codes are refused.
    pub disabled: bool,
}

/// What is known of a backup code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeStatus {
    /// Its number in the batch, from 1.
    pub number: u32,
    /// When it was used.
    pub used_at: Option<u64>,
    /// From where.
    pub used_from: Option<String>,
}

/// Why something was not done, in two lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind of failure: the exit code.
    pub kind: FailureKind,
    /// What happened.
    pub error: String,
    /// What to do.
    pub hint: String,
}

/// The kinds of failure, by the exit code of `mfa-setup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// 1: refused.
    Refused,
    /// 2: wrong usage or input.
    Usage,
    /// 3: configuration, key, store or verifier unusable, or the disk is full.
    Unusable,
    /// 4: not permitted.
    NotPermitted,
    /// 130: the person gave up.
    Interrupted,
}
