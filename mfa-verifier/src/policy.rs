//! What is asked of whom. Pure: configuration and situation go in, a requirement comes out.

use mfa_protocol::REAUTH_SERVICE;

use crate::config::{Mode, PolicyConfig};

/// What policy looks at.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The PAM service.
    pub service: &'a str,
    /// Whether the system knows the user.
    pub user_exists: bool,
    /// Whether the user has a device.
    pub enrolled: bool,
    /// Whether a first factor has provably been given: sshd names a method that succeeded, or a
    /// module read a password.
    pub first_factor: bool,
    /// The stack's `nullok`.
    pub nullok: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Exempt(Exemption),
    /// A code; of who has none, too, so that the prompt tells nothing.
    Challenge,
    /// Nobody gets in by being asked nothing here.
    Deny(Denial),
}

/// Why nothing is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// The policy is off.
    ModeOff,
    /// The user has not enrolled, and need not.
    NotEnrolled,
    /// It is the first factor that is asked for, before a change of the own record; the verifier
    /// asks for the second itself.
    ReAuthentication,
}

/// Why somebody is refused without a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// An exemption is for users.
    UnknownUser,
    /// sshd has seen no first factor, so the stack may have none: an exemption would let anybody in.
    NoFirstFactor,
}

/// The requirement for one login.
#[must_use]
pub fn requirement(policy: &PolicyConfig, situation: &Situation) -> Requirement {
    if situation.service == REAUTH_SERVICE {
        return exempt(Exemption::ReAuthentication, situation);
    }
    match effective_mode(policy.mode, situation.nullok) {
        Mode::Off => exempt(Exemption::ModeOff, situation),
        Mode::Optional if situation.user_exists && !situation.enrolled => {
            exempt(Exemption::NotEnrolled, situation)
        }
        Mode::Optional | Mode::Required => Requirement::Challenge,
    }
}

/// Whether anything depends on who has enrolled.
#[must_use]
pub fn looks_at_records(policy: &PolicyConfig, service: &str) -> bool {
    policy.mode != Mode::Off && service != REAUTH_SERVICE
}

/// `nullok` turns `required` into `optional` for its stack.
fn effective_mode(mode: Mode, nullok: bool) -> Mode {
    match mode {
        Mode::Required if nullok => Mode::Optional,
        mode => mode,
    }
}

fn exempt(exemption: Exemption, situation: &Situation) -> Requirement {
    if !situation.user_exists {
        Requirement::Deny(Denial::UnknownUser)
    } else if situation.service == "sshd" && !situation.first_factor {
        Requirement::Deny(Denial::NoFirstFactor)
    } else {
        Requirement::Exempt(exemption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Requirement::{Challenge, Deny, Exempt};

    #[test]
    fn every_situation_has_its_requirement() {
        let off = Exempt(Exemption::ModeOff);
        let free = Exempt(Exemption::NotEnrolled);
        let first = Exempt(Exemption::ReAuthentication);
        let unproven = Deny(Denial::NoFirstFactor);
        let unknown = Deny(Denial::UnknownUser);
        // mode, nullok, service, exists, enrolled, first factor
        let rows = [
            (Mode::Off, false, "sshd", true, true, true, off),
            (Mode::Off, false, "sshd", true, true, false, unproven),
            (Mode::Off, false, "sshd", false, false, true, unknown),
            (Mode::Off, false, "login", true, false, false, off),
            (Mode::Optional, false, "sshd", true, false, true, free),
            (Mode::Optional, false, "sshd", true, false, false, unproven),
            (Mode::Optional, false, "sudo", true, false, false, free),
            (Mode::Optional, false, "sudo", true, true, false, Challenge),
            (Mode::Optional, false, "sshd", true, true, true, Challenge),
            (Mode::Optional, false, "sshd", false, false, true, Challenge),
            (Mode::Required, false, "sshd", true, false, true, Challenge),
            (Mode::Required, false, "sshd", true, true, false, Challenge),
            (Mode::Required, false, "su", false, false, true, Challenge),
            (Mode::Required, true, "su", true, false, false, free),
            (Mode::Required, true, "sshd", true, false, false, unproven),
            (Mode::Required, true, "sshd", true, true, true, Challenge),
            (Mode::Off, true, "su", true, true, true, off),
            (Mode::Required, false, REAUTH_SERVICE, true, false, false, first),
            (Mode::Required, false, REAUTH_SERVICE, true, true, true, first),
            (Mode::Off, false, REAUTH_SERVICE, true, true, true, first),
            (Mode::Required, false, REAUTH_SERVICE, false, false, true, unknown),
        ];
        for (mode, nullok, service, user_exists, enrolled, first_factor, expected) in rows {
            let policy = PolicyConfig { mode, ..PolicyConfig::default() };
            let situation = Situation { service, user_exists, enrolled, first_factor, nullok };
            assert_eq!(requirement(&policy, &situation), expected, "{mode:?} {situation:?}");
        }
    }
}
