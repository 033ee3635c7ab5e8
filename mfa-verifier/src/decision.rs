//! How a login was decided, and how that is told: to the face, and to the log.

use mfa_protocol::message::{DeviceKind, Failure, LoginRequest};
use mfa_protocol::{Outcome, Verdict};

use crate::audit::{Line, Log, Severity, timestamp};
use crate::factor::Method;
use crate::factor::tokens::OutOfScope;
use crate::judge::{Accepted, Code, Refusal};
use crate::lockout::Barred;
use crate::policy::{Denial, Exemption, Ruling};
use crate::reason::Reason;
use crate::recall::Recalled;
use crate::record::{Alteration, UserRecord};
use crate::store::Owner;

/// How a login was decided.
#[derive(Debug)]
pub(crate) enum Decision {
    Exempt(Exemption),
    Denied(Denial),
    Granted { accepted: Accepted, codes_left: Option<usize>, news: Vec<Alteration> },
    Remembered(Recalled),
    Enrolled { kind: DeviceKind, label: String },
    NotEnrolled(Failure),
    Refused { given: Given, refusal: Refusal },
    Nobody { given: Given, nobody: Nobody },
    NoCode(Reason),
    NoAnswer,
    Unavailable(String),
}

impl Decision {
    /// What PAM and the log are told.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Granted { .. } | Self::Remembered(_) | Self::Enrolled { .. } => Verdict::Granted,
            Self::Exempt(_) => Verdict::Exempt,
            Self::Refused { refusal: Refusal::Barred(_), .. } => Verdict::Locked,
            Self::Denied(_)
            | Self::Refused { .. }
            | Self::Nobody { .. }
            | Self::NotEnrolled(_)
            | Self::NoCode(_)
            | Self::NoAnswer => Verdict::Denied,
            Self::Unavailable(_) => Verdict::Unavailable,
        }
    }

    fn factor(&self) -> Option<&str> {
        match self {
            Self::Granted { accepted, .. } => Some(accepted.method().name()),
            Self::Enrolled { kind, .. } => Some(kind.name()),
            Self::Refused { given, .. } | Self::Nobody { given, .. } => Some(given.factor),
            _ => None,
        }
    }

    fn label(&self) -> Option<&str> {
        match self {
            Self::Granted {
                accepted: Accepted::Device { label, .. } | Accepted::Token { name: label },
                ..
            }
            | Self::Enrolled { label, .. }
            | Self::Refused { refusal: Refusal::OutOfScope { name: label, .. }, .. } => Some(label),
            Self::Refused { given, .. } => given.label.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Granted { .. } => Reason::Accepted,
            Self::Remembered(_) => Reason::Remembered,
            Self::Enrolled { .. } => Reason::Enrolled,
            Self::NotEnrolled(_) => Reason::EnrolmentFailed,
            Self::Exempt(Exemption::ModeOff) => Reason::ModeOff,
            Self::Exempt(Exemption::Service) => Reason::Service,
            Self::Exempt(Exemption::Trusted) => Reason::Trusted,
            Self::Exempt(Exemption::NotRequiredYet { .. }) => Reason::NotRequiredYet,
            Self::Exempt(Exemption::ReAuthentication) => Reason::ReAuthentication,
            Self::Exempt(Exemption::NotEnrolled)
            | Self::Nobody { nobody: Nobody::NotEnrolled, .. } => Reason::NotEnrolled,
            Self::Denied(Denial::UnknownUser) | Self::Nobody { nobody: Nobody::Unknown, .. } => {
                Reason::UnknownUser
            }
            Self::Denied(Denial::NoFirstFactor) => Reason::NoFirstFactor,
            Self::Refused { refusal, .. } => match refusal {
                Refusal::Wrong => Reason::WrongCode,
                Refusal::Misshapen => Reason::Misshapen,
                Refusal::NotSent => Reason::NotSent,
                Refusal::NewAddress => Reason::NewAddress,
                Refusal::Used { .. } => Reason::AlreadyUsed,
                Refusal::UsedAhead { .. } => Reason::UsedAhead,
                Refusal::Barred(Barred::Until(_)) => Reason::Locked,
                Refusal::Barred(Barred::Disabled) => Reason::TooManyFailures,
                Refusal::AnotherBatch => Reason::ReplacedBatch,
                Refusal::Disabled => Reason::DeviceDisabled,
                Refusal::BypassEnded => Reason::BypassExpired,
                Refusal::NotAccepted => Reason::Method,
                Refusal::OutOfScope { why: OutOfScope::Expired, .. } => Reason::TokenExpired,
                Refusal::OutOfScope { why: OutOfScope::Source, .. } => Reason::TokenSource,
                Refusal::OutOfScope { why: OutOfScope::Service, .. } => Reason::TokenService,
            },
            Self::NoCode(reason) => *reason,
            Self::NoAnswer => Reason::NoAnswer,
            Self::Unavailable(_) => Reason::Unavailable,
        }
    }

    /// What the face is told.
    pub(crate) fn outcome(&self, user: Option<Owner>) -> Outcome {
        Outcome {
            verdict: self.verdict(),
            user: user.map(|owner| owner.name),
            factor: self.factor().map(str::to_owned),
            label: self.label().filter(|_| !self.is_secretive()).map(str::to_owned),
        }
    }

    /// Whether a name would tell that what was given is right.
    fn is_secretive(&self) -> bool {
        matches!(self, Self::Refused { refusal: Refusal::OutOfScope { .. }, .. })
    }
}

/// The line in the log: who, from where, with what, and what came of it.
pub(crate) fn write_down(
    log: &dyn Log,
    request: &LoginRequest,
    user: Option<&Owner>,
    ruling: Option<&Ruling>,
    decision: &Decision,
) {
    let verdict = decision.verdict();
    let line = Line::new().value("outcome", Some(verdict.name()));
    let line = match user {
        Some(owner) => line.quoted("user", &owner.name),
        None => line.quoted_bytes("user", &request.user),
    };
    let mut line = line
        .value("uid", user.map(|owner| owner.uid.to_string()).as_deref())
        .value("service", Some(&request.service))
        .value("rhost", request.rhost.as_deref())
        .value("tty", request.tty.as_deref())
        .value("factor", decision.factor());
    if let Some(label) = decision.label() {
        line = line.quoted("device", label);
    }
    line = line.value("reason", Some(reason(decision, ruling).word()));
    match decision {
        Decision::Refused { refusal: Refusal::Barred(Barred::Until(until)), .. } => {
            line = line.value("not_before", Some(&timestamp(*until)));
        }
        Decision::Granted { accepted: Accepted::BackupCode { number }, codes_left, .. } => {
            line = line
                .value("number", Some(&number.to_string()))
                .value("left", codes_left.map(|left| left.to_string()).as_deref());
        }
        Decision::Granted { accepted: Accepted::Bypass { uses_left }, .. } => {
            line = line.value("left", Some(&uses_left.to_string()));
        }
        Decision::Granted {
            accepted: Accepted::Device { learned_drift: Some(drift), .. }, ..
        } => line = line.value("drift", Some(&drift.to_string())),
        Decision::Remembered(Recalled { since, until, .. }) => {
            line = line
                .value("since", Some(&timestamp(*since)))
                .value("until", Some(&timestamp(*until)));
        }
        Decision::NotEnrolled(Failure { error, .. }) | Decision::Unavailable(error) => {
            line = line.quoted("error", error);
        }
        _ => {}
    }
    if let Some((number, rule)) = ruling.and_then(Ruling::held) {
        line = match &rule.name {
            Some(name) => line.quoted("rule", name),
            None => line.value("rule", Some(&number.to_string())),
        };
    }
    if request.nullok {
        line = line.value("nullok", Some("yes"));
    }
    let severity = match verdict {
        Verdict::Granted | Verdict::Exempt => Severity::Info,
        Verdict::Denied | Verdict::Locked => Severity::Notice,
        Verdict::Unavailable => Severity::Error,
    };
    log.write(severity, &line.finish());
}

fn reason(decision: &Decision, ruling: Option<&Ruling>) -> Reason {
    match decision {
        Decision::Refused { refusal: Refusal::NotAccepted, .. }
            if ruling.is_some_and(|ruling| ruling.outside) =>
        {
            Reason::Outside
        }
        decision => decision.reason(),
    }
}

/// For whom the decoy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    Unknown,
    NotEnrolled,
}

/// What a refused code was meant to be, as far as its shape tells.
#[derive(Debug)]
pub(crate) struct Given {
    /// The factor's name in the log.
    factor: &'static str,
    /// The device, where only one has codes of that length.
    label: Option<String>,
}

impl Given {
    /// Looks at the devices that `code` could belong to.
    pub(crate) fn of(code: &Code, record: &UserRecord) -> Self {
        let digits = match code {
            Code::OneTime(digits) => digits,
            Code::OneTimeOrBackup { code, .. } => {
                let mut devices = record.devices.iter();
                if devices.any(|device| usize::from(device.digits) == code.len()) {
                    return Self { factor: "otp", label: None };
                }
                return Self::unlabelled(Method::BackupCode);
            }
            Code::Backup { .. } => return Self::unlabelled(Method::BackupCode),
            Code::Bypass { .. } => return Self::unlabelled(Method::Bypass),
            Code::Token(_) => return Self::unlabelled(Method::Token),
        };
        let mut devices = record.devices.iter().filter(|d| usize::from(d.digits) == digits.len());
        match (devices.next(), devices.next()) {
            (Some(only), None) => {
                let label = Some(only.label.clone()).filter(|label| !label.is_empty());
                Self { factor: only.kind().name(), label }
            }
            (Some(one), Some(other)) if one.kind() == other.kind() => {
                Self::unlabelled(one.kind().into())
            }
            _ => Self { factor: "otp", label: None },
        }
    }

    /// What is known when it was judged: a code that was used is that of one device.
    pub(crate) fn judged(self, refusal: &Refusal, record: &UserRecord) -> Self {
        let (Refusal::Used { label: Some(label) } | Refusal::UsedAhead { label }) = refusal else {
            return self;
        };
        match record.devices.iter().find(|device| device.label == *label) {
            Some(device) => Self { factor: device.kind().name(), label: Some(label.clone()) },
            None => self,
        }
    }

    fn unlabelled(method: Method) -> Self {
        Self { factor: method.name(), label: None }
    }
}
